//! Whose log a file is: the cgroup of the process that has it open for writing.
//!
//! One scan of `/proc/*/fd` answers for all files that are asked about; it is cached, and scans take at most 2 % of one
//! CPU. A process of the root cgroup is known by its name. A file that nobody writes at the moment is its own owner.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon::clock::Clock;

use crate::kernel::view::NodeView;
use crate::window::sample::Owner;

/// Most descriptors that one scan looks at.
const MAX_DESCRIPTORS: usize = 100_000;
/// Most files whose owner is remembered.
const MAX_CACHED: usize = 8192;
/// How long it holds that nobody writes a file, at first.
const FRESH: Duration = Duration::from_secs(10);
/// How long a writer is taken to write on without a look at its descriptor.
const LOOK: Duration = Duration::from_secs(1);
/// The longest wait before a file without a writer is looked for again.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// A scan that took so long is repeated after this many times as long.
const PAUSE_FACTOR: u32 = 50;

/// Finds and remembers owners.
#[derive(Debug)]
pub(crate) struct Owners {
    proc: PathBuf,
    cgroup2: Option<PathBuf>,
    root_cgroup_id: u64,
    view: NodeView,
    clock: Clock,
    cache: HashMap<PathBuf, Cached>,
    next_scan: Duration,
}

#[derive(Debug, Default)]
struct Cached {
    writer: Option<Writer>,
    /// Who wrote before, and until when that tells whose lines are, if nobody else writes.
    former: Option<(Owner, Duration)>,
    /// When to look again.
    until: Duration,
    misses: u32,
}

#[derive(Clone, Debug)]
struct Writer {
    /// `/proc/<pid>/fd/<fd>`
    link: PathBuf,
    owner: Owner,
}

impl Writer {
    fn still_writes(&self, path: &Path) -> bool {
        let process = self.link.parent().and_then(Path::parent);
        fs::read_link(&self.link).is_ok_and(|target| target == path)
            && process
                .zip(self.link.file_name())
                .is_some_and(|(process, descriptor)| is_writer(process, descriptor))
    }
}

impl Owners {
    /// `cgroup2`: where the node's root is.
    pub(crate) fn new(cgroup2: Option<PathBuf>, root_cgroup_id: u64, view: NodeView, clock: Clock) -> Self {
        let proc = PathBuf::from("/proc");
        let cache = HashMap::new();
        Self { proc, cgroup2, root_cgroup_id, view, clock, cache, next_scan: Duration::ZERO }
    }

    /// The owner of what is written to this path (without symbolic links) now.
    pub(crate) fn of_file(&mut self, path: &Path) -> Owner {
        let now = self.clock.monotonic();
        let known = match self.cache.get(path) {
            Some(cached) if now < cached.until => return owner_of(cached, path, now),
            Some(cached) => cached.writer.clone(),
            None => None,
        };
        if let Some(writer) = known {
            let is_still = writer.still_writes(path);
            let entry = self.cache.entry(path.to_owned()).or_default();
            if is_still {
                entry.until = now + LOOK;
                return writer.owner;
            }
            // what it wrote may not be read yet; who writes now is not known, and has to be sought
            *entry = Cached { former: Some((writer.owner, now + FRESH)), ..Cached::default() };
        }
        if self.cache.len() >= MAX_CACHED {
            self.cache.clear();
        }
        self.cache.entry(path.to_owned()).or_default();
        if now >= self.next_scan {
            self.scan(now);
        }
        self.cache
            .get(path)
            .map_or_else(|| Owner::File(path.display().to_string()), |cached| owner_of(cached, path, now))
    }

    /// Whether nobody has looked yet for who writes this path: scans are paced.
    pub(crate) fn is_sought(&self, path: &Path) -> bool {
        self.cache.get(path).is_some_and(|cached| cached.writer.is_none() && cached.misses == 0)
    }

    /// The owner of a container's log: the cgroup of that container, where it is in one of the usual places.
    pub(crate) fn of_container(&self, id: &str) -> Option<Owner> {
        let root = self.cgroup2.as_ref()?;
        let places = [
            format!("system.slice/docker-{id}.scope"),
            format!("docker/{id}"),
            format!("machine.slice/libpod-{id}.scope"),
            format!("libpod_parent/libpod-{id}"),
        ];
        places.iter().find_map(|place| Some(Owner::Workload(fs::metadata(root.join(place)).ok()?.ino())))
    }

