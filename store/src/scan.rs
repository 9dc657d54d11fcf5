//! Scanning a table: time range, equality, projection, order, limit; over head chunks and segments alike.

mod filter;
mod order;
mod says;

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef};

pub(crate) use filter::{Filter, Test, mask};
pub use says::Says;

use crate::rows::Chunk;
use crate::segment::Segment;
use crate::snapshot::{Emit, Snapshot, Stop};
use crate::{ScanError, Scope, Table};

/// What to read of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRequest {
    /// Rows at or after this time, ns.
    pub from_ns: i64,
    /// Rows before this time, ns.
    pub to_ns: i64,
    /// The columns to yield, in this order; all if `None`.
    pub columns: Option<Vec<String>>,
    /// Columns that must equal a value, given as text; '' is absent. `attributes.KEY` looks into the map.
    pub equals: Vec<(String, String)>,
    /// Columns of whole numbers that are never absent, each from the first to the second, both included.
    pub within: Vec<(String, i64, i64)>,
    /// Texts that a row must have.
    pub says: Vec<Says>,
    /// The most rows to yield.
    pub limit: Option<usize>,
    /// The order of rows.
    pub order: Order,
    /// Whose rows; the view's own scope narrows it.
    pub scope: Scope,
    /// Only rows that came in after this position, for those who read what is new.
    pub after_lsn: Option<i64>,
    /// Rows with an `lsn` up to and with this one.
    pub upto_lsn: Option<i64>,
}

/// The order of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they lie; the cheapest.
    #[default]
    Any,
    /// By `ts` descending, then `lsn` descending. Without a limit every row is held in memory.
    NewestFirst,
    /// By `ts` ascending, then `lsn` ascending. Without a limit every row is held in memory.
    OldestFirst,
}

impl Default for ScanRequest {
    fn default() -> Self {
        Self {
            from_ns: i64::MIN,
            to_ns: i64::MAX,
            columns: None,
            equals: Vec::new(),
            within: Vec::new(),
            says: Vec::new(),
            limit: None,
            order: Order::Any,
            scope: Scope::All,
            after_lsn: None,
            upto_lsn: None,
        }
    }
}

/// A request that was understood.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) table: Table,
    pub(crate) from_ns: i64,
    pub(crate) to_ns: i64,
    lsns: Option<(i64, i64)>,
    pub(crate) filters: Vec<Filter>,
    limit: usize,
    order: Order,
    /// What is read: what is yielded, and what conditions and order need.
    pub(crate) read: SchemaRef,
    /// Positions in `read` of what is yielded.
    yielded: Vec<usize>,
    pub(crate) stop: Stop,
}

impl Plan {
    pub(crate) fn new(table: Table, request: ScanRequest) -> Result<Self, ScanError> {
        let schema = table.schema();
        let find = |name: &str| {
            schema
                .index_of(name)
                .map_err(|_error| ScanError::UnknownColumn(format!("{}.{name}", table.name())))
        };
        let yielded: Vec<usize> = match &request.columns {
            Some(columns) => columns.iter().map(|name| find(name)).collect::<Result<_, _>>()?,
            None => (0..schema.fields().len()).collect(),
        };
        let mut filters = Vec::new();
        for (column, value) in &request.equals {
            filters.push(Filter::new(&schema, column, value)?);
        }
        for (column, from, upto) in &request.within {
            filters.push(Filter::within(&schema, column, (*from, *upto))?);
        }
        for says in &request.says {
            filters.push(says.filter(table, &schema)?);
        }
        let mut limit = request.limit.unwrap_or(usize::MAX);
        match Filter::of_scope(&schema, &request.scope) {
            Ok(filter) => filters.extend(filter),
            // a table without namespaces is about nodes: a limited view shows none of it
            Err(_) => limit = 0,
        }
        let lsns = match (request.after_lsn, request.upto_lsn) {
            (None, None) => None,
            (after, upto) => Some((after.unwrap_or(i64::MIN), upto.unwrap_or(i64::MAX))),
        };
        filters.extend(
            lsns.map(|(after, upto)| Filter::within(&schema, "lsn", (after.saturating_add(1), upto)))
                .transpose()?,
        );
        let timed = request.from_ns != i64::MIN || request.to_ns != i64::MAX || request.order != Order::Any;
        let mut read: Vec<usize> = yielded.clone();
        read.extend(filters.iter().flat_map(Filter::columns));
        if timed {
            read.push(find("ts")?);
        }
        if request.order != Order::Any {
            read.push(find("lsn")?);
        }
        read.sort_unstable();
        read.dedup();
        let at = |column: &usize| read.binary_search(column).unwrap_or(0);
        let yielded = yielded.iter().map(at).collect();
        for filter in &mut filters {
            filter.moved(&|filter| Ok::<_, ScanError>(at(&filter.column)))?;
        }
        let read = Arc::new(schema.project(&read)?);
        Ok(Self {
            table,
            from_ns: request.from_ns,
            to_ns: request.to_ns,
            lsns,
            filters,
            limit,
            order: request.order,
            read,
            yielded,
            stop: Stop::default(),
        })
    }

    /// Whether rows between these times can match.
    pub(crate) fn overlaps(&self, (oldest, newest): (i64, i64)) -> bool {
        newest >= self.from_ns && oldest < self.to_ns
    }

    /// Whether rows between these positions can match.
    fn reaches(&self, first: i64, last: i64) -> bool {
        self.lsns.is_none_or(|(after, upto)| last > after && first <= upto)
    }

