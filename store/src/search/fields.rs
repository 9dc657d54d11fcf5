//! Counting log lines by a field of their text: from templates where these show the field, else from bodies.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::run::{chunk_keys, passing};
use super::{FieldFormat, LogRequest, Plan, RequestError, TABLE, field};
use crate::ScanError;
use crate::rows::{Chunk, LogRows};
use crate::snapshot::{Emit, Snapshot};
use crate::template::FieldCounts;

/// Values that are counted before they are handed over, and the bytes that they are made of; a page's values go beyond.
const MOST: (usize, usize) = (32_768, 8 << 20);
/// The same of one batch; one value goes beyond.
const BATCH: (usize, usize) = (8_192, 8 << 20);

/// What to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequest {
    /// Which lines: by time and columns alone.
    pub logs: LogRequest,
    /// How they name their fields.
    pub format: FieldFormat,
    /// The field.
    pub name: String,
}

/// A request that was understood.
#[derive(Debug)]
pub(crate) struct FieldPlan {
    pub(crate) logs: Plan,
    pub(crate) format: FieldFormat,
    pub(crate) name: String,
}

impl FieldPlan {
    pub(crate) fn new(request: FieldRequest) -> Result<Self, RequestError> {
        let FieldRequest { logs, format, name } = request;
        let logs = Plan::new(LogRequest { limit: None, columns: Some(Vec::new()), ..logs })?;
        if !logs.matcher.is_empty() {
            let detail = "fields are counted of lines chosen by time and columns alone".to_owned();
            return Err(RequestError::Condition(ScanError::UnknownColumn(detail)));
        }
        Ok(Self { logs, format, name })
    }

    /// Whether all lines of a stream between these times are wanted, whatever else they have.
    pub(crate) fn wants_all(&self, (oldest, newest): (i64, i64)) -> bool {
        let by_stream =
            self.logs.filters.iter().all(|filter| ["namespace", "workload"].contains(&filter.name.as_str()));
        by_stream
            && self.logs.after_lsn == i64::MIN
            && self.logs.from_ns <= oldest
            && self.logs.to_ns > newest
    }
}

/// Counts the lines of a snapshot.
pub(crate) fn count_fields(snapshot: &Snapshot, plan: &FieldPlan, emit: Emit<'_>) {
    let mut counts = FieldCounts::default();
    for segment in snapshot.segments(TABLE) {
        if plan.logs.stop.is_set() {
            return;
        }
        if !plan.logs.overlaps(segment.times()) || segment.last_lsn() <= plan.logs.after_lsn {
            continue;
        }
        let mut going = true;
        let counted = snapshot.reader.log_fields(segment, plan, &mut counts, &mut |counts| {
            going = !is_much(counts) || hand_over(counts, emit);
            going
        });
        if let Err(error) = counted
            && !emit(Err(error))
        {
            return;
        }
        if !going {
            return;
        }
    }
    for chunk in snapshot.chunks(TABLE) {
        let Chunk::Log(rows) = &**chunk else { continue };
        if !chunk.times().is_some_and(|times| plan.logs.overlaps(times)) {
            continue;
        }
        if let Err(error) = count_chunk(plan, rows, &mut counts)
            && !emit(Err(error))
        {
            return;
        }
        if is_much(&counts) && !hand_over(&mut counts, emit) {
            return;
        }
    }
    hand_over(&mut counts, emit);
}

fn count_chunk(plan: &FieldPlan, rows: &LogRows, counts: &mut FieldCounts) -> Result<(), ScanError> {
    let (found, keys) = chunk_keys(&plan.logs, rows)?;
    passing(&plan.logs, &keys, |at, _, _| {
        counts.add(field(plan.format, rows.bodies.get(found[at] as usize), &plan.name), 1);
    });
    Ok(())
}

/// Hands over what was counted; false when nobody wants more.
fn hand_over(counts: &mut FieldCounts, emit: Emit<'_>) -> bool {
    let all = counts.take();
    let mut rest = &all[..];
    while !rest.is_empty() {
        let mut bytes = 0_usize;
        let fits = |(value, _): &&(Option<Vec<u8>>, u64)| {
            bytes += value.as_ref().map_or(0, Vec::len);
            bytes <= BATCH.1
        };
        let some = rest.iter().take(BATCH.0).take_while(fits).count().max(1);
        let (now, later) = rest.split_at(some);
        if !emit(batch(now).map_err(ScanError::from)) {
            return false;
        }
        rest = later;
    }
    true
}

fn is_much(counts: &FieldCounts) -> bool {
    let (values, bytes) = counts.size();
    values >= MOST.0 || bytes >= MOST.1
}

fn batch(counts: &[(Option<Vec<u8>>, u64)]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let values = counts.iter().map(|(value, _)| value.as_deref().map(String::from_utf8_lossy));
    let lines = counts.iter().map(|(_, lines)| i64::try_from(*lines).unwrap_or(i64::MAX));
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(values.collect::<StringArray>()), Arc::new(Int64Array::from_iter_values(lines))];
    RecordBatch::try_new(schema(), columns)
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("value", DataType::Utf8, true),
        Field::new("count", DataType::Int64, false),
    ]))
}
