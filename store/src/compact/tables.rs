//! Merging segments of every other table: row by row in the table's order, a few batches in memory.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::row::{RowConverter, Rows, SortField};

use super::plan::Job;
use super::{MergeError, go_on, reading};
use crate::seal::{Draft, TableWriter};
use crate::segment::{Batches, Entry, Segment};
use crate::state::Shared;
use crate::{SealError, Table};

/// Rows of a batch of one input.
const BATCH: usize = 1_024;

pub(super) fn merge(shared: &Shared, job: &Job, draft: &Draft<'_>) -> Result<Entry, MergeError> {
    let rows: u64 = job.inputs.iter().map(|segment| segment.rows()).sum();
    let mut writer = TableWriter::new(draft, job.table, usize::try_from(rows).unwrap_or(usize::MAX))?;
    let keys = Keys::new(job.table)?;
    let mut cursors = Vec::new();
    for segment in &job.inputs {
        let mut cursor = Cursor::open(segment, job.table)?;
        if cursor.fill(&keys)? {
            cursors.push(cursor);
        }
    }
    let arrange = |source| SealError::Arrange { table: job.table.name(), source };
    let mut picked: Vec<(usize, usize)> = Vec::new();
    while let Some(least) = least(&cursors) {
        picked.push((least, cursors[least].at));
        cursors[least].at += 1;
        if cursors[least].at < cursors[least].batch.num_rows() {
            continue;
        }
        // a batch is used up: what was picked is written before the batch goes
        go_on(shared)?;
        let batches: Vec<&RecordBatch> = cursors.iter().map(|cursor| &cursor.batch).collect();
        writer.write(&interleave_record_batch(&batches, &picked).map_err(arrange)?)?;
        picked.clear();
        if !cursors[least].fill(&keys)? {
            cursors.remove(least);
        }
    }
    let written = writer.finish()?;
    if written.rows != rows {
        let detail = format!("{} rows of {rows}", written.rows);
        let segment = job.inputs.first().map_or(0, |segment| segment.number);
        return Err(MergeError::Read { segment, source: std::io::Error::other(detail) });
    }
    let entry = job.entry(written.files);
    Ok(Entry { namespaces: written.namespaces, ..entry })
}

/// The input whose next row comes first; of equals the first.
fn least(cursors: &[Cursor<'_>]) -> Option<usize> {
    (0..cursors.len()).reduce(|least, next| match cursors[next].key().cmp(&cursors[least].key()) {
        Ordering::Less => next,
        Ordering::Equal | Ordering::Greater => least,
    })
}

/// What rows are ordered by, as bytes that compare as the rows do.
struct Keys {
    table: Table,
    converter: RowConverter,
    columns: Vec<usize>,
}

impl Keys {
    fn new(table: Table) -> Result<Self, SealError> {
        let arrange = |source| SealError::Arrange { table: table.name(), source };
        let schema = table.file_schema();
        let names = table.sort_columns().iter().chain(&["ts", "lsn"]);
        let columns =
            names.map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>().map_err(arrange)?;
        let fields = columns.iter().map(|column| SortField::new(schema.field(*column).data_type().clone()));
        let converter = RowConverter::new(fields.collect()).map_err(arrange)?;
        Ok(Self { table, converter, columns })
    }

    fn of(&self, batch: &RecordBatch) -> Result<Rows, SealError> {
        let columns: Vec<_> = self.columns.iter().map(|column| Arc::clone(batch.column(*column))).collect();
        let rows = self.converter.convert_columns(&columns);
        rows.map_err(|source| SealError::Arrange { table: self.table.name(), source })
    }
}

/// One input, read in its order.
struct Cursor<'a> {
    segment: &'a Segment,
    table: Table,
    reader: Batches,
    batch: RecordBatch,
    keys: Option<Rows>,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn open(segment: &'a Segment, table: Table) -> Result<Self, MergeError> {
        let reader = reading(segment, || {
            let file = segment.open_columns()?;
            let rows = 0..u32::try_from(segment.rows()).unwrap_or(u32::MAX);
            crate::segment::read(&file, &[rows], &table.file_schema(), BATCH)
        })?;
        let batch = RecordBatch::new_empty(table.file_schema());
        Ok(Self { segment, table, reader, batch, keys: None, at: 0 })
    }

    /// Reads the next batch; false at the end.
    fn fill(&mut self, keys: &Keys) -> Result<bool, MergeError> {
        let Self { segment, table, reader, .. } = self;
        let next = reading(segment, || {
            let Some(batch) = reader.next() else { return Ok(None) };
            let batch = batch.map_err(std::io::Error::other)?;
            crate::scan::project_by_name(&batch, &table.file_schema())
                .map(Some)
                .map_err(std::io::Error::other)
        })?;
        let Some(batch) = next.filter(|batch| batch.num_rows() > 0) else { return Ok(false) };
        self.keys = Some(keys.of(&batch)?);
        (self.batch, self.at) = (batch, 0);
        Ok(true)
    }

    fn key(&self) -> Option<arrow::row::Row<'_>> {
        self.keys.as_ref().map(|keys| keys.row(self.at))
    }
}
