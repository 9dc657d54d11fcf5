//! What the store counts about itself; whoever serves metrics reads it from here.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Table;

/// Counters since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) batches: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) rejected_rows: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) wal_bytes: AtomicU64,
    pub(crate) seals: AtomicU64,
    pub(crate) failed_seals: AtomicU64,
    pub(crate) sealed_rows: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) compacted_segments: AtomicU64,
    pub(crate) compacted_rows: AtomicU64,
    pub(crate) failed_compactions: AtomicU64,
    pub(crate) dropped_segments: AtomicU64,
    pub(crate) dropped_rows: AtomicU64,
    pub(crate) lost_records: AtomicU64,
}

/// A copy of the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches stored.
    pub batches: u64,
    /// Batches that were stored before.
    pub repeated: u64,
    /// Batches refused.
    pub refused: u64,
    /// Rows stored.
    pub rows: u64,
    /// Rows left out of batches.
    pub rejected_rows: u64,
    /// Syncs of the WAL.
    pub syncs: u64,
    /// Bytes written to the WAL.
    pub wal_bytes: u64,
    /// Seals that were committed.
    pub seals: u64,
    /// Seals that failed; their rows stay in the head.
    pub failed_seals: u64,
    /// Rows sealed.
    pub sealed_rows: u64,
    /// Merges of segments that were committed.
    pub compactions: u64,
    /// Segments that were merged into others.
    pub compacted_segments: u64,
    /// Rows of segments that were merged.
    pub compacted_rows: u64,
    /// Merges that failed; the segments stay as they were.
    pub failed_compactions: u64,
    /// Segments that retention or a full disk took.
    pub dropped_segments: u64,
    /// Rows that retention or a full disk took.
    pub dropped_rows: u64,
    /// Times that a segment could not be read.
    pub unreadable_segments: u64,
    /// Damaged parts of WAL and catalog found at start: acknowledged data, or what was known of it, is lost.
    pub lost_records: u64,
}

/// How long syncs took: how many took at most each bound, and how long all of them together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncTimes {
    /// (upper bound in µs, syncs that took more than the bound before and at most this one), ascending; the last bound
    /// is `u64::MAX`.
    pub buckets: Vec<(u64, u64)>,
    /// All of them together, µs.
    pub sum_us: u64,
}

/// Upper bounds of the buckets but the last, µs.
const SYNC_BOUNDS_US: [u64; 11] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000];

/// Counts of [`SyncTimes`].
#[derive(Debug, Default)]
pub(crate) struct SyncCounts {
    buckets: [AtomicU64; SYNC_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl SyncCounts {
    pub(crate) fn add(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Counts::add(&self.buckets[SYNC_BOUNDS_US.partition_point(|bound| *bound < took)], 1);
        Counts::add(&self.sum_us, took);
    }

    pub(crate) fn copy(&self) -> SyncTimes {
        let bounds = SYNC_BOUNDS_US.into_iter().chain([u64::MAX]);
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        SyncTimes { buckets: bounds.zip(counts).collect(), sum_us: self.sum_us.load(Ordering::Relaxed) }
    }
}

/// The caller's monotonic clock.
pub(crate) struct Stopwatch(pub(crate) Box<dyn Fn() -> Duration + Send + Sync>);

impl fmt::Debug for Stopwatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Stopwatch")
    }
}

/// How the store stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Why the store stopped acknowledging, if it did (a failed fsync): the process should exit.
    pub stopped: Option<String>,
    /// WAL files, bytes.
    pub wal_bytes: u64,
    /// WAL files.
    pub wal_files: usize,
    /// Memory of the head, bytes.
    pub head_bytes: usize,
    /// Memory of cached footers and indexes, bytes.
    pub cache_bytes: usize,
    /// The last position that is durable and searchable.
    pub last_lsn: i64,
    /// Version of the catalog: it grows with each seal and each removal.
    pub catalog_version: u64,
    /// Nodes whose batches are remembered.
    pub dedupe_entries: usize,
    /// Gaps closed because a node's numbers had too many.
    pub dedupe_closed_gaps: u64,
    /// Whether batches are refused because the disk is full.
    pub disk_full: bool,
    /// Each table, in the order of [`Table::ALL`].
    pub tables: Vec<TableStats>,
    /// How long syncs of the WAL took, if the store was given a clock.
    pub sync_times: SyncTimes,
    /// Counters since the store was opened.
    pub counters: Counters,
}

/// How one table stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// The table.
    pub table: Table,
    /// Rows in the head.
    pub head_rows: usize,
    /// Memory of the head, bytes.
    pub head_bytes: usize,
    /// Segments.
    pub segments: usize,
    /// Rows in segments.
    pub segment_rows: u64,
    /// Files of segments, bytes.
    pub segment_bytes: u64,
    /// The oldest row in segments, ns.
    pub oldest_ns: Option<i64>,
}

impl Counts {
    pub(crate) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn copy(&self) -> Counters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            batches: get(&self.batches),
            repeated: get(&self.repeated),
            refused: get(&self.refused),
            rows: get(&self.rows),
            rejected_rows: get(&self.rejected_rows),
            syncs: get(&self.syncs),
            wal_bytes: get(&self.wal_bytes),
            seals: get(&self.seals),
            failed_seals: get(&self.failed_seals),
            sealed_rows: get(&self.sealed_rows),
            compactions: get(&self.compactions),
            compacted_segments: get(&self.compacted_segments),
            compacted_rows: get(&self.compacted_rows),
            failed_compactions: get(&self.failed_compactions),
            dropped_segments: get(&self.dropped_segments),
            dropped_rows: get(&self.dropped_rows),
            unreadable_segments: 0,
            lost_records: get(&self.lost_records),
        }
    }
}
