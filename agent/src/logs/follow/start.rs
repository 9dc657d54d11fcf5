//! The start: logs of the checkpoints go on where they were, the others begin at their end or, if they are new, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::followed::Followed;
use super::waiting::Waiting;
use super::{Follower, OPEN};
use crate::logs::checkpoint::{FilePosition, Mark, Position, Resume};
use crate::logs::config::From;
use crate::logs::place::Place;
use crate::logs::record::SourceKey;

impl Follower {
    /// Takes up the files of the checkpoints, then those that are there now.
    pub(crate) fn start(&mut self) {
        let is_first = self.checkpoints.is_fresh();
        self.started_ns = self.clock.now_unix_ns();
        self.without_room = 0;
        let Resume { saved_ns, globs, positions } = self.checkpoints.resume();
        let mut by_log: BTreeMap<PathBuf, Vec<(SourceKey, FilePosition)>> = BTreeMap::new();
        let found = self.find();
        let names = first_names(&found);
        for (source, position) in positions {
            if let Position::File(position) = position {
                let real = Place::of(&position.log).ok();
                let name = real.and_then(|real| names.get(&real.path)).unwrap_or(&position.log).clone();
                by_log.entry(name).or_default().push((source, position));
            }
        }
        for (path, entries) in by_log {
            self.resume_log(&path, entries, saved_ns);
        }
        let old: BTreeSet<String> = if is_first { BTreeSet::new() } else { globs.into_iter().collect() };
        let mut marks = Vec::new();
        for (path, pattern) in found {
            let is_new_glob = !old.contains(&self.patterns[pattern].text);
            let at_end = is_new_glob && self.from == From::End;
            // what was rotated away while the agent was stopped; of a new glob rotated files are history
            let unread_since = if is_new_glob { u64::MAX } else { saved_ns };
            if let Some(log) = self.admit(&path, pattern, at_end, unread_since) {
                let files = log.files.iter_mut();
                let positions = files.map(|file| Mark {
                    source: file.key(),
                    position: file.position(&path, [false; 3], &log.ignored),
                });
                marks.extend(positions);
            } else if at_end {
                marks.extend(self.put_off_at_end(&path, self.started_ns));
            }
        }
        self.note_room();
        // what is skipped now is skipped after a restart as well
        self.checkpoints.commit(&marks);
        let globs = self.patterns.iter().map(|pattern| pattern.text.clone());
        self.checkpoints.set_globs(globs.collect());
        if let Err(error) = self.checkpoints.persist(self.clock.now_unix_ns()) {
            tracing::warn!(error = &error as &dyn std::error::Error, "checkpoints not written");
        }
        self.reconcile(None);
    }

    pub(super) fn resume_log(&mut self, path: &Path, entries: Vec<(SourceKey, FilePosition)>, saved_ns: u64) {
        let gone: Vec<SourceKey> = entries.iter().map(|(key, _)| *key).collect();
        let real = Place::of(path).unwrap_or_else(|_| Place::unresolved(path));
        let is_excluded = self.is_excluded(path) || self.is_excluded(&real.path);
        let pattern = self.patterns.iter().find(|pattern| pattern.glob.matches(path));
        let Some(kind) = pattern.filter(|_| !is_excluded).map(|pattern| pattern.kind(path)) else {
            // no longer wanted
            self.checkpoints
                .commit(&gone.iter().map(|&source| Mark { source, position: None }).collect::<Vec<_>>());
            return;
        };
        let waiting = Waiting { real: real.path.clone(), entries: entries.clone(), saved_ns };
        if !self.has_room() {
            self.put_off(path, waiting);
            return;
        }
        let mut log = self.log(path, real, kind);
        match log.resume(entries, saved_ns, self.clock.monotonic()) {
            Ok(missing) => {
                self.out.status.works(OPEN, path);
                self.out.status.lose("rotated_away", missing as u64);
            }
            Err(error) => {
                self.cannot(OPEN, path, &error);
                self.put_off(path, waiting);
                return;
            }
        }
        let present: BTreeSet<SourceKey> = log.all().map(Followed::key).collect();
        for key in gone.into_iter().filter(|key| !present.contains(key)) {
            self.out.mark(key, None);
        }
        log.mark_all(&mut self.out);
        if log.all().next().is_some() {
            self.logs.insert(path.to_owned(), log);
        }
    }
}

/// Of all names that lead to a file, the one that is found first: the others are not followed. A checkpoint may have
/// another one of them, from a time when the globs were others.
fn first_names(found: &[(PathBuf, usize)]) -> BTreeMap<PathBuf, PathBuf> {
    let mut names = BTreeMap::new();
    for (path, _) in found {
        if let Ok(real) = Place::of(path) {
            names.entry(real.path).or_insert_with(|| path.clone());
        }
    }
    names
}
