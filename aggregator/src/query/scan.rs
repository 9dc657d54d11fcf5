//! The leaf of every plan: rows of one table, read by the store.
//!
//! What cannot be read is left out and noted as a reason; the rest of the answer stands.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use store::{LogRequest, Order, RowStream, ScanRequest, Snapshot, Table};

use crate::query::engine::PARTITIONS;
use crate::query::plan::{Answers, Batches, Leaf, batches};
use crate::query::session::Reasons;

/// What the store is asked.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Rows by time and equality.
    Rows(ScanRequest),
    /// Log rows by their text.
    Logs(LogRequest),
}

impl Source {
    fn is_bounded(&self) -> bool {
        match self {
            Self::Rows(request) => request.limit.is_some() || request.order != Order::Any,
            Self::Logs(request) => request.limit.is_some(),
        }
    }
}

/// Lines of the log that are only counted.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) snapshot: Snapshot,
    pub(crate) request: LogRequest,
    pub(crate) reasons: Reasons,
}

/// The scan that is all of this plan, but for what hands rows on in any order.
pub(crate) fn leaf(plan: &Arc<dyn ExecutionPlan>) -> Option<&StoreScan> {
    if let Some(scan) = plan.as_any().downcast_ref::<Leaf<StoreScan>>() {
        return Some(scan.answers());
    }
    match plan.children().as_slice() {
        [child]
            if ["CooperativeExec", "RepartitionExec", "CoalescePartitionsExec"].contains(&plan.name()) =>
        {
            leaf(child)
        }
        _ => None,
    }
}

/// Rows of one table.
#[derive(Debug)]
pub(crate) struct StoreScan {
    table: Table,
    snapshot: Snapshot,
    /// Of the snapshot, one per partition.
    parts: Vec<Snapshot>,
    source: Source,
    schema: SchemaRef,
    is_exact: bool,
    reasons: Reasons,
}

impl StoreScan {
    pub(crate) fn new(
        table: Table,
        snapshot: Snapshot,
        source: Source,
        schema: SchemaRef,
        is_exact: bool,
        reasons: Reasons,
    ) -> Self {
        // rows in an order, or the first so many of them, come from one place
        let partitions = if source.is_bounded() { 1 } else { PARTITIONS };
        let parts = snapshot.split(table, partitions);
        Self { table, snapshot, parts, source, schema, is_exact, reasons }
    }

    /// The scan as a plan.
    pub(crate) fn leaf(self) -> Leaf<Self> {
        let (schema, parts) = (Arc::clone(&self.schema), self.parts.len());
        Leaf::new(self, schema, parts)
    }

    /// The newest or oldest `limit` rows of the same scan; `None` where rows are filtered after it.
    pub(crate) fn top(&self, order: Order, limit: usize) -> Option<Self> {
        if !self.is_exact {
            return None;
        }
        let source = match &self.source {
            Source::Rows(ScanRequest { limit: None, .. }) | Source::Logs(LogRequest { limit: None, .. }) => {
                let mut source = self.by_keys().unwrap_or_else(|| self.source.clone());
                match &mut source {
                    Source::Rows(request) => (request.order, request.limit) = (order, Some(limit)),
                    Source::Logs(request) => {
                        (request.newest_first, request.limit) = (order == Order::NewestFirst, Some(limit));
                    }
                }
                source
            }
            _ => return None,
        };
        let (snapshot, schema) = (self.snapshot.clone(), Arc::clone(&self.schema));
        Some(Self::new(self.table, snapshot, source, schema, true, self.reasons.clone()))
    }

    /// Lines of the log asked for so that bodies are read only of those that are in the answer.
    fn by_keys(&self) -> Option<Source> {
        match &self.source {
            Source::Rows(ScanRequest { from_ns, to_ns, columns, equals, limit: None, .. })
                if self.table == Table::Log && equals.iter().all(|(column, _)| column != "body") =>
            {
                let (from_ns, to_ns) = (*from_ns, *to_ns);
                let (columns, equals) = (columns.clone(), equals.clone());
                Some(Source::Logs(LogRequest { from_ns, to_ns, columns, equals, ..LogRequest::default() }))
            }
            _ => None,
        }
    }

