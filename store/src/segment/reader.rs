//! Reading segments: which rows can match, their columns, their bodies.

mod fields;
mod logs;
mod patterns;
mod scan;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;

use super::cache::{Cache, Kept, Part};
use super::{BodyFile, ColumnsFile, Segment, Sketch, TERMS, Terms, bad};
use crate::rows::Texts;
use crate::template::BlockHead;
use crate::{ScanError, search};

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
        plan: &crate::scan::Plan,
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

    /// The columns of these rows, which ascend, that the answer has; `None` if their bodies have more than `room` bytes.
    pub(crate) fn log_rows(
        &self,
        segment: &Segment,
        rows: &[u32],
        plan: &search::Plan,
        unpacked: &Unpacked,
        room: usize,
    ) -> Result<Option<RecordBatch>, ScanError> {
        self.named(segment, || self.try_log_rows(segment, rows, plan, unpacked, room))
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

    /// The segment's terms, if it has them. They only repeat what the rows say: where they cannot be read, rows are.
    fn terms(&self, segment: &Segment) -> Option<Arc<Terms>> {
        if !segment.entry.files.iter().any(|file| file.name == TERMS) {
            return None;
        }
        let kept = self.cache.get(segment.number, Part::Terms, || {
            let terms = segment.open_terms()?.ok_or_else(|| bad("no terms"))?;
            let bytes = terms.memory();
            Ok((Kept::Terms(Arc::new(terms)), bytes))
        });
        match kept {
            Ok(Kept::Terms(terms)) => Some(terms),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, segment = %segment.entry.id, "terms are not used");
                None
            }
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

    /// The head of a block: every question about text asks it first, so it is kept while the budget has room.
    fn head(&self, segment: &Segment, body: &BodyFile, page: usize) -> io::Result<Arc<BlockHead>> {
        let part = Part::Head(u32::try_from(page).unwrap_or(u32::MAX));
        if let Some(Kept::Head(head)) = self.cache.peek(segment.number, part) {
            return Ok(head);
        }
        let head = Arc::new(body.block_head(page)?);
        self.cache.offer(segment.number, part, Kept::Head(Arc::clone(&head)), head.memory());
        Ok(head)
    }

    /// Lets go of what is kept of segments that left the catalog.
    pub(crate) fn forget(&self, segments: &[Arc<Segment>]) {
        self.cache.forget(&segments.iter().map(|segment| segment.number).collect::<Vec<_>>());
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
}
