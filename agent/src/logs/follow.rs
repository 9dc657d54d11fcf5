//! Which files are followed, and in which order they are read.
//!
//! `start` takes up what the checkpoints say, `scan` finds new and rotated files, `expire` closes old ones, `read` goes
//! round all logs with something to read. Everything is driven by the caller; nothing here waits.

mod compressed;
mod find;
mod finished;
mod followed;
mod framing;
mod held;
mod log;
mod pending;
mod reconcile;
mod resume;
mod rotated;
mod start;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daemon::clock::Clock;

use crate::logs::annotations::Annotations;
use crate::logs::checkpoint::Checkpoints;
use crate::logs::config::{From, LogsConfig, MultilineConfig};
use crate::logs::container;
use crate::logs::glob::Glob;
use crate::logs::multiline::Multiline;
use crate::logs::outbox::{Outbox, RateLimit};
use crate::logs::owner::Owners;
use crate::logs::place::Place;
use crate::logs::record::{Chunk, SourceKey};
use crate::logs::redact::Rules;
use crate::logs::status::LogStatus;
use crate::logs::tail::READ_BYTES;
use finished::Finished;
use framing::{Framing, Kind};
use log::{Asked, Log, Looked, Progress};
use waiting::Waiting;

/// Rounds of one log before the next has its turn.
const TURN: usize = 8;
/// What may not work with a file.
const OPEN: &str = "open";
const READ: &str = "read";

/// Follows the files of the globs.
#[derive(Debug)]
pub(crate) struct Follower {
    patterns: Vec<Pattern>,
    exclude: Vec<Glob>,
    from: From,
    max_files: usize,
    limit: RateLimit,
    /// Of containers, and of other files.
    multiline: [Multiline; 2],
    checkpoints: Checkpoints,
    clock: Clock,
    owners: Owners,
    annotations: Annotations,
    out: Outbox,
    logs: BTreeMap<PathBuf, Log>,
    directories: BTreeSet<PathBuf>,
    buffer: Vec<u8>,
    /// When following began: what was made since belongs to nobody else.
    started_ns: u64,
    /// Not to be followed in another way.
    waiting: BTreeMap<PathBuf, Waiting>,
    /// Files that found no room in this scan.
    without_room: u64,
    /// Rotated files of logs that are gone, so that a log which comes back does not read them again.
    finished: Finished,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    glob: Glob,
    class: Class,
}

#[derive(Clone, Debug)]
enum Class {
    Plain,
    Named(String),
    Container,
}

impl Pattern {
    fn kind(&self, path: &Path) -> Kind {
        match &self.class {
            Class::Plain => Kind::Plain,
            Class::Named(name) => Kind::Named(name.clone()),
            Class::Container => Kind::Container(container::of_path(path)),
        }
    }
}

/// What the follower needs from outside.
#[derive(Debug)]
pub(crate) struct FollowerDeps {
    pub(crate) rules: Arc<Rules>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) clock: Clock,
    pub(crate) owners: Owners,
    pub(crate) annotations: Annotations,
    pub(crate) status: Arc<LogStatus>,
}

impl Follower {
    pub(crate) fn new(config: &LogsConfig, deps: FollowerDeps) -> Self {
        let FollowerDeps { rules, checkpoints, clock, owners, annotations, status } = deps;
        let pattern =
            |text: &String, class: Class| Pattern { text: text.clone(), glob: Glob::new(text), class };
        // the first pattern that finds a file decides: containers' files and named workloads before the rest
        let containers = config.containers.iter().map(|text| pattern(text, Class::Container));
        let named =
            config.workloads.iter().map(|named| pattern(&named.glob, Class::Named(named.workload.clone())));
        let plain = config.globs.iter().map(|text| pattern(text, Class::Plain));
        Self {
            patterns: containers.chain(named).chain(plain).collect(),
            exclude: config.exclude.iter().map(|text| Glob::new(text)).collect(),
            from: config.from,
            max_files: config.max_files,
            limit: RateLimit::new(config.max_lines_per_second),
            multiline: modes(&config.multiline),
            checkpoints,
            out: Outbox::new(rules, clock.clone(), status),
            clock,
            owners,
            annotations,
            logs: BTreeMap::new(),
            directories: BTreeSet::new(),
            buffer: vec![0; READ_BYTES],
            started_ns: u64::MAX,
            waiting: BTreeMap::new(),
            without_room: 0,
            finished: Finished::default(),
        }
    }

    /// A log of this kind, without files so far.
    fn log(&self, path: &Path, real: Place, kind: Kind) -> Log {
        let [containers, files] = &self.multiline;
        let multiline = match kind {
            Kind::Container(_) => containers.clone(),
            Kind::Plain | Kind::Named(_) => files.clone(),
        };
        Log::new(path.to_owned(), real, Framing::new(path, kind, self.limit, multiline))
    }

    /// Finds new files, and what became of those that are followed.
    pub(crate) fn scan(&mut self) {
        self.without_room = 0;
        self.retry();
        let found = self.find();
        // before new names are looked at: what a log's own name leads to now is its file, not that of another name
        self.reconcile(None);
        for (path, pattern) in &found {
            self.admit(path, *pattern, false, self.started_ns);
        }
        self.note_room();
        let found: BTreeSet<&Path> = found.iter().map(|(path, _)| path.as_path()).collect();
        let (logs, waiting) = (&self.logs, &self.waiting);
        let is_wanted =
            |path: &Path| found.contains(path) || logs.contains_key(path) || waiting.contains_key(path);
        self.out.status.keep_files(is_wanted);
    }