    /// What is asked, if it is about lines of the log and nothing is filtered after it.
    pub(crate) fn counted(&self) -> Option<Counted> {
        if self.table != Table::Log || !self.is_exact {
            return None;
        }
        let request = match &self.source {
            Source::Logs(request) => request.clone(),
            Source::Rows(ScanRequest { from_ns, to_ns, equals, limit, .. }) => LogRequest {
                from_ns: *from_ns,
                to_ns: *to_ns,
                equals: equals.clone(),
                limit: *limit,
                ..LogRequest::default()
            },
        };
        let (snapshot, reasons) = (self.snapshot.clone(), self.reasons.clone());
        request.limit.is_none().then_some(Counted { snapshot, request, reasons })
    }

    fn rows(&self, part: usize) -> Result<RowStream> {
        let (Source::Rows(ScanRequest { from_ns, to_ns, .. })
        | Source::Logs(LogRequest { from_ns, to_ns, .. })) = &self.source;
        self.reasons.add_scanned(self.table, (*from_ns, *to_ns));
        let Some(snapshot) = self.parts.get(part) else { return internal_err!("no part {part} of a scan") };
        match &self.source {
            Source::Rows(request) => snapshot
                .scan(self.table, request.clone())
                .map_err(|error| DataFusionError::External(Box::new(error))),
            Source::Logs(request) => {
                snapshot.logs(request.clone()).map_err(|error| DataFusionError::Plan(error.to_string()))
            }
        }
    }
}

impl Answers for StoreScan {
    const NAME: &'static str = "StoreScan";

    fn describe(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<_> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(formatter, "table={}, columns=[{}]", self.table.name(), columns.join(", "))?;
        let (from_ns, to_ns, equals, limit, order) = match &self.source {
            Source::Rows(request) => {
                (request.from_ns, request.to_ns, &request.equals, request.limit, request.order)
            }
            Source::Logs(request) => {
                let text = |needle: &Vec<u8>| String::from_utf8_lossy(needle).into_owned();
                let contains: Vec<_> = request.contains.iter().map(text).collect();
                let words: Vec<_> = request.words.iter().map(text).collect();
                let excludes: Vec<_> = request.excludes.iter().map(text).collect();
                write!(
                    formatter,
                    ", contains={contains:?}, words={words:?}, excludes={excludes:?}, regexes={:?}",
                    request.regexes
                )?;
                let order = if request.newest_first { Order::NewestFirst } else { Order::OldestFirst };
                (request.from_ns, request.to_ns, &request.equals, request.limit, order)
            }
        };
        if from_ns != i64::MIN {
            write!(formatter, ", from={from_ns}")?;
        }
        if to_ns != i64::MAX {
            write!(formatter, ", to={to_ns}")?;
        }
        if !equals.is_empty() {
            write!(formatter, ", equals={equals:?}")?;
        }
        if let Source::Rows(ScanRequest { within, says, .. }) = &self.source {
            if !within.is_empty() {
                write!(formatter, ", within={within:?}")?;
            }
            for says in says {
                write!(formatter, ", says={says:?}")?;
            }
        }
        if let Some(limit) = limit {
            write!(formatter, ", limit={limit}, order={order:?}")?;
        }
        Ok(())
    }

    fn open(&self, part: usize, schema: &SchemaRef, _context: &Arc<TaskContext>) -> Result<Batches> {
        Ok(batches(self.rows(part)?, schema, &self.reasons, conform))
    }
}

/// The plan's columns of the batch, by name; a body as received becomes text with U+FFFD.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let Some(column) = batch.column_by_name(field.name()) else {
            return internal_err!("the store left out {}", field.name());
        };
        let is_body = column.data_type() == &DataType::Binary && field.data_type() == &DataType::Utf8;
        columns.push(if is_body { readable(column) } else { Arc::clone(column) });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn readable(column: &ArrayRef) -> ArrayRef {
    let bytes = column.as_binary::<i32>();
    if let Ok(text) = StringArray::try_from_binary(bytes.clone()) {
        return Arc::new(text);
    }
    let text = bytes.iter().map(|body| body.map(String::from_utf8_lossy));
    Arc::new(text.collect::<StringArray>())
}
