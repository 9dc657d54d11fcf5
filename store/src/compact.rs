//! Compaction: small segments of one table and hour become one, later all of a day that is small.
//!
//! In: listed segments. Out: one segment with the same rows, times and lsns in their place. The order of a seal holds:
//! draft, fsync, rename, fsync of the folder, then one manifest record that takes the new segment in and the old ones
//! out; snapshots that hold the old ones keep their files. Runs beside seals, in the memory of a few pages per segment;
//! only the commit waits for them.
//! Does not: drop rows, or touch a segment that cannot be read.

mod log;
mod plan;
mod tables;

use std::collections::HashSet;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crate::seal::{Draft, replace_segments};
use crate::segment::{Entry, Segment};
use crate::state::Shared;
use crate::stats::Counts;
use crate::{SealError, Store, Table};
use plan::Job;

/// What one compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The table.
    pub table: Table,
    /// 1: segments of an hour became one; 2: those of a day.
    pub level: u32,
    /// Segments before.
    pub segments: u64,
    /// Rows in them.
    pub rows: u64,
    /// Their files, bytes.
    pub bytes_before: u64,
    /// The files of the one that took their place, bytes.
    pub bytes: u64,
}

/// Segments that a compaction could not read; they are left alone until the store is opened again.
#[derive(Debug, Default)]
pub(crate) struct Unreadable(Mutex<HashSet<u64>>);

impl Unreadable {
    pub(crate) fn add(&self, number: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
    }

    fn has(&self, segment: &Segment) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&segment.number)
    }
}

/// Why no segment came of a merge.
enum MergeError {
    /// An input cannot be read.
    Read {
        segment: u64,
        source: io::Error,
    },
    Write(SealError),
    /// The store is being closed.
    Closing,
}

impl From<SealError> for MergeError {
    fn from(error: SealError) -> Self {
        Self::Write(error)
    }
}

impl Store {
    /// Merges one group of small segments, if one is due, and says what it did; call it again until there is none.
    /// Seals and queries go on meanwhile.
    ///
    /// # Errors
    /// If files cannot be written: everything stays as it was, and a later call tries again.
    pub async fn compact(&self, now_ns: i64) -> Result<Option<Compacted>, SealError> {
        let _one_at_a_time = self.compacting.lock().await;
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            let _alone = shared.compacting.lock().unwrap_or_else(PoisonError::into_inner);
            compact(&shared, now_ns)
        })
        .await
        .map_err(SealError::Task)?
    }
}

fn compact(shared: &Shared, now_ns: i64) -> Result<Option<Compacted>, SealError> {
    loop {
        let Some(job) = plan::next(shared, now_ns)? else { return Ok(None) };
        let draft = Draft::new(shared, format!("compact-{}-{}", job.table.name(), job.id))?;
        let merged = match job.table {
            Table::Log => log::merge(shared, &job, &draft),
            _ => tables::merge(shared, &job, &draft),
        };
        let entry = match merged {
            Ok(entry) => entry,
            Err(MergeError::Read { segment, source }) => {
                tracing::warn!(error = %source, table = job.table.name(), "segment left out of compaction");
                Counts::add(&shared.counts.failed_compactions, 1);
                shared.unreadable.add(segment);
                continue;
            }
            Err(MergeError::Closing) => return Ok(None),
            Err(MergeError::Write(error)) => {
                Counts::add(&shared.counts.failed_compactions, 1);
                return Err(error);
            }
        };
        draft.place(&entry)?;
        let _running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        if replace_segments(shared, &job.inputs, &entry, now_ns)? {
            return Ok(Some(done(&job, &entry)));
        }
        // retention was faster; what is left is looked at anew
    }
}

fn done(job: &Job, entry: &Entry) -> Compacted {
    Compacted {
        table: job.table,
        level: job.level,
        segments: job.inputs.len() as u64,
        rows: entry.rows,
        bytes_before: job.inputs.iter().map(|segment| segment.file_bytes()).sum(),
        bytes: entry.file_bytes(),
    }
}

/// Runs something that reads an input, so that damage found there is laid at its door. A decoder that is not ours may
/// panic on bytes that changed after they were checked.
fn reading<T>(segment: &Segment, read: impl FnOnce() -> io::Result<T>) -> Result<T, MergeError> {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    let result = result.unwrap_or_else(|_panic| Err(io::Error::other("a decoder gave up")));
    result.map_err(|source| MergeError::Read { segment: segment.number, source })
}

/// Stops a merge when the store is being closed.
fn go_on(shared: &Shared) -> Result<(), MergeError> {
    if shared.closing.load(Ordering::Relaxed) { Err(MergeError::Closing) } else { Ok(()) }
}
