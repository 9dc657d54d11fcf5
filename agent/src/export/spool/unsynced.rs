//! Between written and durable: what waits for a sync, and what becomes of it when the sync fails.
//!
//! After a failed sync the kernel may forget what it could not write, and a second sync that succeeds says nothing. So
//! the records, which are kept in memory until then, are written again to a new file, under new numbers.

use std::fs::File;
use std::sync::Arc;

use super::{BatchId, Spool, SpoolError};
use crate::export::batch::Packed;
use crate::logs::checkpoint::Mark;

impl Spool {
    /// A handle to call `sync_data` on without holding the spool, and what it will make durable.
    pub fn unsynced(&self) -> (Arc<File>, Vec<BatchId>) {
        // nothing that is in a file whose sync failed becomes durable by another one
        let ids = if self.is_broken { Vec::new() } else { self.unsynced.iter().map(|(id, _)| *id).collect() };
        (Arc::clone(&self.active), ids)
    }

    /// These batches are durable and may be sent. Their marks, in order: to be committed.
    pub fn synced(&mut self, ids: &[BatchId]) -> Vec<Mark> {
        let mut marks = Vec::new();
        for (id, packed) in self.unsynced.extract_if(.., |(id, _)| ids.contains(id)) {
            self.fresh.push_back(id);
            marks.extend(packed.marks);
        }
        marks
    }

    /// The sync failed: the file is given up. The next `append` writes its unsynced batches again.
    pub fn not_synced(&mut self) {
        self.is_broken = true;
    }

    /// Begins a new file, in a new epoch, with everything that is not durable.
    pub(super) fn write_again(&mut self) -> Result<(), SpoolError> {
        let pending = std::mem::take(&mut self.unsynced);
        // before they are written again: a restart must not find them twice
        self.withdraw(&pending);
        let written = self.begin_epoch().and_then(|()| {
            self.is_broken = false;
            pending.iter().try_for_each(|(_, packed)| self.write(packed, u64::MAX).map(drop))
        });
        if written.is_err() {
            // all of them, next time
            self.is_broken = true;
            let some = std::mem::replace(&mut self.unsynced, pending);
            self.withdraw(&some);
        }
        written
    }

    /// Cuts these records, the last ones of their file, off.
    fn withdraw(&mut self, records: &[(BatchId, Packed)]) {
        let active = self.active_number();
        for (id, _) in records {
            let Some(place) = self.places.remove(id) else { continue };
            let Some(segment) = self.segments.get_mut(&place.segment) else { continue };
            segment.unacked = segment.unacked.saturating_sub(1);
            let length = place.offset.min(segment.bytes);
            let cut = if place.segment == active {
                self.active.set_len(length)
            } else {
                File::options().write(true).open(&segment.path).and_then(|file| file.set_len(length))
            };
            match cut {
                Ok(()) => segment.bytes = segment.bytes.min(place.offset),
                Err(error) => {
                    let path = segment.path.display();
                    tracing::error!(%path, %error, "a restart may send unsynced batches twice");
                }
            }
        }
    }
}
