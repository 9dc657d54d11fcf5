//! Which files have programs: each once, as long as a process runs it.
//!
//! Processes are listed each second, and each is looked at when it is new, some times soon after (libraries are loaded
//! later), and then each minute; so many at a time. A file is read when it is met first. Everything is bounded, and what
//! is beyond is said.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daemon::clock::Clock;
use daemon::log::Repeated;

use super::binary::{Found, Unfit, examine};
use super::elf::Until;
use super::grpc;
use super::processes::{FileKey, Mapped, Processes};
use crate::kernel::uprobe::Place;

/// Between two lists of processes.
const LIST_NS: u64 = 1_000_000_000;
/// From one look at a process to the next.
const LOOKS_NS: [u64; 5] = [500_000_000, 1_500_000_000, 6_000_000_000, 20_000_000_000, 60_000_000_000];
/// Most processes that are looked at in one step.
const MOST_LOOKS: usize = 16;
/// Most processes and files that are known.
const MOST_PROCESSES: usize = 32_768;
const MOST_FILES: usize = 4_096;
/// How long programs stay after the last process has ended: the next one of the same kind may be short.
const LINGER_NS: u64 = 25_000_000_000;
/// How long it is remembered what a file without programs is, after its last process: the next one need not read it again.
const REMEMBERED_NS: u64 = 600_000_000_000;
/// Between two lines of the log that say the same of files.
const LINES: Duration = Duration::from_secs(10);
/// Most files that are named one by one.
const MOST_NAMED: usize = 32;

/// What was made of a file.
#[derive(Debug)]
enum State<H> {
    /// Programs are there.
    Hooked { library: &'static str, places: usize, gap: Option<Unfit>, _hook: H },
    /// It has nothing to read.
    Plain,
    /// It has, and cannot be read.
    Unfit(Unfit),
}

impl<H> State<H> {
    /// Whether it holds for the file, whoever runs it and when.
    fn is_lasting(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Unfit(unfit) => !matches!(unfit.code, "limit" | "attach"),
            Self::Hooked { .. } => false,
        }
    }
}

/// What tells a file from another one that has its inode later, or from itself rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> Option<Self> {
        let found = file.metadata().ok()?;
        Some(Self { length: found.len(), changed: (found.ctime(), found.ctime_nsec()) })
    }
}

#[derive(Debug)]
struct Known<H> {
    path: String,
    state: State<H>,
    stamp: Option<Stamp>,
    users: HashSet<u32>,
    idle_since: u64,
}

#[derive(Debug)]
struct Seen {
    began: u64,
    looks: usize,
    due_ns: u64,
    files: Vec<FileKey>,
}

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Files with programs, by library.
    pub hooked: BTreeMap<&'static str, usize>,
    /// Places that have a program.
    pub places: usize,
    /// Files that cannot be read, by code.
    pub unfit: BTreeMap<&'static str, usize>,
    /// The same, one line each.
    pub lines: Vec<String>,
}

/// The watch; `attach` puts programs at places of a file, and says at how many: the kernel may have refused some programs.
#[derive(Debug)]
pub struct Watch<A, H> {
    processes: Processes,
    attach: A,
    most_places: usize,
    places: usize,
    files: HashMap<FileKey, Known<H>>,
    seen: HashMap<u32, Seen>,
    list_due_ns: u64,
    is_changed: bool,
    stop: Arc<AtomicBool>,
    lines: Lines,
    #[cfg(test)]
    examined: usize,
}

/// Files come and go as often as processes: of each kind of line one is written at a time.
#[derive(Debug)]
struct Lines {
    hooked: Repeated,
    unfit: Repeated,
    failed: Repeated,
}

impl Lines {
    fn new() -> Self {
        let [hooked, unfit, failed] = [(); 3].map(|()| Repeated::new(Clock::system(), LINES));
        Self { hooked, unfit, failed }
    }
}

impl<H, A: FnMut(&File, &[Place]) -> io::Result<(H, usize)>> Watch<A, H> {
    /// Nothing is known yet; at most so many places get a program.
    pub fn new(processes: Processes, most_places: usize, attach: A) -> Self {
        Self {
            processes,
            attach,
            most_places,
            places: 0,
            files: HashMap::new(),
            seen: HashMap::new(),
            list_due_ns: 0,
            is_changed: false,
            stop: Arc::default(),
            lines: Lines::new(),
            #[cfg(test)]
            examined: 0,
        }
    }

