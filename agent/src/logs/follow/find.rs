//! Which files are there, and which of them become logs.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use super::followed::Followed;
use super::log::Log;
use super::rotated::{Sibling, is_rotated};
use super::{Follower, OPEN};
use crate::logs::place::Place;
use crate::logs::record::SourceKey;
use crate::logs::tail::Tail;
use crate::logs::tail::content::key_of;

impl Follower {
    /// Files that match, each with the first pattern that finds it; a log's name before those of its rotated files.
    pub(super) fn find(&mut self) -> Vec<(PathBuf, usize)> {
        let mut all = Vec::new();
        let mut seen = BTreeSet::new();
        self.directories.clear();
        for (index, pattern) in self.patterns.iter().enumerate() {
            let mut found = Vec::new();
            pattern.glob.expand(&mut found, &mut self.directories);
            found.sort_by(|left, right| {
                left.as_os_str().len().cmp(&right.as_os_str().len()).then_with(|| left.cmp(right))
            });
            all.extend(found.into_iter().filter(|path| seen.insert(path.clone())).map(|path| (path, index)));
        }
        all.retain(|(path, _)| !self.exclude.iter().any(|glob| glob.matches(path)));
        all
    }

    pub(super) fn is_excluded(&self, path: &Path) -> bool {
        self.exclude.iter().any(|glob| glob.matches(path))
    }

    /// Begins to follow the file, unless it is followed already or is another log's rotated one. Its rotated files that
    /// were made since `unread_since` are read as well: they went before they were seen.
    pub(super) fn admit(
        &mut self,
        path: &Path,
        pattern: usize,
        at_end: bool,
        unread_since: u64,
    ) -> Option<&mut Log> {
        if self.logs.contains_key(path) || self.waiting.contains_key(path) || path.to_str().is_none() {
            return None;
        }
        let (real, _) = self.unknown(path)?;
        if !self.has_room() {
            return None;
        }
        let kind = self.patterns[pattern].kind(path);
        let mut log = self.log(path, real, kind);
        let open = |file| if at_end { Tail::at_end(file) } else { Tail::new(file, 0) };
        let followed: BTreeSet<SourceKey> =
            self.logs.values().flat_map(Log::all).map(Followed::key).collect();
        let finished = self.finished.take(path);
        let is_unread = |sibling: &Sibling| {
            sibling.is_born_since(unread_since)
                && !followed.contains(&sibling.key)
                && !finished.contains(&sibling.identity())
        };
        match log.begin(self.clock.monotonic(), open, is_unread) {
            Ok(compressed) => self.out.status.lose("rotated_away", compressed as u64),
            Err(error) => {
                self.cannot(OPEN, path, &error);
                return None;
            }
        }
        self.out.status.works(OPEN, path);
        self.directories.extend(log.real.path.parent().map(Path::to_owned));
        Some(self.logs.entry(path.to_owned()).or_insert(log))
    }
}

impl Follower {
    /// Where this name leads, unless that is no file, excluded, or known already.
    pub(super) fn unknown(&self, path: &Path) -> Option<(Place, Metadata)> {
        let real = Place::of(path).ok()?;
        let metadata = real.path.symlink_metadata().ok().filter(Metadata::is_file)?;
        let is_free = !self.is_excluded(&real.path) && !self.is_known(&real, key_of(&metadata));
        is_free.then_some((real, metadata))
    }

    /// Whether it is followed already or will be, by whatever name, or is another log's rotated file.
    fn is_known(&self, real: &Place, key: SourceKey) -> bool {
        // the place as well as the file: after a rotation the file is a new one, and still that log's
        let is_known = |log: &Log| {
            log.real.path == real.path
                || log.all().any(|file| file.key() == key)
                || is_rotated_of(&real.path, &log.real.path)
        };
        self.logs.values().any(is_known) || self.waiting.values().any(|waiting| waiting.real == real.path)
    }

    /// Whether one more log may be followed; if not, it is counted.
    pub(super) fn has_room(&mut self) -> bool {
        if self.logs.values().map(|log| log.all().count()).sum::<usize>() < self.max_files {
            return true;
        }
        self.without_room += 1;
        false
    }

    /// After all were tried.
    pub(super) fn note_room(&self) {
        let (status, about) = (&self.out.status, Path::new(""));
        status.unfollowed_files.set(self.without_room);
        if self.without_room == 0 {
            status.works("max_files", about);
            return;
        }
        let sentence =
            format!("more files match than max_files ({}) allows: the rest is not read", self.max_files);
        status.miss("max_files", about, sentence);
    }
}

fn is_rotated_of(path: &Path, log: &Path) -> bool {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    path != log
        && path.parent() == log.parent()
        && name(log).zip(name(path)).is_some_and(|(base, name)| is_rotated(&base, &name))
}
