//! The patterns of a segment's lines: blocks know their templates, plain pages are split.

use std::io;

use super::Reader;
use crate::ScanError;
use crate::search::{Found, PatternRequest};
use crate::segment::rows::times;
use crate::segment::{Candidates, Segment};
use crate::template::Bits;

impl Reader {
    /// Counts the patterns of a segment's lines.
    pub(crate) fn log_patterns(
        &self,
        segment: &Segment,
        request: &PatternRequest,
        found: &mut Found,
    ) -> Result<(), ScanError> {
        self.named(segment, || self.try_log_patterns(segment, request, found))
    }

    fn try_log_patterns(
        &self,
        segment: &Segment,
        request: &PatternRequest,
        found: &mut Found,
    ) -> io::Result<()> {
        let file = self.columns(segment)?;
        let body = self.body(segment)?;
        let everything = crate::search::Required::default();
        let everything = Candidates::new(&everything);
        for run in body.runs().iter().filter(|run| request.wants(&run.namespace, &run.workload)) {
            let stream = (run.namespace.as_str(), run.workload.as_str());
            let rows = run.first_row..run.first_row + run.rows;
            for (page, _) in body.candidates(std::slice::from_ref(&rows), &everything, None)? {
                let (rows, is_block) = body.page_rows(page)?;
                let records = times(&file, rows.clone())?;
                // rows of a stream ascend by time
                if records
                    .first()
                    .zip(records.last())
                    .is_none_or(|(a, b)| !request.overlaps((*a.min(b), *a.max(b))))
                {
                    continue;
                }
                if !is_block {
                    let (_, bodies) = body.page(page)?;
                    found.count_bodies(request, stream, &bodies, &records);
                    continue;
                }
                let all = || Ok(records.clone());
                let block = body.block(page, &all)?;
                let (templates, of) = block.patterns()?;
                let rows = of.iter().copied().zip(records.iter().copied());
                let wanted = found.count(request, stream, &templates, rows);
                let mut some = Bits::new(block.rows());
                wanted.iter().for_each(|(row, _)| some.set(*row));
                let bodies = block.bodies(Some(&some))?;
                for ((_, template), body) in wanted.iter().zip(bodies.iter()) {
                    found.example(stream, templates[*template as usize], body);
                }
            }
        }
        Ok(())
    }
}
