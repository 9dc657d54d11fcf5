//! Sealing: every row of a table's head, up to one position, becomes sorted segments, one per hour.
//!
//! Order, always: write in `tmp/` → fsync → rename → fsync of the folder → manifest record → fsync. Until the manifest
//! record nothing exists; after it the rows leave the head and the WAL files that only they pinned go.

mod commit;
mod files;
mod log;
mod tables;

use std::path::Path;
use std::sync::Arc;

use crate::rows::Chunk;
use crate::segment::Entry;
use crate::state::Shared;
use crate::{SealError, Table};

pub(crate) use commit::{release_log, remove_segments, replace_segments};
pub(crate) use files::{Checked, Draft};
pub(crate) use log::{namespaces, write_patterns};
pub(crate) use tables::TableWriter;

/// What a seal wrote of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The table.
    pub table: Table,
    /// Segments written.
    pub segments: u64,
    /// Rows in them.
    pub rows: u64,
    /// Their files, bytes.
    pub bytes: u64,
}

/// Seals these tables; one seal at a time.
///
/// # Errors
/// If files cannot be written: the rows stay in the head and in the WAL, and the next seal takes them.
pub(crate) fn seal(shared: &Shared, tables: &[Table], now_ns: i64) -> Result<Vec<Sealed>, SealError> {
    let (frozen, through) = {
        let mut state = shared.state();
        if let Some(why) = &state.stopped {
            return Err(SealError::Stopped(why.clone()));
        }
        let through = state.last_lsn;
        let freeze = |table: &Table| (*table, state.head.table_mut(*table).freeze());
        (tables.iter().map(freeze).collect::<Vec<_>>(), through)
    };
    let mut entries = Vec::new();
    let sealed = write(shared, frozen, through, now_ns, &mut entries)
        .and_then(|sealed| commit::sealed(shared, tables, &entries, through, now_ns).map(|()| sealed));
    // after a sync that failed nobody knows whether the catalog has them: then they stay
    if sealed.is_err() && shared.state().stopped.is_none() {
        for entry in &entries {
            files::discard(shared, &shared.root.join(&entry.path));
        }
    }
    sealed
}

/// Writes the segments of all tables; those that were placed are in `entries`, whatever comes of the rest.
fn write(
    shared: &Shared,
    frozen: Vec<(Table, Vec<Arc<Chunk>>)>,
    through: i64,
    now_ns: i64,
    entries: &mut Vec<Entry>,
) -> Result<Vec<Sealed>, SealError> {
    let mut sealed = Vec::new();
    for (table, chunks) in frozen {
        if chunks.is_empty() {
            continue;
        }
        let before = entries.len();
        match table {
            Table::Log => log::write(shared, &chunks, through, now_ns, entries)?,
            _ => tables::write(shared, table, &chunks, through, now_ns, entries)?,
        }
        let written = &entries[before..];
        sealed.push(Sealed {
            table,
            segments: written.len() as u64,
            rows: written.iter().map(|entry| entry.rows).sum(),
            bytes: written.iter().map(Entry::file_bytes).sum(),
        });
    }
    Ok(sealed)
}

/// Names the file operation that failed.
pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SealError {
    let path = path.to_owned();
    move |source| SealError::Io { operation, path, source }
}
