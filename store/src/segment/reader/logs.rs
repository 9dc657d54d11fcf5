//! Finding log lines in a segment and reading them. What rules out most is asked first: streams, then blooms, which are
//! in memory; only then the columns and the blocks that are left.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;

use super::{Reader, TakeKeys, Unpacked};
use crate::rows::Texts;
use crate::segment::pages::{intersect, one, possible};
use crate::segment::rows::{assemble, of_streams, read, some_rows, times};
use crate::segment::traces::without_other_traces;
use crate::segment::{Access, BodyFile, Candidates, ColumnsFile, Segment, Times};
use crate::{scan, search};

/// Rows whose keys are read at once.
const KEYS: usize = 65_536;

impl Reader {
    pub(super) fn try_log_keys(
        &self,
        segment: &Segment,
        plan: &search::Plan,
        unpacked: &mut Unpacked,
        take: TakeKeys<'_>,
    ) -> io::Result<()> {
        if plan.matcher.is_empty() {
            return self.all_keys(segment, plan, unpacked, take);
        }
        let body = self.body(segment)?;
        let rows = of_streams(&body, plan, &one(0..body.rows()));
        let wanted = Candidates::new(plan.matcher.required());
        let blooms = self.blooms(segment, &body)?;
        let mut pages = body.candidates(&rows, &wanted, blooms.as_deref().map(Vec::as_slice))?;
        if pages.is_empty() {
            return Ok(());
        }
        let file = self.columns(segment)?;
        let within = plan.from_ns <= segment.times().0 && plan.to_ns > segment.times().1;
        if !within || !plan.filters.is_empty() {
            let rows: Vec<Range<u32>> = pages.into_iter().map(|(_, rows)| rows).collect();
            let rows = intersect(&rows, &possible_rows(&file, plan)?);
            pages = body.pages_of(&rows)?;
        }
        let source = Pages { reader: self, segment, body: &body, file: &file };
        let counts_only = within && plan.counts_only;
        let keys = |found: &[u32]| match counts_only {
            true => uncolumned(found.len()),
            false => some_rows(&file, found, &plan.keys),
        };
        let mut found = Vec::new();
        for same in pages.chunk_by(|one, next| one.0 == next.0) {
            if plan.stop.is_set() {
                return Ok(());
            }
            if found.len() >= KEYS {
                if !take(&found, &keys(&found)?, unpacked) {
                    return Ok(());
                }
                found.clear();
            }
            source.find(same, plan, unpacked, &mut found)?;
        }
        if !found.is_empty() {
            take(&found, &keys(&found)?, unpacked);
        }
        Ok(())
    }

    /// The keys of every row that can pass: nothing is asked of bodies.
    fn all_keys(
        &self,
        segment: &Segment,
        plan: &search::Plan,
        unpacked: &Unpacked,
        take: TakeKeys<'_>,
    ) -> io::Result<()> {
        let file = self.columns(segment)?;
        let rows = possible_rows(&file, plan)?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut numbers = rows.iter().cloned().flatten();
        for batch in read(&file, &rows, &plan.keys, KEYS)? {
            let batch = batch.map_err(io::Error::other)?;
            let keys = scan::project_by_name(&batch, &plan.keys).map_err(io::Error::other)?;
            let rows: Vec<u32> = numbers.by_ref().take(keys.num_rows()).collect();
            if plan.stop.is_set() || !take(&rows, &keys, unpacked) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn try_log_rows(
        &self,
        segment: &Segment,
        rows: &[u32],
        plan: &search::Plan,
        unpacked: &Unpacked,
        room: usize,
    ) -> io::Result<Option<RecordBatch>> {
        let file = self.columns(segment)?;
        let mut bodies = Texts::default();
        if plan.answer.index_of("body").is_ok() {
            let body = self.body(segment)?;
            let source = Pages { reader: self, segment, body: &body, file: &file };
            match source.read(rows, unpacked, room)? {
                Some(texts) => bodies = texts,
                None => return Ok(None),
            }
        }
        let columns = some_rows(&file, rows, &plan.stored)?;
        assemble(&columns, &bodies, &plan.answer).map(Some)
    }
}

/// So many rows of which nothing is read.
fn uncolumned(rows: usize) -> io::Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
        .map_err(io::Error::other)
}

/// Rows that time and conditions do not rule out.
fn possible_rows(file: &ColumnsFile, plan: &search::Plan) -> io::Result<Vec<Range<u32>>> {
    let rows = possible(file.metadata.metadata(), plan.from_ns, plan.to_ns, &plan.filters);
    without_other_traces(file, rows, &plan.filters)
}

/// The bodies of one segment.
struct Pages<'a> {
    reader: &'a Reader,
    segment: &'a Segment,
    body: &'a BodyFile,
    file: &'a ColumnsFile,
}

impl Pages<'_> {
    /// Adds the rows of a page that match, among the ranges given.
    fn find(
        &self,
        ranges: &[(usize, Range<u32>)],
        plan: &search::Plan,
        unpacked: &mut Unpacked,
        found: &mut Vec<u32>,
    ) -> io::Result<()> {
        let Some((page, _)) = ranges.first() else { return Ok(()) };
        let (all, is_block) = self.body.page_rows(*page)?;
        let before = found.len();
        let within = |rows: &Range<u32>| (rows.start - all.start) as usize..(rows.end - all.start) as usize;
        if is_block {
            let records = |rows: Option<&[u32]>| times(self.file, all.clone(), rows);
            let head = self.reader.head(self.segment, self.body, *page)?;
            let block = self.body.block(*page, head, &records)?;
            let ranges = ranges.iter().map(|(_, rows)| within(rows));
            plan.matcher.matching_block(&block, ranges, found)?;
        } else {
            let (first_row, texts) = self.body.page(*page)?;
            for (_, rows) in ranges {
                plan.matcher.matching(&texts, within(rows), found);
            }
            if found.len() > before && unpacked.pages.len() < unpacked.room {
                unpacked.pages.insert((self.segment.number, *page), Arc::new((first_row, texts)));
            }
        }
        found[before..].iter_mut().for_each(|row| *row += all.start);
        Ok(())
    }

    fn read(&self, rows: &[u32], unpacked: &Unpacked, room: usize) -> io::Result<Option<Texts>> {
        let times: Times<'_> = &|range, rows| times(self.file, range, rows);
        let access = Access {
            kept: &|page| unpacked.pages.get(&(self.segment.number, page)).map(Arc::clone),
            head: &|page| self.reader.head(self.segment, self.body, page),
            times,
        };
        self.body.read(rows, access, room)
    }
}
