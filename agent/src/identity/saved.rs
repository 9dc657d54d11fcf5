//! The last snapshot of this node's pods on disk, so that names are there before the aggregator is.
//!
//! Form: one line of text with version, length and checksum, then the message. What cannot be read is left aside and
//! told; the next snapshot replaces it.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use prost::Message as _;
use proto::v1::NodeUpdate;

const HEAD: &str = "wake-pods 1";
/// More is no snapshot of one node.
const MAX_BYTES: u64 = 32 << 20;

/// Where it lies.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("pods")
}

/// Why a snapshot is not used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is there and cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what was written.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// Replaces the snapshot.
///
/// # Errors
/// When the directory cannot be written to; the old snapshot is still there.
pub fn write(path: &Path, update: &NodeUpdate) -> io::Result<()> {
    let bytes = update.encode_to_vec();
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(format!("{HEAD} {} {:08x}\n", bytes.len(), crc32c::crc32c(&bytes)).as_bytes())?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// The snapshot; `None` where there is none.
///
/// # Errors
/// When it cannot be read or is not whole.
pub fn read(path: &Path) -> Result<Option<NodeUpdate>, ReadError> {
    let failed = |source| ReadError::Read { path: path.to_path_buf(), source };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            return Err(ReadError::Damaged { path: path.to_path_buf() });
        }
        Ok(_) => {}
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    parse(&bytes).map(Some).ok_or_else(|| ReadError::Damaged { path: path.to_path_buf() })
}

/// A snapshot from a file's bytes.
pub fn parse(bytes: &[u8]) -> Option<NodeUpdate> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?.strip_prefix(HEAD)?;
    let (length, crc) = head.trim_start().split_once(' ')?;
    let body = &bytes[end + 1..];
    let is_whole =
        length.parse() == Ok(body.len()) && u32::from_str_radix(crc, 16) == Ok(crc32c::crc32c(body));
    NodeUpdate::decode(body).ok().filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use proto::v1::{KubePod, NodeUpdate};

    use super::{ReadError, parse, path, read, write};

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path());
        assert!(read(&path).unwrap().is_none());
        let pods = vec![KubePod { uid: "u".into(), name: "cart-0".into(), ..KubePod::default() }];
        let update =
            NodeUpdate { version: "7".into(), snapshot: true, complete: true, pods, ..Default::default() };
        write(&path, &update).unwrap();
        assert_eq!(read(&path).unwrap(), Some(update));
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_none(), "cut at {cut}");
        }
        let mut other = whole.clone();
        *other.last_mut().unwrap() ^= 1;
        std::fs::write(&path, other).unwrap();
        assert!(matches!(read(&path), Err(ReadError::Damaged { .. })));
    }
}
