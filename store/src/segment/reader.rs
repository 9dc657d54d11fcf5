//! Reading segments: which rows can match, their columns, their bodies.

mod patterns;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;

use super::cache::{Cache, Kept, Part};
use super::pages::possible;
use super::rows::{assemble, of_streams, read, some_rows, times, without_other_traces};
use super::{BodyFile, Candidates, ColumnsFile, Segment, Sketch, bad};
use crate::rows::Texts;
use crate::scan::{self, Filter, mask};
use crate::search;
use crate::table::log_schema;
use crate::{ScanError, Table};

/// Rows of a batch while scanning.
const BATCH: usize = 8_192;
/// Rows whose keys are read at once.
const KEYS: usize = 65_536;
/// Bodies of one batch while scanning, bytes; a single one may be larger.
const BATCH_BYTES: usize = 32 << 20;

/// Takes rows' numbers and their key columns, with the pages that are kept; false when nobody wants more.
pub(crate) type TakeKeys<'a> = &'a mut dyn FnMut(&[u32], &RecordBatch, &Unpacked) -> bool;

/// Pages that one query has unpacked and will read rows of.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pages: HashMap<(u64, usize), Arc<(u32, Texts)>>,
    room: usize,
}

impl Unpacked {
    /// Keeps so many pages of half a MiB.
    pub(crate) fn new(room: usize) -> Self {
        Self { pages: HashMap::new(), room }
    }
}

/// Reads segments, keeping footers and indexes within a budget.
#[derive(Debug)]
pub(crate) struct Reader {
    cache: Cache,
    pub(crate) unreadable: AtomicU64,
}

impl Reader {
    pub(crate) fn new(cache_bytes: usize) -> Self {
        Self { cache: Cache::new(cache_bytes), unreadable: AtomicU64::new(0) }
    }

