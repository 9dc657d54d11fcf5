//! Requests of the range between two ends: spans, and what agents counted beyond them.
//!
//! Spans know their ends best. Where there are more of them than one answer reads, requests that agents saw are counted by
//! their rows of `request` alone, which are few.

use std::time::Duration;

use futures::StreamExt as _;
use store::{ScanRequest, Table};

use crate::api::error::ApiError;
use crate::api::map::graph::Graph;
use crate::api::params::Range;
use crate::query::error::QueryError;
use crate::query::reason::{Reason, ReasonCode};
use crate::query::session::Session;
use crate::requests::counted;
use crate::requests::pairs::Pairs;
use crate::requests::span::{COLUMNS, Spans};

/// Spans that one answer counts.
const MOST_SPANS: usize = 2_000_000;
/// Spans that may wait for their other end meanwhile.
const MOST_WAITING: usize = 50_000;
/// What is left of the time when reading of spans ends, and of counts, for the rest of the answer.
const REST: Duration = Duration::from_secs(4);
const LAST: Duration = Duration::from_secs(1);

/// Counts the requests of the range.
pub(super) async fn read(session: &Session, range: Range, graph: &mut Graph) -> Result<(), ApiError> {
    let request = ScanRequest {
        from_ns: range.from_ns,
        to_ns: range.to_ns,
        columns: Some(COLUMNS.map(str::to_owned).to_vec()),
        ..ScanRequest::default()
    };
    let mut pairs = Pairs::new(MOST_WAITING);
    let (mut read, mut at, mut is_whole) = (0, 0, true);
    let mut batches = session.snapshot.scan(Table::Span, request).map_err(QueryError::Scan)?;
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => {
                read += batch.num_rows();
                for span in Spans::of(&batch).iter().flat_map(Spans::iter) {
                    at += 1;
                    graph.note_time(span.start_ns);
                    pairs.add(&span, at, &mut |request| graph.request(request));
                }
                let is_late = session.left() < REST;
                if read >= MOST_SPANS || is_late {
                    let why = if is_late { ReasonCode::Timeout } else { ReasonCode::RowLimit };
                    let detail = format!(
                        "only {read} spans were read: requests that applications tell of are at least so many, those \
                         that agents saw are on the map by their addresses"
                    );
                    session.reasons.add(Reason::new(why, detail));
                    is_whole = false;
                    break;
                }
            }
            Err(error) if error.is_partial() => session.reasons.add_scan(&error),
            Err(error) => return Err(QueryError::Scan(error).into()),
        }
    }
    pairs.finish(&mut |request| graph.request(request));
    if !is_whole {
        graph.forget_seen();
    }
    read_counted(session, range, &mut pairs, is_whole, graph).await?;
    if graph.left_out() > 0 {
        let detail = format!("{} requests have no edge: there are more than a map holds", graph.left_out());
        session.reasons.add(Reason::new(ReasonCode::RowLimit, detail));
    }
    Ok(())
}

/// Adds what agents have counted: all of it, or what is no span where all spans were read.
async fn read_counted(
    session: &Session,
    range: Range,
    pairs: &mut Pairs,
    has_spans: bool,
    graph: &mut Graph,
) -> Result<(), ApiError> {
    let request = ScanRequest {
        from_ns: range.from_ns,
        to_ns: range.to_ns,
        columns: Some(counted::COLUMNS.map(str::to_owned).to_vec()),
        ..ScanRequest::default()
    };
    let mut batches = session.snapshot.scan(Table::Request, request).map_err(QueryError::Scan)?;
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => counted::each(&batch, |counted| {
                graph.note_time(counted.ts);
                let weight = if has_spans { counted.without_span() } else { Some(counted.all()) };
                if let Some(weight) = weight {
                    graph.counted(&pairs.alone(&counted), &weight);
                }
            }),
            Err(error) if error.is_partial() => session.reasons.add_scan(&error),
            Err(error) => return Err(QueryError::Scan(error).into()),
        }
        if session.left() < LAST {
            let detail = String::from("requests are at least so many: not all that agents counted was read");
            session.reasons.add(Reason::new(ReasonCode::Timeout, detail));
            break;
        }
    }
    Ok(())
}
