//! Scans with conditions: the columns that decide first, the rest only of the rows that pass.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;

use super::BATCH;
use crate::scan::{self, Filter, mask};
use crate::segment::rows::{read, some_rows};
use crate::segment::{ColumnsFile, bad};

/// Rows that pass before their other columns are read, so that it is done seldom. They are never more than a batch.
const GATHERED: usize = 2_048;

/// The columns of a scan in two parts.
pub(super) struct Late {
    deciding: SchemaRef,
    others: SchemaRef,
    filters: Vec<Filter>,
}

/// Rows that pass, whose other columns are not read yet.
struct Passed {
    rows: Vec<u32>,
    batches: Vec<RecordBatch>,
}

impl Late {
    /// `None` where nothing is decided, or everything that is read decides.
    pub(super) fn new(plan: &scan::Plan) -> io::Result<Option<Self>> {
        if plan.filters.is_empty() {
            return Ok(None);
        }
        let decides = |at: &usize| {
            plan.filters.iter().any(|filter| filter.columns().contains(at))
                || plan.read.field(*at).name() == "ts"
        };
        let (deciding, others): (Vec<usize>, Vec<usize>) = (0..plan.read.fields().len()).partition(decides);
        if others.is_empty() {
            return Ok(None);
        }
        let schema = |columns: &[usize]| plan.read.project(columns).map(Arc::new).map_err(io::Error::other);
        let (deciding, others) = (schema(&deciding)?, schema(&others)?);
        let mut filters = plan.filters.clone();
        for filter in &mut filters {
            filter.moved(&|filter| deciding.index_of(&filter.name).map_err(io::Error::other))?;
        }
        Ok(Some(Self { deciding, others, filters }))
    }

    /// Hands over the rows that pass, with all columns of the plan.
    pub(super) fn scan(
        &self,
        file: &ColumnsFile,
        rows: &[Range<u32>],
        plan: &scan::Plan,
        take: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> io::Result<()> {
        let mut numbers = rows.iter().cloned().flatten();
        let mut passed = Passed { rows: Vec::new(), batches: Vec::new() };
        for batch in read(file, rows, &self.deciding, BATCH)? {
            if plan.stop.is_set() {
                return Ok(());
            }
            let batch = batch.map_err(io::Error::other)?;
            let batch = scan::project_by_name(&batch, &self.deciding).map_err(io::Error::other)?;
            let here: Vec<u32> = numbers.by_ref().take(batch.num_rows()).collect();
            if here.len() != batch.num_rows() {
                return Err(bad("more rows than were asked for"));
            }
            let Some(mask) = mask(&batch, plan.from_ns, plan.to_ns, &self.filters) else {
                return Err(bad("conditions that decide nothing"));
            };
            let kept = mask.values().count_set_bits();
            if passed.rows.len() + kept > BATCH && !self.hand_over(file, &mut passed, plan, take)? {
                return Ok(());
            }
            passed.rows.extend(here.iter().zip(mask.values()).filter(|(_, keep)| *keep).map(|(row, _)| *row));
            if kept > 0 {
                passed.batches.push(filter_record_batch(&batch, &mask).map_err(io::Error::other)?);
            }
            if passed.rows.len() >= GATHERED && !self.hand_over(file, &mut passed, plan, take)? {
                return Ok(());
            }
        }
        self.hand_over(file, &mut passed, plan, take).map(drop)
    }

    /// Reads the other columns of what has passed; false when nobody wants more.
    fn hand_over(
        &self,
        file: &ColumnsFile,
        passed: &mut Passed,
        plan: &scan::Plan,
        take: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> io::Result<bool> {
        let (rows, batches) = (std::mem::take(&mut passed.rows), std::mem::take(&mut passed.batches));
        if rows.is_empty() {
            return Ok(true);
        }
        let deciding = concat_batches(&self.deciding, &batches).map_err(io::Error::other)?;
        let others = some_rows(file, &rows, &self.others)?;
        let column = |name: &str| -> io::Result<ArrayRef> {
            let found = deciding.column_by_name(name).or_else(|| others.column_by_name(name));
            found.map(Arc::clone).ok_or_else(|| bad("a column is missing"))
        };
        let columns = plan.read.fields().iter().map(|field| column(field.name()));
        let columns = columns.collect::<io::Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&plan.read), columns, &options);
        Ok(take(batch.map_err(io::Error::other)?))
    }
}
