//! The patterns of a segment's lines: counted when it was written; else blocks know their templates, plain pages are split.

use std::io;
use std::sync::Arc;

use super::Reader;
use crate::ScanError;
use crate::search::{Found, PatternRequest};
use crate::segment::cache::{Kept, Part};
use crate::segment::rows::times;
use crate::segment::{PatternCounts, Segment, bad};
use crate::template::Bits;

const MINUTE_NS: i64 = 60_000_000_000;

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

    /// What the segment has counted, if the range cuts none of its minutes. It only repeats what the bodies say: where it
    /// cannot be read they are asked.
    fn counted(&self, segment: &Segment, request: &PatternRequest) -> Option<Arc<PatternCounts>> {
        let (oldest, newest) = segment.times();
        let from = request.from_ns <= oldest || request.from_ns.rem_euclid(MINUTE_NS) == 0;
        let to = request.to_ns > newest || request.to_ns.rem_euclid(MINUTE_NS) == 0;
        if !from || !to {
            return None;
        }
        let kept = self.cache.get(segment.number, Part::Patterns, || {
            let counts = segment.open_patterns()?.ok_or_else(|| bad("no patterns"))?;
            let bytes = counts.memory();
            Ok((Kept::Patterns(Arc::new(counts)), bytes))
        });
        match kept {
            Ok(Kept::Patterns(counts)) => Some(counts),
            Ok(_) | Err(_) => None,
        }
    }

    fn try_log_patterns(
        &self,
        segment: &Segment,
        request: &PatternRequest,
        found: &mut Found,
    ) -> io::Result<()> {
        if let Some(counts) = self.counted(segment, request) {
            for ((namespace, workload), template, counted) in counts.iter() {
                if !request.wants(namespace, workload) {
                    continue;
                }
                let within = |minute: i64| {
                    minute.saturating_add(MINUTE_NS) > request.from_ns && minute < request.to_ns
                };
                for (_, lines) in counted.minutes.iter().filter(|(minute, _)| within(**minute)) {
                    let lines = (lines.lines, lines.first_ns, lines.last_ns);
                    found.add((namespace, workload), template, lines, &counted.example);
                }
            }
            return Ok(());
        }
        let file = self.columns(segment)?;
        let body = self.body(segment)?;
        for run in body.runs().iter().filter(|run| request.wants(&run.namespace, &run.workload)) {
            let stream = (run.namespace.as_str(), run.workload.as_str());
            let rows = run.first_row..run.first_row + run.rows;
            for (page, _) in body.pages_of(std::slice::from_ref(&rows))? {
                let (rows, is_block) = body.page_rows(page)?;
                let records = times(&file, rows.clone(), None)?;
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
                let known = |rows: Option<&[u32]>| Ok(crate::template::chosen(&records, rows));
                let block = body.block(page, self.head(segment, &body, page)?, &known)?;
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
