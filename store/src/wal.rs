//! Write-ahead log: a batch becomes durable here, and only then may it be acknowledged.
//!
//! In: admitted batches. Out: positions (lsn). Format: `format.md`; every released version stays readable.
//! Invariants: a record is whole or absent; lsns only grow; no file goes before what it holds is in the catalog.
//! Does not: know what a column means, decide retention, read a clock.

mod record;
mod recover;
mod writer;

use std::path::{Path, PathBuf};

use crate::OpenError;

pub(crate) use recover::{fuzz, read_files};
pub(crate) use writer::{Job, Sink, Writer, WriterLimits};

/// What a WAL file starts with.
pub(crate) const MAGIC: &[u8; 8] = b"WAKEWAL1";

/// The file whose first record has this lsn.
pub(crate) fn file_path(folder: &Path, first_lsn: i64) -> PathBuf {
    folder.join(format!("{first_lsn:016x}.wal"))
}

/// The first lsn of the oldest WAL file, if there is one.
///
/// # Errors
/// If the folder cannot be listed.
pub(crate) fn oldest(folder: &Path) -> Result<Option<i64>, OpenError> {
    let files = std::fs::read_dir(folder).map_err(crate::open::io("list", folder))?;
    let lsns = files.filter_map(|file| first_lsn(&file.ok()?.path()));
    Ok(lsns.min())
}

/// The first lsn of a WAL file, from its name.
pub(crate) fn first_lsn(path: &Path) -> Option<i64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".wal")?;
    i64::from_str_radix(name, 16).ok()
}