    pub(crate) fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Hands over the rows that match, with the columns of `plan.read`, until `take` says false.
    pub(crate) fn scan(
        &self,
        segment: &Segment,
        plan: &scan::Plan,
        take: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<(), ScanError> {
        self.named(segment, || self.try_scan(segment, plan, take))
    }

    /// Hands over the rows whose body matches, with the columns that decide the rest.
    pub(crate) fn log_keys(
        &self,
        segment: &Segment,
        plan: &search::Plan,
        unpacked: &mut Unpacked,
        take: TakeKeys<'_>,
    ) -> Result<(), ScanError> {
        self.named(segment, || self.try_log_keys(segment, plan, unpacked, take))
    }

    /// All columns of these rows, which ascend; `None` if their bodies have more than `room` bytes.
    pub(crate) fn log_rows(
        &self,
        segment: &Segment,
        rows: &[u32],
        unpacked: &Unpacked,
        room: usize,
    ) -> Result<Option<RecordBatch>, ScanError> {
        self.named(segment, || self.try_log_rows(segment, rows, unpacked, room))
    }

    /// The segment's counts per minute, if it has them. They only repeat what the rows say: where they cannot be read
    /// the rows are counted.
    pub(crate) fn sketch(&self, segment: &Segment) -> Option<Arc<Sketch>> {
        let kept = self.cache.get(segment.number, Part::Sketch, || {
            let sketch = segment.open_sketch()?.ok_or_else(|| bad("no sketch"))?;
            let bytes = sketch.memory();
            Ok((Kept::Sketch(Arc::new(sketch)), bytes))
        });
        match kept {
            Ok(Kept::Sketch(sketch)) => Some(sketch),
            Ok(_) | Err(_) => None,
        }
    }

    /// Says which segment an error is about. Bytes that changed after they were checked can lead a decoder that is
    /// not ours anywhere: that is an unreadable segment too.
    fn named<T>(&self, segment: &Segment, read: impl FnOnce() -> io::Result<T>) -> Result<T, ScanError> {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
        let result = result.unwrap_or_else(|_panic| Err(bad("a decoder gave up")));
        result.map_err(|error| {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
            segment.unreadable(error)
        })
    }

    fn columns(&self, segment: &Segment) -> io::Result<Arc<ColumnsFile>> {
        let kept = self.cache.get(segment.number, Part::Columns, || {
            let file = segment.open_columns()?;
            let bytes = file.memory();
            Ok((Kept::Columns(Arc::new(file)), bytes))
        })?;
        match kept {
            Kept::Columns(file) => Ok(file),
            _ => Err(bad("the cache holds something else")),
        }
    }

    fn body(&self, segment: &Segment) -> io::Result<Arc<BodyFile>> {
        let kept = self.cache.get(segment.number, Part::Body, || {
            let file = segment.open_body()?;
            let bytes = file.memory();
            Ok((Kept::Body(Arc::new(file)), bytes))
        })?;
        match kept {
            Kept::Body(file) => Ok(file),
            _ => Err(bad("the cache holds something else")),
        }
    }

    /// The blooms in memory, while the budget has room for them.
    fn blooms(&self, segment: &Segment, body: &BodyFile) -> io::Result<Option<Arc<Vec<u8>>>> {
        let kept = self.cache.get_if_room(segment.number, Part::Blooms, body.bloom_bytes(), || {
            Ok(Kept::Blooms(Arc::new(body.blooms()?)))
        })?;
        Ok(match kept {
            Some(Kept::Blooms(blooms)) => Some(blooms),
            _ => None,
        })
    }

    fn try_scan(
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
        if rows.is_empty() {
            return Ok(());
        }
        let body = plan.read.index_of("body").ok();
        let others: Vec<usize> = (0..plan.read.fields().len()).filter(|at| Some(*at) != body).collect();
        let others = plan.read.project(&others).map_err(io::Error::other)?;
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
            filter.column = batch.schema_ref().index_of(&filter.name).map_err(io::Error::other)?;
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
            let bodies = body.read(&rows[at..at + len], |_| None, &|rows| times(&file, rows), room)?;
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

    fn try_log_keys(
        &self,
        segment: &Segment,
        plan: &search::Plan,
        unpacked: &mut Unpacked,
        take: TakeKeys<'_>,
    ) -> io::Result<()> {
        let file = self.columns(segment)?;
        let mut rows = possible(file.metadata.metadata(), plan.from_ns, plan.to_ns, &plan.filters);
        rows = without_other_traces(&file, rows, &plan.filters)?;
        if rows.is_empty() {
            return Ok(());
        }
        if plan.matcher.is_empty() {
            let mut numbers = rows.iter().cloned().flatten();
            for batch in read(&file, &rows, &plan.keys, KEYS)? {
                let batch = batch.map_err(io::Error::other)?;
                let keys = scan::project_by_name(&batch, &plan.keys).map_err(io::Error::other)?;
                let rows: Vec<u32> = numbers.by_ref().take(keys.num_rows()).collect();
                if plan.stop.is_set() || !take(&rows, &keys, unpacked) {
                    break;
                }
            }
            return Ok(());
        }
        let body = self.body(segment)?;
        rows = of_streams(&body, plan, &rows);
        let wanted = Candidates::new(plan.matcher.required());
        let mut found = Vec::new();
        let blooms = self.blooms(segment, &body)?;
        for (page, rows) in body.candidates(&rows, &wanted, blooms.as_deref().map(Vec::as_slice))? {
            if plan.stop.is_set() {
                return Ok(());
            }
            if found.len() >= KEYS {
                if !take(&found, &some_rows(&file, &found, &plan.keys)?, unpacked) {
                    return Ok(());
                }
                found.clear();
            }
            let (range, is_block) = body.page_rows(page)?;
            let before = found.len();
            if is_block {
                let within = (rows.start - range.start) as usize..(rows.end - range.start) as usize;
                let records = || times(&file, range.clone());
                plan.matcher.matching_block(&body.block(page, &records)?, within, &mut found)?;
                found[before..].iter_mut().for_each(|row| *row += range.start);
                continue;
            }
            let (first_row, texts) = body.page(page)?;
            let within = (rows.start - first_row) as usize..(rows.end - first_row) as usize;
            plan.matcher.matching(&texts, within, &mut found);
            found[before..].iter_mut().for_each(|row| *row += first_row);
            if found.len() > before && unpacked.pages.len() < unpacked.room {
                unpacked.pages.insert((segment.number, page), Arc::new((first_row, texts)));
            }
        }
        if !found.is_empty() {
            take(&found, &some_rows(&file, &found, &plan.keys)?, unpacked);
        }
        Ok(())
    }

    fn try_log_rows(
        &self,
        segment: &Segment,
        rows: &[u32],
        unpacked: &Unpacked,
        room: usize,
    ) -> io::Result<Option<RecordBatch>> {
        let file = self.columns(segment)?;
        let kept = |page: usize| unpacked.pages.get(&(segment.number, page)).map(Arc::clone);
        let bodies = self.body(segment)?.read(rows, kept, &|rows| times(&file, rows), room)?;
        let Some(bodies) = bodies else { return Ok(None) };
        let columns = some_rows(&file, rows, &Table::Log.file_schema())?;
        assemble(&columns, &bodies, &log_schema()).map(Some)
    }
}
