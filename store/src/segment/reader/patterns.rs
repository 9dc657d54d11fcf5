//! The patterns of a segment's lines: counted when it was written; else blocks know their templates, plain pages are split.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::Reader;
use crate::ScanError;
use crate::search::{Found, PatternRequest};
use crate::segment::cache::{Kept, Part};
use crate::segment::rows::times;
use crate::segment::{ColumnsFile, PatternCounts, Segment, Version, Versions, bad, versions};
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

    /// What the segment has counted. It only repeats what the bodies say: where it cannot be read they are asked.
    fn counted(&self, segment: &Segment) -> Option<Arc<PatternCounts>> {
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
        let counts = self.counted(segment);
        let is_untold = |counts: &PatternCounts| {
            request.version.is_some()
                && counts.is_untold(|namespace, workload| request.wants(namespace, workload))
        };
        if let Some(counts) = &counts
            && !request.cuts_a_minute(segment.times())
            && !is_untold(counts)
        {
            for ((namespace, workload), template, counted) in counts.iter() {
                if !request.wants(namespace, workload) {
                    continue;
                }
                let within = |minute: i64| {
                    minute.saturating_add(MINUTE_NS) > request.from_ns && minute < request.to_ns
                };
                for ((_, version), lines) in counted.minutes.iter().filter(|((minute, _), _)| within(*minute))
                {
                    let version = here(&mut found.versions, &counts.versions, *version);
                    found.add((namespace, workload), template, (version, *lines), &counted.example);
                }
            }
            return Ok(());
        }
        let file = self.columns(segment)?;
        let body = self.body(segment)?;
        for run in body.runs().iter().filter(|run| request.wants(&run.namespace, &run.workload)) {
            let stream = (run.namespace.as_str(), run.workload.as_str());
            let rows = run.first_row..run.first_row + run.rows;
            // one version is mostly all that a stream has; else each row says its own
            let only = counts.as_ref().and_then(|counts| {
                let version = counts.only_version(&run.namespace, &run.workload)?;
                Some(here(&mut found.versions, &counts.versions, version))
            });
            let is_untold = counts.is_none() || only == Some(Version::UNTOLD);
            let only = match is_untold {
                true => request.version.is_none().then_some(Version::UNTOLD),
                false => only,
            };
            for (page, _) in body.pages_of(std::slice::from_ref(&rows))? {
                let (rows, is_block) = body.page_rows(page)?;
                let records = times(&file, rows.clone(), None)?;
                // rows lie as they came, so the first and the last say nothing of the others
                let span = records.iter().min().copied().zip(records.iter().max().copied());
                if span.is_none_or(|span| !request.overlaps(span)) {
                    continue;
                }
                let of = of_rows(&file, rows, only, &mut found.versions)?;
                let wanted =
                    records.iter().zip(of).map(|(ts, version)| request.has(*ts).then_some((*ts, version)));
                if !is_block {
                    let (_, bodies) = body.page(page)?;
                    found.count_bodies(stream, &bodies, wanted);
                    continue;
                }
                let known = |rows: Option<&[u32]>| Ok(crate::template::chosen(&records, rows));
                let block = body.block(page, self.head(segment, &body, page)?, &known)?;
                let (templates, of) = block.patterns()?;
                let wanted = found.count(stream, &templates, of.iter().copied().zip(wanted));
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

/// A version of some counts among those that are found.
fn here(found: &mut Versions, counted: &Versions, version: Version) -> Version {
    counted.name(version).map_or(Version::UNTOLD, |name| found.place(name))
}

/// The version of each of these rows: all have this one, or their columns are asked.
fn of_rows(
    file: &ColumnsFile,
    rows: Range<u32>,
    only: Option<Version>,
    found: &mut Versions,
) -> io::Result<Vec<Version>> {
    match only {
        Some(only) => Ok(vec![only; rows.len()]),
        None => versions(file, rows, found),
    }
}
