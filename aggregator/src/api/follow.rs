//! `GET /logs/follow`: lines as they arrive, one JSON object per line.
//!
//! Each piece is sent to who may see it as of the last minute, and a reader that takes nothing for a minute is left, so
//! that what is read for it is not kept for ever.

mod past;

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::array::RecordBatch;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use proto::error::ErrorCode;
use serde_json::json;
use store::{LogRequest, ScanError, Snapshot};
use tokio::sync::mpsc::Sender;
use tokio_stream::wrappers::ReceiverStream;

use crate::api::Api;
use crate::api::answer::ReasonBody;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::logs::{objects, refused, request};
use crate::api::openapi::{LogLine, LogParams};
use crate::api::params::{Params, Range};
use crate::query::reason::Reason;

/// Pieces of the answer that may wait for a slow reader; then the store is read more slowly, nothing is left out.
const QUEUE: usize = 8;
/// Unreadable segments of which it is remembered that a follower knows.
const MOST_TOLD: usize = 1024;
/// How often it is asked anew whether the caller may see what they follow.
const AGAIN: Duration = Duration::from_secs(60);
/// How long a reader may leave a piece, and then the line that says so.
const PATIENCE: Duration = Duration::from_secs(60);

/// Log lines as they arrive, one JSON object per line.
///
/// Takes the conditions of `/logs`. With `from`, first what is there already, oldest first. Ends with the connection,
/// or with a line `{"error":…}`. A line `{"incomplete":…}`, with a reason as in `/logs`, says what could not be read; the
/// rest follows.
#[utoipa::path(
    get,
    path = "/api/v1/logs/follow",
    tag = "logs",
    params(("from" = Option<String>, Query, description = "Also lines since then: a time as in `/logs`"), LogParams),
    responses(
        (status = 200, body = LogLine, content_type = "application/x-ndjson"),
        (status = "default", body = ErrorBody)
    )
)]
pub(crate) async fn follow(api: Api, mut params: Params) -> Result<Response, ApiError> {
    let from = params.time("from")?;
    let range = Range { from_ns: from.unwrap_or(i64::MIN), to_ns: i64::MAX };
    let request = request(&mut params, range)?;
    params.end()?;
    let snapshot = api.0.query.view(api.scope());
    // A request that cannot be understood is refused before the stream begins.
    drop(snapshot.logs(LogRequest { limit: Some(0), ..request.clone() }).map_err(|error| refused(&error))?);
    let permit = std::sync::Arc::clone(&api.0.followers).try_acquire_owned().map_err(|_none| {
        let message = format!("{} requests follow the log already", api.0.limits.followers);
        ApiError::new(ErrorCode::Busy, message)
    })?;
    let past = from.is_some().then(|| snapshot.clone());
    let after_lsn = snapshot.last_lsn();
    drop(snapshot);
    let (sender, receiver) = tokio::sync::mpsc::channel(QUEUE);
    measure(&api);
    tokio::spawn(async move {
        let mut reader = Reader { asked_at: api.0.clock.monotonic(), api, sender, patience: PATIENCE };
        let ended = reader.read(past, request, after_lsn).await;
        // no view is held any more
        if let End::Error(code, message) = ended {
            reader.tell(code, &message).await;
        }
        drop(permit);
        measure(&reader.api);
    });
    let body = Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, std::convert::Infallible>));
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// Why a stream ends.
#[derive(Debug)]
enum End {
    /// Nobody reads any more, or the server stops.
    Gone,
    /// The reader is told.
    Error(ErrorCode, String),
}

/// Who follows: as whom, asked when, and where the lines go.
struct Reader {
    api: Api,
    asked_at: Duration,
    sender: Sender<Bytes>,
    patience: Duration,
}

impl Reader {
    /// What is there already, if it is wanted, then what arrives.
    async fn read(&mut self, past: Option<Snapshot>, request: LogRequest, after_lsn: i64) -> End {
        let mut told = Told::default();
        if let Some(snapshot) = past
            && let Err(end) = past::write(self, snapshot, request.clone(), &mut told).await
        {
            return end;
        }
        match self.live(request, after_lsn, told).await {
            Ok(()) => End::Gone,
            Err(end) => end,
        }
    }

