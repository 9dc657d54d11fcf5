//! Who reads a table through from position to position, as an exporter does: rows that are dropped before they were read
//! are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::segment::Segment;
use crate::{Store, Table};

/// How far each table is read.
#[derive(Debug)]
pub(crate) struct Readers([Reader; Table::COUNT]);

#[derive(Debug)]
struct Reader {
    /// The last position that was read; the greatest there is where nobody reads.
    through: AtomicI64,
    dropped: AtomicU64,
}

impl Default for Readers {
    fn default() -> Self {
        let reader = || Reader { through: AtomicI64::new(i64::MAX), dropped: AtomicU64::new(0) };
        Self(std::array::from_fn(|_| reader()))
    }
}

impl Readers {
    /// These segments leave the catalog, and no other has their rows.
    pub(crate) fn dropped(&self, segments: &[Arc<Segment>]) {
        for segment in segments {
            let Some(table) = segment.entry.table() else { continue };
            let reader = &self.0[table.index()];
            let through = reader.through.load(Ordering::Relaxed);
            let (first, last) = (segment.entry.min_lsn, segment.entry.max_lsn);
            if through >= last {
                continue;
            }
            // of one that was read in part: as if its rows were spread evenly
            let unread = u128::from(last.abs_diff(through.max(first.saturating_sub(1))));
            let all = u128::from(last.abs_diff(first)) + 1;
            let rows = u128::from(segment.rows()) * unread.min(all) / all;
            reader.dropped.fetch_add(u64::try_from(rows).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

impl Store {
    /// Says that the table's rows were read up to this position, and that somebody reads on from there.
    pub fn read_through(&self, table: Table, lsn: i64) {
        self.shared.readers.0[table.index()].through.store(lsn, Ordering::Relaxed);
    }

    /// Rows of the table that retention or a full disk took before they were read, since the store was opened; of a
    /// segment that was read in part an estimate.
    pub fn dropped_unread(&self, table: Table) -> u64 {
        self.shared.readers.0[table.index()].dropped.load(Ordering::Relaxed)
    }
}
