//! What the reader yields: a row, its owner, and the bytes that it came from.

use proto::v1;

use crate::logs::checkpoint::Mark;
use crate::requests::written::Print;
use crate::window::sample::Owner;

/// A chunk holds about this many bytes of rows, and at most one body more.
pub const CHUNK_BYTES: usize = 256 << 10;
/// How many chunks wait for the window before reading stops.
pub const CHANNEL_CHUNKS: usize = 16;

/// Records that become durable together, and where their sources go on after that.
#[derive(Debug, Default)]
pub struct Chunk {
    /// In the order of each source; empty where lines were only passed over.
    pub records: Vec<LogRecord>,
    /// One per source touched since the chunk before.
    pub marks: Vec<Mark>,
}

/// One log line.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// Whose line it is.
    pub owner: Owner,
    /// Complete but for `identity`; redacted.
    pub row: v1::LogRow,
    /// Where it was read.
    pub origin: Origin,
    /// Of its first and of its last line, before anything was redacted.
    pub prints: [Print; 2],
    /// How many lines it has.
    pub lines: u32,
}

/// The bytes of a line: `[start, end)` of a source. Of joined parts, those of the last part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file, or the journal.
    pub source: SourceKey,
    /// Offset of the first byte; in the journal, a running number since the agent's start.
    pub start: u64,
    /// Offset behind the line's end.
    pub end: u64,
}

/// Names a source on this node, across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKey {
    /// A file; its `Mark` also holds a hash of its first bytes, since inodes are used again.
    File {
        /// `st_dev`
        device: u64,
        /// `st_ino`
        inode: u64,
    },
    /// The systemd journal.
    Journal,
}
