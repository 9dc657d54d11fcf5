//! Takes up a log where the checkpoints left it, whatever became of its files while nobody looked.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::time::Duration;

use crate::logs::checkpoint::FilePosition;
use crate::logs::follow::followed::Followed;
use crate::logs::follow::log::Log;
use crate::logs::follow::reconcile::{Present, is_copy, present};
use crate::logs::follow::rotated::Sibling;
use crate::logs::record::SourceKey;
use crate::logs::tail::Tail;
use crate::logs::tail::content::{born_ns, holds, key_of};

impl Log {
    /// Takes up a log where the checkpoints say, whatever became of its files meanwhile. Returns how many files
    /// are lost: those of the checkpoints that were not found, and others that were compressed before they were seen.
    ///
    /// # Errors
    /// When a file that is there cannot be opened.
    pub(crate) fn resume(
        &mut self,
        mut entries: Vec<(SourceKey, FilePosition)>,
        saved_ns: u64,
        now: Duration,
    ) -> io::Result<usize> {
        let Present { live, rotated, compressed } = present(&self.real)?;
        let compressed = self.newly_compressed(&rotated, &compressed, |file| file.is_born_since(saved_ns));
        let mut candidates = Vec::new();
        for sibling in &rotated {
            if let Ok(file) = self.real.open_beside(&sibling.path) {
                candidates.push(Candidate::new(file, Some(sibling))?);
            }
        }
        if let Some(live) = live {
            candidates.push(Candidate::new(live, None)?);
        }
        let listed: BTreeSet<_> = rotated.iter().map(Sibling::identity).collect();
        let beside: BTreeSet<_> =
            entries.iter().flat_map(|(_, position)| &position.beside).copied().collect();
        let is_beside =
            |sibling: &Option<Sibling>| sibling.as_ref().is_some_and(|it| beside.contains(&it.identity()));
        // the surest matches first: the same inode, then the same text
        for by_inode in [true, false] {
            entries.retain(|(key, position)| {
                let mut open = candidates.iter_mut().filter(|candidate| !is_beside(&candidate.rotated));
                let found = open.find(|candidate| candidate.is(*key, position, by_inode));
                found.map(|candidate| candidate.entry = Some((*key, position.clone()))).is_none()
            });
        }
        let live = candidates.last().filter(|last| last.rotated.is_none());
        let live_key = live.map(|live| live.key);
        let is_renamed = live.is_none_or(|live| live.entry.is_none());
        let live_file = live.map(|live| live.file.try_clone()).transpose()?;
        let newest_rotated = rotated.last().map(|sibling| sibling.key);
        let may_be_copy = |file: &File| match &live_file {
            Some(live) if Some(key_of(&file.metadata()?)) == newest_rotated => is_copy(file, live),
            _ => Ok(false),
        };
        // the text of the live file's inode is in another file now: it was copied and truncated
        let copied = candidates.iter().any(|candidate| {
            let key = candidate.entry.as_ref().map(|(key, _)| *key);
            key.is_some() && key == live_key && Some(candidate.key) != live_key
        });
        // nothing had been handed on of the live file: whether it is another text since can only be seen by new files
        let unsure =
            live.and_then(|live| live.entry.as_ref()).is_some_and(|(_, position)| position.offset == 0);
        // of a file of which nothing is durable nothing is sure: its inode may have been used again
        let is_sure =
            |candidate: &Candidate| candidate.entry.as_ref().is_some_and(|(_, position)| position.offset > 0);
        let newest = candidates.iter().rposition(is_sure);
        let is_known_log = !beside.is_empty() || candidates.iter().any(|candidate| candidate.entry.is_some());
        let mut was_unseen = false;
        for (index, candidate) in candidates.into_iter().enumerate() {
            let Candidate { file, rotated, entry, .. } = candidate;
            let is_new = match &rotated {
                Some(sibling) if is_known_log => !beside.contains(&sibling.identity()),
                Some(sibling) => sibling.modified_ns > i128::from(saved_ns),
                None => true,
            };
            let is_newer = newest.is_none_or(|newest| index > newest);
            let mut followed = match entry {
                Some((_, position)) => {
                    self.resume_keys(&position.in_key);
                    Followed::resume(file, &position, now)?
                }
                None if is_new && is_newer && !(unsure && rotated.is_some() && may_be_copy(&file)?) => {
                    was_unseen = true;
                    Followed::new(Tail::new(file, 0)?, now)
                }
                None => {
                    // unless it may be a copy that is being taken
                    if let Some(sibling) = rotated.filter(|_| !may_be_copy(&file).unwrap_or(false)) {
                        self.ignored.insert(sibling.identity());
                    }
                    continue;
                }
            };
            followed.is_rotated = rotated.is_some();
            let after_copy = copied || (unsure && was_unseen);
            followed.continues |= after_copy && followed.tail.line_start() == 0;
            self.files.push_back(followed);
        }
        self.is_hot = true;
        // what was compressed meanwhile was one of the missing, one that was done with, or never seen
        let done = beside.iter().filter(|identity| !listed.contains(identity)).count();
        let missing = entries.len();
        Ok(if is_renamed { missing.max(compressed.saturating_sub(done)) } else { missing })
    }
}

/// A file that may be one of the checkpoints'.
struct Candidate {
    file: File,
    key: SourceKey,
    born_ns: u64,
    /// `None`: the live file.
    rotated: Option<Sibling>,
    entry: Option<(SourceKey, FilePosition)>,
}

impl Candidate {
    fn new(file: File, rotated: Option<&Sibling>) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let (key, born_ns) = (key_of(&metadata), born_ns(&metadata));
        Ok(Self { file, key, born_ns, rotated: rotated.cloned(), entry: None })
    }

    /// Device numbers may change with a reboot, so the inode and the text decide.
    fn is(&self, key: SourceKey, position: &FilePosition, by_inode: bool) -> bool {
        let same_birth = position.born_ns == 0 || position.born_ns == self.born_ns;
        let same_inode = same_birth
            && match (self.key, key) {
                (SourceKey::File { inode: left, .. }, SourceKey::File { inode: right, .. }) => left == right,
                _ => false,
            };
        // of a file that could not be opened so far the text is not known
        let fits = if by_inode { same_inode } else { position.offset > 0 && position.head.length > 0 };
        let text = || holds(&self.file, position.head, position.tail, position.offset).unwrap_or(false);
        self.entry.is_none() && fits && text()
    }
}
