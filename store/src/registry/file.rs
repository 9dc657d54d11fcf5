//! The file `patterns`: `WAKEPATT | version u32 | crc32c u32 (of what follows) | zstd frame of JSON`. The first member of
//! the JSON, `written_by`, is the release that wrote it, in every version.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{MOST, Registry, Seen};
use crate::disk::{Disk, write_whole};

const FILE: &str = "patterns";
const ASIDE: &str = "patterns.corrupt";
const MAGIC: &[u8; 8] = b"WAKEPATT";
const VERSION: u32 = 1;
const HEADER: usize = 16;
/// The most that the JSON may take, bytes.
const MOST_JSON: usize = 64 << 20;

#[derive(Debug, Deserialize, Serialize)]
struct Contents {
    #[serde(default)]
    written_by: String,
    through: i64,
    patterns: Vec<Seen>,
}

/// Why there is no registry in a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is of version {found}, written by {written_by}; this release reads version {VERSION}")]
    TooNew { found: u32, written_by: String },
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// The registry of a store; `None` if it has none yet.
pub(super) fn read(root: &Path) -> Result<Option<Registry>, ReadError> {
    match std::fs::read(root.join(FILE)) {
        Ok(bytes) => decode(&bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Sets a damaged file aside, under the name that is returned; another one that lay there goes.
pub(super) fn set_aside(root: &Path) -> io::Result<String> {
    std::fs::rename(root.join(FILE), root.join(ASIDE))?;
    Ok(ASIDE.to_owned())
}

pub(super) fn write(disk: &dyn Disk, root: &Path, bytes: &[u8]) -> io::Result<()> {
    write_whole(disk, &root.join(FILE), bytes)
}

pub(super) fn encode(registry: &Registry) -> io::Result<Vec<u8>> {
    let contents = Contents {
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        through: registry.through,
        patterns: registry.iter().cloned().collect(),
    };
    let packed = zstd::bulk::compress(&serde_json::to_vec(&contents)?, 1)?;
    let mut bytes = Vec::with_capacity(HEADER + packed.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&packed).to_le_bytes());
    bytes.extend_from_slice(&packed);
    Ok(bytes)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Registry, ReadError> {
    let bad = |detail: &str| ReadError::Damaged(detail.to_owned());
    let Some((header, packed)) = bytes.split_first_chunk::<HEADER>() else { return Err(bad("short file")) };
    if &header[..8] != MAGIC {
        return Err(bad("wrong magic"));
    }
    let found = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    if found > VERSION {
        return Err(ReadError::TooNew { found, written_by: writer(packed) });
    }
    if found != VERSION {
        return Err(bad("unknown version"));
    }
    if header[12..] != crc32c::crc32c(packed).to_le_bytes() {
        return Err(bad("wrong checksum"));
    }
    let json = zstd::bulk::decompress(packed, MOST_JSON).map_err(|error| bad(&error.to_string()))?;
    let contents: Contents = serde_json::from_slice(&json).map_err(|error| bad(&error.to_string()))?;
    if contents.patterns.len() > MOST {
        return Err(bad("more patterns than a registry has"));
    }
    let mut registry = Registry { through: contents.through, ..Registry::default() };
    contents.patterns.into_iter().for_each(|seen| registry.put(seen));
    registry.forget();
    Ok(registry)
}

/// Who wrote a file of another version, if it still says so in the same way.
fn writer(packed: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Writer {
        written_by: String,
    }
    let json = zstd::bulk::decompress(packed, MOST_JSON).unwrap_or_default();
    let writer = serde_json::from_slice(&json).map(|Writer { written_by }| written_by);
    let known = writer.ok().filter(|writer| writer.len() <= 64 && !writer.chars().any(char::is_control));
    known.unwrap_or_else(|| String::from("an unknown release"))
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
