//! Sealing every other table: sorted by its columns, then time and position; one Parquet file per hour.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{Int32Type, TimestampNanosecondType};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;

use super::files::{Checked, Draft};
use super::io;
use crate::rows::{Chunk, lsns, times};
use crate::segment::{
    DATA, Entry, FileEntry, NamespaceRows, TENANT, TERMS, TermsWriter, hour_folder, term_columns,
    writer_properties,
};
use crate::state::Shared;
use crate::{SealError, Table};

const HOUR_NS: i64 = 3_600_000_000_000;
/// Rows that are written at once.
const SLICE: usize = 65_536;

/// Writes one segment per hour that the rows fall into, and adds each to `entries` once it is placed.
pub(super) fn write(
    shared: &Shared,
    table: Table,
    chunks: &[Arc<Chunk>],
    through: i64,
    now_ns: i64,
    entries: &mut Vec<Entry>,
) -> Result<(), SealError> {
    let arrange = |source| SealError::Arrange { table: table.name(), source };
    let batches = chunks.iter().filter_map(|chunk| match &**chunk {
        Chunk::Rows(batch) => Some(batch),
        Chunk::Log(_) => None,
    });
    let all = concat_batches(&table.schema(), batches).map_err(arrange)?;
    let order = order(table, &all).map_err(arrange)?;
    let ts = times(&all);
    let mut hours: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for row in order.values() {
        hours.entry(ts[*row as usize].div_euclid(HOUR_NS)).or_default().push(*row);
    }
    for (hour, rows) in hours {
        let id = format!("{through:012x}-{:x}", now_ns.max(0));
        entries.push(write_hour(shared, table, id, hour, &all, rows)?);
    }
    Ok(())
}

/// The rows in the table's order.
fn order(table: Table, batch: &RecordBatch) -> Result<UInt32Array, ArrowError> {
    let mut columns = Vec::new();
    for name in table.sort_columns().iter().chain(&["ts", "lsn"]) {
        let column = batch.column_by_name(name);
        let column = column.ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")))?;
        columns.push(SortColumn { values: sortable(column)?, options: None });
    }
    lexsort_to_indices(&columns, None)
}

/// Dictionaries are sorted by their values, whatever order these were met in.
fn sortable(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.as_dictionary_opt::<Int32Type>() {
        Some(dictionary) => arrow::compute::cast(dictionary.values(), dictionary.values().data_type())
            .and_then(|values| arrow::compute::take(&values, dictionary.keys(), None)),
        None => Ok(Arc::clone(column)),
    }
}

fn write_hour(
    shared: &Shared,
    table: Table,
    id: String,
    hour: i64,
    all: &RecordBatch,
    rows: Vec<u32>,
) -> Result<Entry, SealError> {
    let path = hour_folder(table, hour.saturating_mul(HOUR_NS)).join(&id);
    let draft = Draft::new(shared, format!("{}-{hour}-{id}", table.name()))?;
    let arrange = |source| SealError::Arrange { table: table.name(), source };
    let count = rows.len();
    let mut writer = TableWriter::new(&draft, table, count)?;
    let (mut min_ts, mut max_ts, mut min_lsn, mut max_lsn) = (i64::MAX, i64::MIN, i64::MAX, i64::MIN);
    for slice in rows.chunks(SLICE) {
        let batch = take_record_batch(all, &UInt32Array::from(slice.to_vec())).map_err(arrange)?;
        for (ts, lsn) in times(&batch).iter().zip(lsns(&batch)) {
            (min_ts, max_ts) = (min_ts.min(*ts), max_ts.max(*ts));
            (min_lsn, max_lsn) = (min_lsn.min(*lsn), max_lsn.max(*lsn));
        }
        writer.write(&batch)?;
    }
    let Written { files, namespaces, rows } = writer.finish()?;
    let entry = Entry {
        version: crate::segment::VERSION,
        id,
        table: table.name().to_owned(),
        tenant: TENANT.to_owned(),
        level: 0,
        path: path.to_string_lossy().into_owned(),
        files,
        rows,
        text_bytes: 0,
        min_ts,
        max_ts,
        min_lsn,
        max_lsn,
        namespaces,
        replaces: Vec::new(),
        written_by: crate::segment::this_release(),
    };
    draft.place(&entry)?;
    Ok(entry)
}

/// Writes `data.parquet` of a table other than the log, and its `terms.bin`, batch by batch in the table's order.
pub(crate) struct TableWriter {
    table: Table,
    path: PathBuf,
    writer: ArrowWriter<Checked>,
    terms: Option<(PathBuf, TermsWriter<Checked>)>,
    namespaces: Vec<NamespaceRows>,
    rows: u64,
}

/// What came of it.
pub(crate) struct Written {
    pub(crate) files: Vec<FileEntry>,
    pub(crate) namespaces: Vec<NamespaceRows>,
    pub(crate) rows: u64,
}

impl TableWriter {
    pub(crate) fn new(draft: &Draft<'_>, table: Table, rows: usize) -> Result<Self, SealError> {
        let path = draft.folder.join(DATA);
        let properties = writer_properties(table, rows);
        let writer = ArrowWriter::try_new(draft.create(DATA)?, table.file_schema(), Some(properties));
        let writer = writer.map_err(|source| SealError::Columns { path: path.clone(), source })?;
        let terms = match term_columns(table).is_empty() {
            true => None,
            false => {
                let path = draft.folder.join(TERMS);
                let terms = TermsWriter::new(draft.create(TERMS)?, table).map_err(io("write", &path))?;
                Some((path, terms))
            }
        };
        Ok(Self { table, path, writer, terms, namespaces: Vec::new(), rows: 0 })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), SealError> {
        if self.table.sort_columns().first() == Some(&"namespace") {
            add_namespaces(batch, &mut self.namespaces);
        }
        if let Some((path, terms)) = &mut self.terms {
            terms.add(batch).map_err(io("write", path))?;
        }
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|source| SealError::Columns { path: self.path.clone(), source })
    }

    pub(crate) fn finish(self) -> Result<Written, SealError> {
        let Self { path, writer, terms, namespaces, rows, table: _ } = self;
        let file = writer.into_inner().map_err(|source| SealError::Columns { path: path.clone(), source })?;
        let mut files = vec![file.finish(DATA).map_err(io("sync", &path))?];
        if let Some((path, terms)) = terms {
            let file = terms.finish().map_err(io("write", &path))?;
            files.push(file.finish(TERMS).map_err(io("sync", &path))?);
        }
        Ok(Written { files, namespaces, rows })
    }
}

fn add_namespaces(batch: &RecordBatch, namespaces: &mut Vec<NamespaceRows>) {
    debug_assert!(batch.column(0).as_primitive_opt::<TimestampNanosecondType>().is_some());
    let Some(column) =
        batch.column_by_name("namespace").and_then(|column| column.as_dictionary_opt::<Int32Type>())
    else {
        return;
    };
    let values = column.values().as_string::<i32>();
    for row in 0..batch.num_rows() {
        let namespace = match column.keys().is_valid(row) {
            true => usize::try_from(column.keys().value(row)).map_or("", |key| values.value(key)),
            false => "",
        };
        match namespaces.last_mut() {
            Some(last) if last.namespace == namespace => last.rows += 1,
            last => {
                let first_row = last.map_or(0, |last| last.first_row + last.rows);
                namespaces.push(NamespaceRows { namespace: namespace.to_owned(), first_row, rows: 1 });
            }
        }
    }
}
