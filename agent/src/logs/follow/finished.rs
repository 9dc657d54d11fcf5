//! Rotated files of logs that are no longer followed: a log that comes back does not read them again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::logs::record::SourceKey;

/// Most logs that are remembered. Beyond, all are forgotten, and one that comes back may be read twice.
const MAX_LOGS: usize = 4_096;

/// File and time of birth.
type Identity = (SourceKey, u64);

/// The memory.
#[derive(Debug, Default)]
pub(super) struct Finished(BTreeMap<PathBuf, BTreeSet<Identity>>);

impl Finished {
    /// This log is no longer followed; these rotated files of it are done with.
    pub(super) fn put(&mut self, log: &Path, rotated: BTreeSet<Identity>) {
        if self.0.len() >= MAX_LOGS {
            self.0.clear();
        }
        if !rotated.is_empty() {
            self.0.insert(log.to_owned(), rotated);
        }
    }

    /// This log is followed again.
    pub(super) fn take(&mut self, log: &Path) -> BTreeSet<Identity> {
        self.0.remove(log).unwrap_or_default()
    }
}
