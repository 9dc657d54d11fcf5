//! The last snapshot of this node's pods on disk, so that names are there before the aggregator is.
//!
//! Form: one line of text with version, length, checksum, node and cluster, then the message. What cannot be read, and
//! what is another node's, as on a disk that was copied, is left aside and told; the next snapshot replaces it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use prost::Message as _;
use proto::v1::NodeUpdate;

use super::NodeName;

const HEAD: &str = "wake-pods 2";
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
    /// It names another node, or none, as those of version 1.
    #[error("{path} is not of this node")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

/// Whose a snapshot is, as its head line says it.
fn owner(node: &NodeName) -> String {
    let word = |text: &str| {
        let mut word = String::new();
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                word.push(char::from(byte));
            } else {
                _ = write!(word, "%{byte:02x}");
            }
        }
        word
    };
    format!("node={} cluster={}", word(&node.node), word(&node.cluster))
}

/// Replaces the snapshot of `node`.
///
/// # Errors
/// When the directory cannot be written to; the old snapshot is still there.
pub fn write(path: &Path, node: &NodeName, update: &NodeUpdate) -> io::Result<()> {
    let bytes = update.encode_to_vec();
    let head = format!("{HEAD} {} {:08x} {}\n", bytes.len(), crc32c::crc32c(&bytes), owner(node));
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(head.as_bytes())?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// The snapshot of `node`; `None` where there is none.
///
/// # Errors
/// When it cannot be read, is not whole or is of another node.
pub fn read(path: &Path, node: &NodeName) -> Result<Option<NodeUpdate>, ReadError> {
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
    if bytes.starts_with(b"wake-pods 1 ") {
        return Err(ReadError::Foreign { path: path.to_path_buf() });
    }
    match parse(&bytes) {
        Some((whose, update)) if whose == owner(node) => Ok(Some(update)),
        Some(_) => Err(ReadError::Foreign { path: path.to_path_buf() }),
        None => Err(ReadError::Damaged { path: path.to_path_buf() }),
    }
}

/// Whose it is and a snapshot, from a file's bytes.
pub fn parse(bytes: &[u8]) -> Option<(&str, NodeUpdate)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?.strip_prefix(HEAD)?;
    let (length, rest) = head.trim_start().split_once(' ')?;
    let (crc, whose) = rest.split_once(' ')?;
    let body = &bytes[end + 1..];
    let is_whole =
        length.parse() == Ok(body.len()) && u32::from_str_radix(crc, 16) == Ok(crc32c::crc32c(body));
    NodeUpdate::decode(body).ok().filter(|_| is_whole).map(|update| (whose, update))
}

#[cfg(test)]
mod tests {
    use proto::v1::{KubePod, NodeUpdate};

    use super::{NodeName, ReadError, parse, path, read, write};

    fn node(node: &str, cluster: &str) -> NodeName {
        NodeName { node: node.into(), cluster: cluster.into(), ..NodeName::default() }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path());
        let own = node("node 1", "prod");
        assert!(read(&path, &own).unwrap().is_none());
        let pods = vec![KubePod { uid: "u".into(), name: "cart-0".into(), ..KubePod::default() }];
        let update =
            NodeUpdate { version: "7".into(), snapshot: true, complete: true, pods, ..Default::default() };
        write(&path, &own, &update).unwrap();
        assert_eq!(read(&path, &own).unwrap(), Some(update));
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_none(), "cut at {cut}");
        }
        let mut other = whole.clone();
        *other.last_mut().unwrap() ^= 1;
        std::fs::write(&path, other).unwrap();
        assert!(matches!(read(&path, &own), Err(ReadError::Damaged { .. })));
    }

    #[test]
    fn what_another_node_wrote_is_not_this_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path());
        let update = NodeUpdate { version: "7".into(), complete: true, ..NodeUpdate::default() };
        write(&path, &node("a", "prod"), &update).unwrap();
        for other in [node("b", "prod"), node("a", ""), node("a cluster=prod", "")] {
            assert!(matches!(read(&path, &other), Err(ReadError::Foreign { .. })), "{other:?}");
        }
        assert!(read(&path, &node("a", "prod")).unwrap().is_some());
        std::fs::write(&path, "wake-pods 1 0 00000000\n").unwrap();
        assert!(matches!(read(&path, &node("a", "prod")), Err(ReadError::Foreign { .. })));
    }
}
