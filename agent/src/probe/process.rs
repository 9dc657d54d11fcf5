//! Processes: exec, fork, exit with its code, fatal signals with their sender, OOM kills.
//!
//! Hooks: BTF tracepoints `sched_process_fork`, `sched_process_exec`, `sched_process_exit`, `signal_generate`,
//! `mark_victim`. Kernel: 5.10 with BTF and cgroup2.
//! A process that lives shorter than a window is one record, at its end; a longer one is also told as `exec` (or
//! `fork`) when the window ends. Beyond 500 records a second and owner (2,000 at once; 2,000 a second and node):
//! counts per owner and name. Does not: redact arguments, which `window` does before a row leaves the process.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::{AsRawFd as _, RawFd};

use agent_common::process::{Budget, FIELDS, FoldedKey, LAYOUT, NODE_BURST, Process};
use aya::maps::{MapData, RingBuf};

use super::growing::Growing;
use super::{AttachError, Probe, Running, Sink};
use crate::decode::process::{self, Units};
use crate::kernel::batch::{Dump, MapError};
use crate::kernel::hosts::HostComms;
use crate::kernel::load::{Loader, Object, ProgramReport};
use crate::kernel::losses::Losses;
use crate::kernel::{KernelFeatures, Settings, clock};
use crate::window::Window;
use crate::window::sample::Loss;

/// The row of the probe table.
pub const PROBE: Probe = Probe { name: "process", needs: None, attach };

/// Most records of one `poll`: more than the ring holds.
const MOST_RECORDS: usize = 8192;
/// An owner's budget is forgotten, and so full again, after this long without an event.
const BUDGET_IDLE_NS: u64 = 60_000_000_000;
/// Ends that are remembered: two threads that end at once are microseconds apart.
const MOST_RECENT: usize = 1024;
/// Seconds after which an idle entry of folded events leaves the kernel.
const FOLDED_IDLE_SECONDS: u32 = 60;

struct Processes {
    object: Object,
    ring: RingBuf<MapData>,
    alive: Dump<u32, Process>,
    /// Processes whose start was told, by number, with the time of their exec or fork.
    told: HashMap<u32, (u64, bool)>,
    /// Ends that were told lately, where the kernel does not say which thread is the last.
    ended: Option<Recent>,
    folded: Growing<FoldedKey, u64>,
    budgets: Dump<u64, Budget>,
    hosts: HostComms,
    losses: Losses,
    page: u64,
}

/// The last processes that ended, by number and start.
#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<(u32, u64)>,
    known: HashSet<(u32, u64)>,
}

impl Recent {
    /// Whether this one is new; then it is remembered.
    fn is_new(&mut self, process: (u32, u64)) -> bool {
        if !self.known.insert(process) {
            return false;
        }
        self.order.push_back(process);
        if self.order.len() > MOST_RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes").field("object", &self.object).finish_non_exhaustive()
    }
}

fn attach(features: &KernelFeatures, settings: &Settings) -> Result<Box<dyn Running>, AttachError> {
    let arguments =
        |name: &str| features.btf.as_deref().and_then(|btf| btf.tracepoint(name)).unwrap_or_default();
    let victim_is_task = arguments("mark_victim").first().is_some_and(|first| first.base == "task_struct");
    let says_group = arguments("sched_process_exit").len() >= 2;
    let mut object = Loader::new("process", crate::ebpf_object!("process"), features, settings)?
        .layout(LAYOUT)?
        .workloads()?
        .fields(FIELDS)?
        .global_u32("VICTIM_IS_TASK", u32::from(victim_is_task))
        .global_u32("GROUP_ARGUMENT", u32::from(says_group))
        .hashes(&["PROCESSES", "FOLDED", "BUDGETS", "HOST_COMMS"])
        .load()?;
    let idle = (FOLDED_IDLE_SECONDS / settings.window_seconds.max(1)).max(2);
    let node = object.table::<Budget>("NODE_BUDGET", features)?;
    let full = Budget { at_ns: clock::boot_ns(), left: NODE_BURST };
    node.set(0, &full).map_err(|error| of_map("NODE_BUDGET", &error))?;
    let probe = Processes {
        ring: object.ring("EVENTS")?,
        alive: object.dump("PROCESSES", features)?,
        told: HashMap::new(),
        ended: (!says_group).then(Recent::default),
        folded: Growing::new(object.dump("FOLDED", features)?, idle),
        budgets: object.dump("BUDGETS", features)?,
        hosts: object.hosts(features)?,
        losses: object.losses(features, "process")?,
        page: features.page_size,
        object,
    };
    attach_programs(probe)
}

