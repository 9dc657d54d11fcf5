//! What can go wrong, by operation.

use std::io;
use std::path::PathBuf;

use proto::error::ErrorCode;

/// A batch that was not stored. After it nothing of the batch is searchable; the sender may repeat it if retryable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Refused {
    /// The cause.
    pub code: ErrorCode,
    /// The cause in words.
    pub detail: String,
    /// When to try again, milliseconds; 0 where repeating is useless.
    pub retry_after_ms: u64,
}

impl Refused {
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self { code: ErrorCode::Invalid, detail: detail.into(), retry_after_ms: 0 }
    }

    pub(crate) fn later(code: ErrorCode, detail: impl Into<String>, retry_after_ms: u64) -> Self {
        Self { code, detail: detail.into(), retry_after_ms }
    }
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or folder could not be made, read or written.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process has the store open.
    #[error("{} is locked by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A newer release wrote this store.
    #[error("{} is of format {found}, written by {written_by}; this release reads up to {supported}", path.display())]
    TooNew {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        supported: u32,
        /// The release that wrote it.
        written_by: String,
    },
    /// The catalog cannot be read, so that what is stored is unknown.
    #[error("{} is damaged: {detail}", path.display())]
    Catalog {
        /// The manifest.
        path: PathBuf,
        /// Where and how.
        detail: String,
    },
    /// The WAL's rows could not be put into the head or sealed.
    #[error("replay the log")]
    Replay(#[source] SealError),
}

/// A seal, compaction or retention step that did not happen; the rows stay where they were.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A file could not be written, synced, renamed or removed.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The columns could not be written.
    #[error("write {}", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: parquet::errors::ParquetError,
    },
    /// Rows could not be arranged.
    #[error("arrange rows of {table}")]
    Arrange {
        /// The table.
        table: &'static str,
        /// Why it failed.
        source: arrow::error::ArrowError,
    },
    /// A failed fsync before this made the store stop.
    #[error("the store has stopped: {0}")]
    Stopped(String),
    /// The task was cancelled or broke.
    #[error("the sealing task ended early")]
    Task(#[source] tokio::task::JoinError),
}

/// A scan that could not go on, or a part of one that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// One segment cannot be read; the stream goes on with the rest, so the answer is partial (`segment_unreadable`).
    #[error("segment {segment} is unreadable: {detail}")]
    SegmentUnreadable {
        /// The segment's id.
        segment: String,
        /// Its oldest row, ns.
        from_ns: i64,
        /// Its newest row, ns.
        to_ns: i64,
        /// Where and how.
        detail: String,
    },
    /// The request names a column that the table does not have.
    #[error("no column {0}")]
    UnknownColumn(String),
    /// A value cannot be compared with its column.
    #[error("{column} cannot equal {value:?}")]
    Incomparable {
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
    /// Rows of the head could not be arranged.
    #[error("arrange rows")]
    Arrange(#[from] arrow::error::ArrowError),
    /// The thread that read broke: there would have been more.
    #[error("the reading thread ended early")]
    Task(#[source] tokio::task::JoinError),
}

impl ScanError {
    /// Whether the stream goes on after this error with what can be read.
    pub fn is_partial(&self) -> bool {
        matches!(self, Self::SegmentUnreadable { .. })
    }
}
