//! Where reading goes on after a restart: one mark per source, written as one file, atomically.
//!
//! A mark travels with the records that it covers and is committed when they are durable (see `logs`). The file is
//! JSON, version 1: `{"version":1,"saved_ns":..,"globs":[..],"marks":[..]}`.

mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::logs::record::{Chunk, SourceKey};

/// Where one source is read on once the records before are durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Mark {
    /// Which source.
    pub source: SourceKey,
    /// `None`: it is read to its end and gone.
    pub position: Option<Position>,
}

/// A place in a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// In a file.
    File(FilePosition),
    /// In the journal: `__CURSOR` of the last entry; empty when it had none at the first start.
    Journal(String),
}

/// A place in a file, and how to know the file again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilePosition {
    /// The path under which the log is followed; the file may have been rotated away from it.
    pub log: PathBuf,
    /// Everything before is durable, but for `pending`.
    pub offset: u64,
    /// When the file was born, nanoseconds since the Unix epoch; 0 where the file system does not tell.
    pub born_ns: u64,
    /// The first bytes of the file.
    pub head: Fingerprint,
    /// The bytes just before `offset`.
    pub tail: Fingerprint,
    /// Per stream, where the first line (or part of a line) begins of a record that had not ended.
    pub pending: BTreeMap<String, u64>,
    /// Streams inside a private key of several lines.
    pub in_key: Vec<String>,
    /// The first bytes go on with the line that the rotated copy before it ends in.
    pub continues: bool,
    /// Of the live file: the rotated files beside it that are not to be read, with their time of birth.
    pub beside: Vec<(SourceKey, u64)>,
}

/// A hash of some bytes; of none, the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How many bytes.
    pub length: u32,
    /// XXH3 of them.
    pub hash: u64,
}

/// The marks of chunks that share a batch: the last one of each source.
pub fn merge_marks<'a>(chunks: impl IntoIterator<Item = &'a Chunk>) -> Vec<Mark> {
    let mut last = BTreeMap::new();
    for mark in chunks.into_iter().flat_map(|chunk| &chunk.marks) {
        last.insert(mark.source, mark);
    }
    last.into_values().cloned().collect()
}

/// Reading or writing the checkpoint file went wrong.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The directory cannot be made or read.
    #[error("open checkpoints in {directory}")]
    Open {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file was not replaced; the old one holds.
    #[error("write checkpoints to {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// All marks that are durable; clones share them.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    /// Held while writing, so that an older state never replaces a newer one.
    writing: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    stored: Stored,
    dirty: bool,
    fresh: bool,
}

/// The file's content.
#[derive(Clone, Debug, Default)]
struct Stored {
    saved_ns: u64,
    globs: Vec<String>,
    positions: BTreeMap<SourceKey, Position>,
}

/// What a start goes on from.
#[derive(Debug)]
pub(crate) struct Resume {
    pub(crate) saved_ns: u64,
    pub(crate) globs: Vec<String>,
    pub(crate) positions: BTreeMap<SourceKey, Position>,
}

impl Checkpoints {
    /// Reads the file in this directory, which is made if need be. A file that cannot be understood is set aside as
    /// `logs.json.corrupt` and reading starts as at a first start.
    ///
    /// # Errors
    /// When the directory cannot be made or the file not be read.
    pub fn open(directory: &Path) -> Result<Self, CheckpointError> {
        file::open(directory)
    }

    /// Takes over the marks of a batch that is durable. Memory only; in the order of the batches.
    pub fn commit(&self, marks: &[Mark]) {
        let mut state = self.lock();
        for mark in marks {
            match &mark.position {
                Some(position) => state.stored.positions.insert(mark.source, position.clone()),
                None => state.stored.positions.remove(&mark.source),
            };
        }
        state.dirty |= !marks.is_empty();
    }

    /// Writes what was committed, atomically; returns once it would survive a power cut. Nothing new costs nothing.
    ///
    /// # Errors
    /// When the file cannot be written; the old one stays and the next call tries again.
    pub fn persist(&self, now_ns: u64) -> Result<(), CheckpointError> {
        file::persist(self, now_ns)
    }

    /// True until marks were committed for the first time: files found now were there before the agent.
    pub(crate) fn is_fresh(&self) -> bool {
        self.lock().fresh
    }

    /// What a start goes on from: the positions, the globs of the time and when it was written.
    pub(crate) fn resume(&self) -> Resume {
        let state = self.lock();
        let Stored { saved_ns, globs, positions } = state.stored.clone();
        Resume { saved_ns, globs, positions }
    }

    /// Notes which globs were searched, so that a new one starts as at a first start.
    pub(crate) fn set_globs(&self, globs: Vec<String>) {
        let mut state = self.lock();
        state.fresh = false;
        state.dirty |= state.stored.globs != globs;
        state.stored.globs = globs;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What a start makes of the file's bytes, for `crate::fuzz`.
pub(crate) fn fuzz(data: &[u8]) {
    file::parse(data).ok();
}

#[cfg(test)]
mod tests;