fn of_map(name: &str, error: &MapError) -> AttachError {
    AttachError::Failed { code: "object", detail: format!("map {name}: {error}") }
}

fn attach_programs(mut probe: Processes) -> Result<Box<dyn Running>, AttachError> {
    let object = &mut probe.object;
    object.raw_tracepoint("process_rename", "task_rename")?;
    object.raw_tracepoint("process_gone", "sched_process_exit")?;
    object.btf_tracepoint("process_exec", "sched_process_exec")?;
    object.btf_tracepoint("process_exit", "sched_process_exit")?;
    let forked = object.btf_tracepoint("process_fork", "sched_process_fork");
    object.optional("processes that never call exec", forked);
    let signalled = object.btf_tracepoint("process_signal", "signal_generate");
    object.optional("signals", signalled);
    let killed = object.btf_tracepoint("process_oom", "mark_victim");
    object.optional("oom kills", killed);
    object.settle();
    Ok(Box::new(probe))
}

impl Processes {
    fn units(&self) -> Units {
        Units { boot_to_unix_ns: clock::boot_to_unix_ns(), page: self.page }
    }

    /// Tells the start of each process that is alive and was not told yet.
    fn tell_alive(&mut self, sink: &mut Sink) -> Result<(), MapError> {
        let units = self.units();
        let told = &mut self.told;
        self.alive.each(|pid, values| {
            let process = values.one();
            let since = process.exec_ns.max(process.started_ns);
            let before = told.insert(pid, (since, true));
            if before.is_none_or(|(told, _)| told != since) {
                sink.samples.extend(process::alive(&process, units));
            }
        })?;
        told.retain(|_, (_, seen)| std::mem::take(seen));
        Ok(())
    }

    /// Frees the budgets of owners that have been quiet.
    fn forget_budgets(&mut self) -> Result<(), MapError> {
        let now = clock::boot_ns();
        let mut idle = Vec::new();
        self.budgets.each(|workload, budget| {
            if now.saturating_sub(budget.one().at_ns) > BUDGET_IDLE_NS {
                idle.push(workload);
            }
        })?;
        for workload in idle {
            self.budgets.remove(&workload);
        }
        Ok(())
    }
}

impl Running for Processes {
    fn missing(&self) -> Vec<String> {
        self.object.missing()
    }

    fn programs(&self) -> Vec<ProgramReport> {
        self.object.programs()
    }

    fn wake_fds(&self) -> Vec<RawFd> {
        vec![self.ring.as_raw_fd()]
    }

    fn poll(&mut self, sink: &mut Sink) {
        let mut units = None;
        for _ in 0..MOST_RECORDS {
            let read = *units
                .get_or_insert_with(|| Units { boot_to_unix_ns: clock::boot_to_unix_ns(), page: self.page });
            let Some(record) = self.ring.next() else { break };
            match process::record(&record, read) {
                Some(sample) => {
                    if let (Some(ended), Some(end)) = (&mut self.ended, process::end(&sample))
                        && !ended.is_new(end)
                    {
                        continue;
                    }
                    sink.samples.push(sample);
                }
                None => {
                    let reason = "undecodable";
                    sink.losses.push(Loss { signal: "process", stage: "decode", reason, count: 1 });
                }
            }
        }
    }

    fn drain(&mut self, window: Window, sink: &mut Sink) {
        self.poll(sink);
        let alive = self.tell_alive(sink);
        let ts = window.start_ns;
        let folded = self.folded.read(|key, count| sink.samples.push(process::folded(&key, count, ts)));
        let budgets = self.forget_budgets();
        for read in [alive, folded, budgets] {
            if let Err(error) = read {
                tracing::warn!(probe = "process", %error, "processes not read; the next window has them");
            }
        }
        self.hosts.drain(sink);
        self.losses.drain(sink);
        self.object.drain_skipped("process", sink);
        self.object.flush_log();
    }
}