    /// The owner behind a path below the node's root.
    pub(crate) fn of_cgroup(&self, path: &str) -> Option<Owner> {
        let relative = path.strip_prefix('/').filter(|path| !path.starts_with(".."))?;
        let id = fs::metadata(self.cgroup2.as_ref()?.join(relative)).ok()?.ino();
        (id != self.root_cgroup_id).then_some(Owner::Workload(id))
    }

    /// As if the last look had taken so long that the next one has to wait.
    #[cfg(test)]
    pub(crate) fn delay(&mut self, wait: Duration) {
        self.next_scan = self.clock.monotonic() + wait;
    }

    fn scan(&mut self, now: Duration) {
        let mut found = BTreeMap::new();
        let mut looked_at = 0;
        for process in fs::read_dir(&self.proc).into_iter().flatten().flatten() {
            let is_process = process
                .file_name()
                .to_str()
                .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
            if !is_process {
                continue;
            }
            for descriptor in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
                looked_at += 1;
                let link = descriptor.path();
                let Ok(target) = fs::read_link(&link) else { continue };
                if !self.cache.contains_key(&target) || found.contains_key(&target) {
                    continue;
                }
                if is_writer(&process.path(), &descriptor.file_name())
                    && let Some(owner) = self.of_process(&process.path())
                {
                    found.insert(target, Writer { link, owner });
                }
            }
            if looked_at > MAX_DESCRIPTORS {
                break;
            }
        }
        for (path, cached) in &mut self.cache {
            cached.writer = found.remove(path);
            cached.misses = if cached.writer.is_some() { 0 } else { cached.misses.saturating_add(1) };
            let wait = FRESH.saturating_mul(1 << cached.misses.saturating_sub(1).min(5));
            cached.until = now + if cached.writer.is_some() { LOOK } else { wait.min(MAX_WAIT) };
        }
        let after = self.clock.monotonic();
        self.next_scan = after + after.saturating_sub(now).saturating_mul(PAUSE_FACTOR);
    }

    fn of_process(&self, process: &Path) -> Option<Owner> {
        let cgroups = fs::read_to_string(process.join("cgroup")).ok()?;
        let path = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
        let path = self.view.relative(path)?;
        if let Some(owner) = self.of_cgroup(&path) {
            return Some(owner);
        }
        let comm = fs::read_to_string(process.join("comm")).ok()?;
        (path == "/").then(|| Owner::Host(comm.trim_end_matches('\n').to_owned()))
    }
}

fn owner_of(cached: &Cached, path: &Path, now: Duration) -> Owner {
    let former = cached.former.as_ref().filter(|(_, until)| now < *until).map(|(owner, _)| owner);
    let owner = cached.writer.as_ref().map(|writer| &writer.owner).or(former);
    owner.cloned().unwrap_or_else(|| Owner::File(path.display().to_string()))
}

/// Whether the descriptor was opened for writing: `flags` in its fdinfo is octal, its last two bits the mode.
fn is_writer(process: &Path, descriptor: &std::ffi::OsStr) -> bool {
    let Ok(info) = fs::read_to_string(process.join("fdinfo").join(descriptor)) else { return false };
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| matches!(flags & 3, 1 | 2))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use daemon::clock::Clock;

    use super::{NodeView, Owners};
    use crate::window::sample::Owner;

    #[test]
    fn a_file_belongs_to_the_process_that_writes_it_and_else_to_itself() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("a.log");
        let clock = Clock::manual(0);
        let mut owners = Owners::new(None, 0, NodeView::default(), clock.clone());
        let file = File::create(&path).unwrap();
        // without a cgroup2 mount a process of the root cgroup is known by name, any other not at all
        let in_root =
            std::fs::read_to_string("/proc/self/cgroup").unwrap().lines().any(|line| line == "0::/");
        let of_file = Owner::File(path.display().to_string());
        let comm = std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned();
        let expected = if in_root { Owner::Host(comm) } else { of_file.clone() };
        assert_eq!(owners.of_file(&path), expected);
        drop(file);
        let reader = File::open(&path).unwrap();
        assert_eq!(owners.of_file(&path), expected, "remembered");
        owners.delay(Duration::from_secs(60));
        clock.advance(Duration::from_secs(2));
        assert_eq!(owners.of_file(&path), expected, "it wrote what may not be read yet");
        assert_eq!(owners.is_sought(&path), expected != of_file, "who writes now is not known");
        clock.advance(Duration::from_secs(60));
        assert_eq!(owners.of_file(&path), of_file, "nobody writes it");
        assert!(!owners.is_sought(&path));
        drop(reader);
    }
}
