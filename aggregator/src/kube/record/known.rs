//! What the store has of Events and changes already: a list after a restart names them again.

use std::collections::HashSet;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt as _;
use store::{Order, ScanRequest, Store, Table};

/// How far back: Events live for an hour in the API server by default.
const BACK_NS: u64 = 24 * 3_600 * 1_000_000_000;
/// Most rows of each table that are remembered; of older ones a repetition is not known.
const MOST: usize = 200_000;
/// The API writes times of creation in whole seconds.
const SECOND_NS: u64 = 1_000_000_000;

/// What was recorded before this process began.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Event and its resource version.
    events: HashSet<(Box<str>, Box<str>)>,
    /// Objects whose creation was recorded.
    created: HashSet<Box<str>>,
    /// The newest change; `None`: there is none, and what exists now was there before Wake.
    newest_ns: Option<u64>,
}

impl Known {
    /// Reads it from the store. What cannot be read is recorded a second time.
    pub(super) async fn read(store: &Store, now_ns: u64) -> Self {
        let mut known = Self::default();
        let columns = ["uid", "resource_version"];
        for batch in scan(store, Table::KubeEvent, &columns, now_ns).await {
            let (Some(uids), Some(versions)) = (texts(&batch, 0), texts(&batch, 1)) else { continue };
            known.events.extend(uids.into_iter().zip(versions));
        }
        for batch in scan(store, Table::ObjectChange, &["ts", "uid", "change"], now_ns).await {
            let times = batch.columns().first().and_then(|column| cast(column, &DataType::Int64).ok());
            let newest = times.as_ref().and_then(|times| {
                times.as_primitive_opt::<Int64Type>().and_then(arrow::compute::max::<Int64Type>)
            });
            known.newest_ns = known.newest_ns.max(newest.and_then(|ns| u64::try_from(ns).ok()));
            let (Some(uids), Some(changes)) = (texts(&batch, 1), texts(&batch, 2)) else { continue };
            let created = uids.into_iter().zip(changes).filter(|(_, change)| &**change == "created");
            known.created.extend(created.map(|(uid, _)| uid));
        }
        known
    }

    pub(crate) fn has_event(&self, uid: &str, version: &str) -> bool {
        self.events.contains(&(uid.into(), version.into()))
    }

    /// Whether an object that is listed came while nobody watched, and was not recorded.
    pub(crate) fn came_meanwhile(&self, uid: &str, created_ns: u64) -> bool {
        let is_new = self.newest_ns.is_some_and(|newest| created_ns + SECOND_NS > newest);
        is_new && !self.created.contains(uid)
    }
}

async fn scan(store: &Store, table: Table, columns: &[&str], now_ns: u64) -> Vec<RecordBatch> {
    let request = ScanRequest {
        from_ns: i64::try_from(now_ns.saturating_sub(BACK_NS)).unwrap_or(0),
        columns: Some(columns.iter().map(|&column| column.to_owned()).collect()),
        limit: Some(MOST),
        order: Order::NewestFirst,
        ..ScanRequest::default()
    };
    let mut batches = Vec::new();
    let mut rows = match store.snapshot().scan(table, request) {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(%error, table = table.name(), "what was recorded before is not known");
            return batches;
        }
    };
    while let Some(batch) = rows.next().await {
        match batch {
            Ok(batch) => batches.push(batch),
            Err(error) => {
                tracing::warn!(%error, table = table.name(), "what was recorded before is known in part")
            }
        }
    }
    batches
}

/// A column as text, '' where it is null.
fn texts(batch: &RecordBatch, column: usize) -> Option<Vec<Box<str>>> {
    let column = cast(batch.columns().get(column)?, &DataType::Utf8).ok()?;
    let texts = column.as_string_opt::<i32>()?;
    Some(
        (0..texts.len())
            .map(|row| if texts.is_null(row) { "".into() } else { texts.value(row).into() })
            .collect(),
    )
}
