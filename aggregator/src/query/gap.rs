//! What an answer lacks: rows that agents lost, and rows of before what is kept.
//!
//! The loss ledger is read from the store directly: it is asked with every answer, and planning SQL for it would cost more
//! than most answers.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};
use futures::StreamExt as _;
use store::{ScanRequest, Table};

use crate::query::error::QueryError;
use crate::query::reason::{Reason, ReasonCode};
use crate::query::session::Session;

/// Signal, stage, reason.
type Place = [String; 3];

/// How much was lost at one place, and between which times.
#[derive(Clone, Copy, Debug)]
struct Lost {
    count: i64,
    from_ns: i64,
    to_ns: i64,
}

/// The ledger's signals that a table's rows are made from.
fn signals(table: Table) -> &'static [&'static str] {
    match table {
        Table::Log => &["log"],
        Table::Flow => &["flow"],
        Table::Drop => &["flow", "drop"],
        Table::Usage => &["usage"],
        Table::Syscall | Table::SyscallLatency => &["syscall"],
        Table::Block => &["block"],
        Table::Process => &["process"],
        Table::KubeEvent | Table::ObjectChange => &["kubernetes"],
        Table::Span | Table::Request => &["span"],
        // the ledger itself
        Table::Loss => &[],
    }
}

/// Adds to the session's reasons what an answer from these tables and times lacks.
///
/// # Errors
/// If the ledger cannot be read.
pub(crate) async fn note(
    session: &Session,
    (from_ns, to_ns): (i64, i64),
    tables: &[Table],
) -> Result<(), QueryError> {
    for table in tables {
        let kept_since = session.kept_since_ns(*table);
        // what is past its time is gone by rule; what went before its time is missing from any answer that asks for it
        if let Some(gone) =
            session.snapshot.gone_before_ns(*table).filter(|gone| *gone > kept_since.max(from_ns))
        {
            session.reasons.add(Reason {
                code: ReasonCode::Dropped,
                detail: format!("rows of {} went before their time: for want of room, or lost", table.name()),
                from_ns: Some(kept_since.max(from_ns)),
                to_ns: Some(gone),
            });
        }
        if from_ns != i64::MIN && from_ns < kept_since {
            session.reasons.add(Reason {
                code: ReasonCode::Retention,
                detail: format!("the range begins before what is kept of {}", table.name()),
                from_ns: Some(from_ns),
                to_ns: Some(kept_since),
            });
        }
    }
    let wanted: BTreeSet<&str> = tables.iter().flat_map(|table| signals(*table)).copied().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let columns = ["signal", "stage", "reason", "count", "ts", "window_s"];
    let columns = Some(columns.map(str::to_owned).to_vec());
    let request = ScanRequest { from_ns, to_ns, columns, ..ScanRequest::default() };
    let mut rows = session.losses(request).map_err(QueryError::Scan)?;
    let mut lost = BTreeMap::new();
    while let Some(batch) = rows.next().await {
        match batch {
            Ok(batch) => add(&batch, &mut lost),
            Err(error) if error.is_partial() => session.reasons.add_scan(&error),
            Err(error) => return Err(QueryError::Scan(error)),
        }
    }
    let mut lost: Vec<(Place, Lost)> = lost.into_iter().collect();
    lost.retain(|([signal, ..], lost)| lost.count > 0 && wanted.contains(signal.as_str()));
    lost.sort_by_key(|(_, lost)| std::cmp::Reverse(lost.count));
    for ([signal, stage, reason], Lost { count, from_ns, to_ns }) in lost {
        // how much a node loses is its operators' to know, that something is missing everybody's
        let detail = match session.is_whole {
            true => format!("{count} {signal} lost at {stage}: {reason}"),
            false => format!("some {signal} lost at {stage}: {reason}"),
        };
        let (from_ns, to_ns) = (Some(from_ns), Some(to_ns));
        session.reasons.add(Reason { code: ReasonCode::AgentGap, detail, from_ns, to_ns });
    }
    Ok(())
}

/// Sums by dictionary key first: a text per row would be the dearest part.
fn add(batch: &RecordBatch, lost: &mut BTreeMap<Place, Lost>) {
    let [signal, stage, reason] = ["signal", "stage", "reason"]
        .map(|name| batch.column_by_name(name).and_then(|column| column.as_dictionary_opt::<Int32Type>()));
    let (Some(signal), Some(stage), Some(reason)) = (signal, stage, reason) else { return };
    let [count, ts, window] = ["count", "ts", "window_s"].map(|name| batch.column_by_name(name));
    let count = count.and_then(|column| column.as_primitive_opt::<Int64Type>());
    let ts = ts.and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
    let window = window.and_then(|column| column.as_primitive_opt::<Int32Type>());
    let (Some(count), Some(ts), Some(window)) = (count, ts, window) else { return };
    let mut sums: BTreeMap<[Option<usize>; 3], Lost> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let from_ns = ts.value(row);
        let to_ns = from_ns.saturating_add(i64::from(window.value(row)) * 1_000_000_000);
        merge(
            sums.entry([signal.key(row), stage.key(row), reason.key(row)]),
            Lost { count: count.value(row), from_ns, to_ns },
        );
    }
    for (keys, sum) in sums {
        let text = |column: &dyn arrow::array::AnyDictionaryArray, key: Option<usize>| {
            let values = column.values().as_string_opt::<i32>();
            values
                .zip(key)
                .filter(|(values, key)| *key < values.len())
                .map(|(values, key)| values.value(key).to_owned())
        };
        let place = [text(signal, keys[0]), text(stage, keys[1]), text(reason, keys[2])]
            .map(Option::unwrap_or_default);
        merge(lost.entry(place), sum);
    }
}

fn merge<K: Ord>(entry: std::collections::btree_map::Entry<'_, K, Lost>, more: Lost) {
    entry
        .and_modify(|sum| {
            sum.count = sum.count.saturating_add(more.count);
            sum.from_ns = sum.from_ns.min(more.from_ns);
            sum.to_ns = sum.to_ns.max(more.to_ns);
        })
        .or_insert(more);
}
