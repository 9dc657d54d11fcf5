//! Reading the WAL after a stop: whole records in order, a torn tail cut off, damage set aside and named.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::record::{BatchRecord, Decoded, HEADER_BYTES};
use super::{MAGIC, first_lsn};
use crate::OpenError;
use crate::disk::Disk;

/// A part of a WAL file that could not be read though something after it could: acknowledged data is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Where the file was set aside.
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) detail: String,
}

/// What is known about one file after it was read.
#[derive(Debug)]
pub(crate) struct ReadFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// Reads every WAL file in order and hands each record to `take`.
///
/// # Errors
/// If a file cannot be read or mended, or was written by a newer release, or `take` fails.
pub(crate) fn read_files(
    disk: &dyn Disk,
    folder: &Path,
    mut take: impl FnMut(usize, BatchRecord) -> Result<(), OpenError>,
) -> Result<(Vec<ReadFile>, Vec<Damage>, u64), OpenError> {
    let mut paths = list(folder)?;
    paths.sort();
    let (mut files, mut damages, mut torn) = (Vec::new(), Vec::new(), 0);
    for (index, path) in paths.iter().enumerate() {
        let bytes = fs::read(path).map_err(io("read", path))?;
        let bytes = Bytes::from(bytes);
        let last = index + 1 == paths.len();
        let parts = split(&bytes, path)?;
        let mut good_bytes = 0;
        for record in parts.records {
            good_bytes += record.len() as u64;
            take(files.len(), record)?;
        }
        // only the newest file can have been cut short by a stop; bytes were lost anywhere else
        let tail_is_torn = last && parts.holes.len() == usize::from(parts.tail_bad);
        if tail_is_torn && !parts.tail_bad {
            // whole
        } else if tail_is_torn {
            torn += (bytes.len() - parts.end) as u64;
            cut(disk, path, parts.end as u64)?;
        } else if !parts.holes.is_empty() {
            let aside = set_aside(disk, folder, path, &bytes, &parts.holes)?;
            damages.extend(parts.holes.iter().map(|hole| Damage {
                file: aside.clone(),
                offset: hole.start as u64,
                bytes: (hole.end - hole.start) as u64,
                detail: hole.detail.to_owned(),
            }));
        }
        files.push(ReadFile { path: path.clone(), bytes: good_bytes + MAGIC.len() as u64 });
    }
    Ok((files, damages, torn))
}

struct Hole {
    start: usize,
    end: usize,
    detail: &'static str,
}

struct Parts {
    records: Vec<BatchRecord>,
    holes: Vec<Hole>,
    /// Whether the last hole reaches the end of the file.
    tail_bad: bool,
    /// Where the last whole record before a bad tail ends.
    end: usize,
}

/// Whole records, and the holes between and after them.
fn split(bytes: &Bytes, path: &Path) -> Result<Parts, OpenError> {
    let mut parts = Parts { records: Vec::new(), holes: Vec::new(), tail_bad: false, end: 0 };
    let mut at = 0;
    if bytes.starts_with(MAGIC) {
        at = MAGIC.len();
    } else {
        let next = next_record(bytes, 0);
        parts.holes.push(Hole { start: 0, end: next.unwrap_or(bytes.len()), detail: "wrong magic" });
        parts.tail_bad = next.is_none();
        at = next.unwrap_or(at.max(bytes.len()));
    }
    parts.end = if parts.tail_bad { 0 } else { at };
    while at < bytes.len() {
        match BatchRecord::decode(&bytes.slice(at..)) {
            Decoded::Record(record, len) => {
                parts.records.push(record);
                at += len;
                parts.end = at;
            }
            Decoded::Newer { kind, version } => {
                return Err(OpenError::TooNew {
                    path: path.to_owned(),
                    found: u32::from(version),
                    supported: 1,
                    written_by: format!("an unknown release (WAL record kind {kind})"),
                });
            }
            Decoded::Bad(detail) => {
                let next = next_record(bytes, at + 1);
                parts.holes.push(Hole { start: at, end: next.unwrap_or(bytes.len()), detail });
                parts.tail_bad = next.is_none();
                at = next.unwrap_or(bytes.len());
            }
        }
    }
    Ok(parts)
}

/// The next position at which a whole record lies.
fn next_record(bytes: &Bytes, from: usize) -> Option<usize> {
    let last = bytes.len().checked_sub(HEADER_BYTES)?;
    (from..=last).find(|at| {
        // kind and version first: the checksum of every position would take minutes
        bytes[at + 8] == 1 && bytes[at + 9] == 1 && {
            matches!(BatchRecord::decode(&bytes.slice(*at..)), Decoded::Record(..))
        }
    })
}

/// A file's bytes, for `crate::fuzz`: records and holes cover it. `is_payload`: the bytes are what one record with a right
/// checksum holds, so that what lies behind the checksum is reached too.
pub(crate) fn fuzz(data: &[u8], is_payload: bool) {
    let mut bytes = data.to_vec();
    if is_payload {
        bytes = BatchRecord::frame(data);
    }
    let bytes = Bytes::from(bytes);
    let Ok(parts) = split(&bytes, Path::new("fuzz.wal")) else { return };
    let records: usize = parts.records.iter().map(BatchRecord::len).sum();
    let holes: usize = parts.holes.iter().map(|hole| hole.end - hole.start).sum();
    let magic = if bytes.starts_with(MAGIC) { MAGIC.len() } else { 0 };
    assert_eq!(magic + records + holes, bytes.len(), "every byte is of a record or named as lost");
    assert!(parts.end <= bytes.len(), "a file is never cut behind its end");
}

/// Copies a damaged file to `.corrupt` and leaves its whole records in place.
fn set_aside(
    disk: &dyn Disk,
    folder: &Path,
    path: &Path,
    bytes: &Bytes,
    holes: &[Hole],
) -> Result<PathBuf, OpenError> {
    let aside = path.with_extension("corrupt");
    let mut good = Vec::with_capacity(bytes.len());
    good.extend_from_slice(MAGIC);
    let mut at = if bytes.starts_with(MAGIC) { MAGIC.len() } else { 0 };
    for hole in holes {
        good.extend_from_slice(bytes.get(at..hole.start).unwrap_or(&[]));
        at = hole.end;
    }
    good.extend_from_slice(bytes.get(at..).unwrap_or(&[]));
    crate::disk::write_whole(disk, &aside, bytes).map_err(io("set aside", &aside))?;
    crate::disk::write_whole(disk, path, &good).map_err(io("mend", path))?;
    disk.sync_dir(folder).map_err(io("sync", folder))?;
    Ok(aside)
}

fn cut(disk: &dyn Disk, path: &Path, len: u64) -> Result<(), OpenError> {
    let mut file = disk.append(path).map_err(io("open", path))?;
    file.truncate(len).map_err(io("cut", path))?;
    if len == 0 {
        file.write_all(MAGIC).map_err(io("write", path))?;
    }
    file.sync().map_err(io("sync", path))
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(io("list", folder))? {
        let path = entry.map_err(io("list", folder))?.path();
        if first_lsn(&path).is_some() {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { operation, path, source }
}
