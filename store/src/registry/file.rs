//! The file `patterns`: `WAKEPATT | version u32 | crc32c u32 (of what follows) | zstd frame of JSON`.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{MOST, Registry, Seen};
use crate::disk::{Disk, write_whole};

const FILE: &str = "patterns";
const MAGIC: &[u8; 8] = b"WAKEPATT";
const VERSION: u32 = 1;
const HEADER: usize = 16;
/// The most that the JSON may take, bytes.
const MOST_JSON: usize = 64 << 20;

#[derive(Debug, Deserialize, Serialize)]
struct Contents {
    through: i64,
    patterns: Vec<Seen>,
}

/// The registry of a store; `None` if it has none yet.
pub(super) fn read(root: &Path) -> io::Result<Option<Registry>> {
    match std::fs::read(root.join(FILE)) {
        Ok(bytes) => decode(&bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn write(disk: &dyn Disk, root: &Path, bytes: &[u8]) -> io::Result<()> {
    write_whole(disk, &root.join(FILE), bytes)
}

pub(super) fn encode(registry: &Registry) -> io::Result<Vec<u8>> {
    let contents = Contents { through: registry.through, patterns: registry.iter().cloned().collect() };
    let packed = zstd::bulk::compress(&serde_json::to_vec(&contents)?, 1)?;
    let mut bytes = Vec::with_capacity(HEADER + packed.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&packed).to_le_bytes());
    bytes.extend_from_slice(&packed);
    Ok(bytes)
}

pub(super) fn decode(bytes: &[u8]) -> io::Result<Registry> {
    let bad = |detail: &str| io::Error::new(io::ErrorKind::InvalidData, detail);
    let Some((header, packed)) = bytes.split_first_chunk::<HEADER>() else { return Err(bad("short file")) };
    if &header[..8] != MAGIC {
        return Err(bad("wrong magic"));
    }
    if header[8..12] != VERSION.to_le_bytes() {
        return Err(bad("written by a newer release"));
    }
    if header[12..] != crc32c::crc32c(packed).to_le_bytes() {
        return Err(bad("wrong checksum"));
    }
    let json = zstd::bulk::decompress(packed, MOST_JSON)?;
    let contents: Contents = serde_json::from_slice(&json)?;
    if contents.patterns.len() > MOST {
        return Err(bad("more patterns than a registry has"));
    }
    let mut registry = Registry { through: contents.through, ..Registry::default() };
    contents.patterns.into_iter().for_each(|seen| registry.put(seen));
    registry.forget();
    Ok(registry)
}

/// A file's bytes, for `crate::fuzz`; `is_json`: they are what a file with a right checksum holds.
pub(super) fn fuzz(bytes: &[u8], is_json: bool) {
    if !is_json {
        decode(bytes).ok();
        return;
    }
    let packed = zstd::bulk::compress(bytes, 1).unwrap_or_default();
    let mut file = MAGIC.to_vec();
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&crc32c::crc32c(&packed).to_le_bytes());
    file.extend_from_slice(&packed);
    if let Ok(registry) = decode(&file) {
        assert!(registry.iter().count() <= MOST, "a registry keeps to its bound");
    }
}
