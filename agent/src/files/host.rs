//! Usage of the root cgroup's tasks by executable: on a host without systemd or containers that is everything.
//!
//! Sums `/proc/<pid>/stat` and `io` per name. What a process used between its last reading and its end is added from its
//! exit event (`exited`), so that short-lived programs count too.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use proto::v1;

use super::parse;

/// Most processes that are followed; the rest goes uncounted.
const MAX_PIDS: usize = 8_192;

#[derive(Clone, Debug, Default)]
struct Last {
    started_ticks: u64,
    cpu_user_ns: u64,
    cpu_system_ns: u64,
    io: Option<[u64; 2]>,
    round: u64,
}

/// The root cgroup's tasks.
#[derive(Debug)]
pub(super) struct HostTasks {
    proc: PathBuf,
    /// `cgroup.procs` of the hierarchy's root.
    procs: PathBuf,
    tick_ns: u64,
    page_bytes: u64,
    last: HashMap<u32, Last>,
    exited: HashMap<String, u64>,
    round: u64,
}

impl HostTasks {
    pub(super) fn new(proc: PathBuf, procs: PathBuf, ticks_per_second: u64, page_bytes: u64) -> Self {
        let tick_ns = 1_000_000_000 / ticks_per_second.max(1);
        Self { proc, procs, tick_ns, page_bytes, last: HashMap::new(), exited: HashMap::new(), round: 0 }
    }

    /// A process of the root cgroup ended, having used this much CPU in all.
    pub(super) fn exited(&mut self, pid: u32, comm: &str, cpu_ns: u64) {
        let counted = self.last.remove(&pid).map_or(0, |last| last.cpu_user_ns + last.cpu_system_ns);
        let is_known = self.exited.contains_key(comm) || self.exited.len() < 256;
        let name = if is_known { comm } else { "other" };
        *self.exited.entry(name.to_owned()).or_default() += cpu_ns.saturating_sub(counted);
    }

    /// One row per executable since the last call.
    pub(super) fn read(&mut self) -> Vec<(String, v1::UsageRow)> {
        self.round += 1;
        let mut rows: HashMap<String, v1::UsageRow> = HashMap::new();
        let Ok(pids) = fs::read_to_string(&self.procs) else { return Vec::new() };
        let mut text = String::new();
        for pid in pids.lines().filter_map(|line| line.parse::<u32>().ok()).take(MAX_PIDS) {
            self.read_process(pid, &mut text, &mut rows);
        }
        for (comm, cpu_ns) in self.exited.drain() {
            let row = rows.entry(comm).or_default();
            row.cpu_usage_ns = Some(row.cpu_usage_ns.unwrap_or(0) + cpu_ns);
        }
        let round = self.round;
        self.last.retain(|_, last| last.round == round);
        rows.into_iter().collect()
    }

    fn read_process(&mut self, pid: u32, text: &mut String, rows: &mut HashMap<String, v1::UsageRow>) {
        let directory = self.proc.join(pid.to_string());
        if read_into(&directory.join("stat"), text).is_none() {
            return;
        }
        let Some(stat) = parse::stat(text) else { return };
        // kworker/0:1-events and its siblings are one
        let comm = stat.comm.split('/').next().unwrap_or_default().to_owned();
        let row = rows.entry(comm).or_default();
        let (user, system) = (stat.user_ticks * self.tick_ns, stat.system_ticks * self.tick_ns);
        let last = self.last.get(&pid).filter(|last| last.started_ticks == stat.started_ticks).cloned();
        // the first round finds processes that are old; later ones only such as are born between two rounds
        let is_first = last.is_none() && self.round == 1;
        let last_known = last.unwrap_or_default();
        let add = |slot: &mut Option<u64>, value: u64| *slot = Some(slot.unwrap_or(0).saturating_add(value));
        if !is_first {
            let user = user.saturating_sub(last_known.cpu_user_ns);
            let system = system.saturating_sub(last_known.cpu_system_ns);
            add(&mut row.cpu_user_ns, user);
            add(&mut row.cpu_system_ns, system);
            add(&mut row.cpu_usage_ns, user + system);
        }
        add(&mut row.pids_current, stat.threads);
        let mut io = None;
        if !stat.is_kernel {
            let resident = stat.resident_pages.saturating_mul(self.page_bytes);
            add(&mut row.memory_current, resident);
            add(&mut row.memory_working_set, resident);
            io = read_into(&directory.join("io"), text).and_then(|()| read_io(text));
        }
        if let Some(now) = io.filter(|_| !is_first) {
            let then = last_known.io.unwrap_or_default();
            add(&mut row.io_read_bytes, now[0].saturating_sub(then[0]));
            add(&mut row.io_write_bytes, now[1].saturating_sub(then[1]));
        }
        let round = self.round;
        let last =
            Last { started_ticks: stat.started_ticks, cpu_user_ns: user, cpu_system_ns: system, io, round };
        self.last.insert(pid, last);
    }
}

fn read_io(text: &str) -> Option<[u64; 2]> {
    Some([parse::proc_io(text, "read_bytes")?, parse::proc_io(text, "write_bytes")?])
}

/// One read is enough for files of this size, and saves the calls that ask for it.
fn read_into(path: &std::path::Path, text: &mut String) -> Option<()> {
    let mut bytes = [0; 4096];
    let length = fs::File::open(path).ok()?.read(&mut bytes).ok()?;
    text.clear();
    // a name may hold any bytes
    text.push_str(&String::from_utf8_lossy(bytes.get(..length)?));
    Some(())
}
