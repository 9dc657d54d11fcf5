//! What tells one file's text from another's: where it lies, when it was made, its first bytes and the last ones read.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::UNIX_EPOCH;

use crate::logs::checkpoint::Fingerprint;
use crate::logs::record::SourceKey;

/// Bytes of a file's beginning that identify it.
pub(crate) const HEAD_BYTES: usize = 1024;
/// Bytes before the offset that must be the same after a restart.
pub(super) const TAIL_BYTES: usize = 64;

pub(crate) fn key_of(metadata: &Metadata) -> SourceKey {
    SourceKey::File { device: metadata.dev(), inode: metadata.ino() }
}

/// Inodes are used again: the time of birth tells their files apart. 0 where the file system does not keep it.
pub(crate) fn born_ns(metadata: &Metadata) -> u64 {
    let since =
        metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(0)
}

pub(crate) fn fingerprint(bytes: &[u8]) -> Fingerprint {
    if bytes.is_empty() {
        return Fingerprint::default();
    }
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    Fingerprint { length, hash: xxhash_rust::xxh3::xxh3_64(bytes) }
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The first bytes of a file.
pub(crate) fn head_of(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES];
    let length = read_full(file, &mut head, 0)?;
    head.truncate(length);
    Ok(head)
}

/// Whether the file begins with `head` and has `tail` just before `offset`.
pub(crate) fn holds(file: &File, head: Fingerprint, tail: Fingerprint, offset: u64) -> io::Result<bool> {
    if file.metadata()?.len() < offset {
        return Ok(false);
    }
    let first = head_of(file)?;
    let Some(same) = first.get(..head.length as usize) else { return Ok(false) };
    if fingerprint(same) != head {
        return Ok(false);
    }
    Ok(fingerprint(&last_before(file, offset, u64::from(tail.length))?) == tail)
}

pub(super) fn last_before(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = length.min(offset);
    let mut last = vec![0; usize::try_from(length).unwrap_or(0).min(TAIL_BYTES)];
    let filled = read_full(file, &mut last, offset - length)?;
    last.truncate(filled);
    Ok(last)
}
