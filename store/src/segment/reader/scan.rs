//! Scanning a segment: rows by time and equality, bodies and columns that decide nothing only of those that pass.

mod late;

use std::io;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;

use super::Reader;
use crate::scan::{self, Filter, mask};
use crate::segment::pages::possible;
use crate::segment::rows::{assemble, read, times};
use crate::segment::traces::without_other_traces;
use crate::segment::{Access, Segment};
use late::Late;

/// Rows of a batch while scanning.
const BATCH: usize = 8_192;
/// Bodies of one batch while scanning, bytes; a single one may be larger.
const BATCH_BYTES: usize = 32 << 20;

impl Reader {
    pub(super) fn try_scan(
        &self,
        segment: &Segment,
        plan: &scan::Plan,
        take: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> io::Result<()> {
        let file = self.columns(segment)?;
        let rows = without_other_traces(
            &file,
            possible(file.metadata.metadata(), plan.from_ns, plan.to_ns, &plan.filters),
            &plan.filters,
        )?;
        let rows =
            match self.terms(segment).map(|terms| terms.possible(plan.table, rows.clone(), &plan.filters)) {
                Some(Ok(rows)) => rows,
                // it only repeats what the rows say
                Some(Err(_)) | None => rows,
            };
        if rows.is_empty() {
            return Ok(());
        }
        let body = plan.read.index_of("body").ok();
        let others: Vec<usize> = (0..plan.read.fields().len()).filter(|at| Some(*at) != body).collect();
        let others = plan.read.project(&others).map_err(io::Error::other)?;
        if body.is_none()
            && let Some(late) = Late::new(plan)?
        {
            return late.scan(&file, &rows, plan, take);
        }
        let mut numbers = rows.iter().cloned().flatten();
        for batch in read(&file, &rows, &plan.read, BATCH)? {
            if plan.stop.is_set() {
                return Ok(());
            }
            let batch = batch.map_err(io::Error::other)?;
            let batch = scan::project_by_name(&batch, &others).map_err(io::Error::other)?;
            let going = if body.is_some() {
                let here: Vec<u32> = numbers.by_ref().take(batch.num_rows()).collect();
                self.with_bodies(segment, &batch, &here, plan, take)?
            } else {
                take(batch)
            };
            if !going {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the bodies of the rows that pass all conditions, and of no other.
    fn with_bodies(
        &self,
        segment: &Segment,
        batch: &RecordBatch,
        rows: &[u32],
        plan: &scan::Plan,
        take: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> io::Result<bool> {
        let on_body = |filter: &&Filter| filter.name == "body";
        let mut filters: Vec<Filter> =
            plan.filters.iter().filter(|filter| !on_body(filter)).cloned().collect();
        for filter in &mut filters {
            filter.moved(&|filter| batch.schema_ref().index_of(&filter.name).map_err(io::Error::other))?;
        }
        let (batch, rows): (_, Vec<u32>) = match mask(batch, plan.from_ns, plan.to_ns, &filters) {
            Some(mask) => {
                let rows =
                    rows.iter().zip(mask.values()).filter(|(_, keep)| *keep).map(|(row, _)| *row).collect();
                (filter_record_batch(batch, &mask).map_err(io::Error::other)?, rows)
            }
            None => (batch.clone(), rows.to_vec()),
        };
        let file = self.columns(segment)?;
        let body = self.body(segment)?;
        let (mut at, mut most) = (0, rows.len());
        while at < rows.len() {
            let len = (rows.len() - at).min(most);
            let room = if len > 1 { BATCH_BYTES } else { usize::MAX };
            let access = Access {
                kept: &|_| None,
                head: &|page| self.head(segment, &body, page),
                times: &|range, rows| times(&file, range, rows),
            };
            let bodies = body.read(&rows[at..at + len], access, room)?;
            let Some(bodies) = bodies else {
                most = len / 2;
                continue;
            };
            if plan.stop.is_set() || !take(assemble(&batch.slice(at, len), &bodies, &plan.read)?) {
                return Ok(false);
            }
            at += len;
        }
        Ok(true)
    }
}
