//! Reading rows of a segment: ranges or single rows, some of the columns, with their bodies or without.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, StringArray, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::delays::{FROM, OBSERVED, STORED, with_observed};
use super::pages::{count, intersect, one, ranges, selection};
use super::{BodyFile, ColumnsFile, bad};
use crate::rows::{Texts, shown};
use crate::scan;
use crate::{Table, search};

/// Rows that are decoded at a time where single ones of them are wanted.
const STEP: usize = 2_048;

/// Rows of a file in batches: the columns that were asked for, perhaps with others, in the file's order.
pub(crate) struct Batches {
    reader: ParquetRecordBatchReader,
    /// Whether `observed_ts` is made of what the file has instead.
    makes_observed: bool,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(if self.makes_observed { batch.and_then(|batch| with_observed(&batch)) } else { batch })
    }
}

/// The columns of `schema` (but the body) of these rows, in batches.
pub(crate) fn read(
    file: &ColumnsFile,
    rows: &[Range<u32>],
    schema: &Schema,
    batch: usize,
) -> io::Result<Batches> {
    let descriptor = file.metadata.metadata().file_metadata().schema_descr();
    let fields = file.metadata.schema().fields();
    let makes_observed = fields.find(STORED).is_some() && schema.index_of(OBSERVED).is_ok();
    let made_of = |name: &str| makes_observed && [FROM, STORED].contains(&name);
    let roots = fields
        .iter()
        .enumerate()
        .filter(|(_, field)| schema.index_of(field.name()).is_ok() || made_of(field.name()));
    let projection = ProjectionMask::roots(descriptor, roots.map(|(root, _)| root));
    let total = u32::try_from(file.metadata.metadata().file_metadata().num_rows()).unwrap_or(u32::MAX);
    let mut builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(file.input.clone(), file.metadata.clone())
            .with_projection(projection)
            .with_batch_size(batch);
    if count(rows) != total as usize {
        builder = builder.with_row_selection(selection(rows, total));
    }
    let reader = builder.build().map_err(io::Error::other)?;
    Ok(Batches { reader, makes_observed })
}

/// The records' times of a range of rows: of some of them, counted from its start, or of all.
pub(crate) fn times(file: &ColumnsFile, range: Range<u32>, some: Option<&[u32]>) -> io::Result<Vec<i64>> {
    let schema = Table::Log.file_schema();
    let ts = schema.index_of("ts").and_then(|ts| schema.project(&[ts])).map_err(io::Error::other)?;
    if let Some(some) = some {
        let rows: Vec<u32> = some.iter().map(|row| range.start + row).collect();
        return Ok(crate::rows::times(&some_rows(file, &rows, &Arc::new(ts))?).to_vec());
    }
    let mut times = Vec::with_capacity(range.len());
    for batch in read(file, &one(range), &ts, 65_536)? {
        times.extend(crate::rows::times(&batch.map_err(io::Error::other)?));
    }
    Ok(times)
}

/// Columns of single rows, which ascend. Where they lie close together, what lies between them is read as well, but only a
/// step of it is held at a time.
pub(super) fn some_rows(file: &ColumnsFile, rows: &[u32], schema: &SchemaRef) -> io::Result<RecordBatch> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(RecordBatch::new_empty(Arc::clone(schema)));
    };
    let span = (last - first) as usize + 1;
    let dense = rows.len() > 64 && rows.len() * 12 > span;
    let wanted = if dense { one(*first..last + 1) } else { ranges(rows) };
    let (mut batches, mut seen, mut left) = (Vec::new(), 0, rows);
    for batch in read(file, &wanted, schema, STEP)? {
        let batch = batch.map_err(io::Error::other)?;
        let mut batch = scan::project_by_name(&batch, schema).map_err(io::Error::other)?;
        let begin = seen;
        seen += batch.num_rows();
        if dense {
            let (here, later) = left.split_at(left.partition_point(|row| ((row - first) as usize) < seen));
            left = later;
            if here.is_empty() {
                continue;
            }
            let begin = first + u32::try_from(begin).map_err(io::Error::other)?;
            let places: UInt32Array = here.iter().map(|row| row - begin).collect::<Vec<u32>>().into();
            batch = take_record_batch(&batch, &places).map_err(io::Error::other)?;
        }
        batches.push(batch);
    }
    if seen != count(&wanted) {
        return Err(bad("fewer rows than its footer says"));
    }
    concat_batches(schema, &batches).map_err(io::Error::other)
}

/// Leaves out streams that the conditions on namespace and workload rule out.
pub(super) fn of_streams(body: &BodyFile, plan: &search::Plan, rows: &[Range<u32>]) -> Vec<Range<u32>> {
    if !plan.asks("namespace") && !plan.asks("workload") {
        return rows.to_vec();
    }
    let streams = body
        .runs()
        .iter()
        .filter(|run| plan.may_be("namespace", &run.namespace) && plan.may_be("workload", &run.workload));
    let streams: Vec<Range<u32>> = streams.map(|run| run.first_row..run.first_row + run.rows).collect();
    intersect(rows, &streams)
}

/// Columns and bodies as one batch; `bodies` are only looked at where the schema has them.
pub(super) fn assemble(columns: &RecordBatch, bodies: &Texts, schema: &SchemaRef) -> io::Result<RecordBatch> {
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        arrays.push(match (field.name().as_str(), field.data_type()) {
            ("body", DataType::Binary) => Arc::new(BinaryArray::from_iter_values(bodies.iter())),
            ("body", _) => Arc::new(StringArray::from_iter_values(bodies.iter().map(shown))),
            (name, wanted) => {
                let column = columns.column_by_name(name).ok_or_else(|| bad("a column is missing"))?;
                if column.data_type() == wanted {
                    Arc::clone(column)
                } else {
                    cast(column, wanted).map_err(io::Error::other)?
                }
            }
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(columns.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options).map_err(io::Error::other)
}
