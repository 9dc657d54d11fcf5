//! Reads a batch again, and tells what may pass (no descriptor left, a disk that does not answer) from what is gone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;

use super::segment::{self, Record};
use super::{BatchId, Spool};

/// Batches that are passed over in one call because they cannot be read now.
pub(super) const MAX_FAILED: usize = 4;

/// Why a batch was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// It was acknowledged meanwhile.
    #[error("not in the spool")]
    Unknown,
    /// It may work later.
    #[error("read the spool: {0}")]
    Failed(io::Error),
    /// The file is gone or shorter than it was.
    #[error("the file lacks it: {0}")]
    Gone(io::Error),
    /// It does not match its checksum.
    #[error("damaged on disk")]
    Damaged,
}

impl Spool {
    pub(super) fn read(&self, id: BatchId) -> Result<Record, ReadError> {
        let place = self.places.get(&id).ok_or(ReadError::Unknown)?;
        let segment = self.segments.get(&place.segment).ok_or(ReadError::Unknown)?;
        let mut frame = vec![0; place.length as usize];
        let read = File::open(&segment.path).and_then(|file| file.read_exact_at(&mut frame, place.offset));
        read.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => ReadError::Gone(error),
            _ => ReadError::Failed(error),
        })?;
        segment::read_frame(&Bytes::from(frame)).map(|(record, _)| record).ok_or(ReadError::Damaged)
    }

    /// The batch cannot be had any more: its rows are to be booked.
    pub(super) fn lose(&mut self, id: BatchId) {
        for (signal, count) in self.places.get(&id).map(|place| place.rows.clone()).unwrap_or_default() {
            *self.lost.entry(signal).or_default() += count;
        }
        self.acked(id);
    }

    /// Rows per signal that were lost on disk since the last call.
    pub fn take_lost(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.lost)
    }
}