    /// What arrives, as it arrives.
    async fn live(&mut self, request: LogRequest, mut after_lsn: i64, mut told: Told) -> Result<(), End> {
        let mut changes = self.api.0.query.watch_rows();
        loop {
            self.renew().await?;
            changes.mark_unchanged();
            let snapshot = self.api.0.query.view(self.api.scope());
            if snapshot.last_lsn() > after_lsn {
                let after = Some(after_lsn);
                let request =
                    LogRequest { after_lsn: after, limit: None, newest_first: false, ..request.clone() };
                after_lsn = snapshot.last_lsn();
                self.write(&snapshot, request, &mut told).await?;
            }
            // a view keeps files and memory: none is held while nothing arrives
            drop(snapshot);
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(AGAIN) => {}
                () = self.sender.closed() => return Ok(()),
                () = self.api.0.stopping.cancelled() => return Ok(()),
            }
        }
    }

    async fn write(&mut self, snapshot: &Snapshot, request: LogRequest, told: &mut Told) -> Result<(), End> {
        let mut rows = snapshot.logs(request).map_err(|error| broken(&error))?;
        while let Some(item) = rows.next().await {
            match item {
                Ok(batch) => {
                    let text = text(&batch);
                    if !text.is_empty() {
                        self.send(text.into()).await?;
                    }
                }
                Err(error) if error.is_partial() => {
                    if let Some(line) = told.incomplete(&error) {
                        self.send(line).await?;
                    }
                }
                Err(error) => return Err(broken(&error)),
            }
        }
        Ok(())
    }

    /// Asks anew who the caller is, when a minute has passed.
    async fn renew(&mut self) -> Result<(), End> {
        if self.api.0.clock.monotonic().saturating_sub(self.asked_at) < AGAIN {
            return Ok(());
        }
        self.api = self.api.again().await.map_err(|error| {
            let (code, message) = error.parts();
            End::Error(code, message.to_owned())
        })?;
        self.asked_at = self.api.0.clock.monotonic();
        Ok(())
    }

    /// Sends what was read as the caller was until now. Ends when they may not see all of that any more.
    async fn send(&mut self, piece: Bytes) -> Result<(), End> {
        let before = self.api.scope().clone();
        self.renew().await?;
        if before.and(self.api.scope()) != before {
            let message = "what may be seen has become less; follow again to see the rest";
            return Err(End::Error(ErrorCode::Forbidden, message.to_owned()));
        }
        tokio::select! {
            sent = tokio::time::timeout(self.patience, self.sender.send(piece)) => match sent {
                Ok(sent) => sent.map_err(|_closed| End::Gone),
                Err(_elapsed) => {
                    let message = format!("lines waited for {:?} and nobody took them", self.patience);
                    Err(End::Error(ErrorCode::Timeout, message))
                }
            },
            () = self.api.0.stopping.cancelled() => Err(End::Gone),
        }
    }

    /// The last line. Whether it was read or not, the stream ends here.
    async fn tell(&self, code: ErrorCode, message: &str) {
        let line = json!({ "error": { "code": code.as_str(), "message": message } });
        tokio::select! {
            sent = tokio::time::timeout(self.patience, self.sender.send(Bytes::from(format!("{line}\n")))) => {
                drop(sent);
            }
            () = self.api.0.stopping.cancelled() => {}
        }
    }
}

fn broken(error: &dyn std::fmt::Display) -> End {
    End::Error(ErrorCode::Internal, error.to_string())
}

/// What a follower was told that it misses.
#[derive(Debug, Default)]
struct Told(BTreeSet<String>);

impl Told {
    /// `{"incomplete":{…}}` for what cannot be read, once for each; `None` if it was told already.
    fn incomplete(&mut self, error: &ScanError) -> Option<Bytes> {
        let reason = Reason::of_scan(error)?;
        let line = json!({ "incomplete": ReasonBody::from(&reason) }).to_string();
        // of more segments than these it is told each time
        let is_new = !self.0.contains(&line);
        if is_new {
            tracing::warn!(%error, "a follower misses a segment");
            if self.0.len() < MOST_TOLD {
                self.0.insert(line.clone());
            }
        }
        is_new.then(|| Bytes::from(line + "\n"))
    }
}

/// Lines, as they are sent.
fn text(batch: &RecordBatch) -> Vec<u8> {
    let mut text = Vec::new();
    for line in objects(batch) {
        if serde_json::to_writer(&mut text, &line).is_ok() {
            text.push(b'\n');
        }
    }
    text
}

fn measure(api: &Api) {
    let followers = api.0.limits.followers.saturating_sub(api.0.followers.available_permits());
    api.0.metrics.followers(followers);
}

#[cfg(test)]
mod tests;
