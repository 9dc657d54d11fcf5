//! Segments: sealed rows of one table and hour, immutable.

use crate::ScanError;
use crate::scan;
use crate::search;
use arrow::array::RecordBatch;

/// A segment of the catalog.
#[derive(Debug)]
pub(crate) enum Segment {}

impl Segment {
    pub(crate) fn times(&self) -> (i64, i64) {
        match *self {}
    }

    pub(crate) fn last_lsn(&self) -> i64 {
        match *self {}
    }

    pub(crate) fn rows(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        match *self {}
    }
}

/// Reads segments, keeping footers and indexes within a budget.
#[derive(Debug, Default)]
pub(crate) struct Reader {}

/// Rows and bytes per minute.
#[derive(Debug)]
pub(crate) struct Sketch {
    groups: Vec<(Group, Vec<Minute>)>,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) namespace: String,
    pub(crate) workload: String,
    pub(crate) level: String,
}

#[derive(Debug)]
pub(crate) struct Minute {
    pub(crate) start_ns: i64,
    pub(crate) rows: u64,
}

impl Sketch {
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Group, &[Minute])> {
        self.groups.iter().map(|(group, minutes)| (group, &minutes[..]))
    }
}

impl Reader {
    pub(crate) fn cache_bytes(&self) -> usize {
        0
    }

    pub(crate) fn scan(
        &self,
        segment: &Segment,
        _plan: &scan::Plan,
        _take: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<(), ScanError> {
        match *segment {}
    }

    pub(crate) fn log_keys(
        &self,
        segment: &Segment,
        _plan: &search::Plan,
    ) -> Result<Vec<(Vec<u32>, RecordBatch)>, ScanError> {
        match *segment {}
    }

    pub(crate) fn log_rows(&self, segment: &Segment, _rows: &[u32]) -> Result<RecordBatch, ScanError> {
        match *segment {}
    }

    pub(crate) fn sketch(&self, segment: &Segment) -> Result<Option<std::sync::Arc<Sketch>>, ScanError> {
        match *segment {}
    }
}
