//! Usage from files: CPU, throttling, memory, pids, I/O and pressure of every cgroup, as differences per window.
//!
//! In: births and ends of cgroups, and the files below the hierarchies' roots (given, so that tests use a fake tree).
//! Out: one usage row per cgroup and window, and for tasks of the root cgroup one per executable.
//! Invariants: absent is absent, never zero; what a cgroup used before it was first seen counts only if it was born
//! while the agent ran; open descriptors stay within the budget.

pub mod addresses;
mod cgroup;
pub(crate) mod fuzz;
mod host;
mod nest;
mod parse;
mod reading;

use std::collections::HashMap;
use std::path::PathBuf;

use proto::v1;

use crate::identity::name::is_nested;
use crate::kernel::mounts::Mounts;
use crate::window::sample::{CgroupEvent, Owner};
use cgroup::{Budget, Files};
use host::HostTasks;
use reading::{Counter, Reading};

pub(crate) use reading::has_content;

#[cfg(test)]
mod tests;

/// Where the reader finds everything.
#[derive(Clone, Debug)]
pub struct Roots {
    /// The cgroup hierarchies.
    pub mounts: Mounts,
    /// `/proc`
    pub proc: PathBuf,
    /// Most file descriptors that stay open.
    pub max_open: usize,
    /// Clock ticks a second, as in `/proc/<pid>/stat`.
    pub ticks_per_second: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
}

/// The usage reader.
#[derive(Debug)]
pub struct Usage {
    mounts: Mounts,
    cgroups: HashMap<u64, Tracked>,
    /// Rows of cgroups that ended during the window.
    ended: Vec<(u64, v1::UsageRow)>,
    /// Their paths.
    ended_paths: HashMap<u64, String>,
    host: Option<HostTasks>,
    budget: Budget,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Tracked {
    files: Files,
    last: Option<Reading>,
    /// CPU time of the processes that ended in it, known only for cgroups born while the agent ran.
    exits_ns: Option<u64>,
    /// A process ended since the last reading: the cgroup may be about to go.
    is_stale: bool,
}

impl Usage {
    /// Follows nothing yet; cgroups come by `apply`.
    pub fn new(roots: Roots) -> Self {
        let Roots { mounts, proc, max_open, ticks_per_second, page_bytes } = roots;
        let hierarchy = mounts.cgroup2.clone().or_else(|| mounts.v1.get("pids").cloned());
        let host = hierarchy
            .map(|root| HostTasks::new(proc, root.join("cgroup.procs"), ticks_per_second, page_bytes));
        let budget = Budget { most: max_open, open: 0 };
        Self {
            mounts,
            cgroups: HashMap::new(),
            ended: Vec::new(),
            ended_paths: HashMap::new(),
            host,
            budget,
            scratch: Vec::new(),
        }
    }

    /// A cgroup was born or has ended. `is_new`: born just now, so all that it counts belongs to it and to us.
    pub fn apply(&mut self, event: &CgroupEvent, is_new: bool) {
        match event {
            CgroupEvent::Made { path, .. } if path == "/" => {}
            // its counters are part of its workload's
            CgroupEvent::Made { path, .. } if is_nested(path) => {}
            CgroupEvent::Made { id, path } => {
                let last = is_new.then(Reading::birth);
                let tracked =
                    Tracked { files: Files::new(path), last, exits_ns: is_new.then_some(0), is_stale: false };
                self.cgroups.entry(*id).or_insert(tracked);
            }
            CgroupEvent::Removed { id } => self.removed(*id),
            CgroupEvent::HostComm { .. } | CgroupEvent::Lost => {}
        }
    }

    /// A process ended that belonged to this cgroup.
    pub fn exited(&mut self, cgroup: u64, cpu_ns: u64) {
        if let Some(tracked) = self.cgroups.get_mut(&cgroup) {
            tracked.exits_ns = tracked.exits_ns.map(|sum| sum.saturating_add(cpu_ns));
            tracked.is_stale = true;
        }
    }

    /// A process of the root cgroup ended.
    pub fn host_exited(&mut self, pid: u32, comm: &str, cpu_ns: u64) {
        if let Some(host) = &mut self.host {
            host.exited(pid, comm, cpu_ns);
        }
    }

    /// Reads the cgroups in which a process ended, at most `most` of them: they may be gone before the window ends.
    pub fn read_stale(&mut self, most: usize) {
        let mut left = most;
        for (id, tracked) in &mut self.cgroups {
            if left == 0 {
                return;
            }
            if !std::mem::take(&mut tracked.is_stale) {
                continue;
            }
            left -= 1;
            let now = tracked.files.read(&self.mounts, &mut self.budget, &mut self.scratch);
            if !now.is_empty() {
                if let Some(last) = &tracked.last {
                    self.ended.push((*id, now.since(last)));
                }
                tracked.last = Some(now);
            }
        }
    }

