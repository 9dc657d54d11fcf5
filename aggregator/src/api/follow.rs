//! `GET /logs/follow`: lines as they arrive, one JSON object per line.

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
use store::{LogRequest, ScanError};
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
        let mut told = Told::default();
        let is_read = match past {
            Some(snapshot) => past::write(&api, snapshot, request.clone(), &mut told, &sender).await,
            None => Ok(()),
        };
        if is_read.is_ok() {
            run(&api, request, after_lsn, told, &sender).await;
        }
        drop(permit);
        measure(&api);
    });
    let body = Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, std::convert::Infallible>));
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// What arrives, as it arrives.
async fn run(api: &Api, request: LogRequest, mut after_lsn: i64, mut told: Told, sender: &Sender<Bytes>) {
    let mut changes = api.0.query.watch_rows();
    let mut api = api.clone();
    let mut asked_at = api.0.clock.monotonic();
    loop {
        if api.0.clock.monotonic().saturating_sub(asked_at) >= AGAIN {
            api = match api.again().await {
                Ok(api) => api,
                Err(error) => {
                    let (code, message) = error.parts();
                    drop(end(code, message, sender).await);
                    break;
                }
            };
            asked_at = api.0.clock.monotonic();
        }
        changes.mark_unchanged();
        let snapshot = api.0.query.view(api.scope());
        if snapshot.last_lsn() > after_lsn {
            let after = Some(after_lsn);
            let request =
                LogRequest { after_lsn: after, limit: None, newest_first: false, ..request.clone() };
            after_lsn = snapshot.last_lsn();
            if write(&snapshot, request, &mut told, sender).await.is_err() {
                break;
            }
        }
        // a view keeps files and memory: none is held while nothing arrives
        drop(snapshot);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(AGAIN) => {}
            () = sender.closed() => break,
            () = api.0.stopping.cancelled() => break,
        }
    }
}

/// Nobody reads any more.
struct Gone;

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

async fn write(
    snapshot: &store::Snapshot,
    request: LogRequest,
    told: &mut Told,
    sender: &Sender<Bytes>,
) -> Result<(), Gone> {
    let mut rows = match snapshot.logs(request) {
        Ok(rows) => rows,
        Err(error) => return end(ErrorCode::Internal, &error.to_string(), sender).await,
    };
    while let Some(item) = rows.next().await {
        match item {
            Ok(batch) => {
                let text = text(&batch);
                if !text.is_empty() {
                    sender.send(text.into()).await.map_err(|_closed| Gone)?;
                }
            }
            Err(error) if error.is_partial() => {
                if let Some(line) = told.incomplete(&error) {
                    sender.send(line).await.map_err(|_closed| Gone)?;
                }
            }
            Err(error) => return end(ErrorCode::Internal, &error.to_string(), sender).await,
        }
    }
    Ok(())
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

async fn end(code: ErrorCode, message: &str, sender: &Sender<Bytes>) -> Result<(), Gone> {
    let line = json!({ "error": { "code": code.as_str(), "message": message } });
    // Whether it was read or not, the stream ends here.
    drop(sender.send(Bytes::from(format!("{line}\n"))).await);
    Err(Gone)
}

fn measure(api: &Api) {
    let followers = api.0.limits.followers.saturating_sub(api.0.followers.available_permits());
    api.0.metrics.followers(followers);
}

#[cfg(test)]
mod tests {
    use store::ScanError;

    use super::Told;

    #[test]
    fn what_cannot_be_read_is_told_once_with_its_range() {
        let mut told = Told::default();
        let error = ScanError::SegmentUnreadable {
            segment: "log/7".to_owned(),
            from_ns: 0,
            to_ns: 1_000_000_000,
            detail: "bad checksum".to_owned(),
        };
        let line = String::from_utf8(told.incomplete(&error).unwrap().to_vec()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let reason = &value["incomplete"];
        assert!(line.ends_with('\n') && reason["code"] == "segment_unreadable", "{line}");
        assert_eq!(
            (&reason["from"], &reason["to"]),
            (&"1970-01-01T00:00:00.000000000Z".into(), &"1970-01-01T00:00:01.000000000Z".into())
        );
        assert!(told.incomplete(&error).is_none(), "it is known");
    }
}
