//! Logs that cannot be taken up now, for lack of rights, descriptors or room: what is known of them is kept, so that
//! they go on where they should once they can.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Follower;
use super::rotated::{Sibling, siblings};
use crate::logs::checkpoint::{FilePosition, Mark, Position};
use crate::logs::record::SourceKey;
use crate::logs::tail::Tail;
use crate::logs::tail::content::{born_ns, key_of};

/// Most logs that wait. Beyond, one that is followed later is read from its beginning.
const MAX_WAITING: usize = 16_384;

/// Where a log goes on.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Where its name led when it was put off.
    pub(super) real: PathBuf,
    pub(super) entries: Vec<(SourceKey, FilePosition)>,
    pub(super) saved_ns: u64,
}

impl Follower {
    /// Tries again those that could not be taken up before.
    pub(super) fn retry(&mut self) {
        for (path, Waiting { entries, saved_ns, .. }) in std::mem::take(&mut self.waiting) {
            self.resume_log(&path, entries, saved_ns);
        }
    }

    pub(super) fn put_off(&mut self, path: &Path, waiting: Waiting) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.insert(path.to_owned(), waiting);
        }
    }

    /// A log that was there at the first start and is not followed: it goes on at what is its end now. The mark says so
    /// after a restart, too.
    pub(super) fn put_off_at_end(&mut self, path: &Path, saved_ns: u64) -> Option<Mark> {
        if self.logs.contains_key(path) || self.waiting.contains_key(path) {
            return None;
        }
        let (real, metadata) = self.unknown(path)?;
        let source = key_of(&metadata);
        let (offset, head, tail) = match real.open().and_then(Tail::at_end) {
            Ok(tail) => (tail.line_start(), tail.head(), tail.tail()),
            Err(_) => (metadata.len(), Default::default(), Default::default()),
        };
        let beside: BTreeSet<_> = siblings(&real.path).rotated.iter().map(Sibling::identity).collect();
        let position = FilePosition {
            log: path.to_owned(),
            offset,
            born_ns: born_ns(&metadata),
            head,
            tail,
            beside: beside.into_iter().collect(),
            ..FilePosition::default()
        };
        let entries = vec![(source, position.clone())];
        self.put_off(path, Waiting { real: real.path, entries, saved_ns });
        Some(Mark { source, position: Some(Position::File(position)) })
    }
}