    /// Directories in which files may appear; to be watched.
    pub(crate) fn directories(&self) -> &BTreeSet<PathBuf> {
        &self.directories
    }

    /// Looks what became of one log's files, or of all.
    fn reconcile(&mut self, only: Option<&Path>) {
        let mut known: BTreeSet<SourceKey> =
            self.logs.values().flat_map(Log::all).map(followed::Followed::key).collect();
        let now = self.clock.monotonic();
        let mut failed = Vec::new();
        for log in self.logs.values_mut().filter(|log| only.is_none_or(|only| only == log.path)) {
            match log.reconcile(&known, now, &mut self.out) {
                Ok(()) => self.out.status.works(OPEN, &log.path),
                Err(error) => failed.push((log.path.clone(), error)),
            }
            // a file that two names lead to belongs to one log
            known.extend(log.all().map(followed::Followed::key));
            self.directories.extend(log.real.path.parent().map(Path::to_owned));
        }
        for (path, error) in failed {
            self.cannot(OPEN, &path, &error);
        }
    }

    /// Once a second: closes files that are over, and looks at all of them again.
    pub(crate) fn expire(&mut self) {
        self.flush();
        let now = self.clock.monotonic();
        let (mut open, mut lag) = (0, 0);
        for log in self.logs.values_mut() {
            log.expire(&mut self.out, now);
            log.is_hot = true;
            open += log.all().count() as u64;
            lag += log.all().map(followed::Followed::unread).sum::<u64>();
        }
        let finished = &mut self.finished;
        self.logs.retain(|path, log| {
            let is_live = log.all().next().is_some();
            if !is_live {
                log.ignored.append(&mut log.compressed);
                finished.put(path, std::mem::take(&mut log.ignored));
            }
            is_live
        });
        self.note_waiting(now);
        self.out.status.open_files.set(open);
        self.out.status.lag_bytes.set(lag);
    }

    /// Something may have been written to this path.
    pub(crate) fn touch(&mut self, path: &Path) {
        if let Some(log) = self.logs.get_mut(path) {
            log.is_hot = true;
            return;
        }
        for log in self.logs.values_mut().filter(|log| log.real.path == path) {
            log.is_hot = true;
        }
    }

    /// One turn of each log with something to read. Whether there is more. `emit` says whether to go on.
    pub(crate) fn read(&mut self, emit: &mut dyn FnMut(Chunk) -> bool) -> bool {
        let hot = self.logs.iter().filter(|(_, log)| log.is_hot).map(|(path, _)| path.clone());
        let hot: Vec<PathBuf> = hot.collect();
        for path in &hot {
            if !self.turn(path, emit) {
                return false;
            }
        }
        self.bound_memory();
        let more = hot.iter().any(|path| self.logs.get(path).is_some_and(|log| log.is_hot));
        self.out.take().is_none_or(emit) && more
    }

    /// Some rounds of one log. Whether to go on.
    fn turn(&mut self, path: &Path, emit: &mut dyn FnMut(Chunk) -> bool) -> bool {
        let mut looked = Looked::No;
        for _ in 0..TURN {
            let now = self.clock.monotonic();
            let Some(log) = self.logs.get_mut(path) else { return true };
            let asked = Asked { owners: &mut self.owners, annotations: &mut self.annotations };
            match log.round(&mut self.out, asked, now, &mut self.buffer, looked) {
                Ok(Progress::Read) => self.out.status.works(READ, path),
                Ok(Progress::Unsure) if looked == Looked::No => {
                    looked = Looked::Yes;
                    self.reconcile(Some(path));
                    continue;
                }
                Ok(Progress::Idle | Progress::Unsure) => {
                    log.is_hot = false;
                    self.out.status.works(READ, path);
                }
                Err(error) => {
                    log.is_hot = false;
                    self.cannot(READ, path, &error);
                }
            }
            if self.out.is_full()
                && let Some(chunk) = self.out.take()
                && !emit(chunk)
            {
                return false;
            }
            if self.logs.get(path).is_none_or(|log| !log.is_hot) {
                break;
            }
        }
        true
    }

    fn cannot(&self, what: &'static str, path: &Path, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::WouldBlock) {
            self.out.status.miss(what, path, format!("cannot {what} {}: {error}", path.display()));
        }
    }
}

/// How lines are put together in the logs of containers, and in other files.
fn modes(config: &MultilineConfig) -> [Multiline; 2] {
    let MultilineConfig { containers, files, files_first_line } = config;
    let by_rules = |is_on: bool| if is_on { Multiline::Rules } else { Multiline::Off };
    // `LogsConfig::problems` has said what is wrong with a pattern
    let first_line = Some(files_first_line).filter(|pattern| *files && !pattern.is_empty());
    let first_line = first_line.and_then(|pattern| regex::bytes::Regex::new(pattern).ok());
    let of_files = first_line.map_or_else(|| by_rules(*files), |first| Multiline::FirstLine(Arc::new(first)));
    [by_rules(*containers), of_files]
}

#[cfg(test)]
mod tests;