    fn keep(&self, batch: &RecordBatch) -> Result<RecordBatch, ScanError> {
        match mask(batch, self.from_ns, self.to_ns, &self.filters) {
            Some(mask) => Ok(filter_record_batch(batch, &mask)?),
            None => Ok(batch.clone()),
        }
    }

    fn project(&self, batch: &RecordBatch) -> Result<RecordBatch, ScanError> {
        Ok(batch.project(&self.yielded)?)
    }
}

/// Reads, filters, orders, and hands over.
pub(crate) fn run(snapshot: &Snapshot, plan: &Plan, emit: Emit<'_>) {
    if plan.limit == 0 {
        return;
    }
    if plan.order == Order::Any {
        let mut left = plan.limit;
        let mut take = |item: Result<RecordBatch, ScanError>| match item {
            Ok(batch) if batch.num_rows() == 0 => true,
            Ok(batch) => {
                let batch = if batch.num_rows() > left { batch.slice(0, left) } else { batch };
                left -= batch.num_rows();
                emit(plan.project(&batch)) && left > 0
            }
            Err(error) => emit(Err(error)),
        };
        sources(snapshot, plan).into_iter().all(|(source, _)| each_batch(snapshot, plan, source, &mut take));
        return;
    }
    let mut top = order::Top::new(plan.order, plan.limit);
    for (source, times) in sources(snapshot, plan) {
        match top.is_better(times) {
            Ok(true) => {}
            // sources come best first: none of the rest can have a better row
            Ok(false) => break,
            Err(error) => {
                emit(Err(error));
                return;
            }
        }
        let mut take = |item: Result<RecordBatch, ScanError>| match item.and_then(|batch| top.push(batch)) {
            Ok(()) => true,
            Err(error) => emit(Err(error)),
        };
        if !each_batch(snapshot, plan, source, &mut take) {
            return;
        }
    }
    match top.finish() {
        Ok(Some(rows)) => {
            let mut at = 0;
            while at < rows.num_rows() {
                let len = (rows.num_rows() - at).min(8_192);
                if !emit(plan.project(&rows.slice(at, len))) {
                    return;
                }
                at += len;
            }
        }
        Ok(None) => {}
        Err(error) => {
            emit(Err(error));
        }
    }
}

/// Where rows lie.
#[derive(Clone, Copy)]
enum Source<'a> {
    Segment(&'a Segment),
    Chunk(&'a Chunk),
}

/// What can have rows, with its times: the best first if there is an order.
fn sources<'a>(snapshot: &'a Snapshot, plan: &Plan) -> Vec<(Source<'a>, (i64, i64))> {
    let segments = snapshot.segments(plan.table).iter();
    let segments = segments.filter(|segment| plan.reaches(segment.entry.min_lsn, segment.entry.max_lsn));
    let segments = segments.map(|segment| (Source::Segment(segment), segment.times()));
    let chunks = snapshot.chunks(plan.table).iter();
    let reached = |chunk: &Chunk| chunk.lsn_range().is_some_and(|(first, last)| plan.reaches(first, last));
    let chunks = chunks.filter(|chunk| plan.lsns.is_none() || reached(chunk));
    let chunks = chunks.filter_map(|chunk| Some((Source::Chunk(chunk), chunk.times()?)));
    let mut sources: Vec<_> = segments.chain(chunks).filter(|(_, times)| plan.overlaps(*times)).collect();
    match plan.order {
        Order::Any => {}
        Order::NewestFirst => sources.sort_by_key(|(_, (_, newest))| std::cmp::Reverse(*newest)),
        Order::OldestFirst => sources.sort_by_key(|(_, (oldest, _))| *oldest),
    }
    sources
}

/// Hands over the rows of a source that match, as they lie; false when nobody wants more.
fn each_batch(snapshot: &Snapshot, plan: &Plan, source: Source<'_>, take: Emit<'_>) -> bool {
    if plan.stop.is_set() {
        return false;
    }
    match source {
        Source::Segment(segment) => {
            let mut going = true;
            let read = snapshot.reader.scan(segment, plan, &mut |batch| {
                going = take(plan.keep(&batch));
                going
            });
            if let Err(error) = read {
                going = take(Err(error));
            }
            going
        }
        Source::Chunk(chunk) => take(chunk_columns(chunk, plan).and_then(|batch| plan.keep(&batch))),
    }
}

fn chunk_columns(chunk: &Chunk, plan: &Plan) -> Result<RecordBatch, ScanError> {
    match (chunk, plan.lsns) {
        (Chunk::Log(rows), None) => Ok(rows.columns(&plan.read, None)?),
        // of many lines that were read before few are wanted: their bodies are not copied
        (Chunk::Log(rows), Some(range)) => Ok(rows.columns(&plan.read, Some(&rows.within(range)))?),
        (Chunk::Rows(batch), _) => project_by_name(batch, &plan.read),
    }
}

/// The columns of `schema`, by name.
pub(crate) fn project_by_name(batch: &RecordBatch, schema: &Schema) -> Result<RecordBatch, ScanError> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let Some(column) = batch.column_by_name(field.name()) else {
            // a segment of before the column was added
            if field.is_nullable() {
                columns.push(arrow::array::new_null_array(field.data_type(), batch.num_rows()));
                continue;
            }
            return Err(ScanError::UnknownColumn(field.name().clone()));
        };
        columns.push(match column.data_type() == field.data_type() {
            true => Arc::clone(column),
            // what a file keeps coarser than a scan yields it
            false => arrow::compute::cast(column, field.data_type())?,
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(schema.clone()), columns, &options)?)
}