    fn removed(&mut self, id: u64) {
        let Some(mut tracked) = self.cgroups.remove(&id) else { return };
        let now = tracked.files.read(&self.mounts, &mut self.budget, &mut self.scratch);
        tracked.files.close(&mut self.budget);
        self.ended_paths.insert(id, tracked.files.path().to_owned());
        let Some(last) = tracked.last else { return };
        if !now.is_empty() {
            self.ended.push((id, now.since(&last)));
            return;
        }
        // the files went with the directory; what its processes used in all is known from their ends
        let counted = last.get(Counter::CpuUsageNs).unwrap_or(0);
        let rest = tracked.exits_ns.unwrap_or(0).saturating_sub(counted);
        if rest > 0 {
            let row = v1::UsageRow { cpu_usage_ns: Some(rest), ..v1::UsageRow::default() };
            self.ended.push((id, row));
        }
    }

    /// The first reading of everything that lived before the agent: where its counters begin for us.
    pub fn begin(&mut self) {
        drop(self.read());
    }

    /// At a window's end: what everything used since the last call, one row per owner.
    pub fn read(&mut self) -> Vec<(Owner, v1::UsageRow)> {
        let mut rows: HashMap<u64, v1::UsageRow> = HashMap::new();
        let mut paths = std::mem::take(&mut self.ended_paths);
        for (id, row) in self.ended.drain(..) {
            add(rows.entry(id).or_default(), &row);
        }
        for (id, tracked) in &mut self.cgroups {
            tracked.is_stale = false;
            let now = tracked.files.read(&self.mounts, &mut self.budget, &mut self.scratch);
            if now.is_empty() {
                continue;
            }
            if let Some(last) = &tracked.last {
                add(rows.entry(*id).or_default(), &now.since(last));
            }
            paths.insert(*id, tracked.files.path().to_owned());
            tracked.last = Some(now);
        }
        nest::own_share(&mut rows, &paths);
        let mut rows: HashMap<Owner, v1::UsageRow> =
            rows.into_iter().map(|(id, row)| (Owner::Workload(id), row)).collect();
        for (comm, row) in self.host.as_mut().map(HostTasks::read).unwrap_or_default() {
            rows.insert(Owner::Host(comm), row);
        }
        rows.retain(|_, row| has_content(row));
        rows.into_iter().collect()
    }

    /// Paths of the cgroups that are followed, and open descriptors.
    pub fn sizes(&self) -> (usize, usize) {
        (self.cgroups.len(), self.budget.open)
    }

    /// The path of a cgroup that is followed.
    pub fn path(&self, id: u64) -> Option<&str> {
        self.cgroups.get(&id).map(|tracked| tracked.files.path())
    }
}

/// Adds the counters of a later row to an earlier one of the same window and takes over its gauges.
fn add(into: &mut v1::UsageRow, later: &v1::UsageRow) {
    let sum = |slot: &mut Option<u64>, value: Option<u64>| {
        *slot = match (*slot, value) {
            (Some(left), Some(right)) => Some(left.saturating_add(right)),
            (left, right) => left.or(right),
        };
    };
    sum(&mut into.cpu_usage_ns, later.cpu_usage_ns);
    sum(&mut into.cpu_user_ns, later.cpu_user_ns);
    sum(&mut into.cpu_system_ns, later.cpu_system_ns);
    sum(&mut into.cpu_periods, later.cpu_periods);
    sum(&mut into.cpu_throttled_periods, later.cpu_throttled_periods);
    sum(&mut into.cpu_throttled_ns, later.cpu_throttled_ns);
    sum(&mut into.memory_events_max, later.memory_events_max);
    sum(&mut into.memory_events_oom, later.memory_events_oom);
    sum(&mut into.memory_events_oom_kill, later.memory_events_oom_kill);
    sum(&mut into.io_read_bytes, later.io_read_bytes);
    sum(&mut into.io_write_bytes, later.io_write_bytes);
    sum(&mut into.io_read_ops, later.io_read_ops);
    sum(&mut into.io_write_ops, later.io_write_ops);
    sum(&mut into.psi_cpu_some_us, later.psi_cpu_some_us);
    sum(&mut into.psi_memory_some_us, later.psi_memory_some_us);
    sum(&mut into.psi_memory_full_us, later.psi_memory_full_us);
    sum(&mut into.psi_io_some_us, later.psi_io_some_us);
    sum(&mut into.psi_io_full_us, later.psi_io_full_us);
    into.cpu_limit_cores = later.cpu_limit_cores.or(into.cpu_limit_cores);
    into.memory_current = later.memory_current.or(into.memory_current);
    into.memory_working_set = later.memory_working_set.or(into.memory_working_set);
    into.memory_peak = later.memory_peak.max(into.memory_peak);
    into.memory_limit = later.memory_limit.or(into.memory_limit);
    into.pids_current = later.pids_current.or(into.pids_current);
    into.pids_limit = later.pids_limit.or(into.pids_limit);
}
