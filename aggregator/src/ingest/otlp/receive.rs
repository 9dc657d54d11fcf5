//! One request from its bytes to its outcome: unpack, convert, store; the same for both transports.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use proto::error::ErrorCode;
use proto::v1;
use store::{Refused, Scope};
use tokio::sync::mpsc;

use crate::ingest::otlp::rows::Rejected;
use crate::ingest::otlp::{Context, Signal, convert, json};

/// Why metrics are not taken.
const NO_METRICS: &str = "metrics_not_stored";

/// How a request is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

/// A request as it came.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) signal: Signal,
    pub(super) format: Format,
    pub(super) packing: Packing,
    pub(super) bytes: Bytes,
    /// The namespaces that its sender may send for.
    pub(super) scope: Scope,
}

/// Stores what can be taken of a request; returns what was not.
///
/// # Errors
/// If the request cannot be read, or the store has no room for it: nothing was stored. If the store fails or fills up with
/// what others send while a request of several MiB is being stored, a part of it may be there, and the sender repeats all.
pub(super) async fn receive(context: &Context, request: Request) -> Result<Rejected, Refused> {
    let signal = request.signal;
    context.metrics.received(signal, request.bytes.len());
    let outcome = take(context, request).await;
    match &outcome {
        Ok((rejected, rows)) => context.metrics.processed(signal, *rows, &rejected.0),
        Err(refused) => {
            context.metrics.refused(refused.code);
            if let Some(held_back) = context.metrics.refusal_line() {
                let Refused { code, detail, .. } = refused;
                tracing::warn!(signal = signal.name(), code = code.as_str(), %detail, held_back, "OTLP request refused");
            }
        }
    }
    outcome.map(|(rejected, _)| rejected)
}

async fn take(context: &Context, request: Request) -> Result<(Rejected, u64), Refused> {
    let now = context.clock.now_unix_ns();
    let now_ns = i64::try_from(now).unwrap_or(i64::MAX);
    let most = context.max_request_bytes;
    let (payloads, mut converted) = mpsc::channel::<v1::Payload>(1);
    let store = Arc::clone(&context.store);
    let work = tokio::task::spawn_blocking(move || {
        let (signal, scope) = (request.signal, request.scope.clone());
        let bytes = unpack(request, most)?;
        if signal == Signal::Metrics {
            let mut rejected = Rejected::default();
            rejected.add(NO_METRICS, convert::count(signal, &bytes).map_err(unreadable)?);
            return Ok(rejected);
        }
        // all of it or nothing, as far as that can be known: a part would be stored again with each repetition
        store.has_room(bytes.len())?;
        // a send fails when the store refused what came before: then nobody asks for the outcome
        let mut emit = |payload| payloads.blocking_send(payload).is_ok();
        convert::convert(signal, &bytes, now, most, &scope, &mut emit).map_err(unreadable)
    });
    let (mut judged, mut rows) = (Rejected::default(), 0);
    while let Some(payload) = converted.recv().await {
        let appended = context.store.append_payload(payload, now_ns).await?;
        rows += appended.rows;
        appended.rejected_by.iter().for_each(|left_out| judged.add(left_out.reason, left_out.rows));
    }
    let mut rejected = work.await.map_err(|error| Refused {
        code: ErrorCode::Internal,
        detail: format!("the conversion ended early: {error}"),
        retry_after_ms: 0,
    })??;
    for (reason, count) in judged.0 {
        rejected.add(reason, count);
    }
    Ok((rejected, rows))
}

fn unreadable(error: impl std::error::Error) -> Refused {
    Refused { code: ErrorCode::Invalid, detail: format!("no OTLP request: {error}"), retry_after_ms: 0 }
}

/// The request as protobuf.
fn unpack(request: Request, most: usize) -> Result<Bytes, Refused> {
    let Request { signal, format, packing, bytes, scope: _ } = request;
    let plain = match packing {
        Packing::Plain => bytes,
        Packing::Gzip => read(flate2::read::MultiGzDecoder::new(&*bytes), bytes.len(), most)?,
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&*bytes).map_err(unreadable)?;
            // what a frame claims to look back at is memory: no more than the largest request
            decoder.window_log_max(24).map_err(unreadable)?;
            read(decoder, bytes.len(), most)?
        }
    };
    match format {
        Format::Protobuf => Ok(plain),
        Format::Json => json::to_protobuf(signal, &plain).map(Bytes::from).map_err(unreadable),
    }
}

fn read(reader: impl std::io::Read, packed: usize, most: usize) -> Result<Bytes, Refused> {
    let mut plain = Vec::with_capacity(packed.saturating_mul(6).min(most));
    let read = reader.take(most as u64 + 1).read_to_end(&mut plain);
    read.map_err(unreadable)?;
    if plain.len() > most {
        return Err(too_large(most));
    }
    Ok(Bytes::from(plain))
}

/// A request of more than the limit.
pub(super) fn too_large(most: usize) -> Refused {
    let detail = format!("more than {most} bytes (otlp.max_request_mib): send smaller batches");
    Refused { code: ErrorCode::TooLarge, detail, retry_after_ms: 0 }
}

/// No room for a request within the time that it may wait.
pub(super) fn busy() -> Refused {
    let detail = String::from("too many requests are being stored");
    Refused { code: ErrorCode::Busy, detail, retry_after_ms: 1_000 }
}
