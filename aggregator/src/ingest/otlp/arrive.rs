//! A request's bytes as they arrive: room is taken for what is there, never for what is only announced, so that a
//! sender who stalls holds as much as it has sent.

use std::time::Duration;

use axum::body::BodyDataStream;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use proto::error::ErrorCode;
use store::Refused;
use tokio::sync::OwnedSemaphorePermit;

use crate::ingest::otlp::Context;
use crate::ingest::otlp::receive::{busy, too_large};

/// How long a request's body may take to arrive.
const BODY: Duration = Duration::from_secs(30);

/// A body that is there, and its room.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) bytes: BytesMut,
    kib: u32,
    room: Option<OwnedSemaphorePermit>,
}

/// Reads a body of at most `most` bytes.
///
/// # Errors
/// If it is larger, breaks off, takes too long, or there is no room for it.
pub(super) async fn arrive(
    context: &Context,
    body: &mut BodyDataStream,
    most: usize,
) -> Result<Arrived, Refused> {
    let mut arrived = Arrived { bytes: BytesMut::new(), kib: 0, room: None };
    let read = async {
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| Refused {
                code: ErrorCode::Invalid,
                detail: format!("the body ended early: {error}"),
                retry_after_ms: 0,
            })?;
            let bytes = arrived.bytes.len() + chunk.len();
            if bytes > most {
                return Err(too_large(context.max_request_bytes));
            }
            arrived.reserve(context, bytes).await?;
            // copied: a chunk may be one byte, and keep alive what it was read with
            arrived.bytes.extend_from_slice(&chunk);
        }
        Ok(())
    };
    match tokio::time::timeout(BODY, read).await {
        Ok(read) => read.map(|()| arrived),
        Err(_elapsed) => {
            let detail = format!("the body did not arrive within {} s", BODY.as_secs());
            Err(Refused { code: ErrorCode::Timeout, detail, retry_after_ms: 1_000 })
        }
    }
}

impl Arrived {
    /// Waits a little for room for so many bytes in all, at most those of the largest request.
    ///
    /// # Errors
    /// If there is none.
    pub(super) async fn reserve(&mut self, context: &Context, bytes: usize) -> Result<(), Refused> {
        let kib = u32::try_from(bytes.min(context.max_request_bytes).div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let Some(more) = kib.checked_sub(self.kib).filter(|more| *more > 0) else { return Ok(()) };
        let more = context.room_for(more).await.ok_or_else(busy)?;
        self.kib = kib;
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        Ok(())
    }

    /// The bytes, and their room until that is dropped.
    pub(super) fn into_parts(self) -> (Bytes, Option<OwnedSemaphorePermit>) {
        (self.bytes.freeze(), self.room)
    }
}
