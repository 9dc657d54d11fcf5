//! Counting a segment's lines by a field of their text.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::Reader;
use crate::ScanError;
use crate::search::{FieldPlan, field, passing};
use crate::segment::pages::one;
use crate::segment::rows::{of_streams, read, times};
use crate::segment::{BodyFile, ColumnsFile, Segment};
use crate::template::{Bits, FieldCounts};

/// What is told of counts when a page was added; false when nobody wants more.
type Told<'a> = &'a mut dyn FnMut(&mut FieldCounts) -> bool;

impl Reader {
    /// Adds the lines of a segment to `counts`, by the value of a field.
    pub(crate) fn log_fields(
        &self,
        segment: &Segment,
        plan: &FieldPlan,
        counts: &mut FieldCounts,
        told: Told<'_>,
    ) -> Result<(), ScanError> {
        self.named(segment, || {
            let body = self.body(segment)?;
            let rows = of_streams(&body, &plan.logs, &one(0..body.rows()));
            if rows.is_empty() {
                return Ok(());
            }
            let file = self.columns(segment)?;
            let all = plan.wants_all(segment.times());
            for (page, rows) in body.pages_of(&rows)? {
                if plan.logs.stop.is_set() {
                    break;
                }
                let wanted = if all { None } else { Some(wanted(&file, &rows, plan)?) };
                if wanted.as_ref().is_none_or(|wanted| !wanted.is_empty()) {
                    self.count_page(segment, (&body, &file), page, plan, wanted.as_ref(), counts)?;
                }
                if !told(counts) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn count_page(
        &self,
        segment: &Segment,
        (body, file): (&BodyFile, &Arc<ColumnsFile>),
        page: usize,
        plan: &FieldPlan,
        wanted: Option<&Bits>,
        counts: &mut FieldCounts,
    ) -> io::Result<()> {
        let (range, is_block) = body.page_rows(page)?;
        if is_block {
            let records = |rows: Option<&[u32]>| times(file, range.clone(), rows);
            let block = body.block(page, self.head(segment, body, page)?, &records)?;
            return block.count_field(plan.format, &plan.name, wanted, counts);
        }
        let (_, texts) = body.page(page)?;
        for (row, text) in texts.iter().enumerate() {
            if wanted.is_none_or(|wanted| wanted.has(row)) {
                counts.add(field(plan.format, text, &plan.name), 1);
            }
        }
        Ok(())
    }
}

/// The rows of a page that pass time and conditions. Pages lie within one stream, so all of a page is asked for.
fn wanted(file: &ColumnsFile, rows: &Range<u32>, plan: &FieldPlan) -> io::Result<Bits> {
    let mut wanted = Bits::new(rows.len());
    let mut start = 0;
    for keys in read(file, &one(rows.clone()), &plan.logs.keys, 65_536)? {
        let keys = keys.map_err(io::Error::other)?;
        let keys = crate::scan::project_by_name(&keys, &plan.logs.keys).map_err(io::Error::other)?;
        passing(&plan.logs, &keys, |at, _, _| wanted.set(start + at));
        start += keys.num_rows();
    }
    Ok(wanted)
}
