//! The spool's files: one after the other, closed when they are full or settled, removed when nothing needs them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::segment::{self, HEADER};
use super::{Segment, Spool, SpoolError};

/// A segment is closed at this size, or a sixteenth of the spool if that is less.
const SEGMENT_BYTES: u64 = 8 << 20;

impl Spool {
    /// Files that hold nothing unacknowledged, oldest first, up to the first that does.
    pub fn removable(&self) -> usize {
        let active = self.active_number();
        self.segments
            .iter()
            .take_while(|(number, segment)| **number != active && segment.unacked == 0)
            .count()
    }

    /// Removes the oldest files, as many as `removable` said before the checkpoints were made durable.
    ///
    /// # Errors
    /// When a file cannot be removed; it stays known.
    pub fn remove(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count.min(self.removable()) {
            let Some(entry) = self.segments.first_entry() else { break };
            match std::fs::remove_file(&entry.get().path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => drop(entry.remove()),
            }
        }
        Ok(())
    }

    /// Closes the active file if it holds only acknowledged batches, so that it can go.
    ///
    /// # Errors
    /// When the next file cannot be made.
    pub fn rotate_if_settled(&mut self) -> Result<(), SpoolError> {
        let is_settled = self.segments.get(&self.active_number()).is_some_and(|active| active.unacked == 0);
        if is_settled && self.active_bytes() > HEADER as u64 && self.unsynced.is_empty() {
            self.rotate()?;
        }
        Ok(())
    }

    pub(super) fn segment_bytes(&self) -> u64 {
        SEGMENT_BYTES.min(self.max_bytes / 16)
    }

    pub(super) fn active_number(&self) -> u64 {
        self.segments.keys().next_back().copied().unwrap_or(0)
    }

    pub(super) fn active_bytes(&self) -> u64 {
        self.segments.values().next_back().map_or(0, |segment| segment.bytes)
    }

    pub(super) fn begin_epoch(&mut self) -> Result<(), SpoolError> {
        self.epoch += 1;
        self.next_seq = 1;
        self.rotate()
    }

    pub(super) fn rotate(&mut self) -> Result<(), SpoolError> {
        // what was written must be on disk before the file is out of reach of `unsynced`
        if !self.is_broken
            && let Err(source) = self.active.sync_data()
        {
            self.is_broken = true;
            return Err(SpoolError::Append { path: self.dir.clone(), source });
        }
        let number = self.next_number;
        self.next_number += 1;
        let (file, segment) = create(&self.dir, number, self.epoch, self.next_seq)?;
        self.active = Arc::new(file);
        self.segments.insert(number, segment);
        Ok(())
    }
}

/// Makes an empty file; of one that could not be made nothing is left.
pub(super) fn create(
    dir: &Path,
    number: u64,
    epoch: u64,
    first_seq: u64,
) -> Result<(File, Segment), SpoolError> {
    let path = dir.join(format!("{number:020}.spool"));
    let failed = |source| SpoolError::Append { path: path.clone(), source };
    let new = OpenOptions::new().create_new(true).append(true).read(true).mode(0o600).open(&path);
    let mut file = new.map_err(failed)?;
    if let Err(source) = begin(&mut file, &segment::header(epoch, first_seq), dir) {
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "unfinished spool file not removed");
        }
        return Err(failed(source));
    }
    Ok((file, Segment { path, bytes: HEADER as u64, unacked: 0 }))
}

fn begin(file: &mut File, header: &[u8], dir: &Path) -> io::Result<()> {
    file.write_all(header)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()
}