    /// Once this is set no more is done, not even with the file that is being read.
    pub fn until(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..self }
    }

    /// Does what is due, a bounded part of it. True: there is more to do at once.
    pub fn step(&mut self, now_ns: u64) -> bool {
        if now_ns >= self.list_due_ns {
            self.list_due_ns = now_ns + LIST_NS;
            self.list(now_ns);
            self.retire(now_ns);
        }
        let due: Vec<u32> = self
            .seen
            .iter()
            .filter(|(_, seen)| seen.due_ns <= now_ns)
            .map(|(pid, _)| *pid)
            .take(MOST_LOOKS)
            .collect();
        for pid in &due {
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            self.look(*pid, now_ns);
        }
        due.len() == MOST_LOOKS
    }

    /// How things stand, if that has changed since it was asked.
    pub fn told(&mut self) -> Option<Told> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        let mut told = Told { places: self.places, ..Told::default() };
        for known in self.files.values() {
            let is_run = !known.users.is_empty();
            match &known.state {
                State::Hooked { library, gap, .. } => {
                    *told.hooked.entry(library).or_default() += 1;
                    if let Some(gap) = gap.as_ref().filter(|_| is_run) {
                        told.lines.push(format!("{}: {gap}", known.path));
                    }
                }
                State::Unfit(unfit) if is_run => {
                    *told.unfit.entry(unfit.code).or_default() += 1;
                    told.lines.push(format!("{}: {unfit}", known.path));
                }
                State::Plain | State::Unfit(_) => {}
            }
        }
        told.lines.sort_unstable();
        told.lines.dedup();
        if told.lines.len() > MOST_NAMED {
            let rest = told.lines.len() - MOST_NAMED;
            told.lines.truncate(MOST_NAMED);
            told.lines.push(format!("and {rest} more files"));
        }
        Some(told)
    }

    fn list(&mut self, now_ns: u64) {
        let Ok(all) = self.processes.all() else { return };
        let gone: Vec<u32> = self.seen.keys().filter(|pid| !all.contains(pid)).copied().collect();
        for pid in gone {
            self.forget(pid, now_ns);
        }
        for pid in all {
            if self.seen.len() >= MOST_PROCESSES {
                break;
            }
            self.seen.entry(pid).or_insert(Seen { began: 0, looks: 0, due_ns: now_ns, files: Vec::new() });
        }
    }

    fn forget(&mut self, pid: u32, now_ns: u64) {
        let Some(seen) = self.seen.remove(&pid) else { return };
        for key in seen.files {
            self.release(key, pid, now_ns);
        }
    }

    fn release(&mut self, key: FileKey, pid: u32, now_ns: u64) {
        let Some(known) = self.files.get_mut(&key) else { return };
        known.users.remove(&pid);
        if !known.users.is_empty() {
            return;
        }
        known.idle_since = now_ns;
        self.is_changed |= matches!(known.state, State::Unfit(_));
        // without programs nothing keeps the inode from being another file's: its stamp says so
        let is_kept = matches!(known.state, State::Hooked { .. }) || known.state.is_lasting();
        if !is_kept || known.stamp.is_none() {
            self.files.remove(&key);
        }
    }

    /// Takes programs away from files that no process has run for a while.
    fn retire(&mut self, now_ns: u64) {
        let before = self.files.len();
        let mut freed = 0;
        self.files.retain(|_, known| {
            let stays_ns = if known.state.is_lasting() { REMEMBERED_NS } else { LINGER_NS };
            let is_over = known.users.is_empty() && now_ns.saturating_sub(known.idle_since) > stays_ns;
            if let State::Hooked { places, .. } = &known.state
                && is_over
            {
                freed += places;
            }
            !is_over
        });
        self.places = self.places.saturating_sub(freed);
        self.is_changed |= self.files.len() != before;
    }

    fn look(&mut self, pid: u32, now_ns: u64) {
        let began = self.processes.began(pid);
        let Some(seen) = self.seen.get_mut(&pid) else { return };
        let is_other = seen.looks > 0 && began != Some(seen.began);
        if began.is_none() || is_other {
            // the next list finds the process that has the number now
            self.forget(pid, now_ns);
            return;
        }
        seen.began = began.unwrap_or(0);
        let wait = LOOKS_NS.get(seen.looks).or(LOOKS_NS.last()).copied().unwrap_or(LIST_NS);
        seen.due_ns = now_ns + wait;
        seen.looks += 1;
        let before = std::mem::take(&mut seen.files);
        let Some(mapped) = self.processes.mapped(pid) else {
            before.into_iter().for_each(|key| self.release(key, pid, now_ns));
            return;
        };
        let mut files = Vec::new();
        for file in &mapped {
            if before.contains(&file.key) || self.acquire(pid, file) {
                files.push(file.key);
            }
        }
        for key in before.into_iter().filter(|key| !files.contains(key)) {
            self.release(key, pid, now_ns);
        }
        if let Some(seen) = self.seen.get_mut(&pid) {
            seen.files = files;
        }
    }

    /// A process runs a file. False: there is no room for it, or it could not be opened, which is tried again.
    fn acquire(&mut self, pid: u32, mapped: &Mapped) -> bool {
        if let Some(known) = self.files.get_mut(&mapped.key)
            && (!known.users.is_empty() || matches!(known.state, State::Hooked { .. }))
        {
            known.users.insert(pid);
            return true;
        }
        if !self.has_room() {
            return false;
        }
        let Ok(file) = self.processes.open(pid, mapped) else { return false };
        let stamp = Stamp::of(&file);
        if let Some(known) = self.files.get_mut(&mapped.key).filter(|known| known.stamp == stamp) {
            known.users.insert(pid);
            self.is_changed |= matches!(known.state, State::Unfit(_));
            return true;
        }
        #[cfg(test)]
        {
            self.examined += 1;
        }
        let state = self.examine(&file, &mapped.path);
        self.is_changed |= !matches!(state, State::Plain);
        let users = HashSet::from([pid]);
        let known = Known { path: mapped.path.clone(), state, stamp, users, idle_since: 0 };
        self.files.insert(mapped.key, known);
        true
    }

    /// Room for one more file: of those that no process runs one is forgotten for it, if it has no programs.
    fn has_room(&mut self) -> bool {
        if self.files.len() < MOST_FILES {
            return true;
        }
        let idle = self.files.iter().filter(|(_, known)| known.users.is_empty() && known.state.is_lasting());
        let Some(key) = idle.min_by_key(|(_, known)| known.idle_since).map(|(key, _)| *key) else {
            return false;
        };
        self.files.remove(&key);
        true
    }

    fn examine(&mut self, file: &File, path: &str) -> State<H> {
        let Found { library, mut places, streams, mut gap } =
            match examine(&Until { file, stop: &self.stop }, path) {
                Ok(Some(found)) => found,
                Ok(None) => return State::Plain,
                // it is nothing that is wrong with the file
                Err(_) if self.stop.load(Ordering::Relaxed) => return State::Plain,
                Err(unfit) => {
                    if let Some(held_back) = self.lines.unfit.permit() {
                        tracing::info!(path, reason = %unfit, held_back, "TLS that is not read");
                    }
                    return State::Unfit(unfit);
                }
            };
        let count_of = |places: &[Place]| places.iter().map(|place| place.offsets.len()).sum::<usize>();
        let count = count_of(&places);
        let limit = format!("{} places have programs already", self.places);
        if self.places + count > self.most_places {
            return State::Unfit(Unfit { code: "limit", detail: limit });
        }
        let by_thread = |code, why: &str| Some(Unfit { code, detail: format!("{why}: {}", grpc::BY_THREAD) });
        let (alone, of_streams) = (places.len(), count_of(&streams));
        if self.places + count + of_streams <= self.most_places {
            places.extend(streams);
        } else {
            gap = by_thread("limit", &limit);
        }
        let mut attached = (self.attach)(file, &places);
        if let Err(error) = &attached
            && places.len() > alone
        {
            // the connections are read without them
            gap = by_thread("attach", &error.to_string());
            places.truncate(alone);
            attached = (self.attach)(file, &places);
        }
        match attached {
            Ok((hook, count)) => {
                self.places += count;
                if let Some(held_back) = self.lines.hooked.permit() {
                    tracing::info!(path, library, places = count, held_back, "TLS is read");
                }
                State::Hooked { library, places: count, gap, _hook: hook }
            }
            Err(error) => {
                if let Some(held_back) = self.lines.failed.permit() {
                    tracing::warn!(path, library, %error, held_back, "programs not attached");
                }
                State::Unfit(Unfit { code: "attach", detail: error.to_string() })
            }
        }
    }
}

#[cfg(test)]
mod tests;
