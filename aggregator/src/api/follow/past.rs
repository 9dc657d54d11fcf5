//! What was there before a follower came: page by page, each a query of its own with its place, time and bytes.

use std::time::Duration;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use axum::body::Bytes;
use futures::StreamExt as _;
use proto::error::ErrorCode;
use store::{LogRequest, ScanError, Snapshot};

use super::{End, Reader, Told, text};
use crate::api::error::ApiError;
use crate::api::logs::refused;
use crate::query::error::QueryError;
use crate::query::session::Session;

/// Lines of a page, and the bytes after which it ends early.
const PAGE_ROWS: usize = 5_000;
const PAGE_BYTES: usize = 8 << 20;
/// Before asking again for a place.
const PAUSE: Duration = Duration::from_millis(200);

/// Lines of the view, oldest first.
pub(super) async fn write(
    reader: &mut Reader,
    snapshot: Snapshot,
    mut request: LogRequest,
    told: &mut Told,
) -> Result<(), End> {
    request.newest_first = false;
    request.limit = Some(PAGE_ROWS);
    loop {
        reader.renew().await?;
        let api = &reader.api;
        let (snapshot, asked) = (snapshot.clone().within(api.scope()), request.clone());
        let answered = tokio::select! {
            page = api.answer("logs_follow", move |session| page(session, snapshot, asked)) => page,
            () = reader.sender.closed() => return Err(End::Gone),
            () = api.0.stopping.cancelled() => return Err(End::Gone),
        };
        let page = match answered {
            Ok(page) => page,
            Err(error) => match error.parts() {
                (ErrorCode::Busy, _) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                (code, message) => return Err(End::Error(code, message.to_owned())),
            },
        };
        for error in &page.unreadable {
            if let Some(line) = told.incomplete(error) {
                reader.send(line).await?;
            }
        }
        for piece in page.pieces {
            reader.send(piece).await?;
        }
        let Some((ts, lsn)) = page.goes_on_after else { return Ok(()) };
        request.from_ns = request.from_ns.max(ts);
        request.beyond = Some((ts, lsn));
    }
}

/// Some lines, what could not be read between them, and the last of them if there may be more.
struct Page {
    pieces: Vec<Bytes>,
    unreadable: Vec<ScanError>,
    goes_on_after: Option<(i64, i64)>,
}

/// `snapshot` is the follower's own; the session's keeps the place.
async fn page(session: Session, snapshot: Snapshot, request: LogRequest) -> Result<Page, ApiError> {
    let mut rows =
        snapshot.holding(session.snapshot.clone()).logs(request).map_err(|error| refused(&error))?;
    let (mut pieces, mut count, mut bytes, mut last) = (Vec::new(), 0, 0, None);
    let mut unreadable = Vec::new();
    while bytes < PAGE_BYTES
        && let Some(item) = rows.next().await
    {
        match item {
            Ok(batch) => {
                let piece = text(&batch);
                count += batch.num_rows();
                bytes += piece.len();
                last = position(&batch).or(last);
                pieces.push(Bytes::from(piece));
            }
            Err(error) if error.is_partial() => unreadable.push(error),
            Err(error) => return Err(QueryError::Scan(error).into()),
        }
    }
    // lines that cannot be read make a page shorter, not the last
    let is_cut = count >= PAGE_ROWS || bytes >= PAGE_BYTES || !unreadable.is_empty();
    Ok(Page { pieces, unreadable, goes_on_after: last.filter(|_| is_cut) })
}

/// (ts, lsn) of the last row.
fn position(batch: &RecordBatch) -> Option<(i64, i64)> {
    let last = batch.num_rows().checked_sub(1)?;
    let ts = batch.column_by_name("ts")?.as_primitive_opt::<TimestampNanosecondType>()?;
    let lsn = batch.column_by_name("lsn")?.as_primitive_opt::<Int64Type>()?;
    Some((ts.value(last), lsn.value(last)))
}
