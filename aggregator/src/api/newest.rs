//! Rows as they are stored, newest first, read from the store without a plan.

use futures::StreamExt as _;
use store::{Order, Says, ScanRequest, Table};

use crate::api::answer::Answer;
use crate::api::error::ApiError;
use crate::api::params::Range;
use crate::query::error::QueryError;
use crate::query::reason::{Reason, ReasonCode};
use crate::query::session::{Session, Sink as _, Take};

/// Writes the newest rows of a table that have these values and texts. The conditions were checked by `wheres::clause`.
pub(crate) async fn rows(
    session: &Session,
    table: Table,
    range: Range,
    (wheres, says): (Vec<(String, String)>, Vec<Says>),
    limit: u64,
    answer: &mut Answer,
) -> Result<(), ApiError> {
    let request = ScanRequest {
        from_ns: range.from_ns,
        to_ns: range.to_ns,
        equals: wheres,
        says,
        limit: Some(usize::try_from(limit).unwrap_or(usize::MAX)),
        order: Order::NewestFirst,
        ..ScanRequest::default()
    };
    let mut batches = session.snapshot.scan(table, request).map_err(QueryError::Scan)?;
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => {
                if answer.rows(&batch) == Take::Enough {
                    let detail = "the answer is cut at the most rows or bytes that one may have";
                    session.reasons.add(Reason::new(ReasonCode::RowLimit, detail));
                    break;
                }
            }
            Err(error) if error.is_partial() => session.reasons.add_scan(&error),
            Err(error) => return Err(QueryError::Scan(error).into()),
        }
    }
    Ok(())
}
