//! Run queue: how long a workload's tasks waited for a CPU, and how often they left it of their own will or not.
//!
//! Hooks: `sched_switch` (BTF tracepoint), `task_rename` and `sched_process_exit` for names. Delays are those that the
//! kernel keeps of each thread (`/proc/<pid>/schedstat`). Kernel: 5.10 with BTF and cgroup2.
//! Map: `RUN_QUEUES` per CPU, cumulative.
//! Cost: 150 ns a switch above an empty program (docs/journal/2026-11-21-nodes-and-switches.md).
//! Does not: measure CPU time, which files give exactly and free.

use agent_common::sched::{FIELDS, LAYOUT, NO_DELAYS, RunQueue};

use super::growing::{Counters, Growing};
use super::{AttachError, Probe, Running, Sink};
use crate::decode::sched;
use crate::kernel::hosts::HostComms;
use crate::kernel::load::{Loader, Object, ProgramReport};
use crate::kernel::losses::Losses;
use crate::kernel::{KernelFeatures, Settings};
use crate::window::Window;

/// The row of the probe table.
pub const PROBE: Probe = Probe { name: "sched", needs: None, attach };

/// Seconds without a switch after which an owner leaves the kernel.
const IDLE_SECONDS: u32 = 300;

#[derive(Debug)]
struct Sched {
    object: Object,
    queues: Growing<u64, RunQueue>,
    hosts: HostComms,
    losses: Losses,
}

fn attach(features: &KernelFeatures, settings: &Settings) -> Result<Box<dyn Running>, AttachError> {
    let arguments =
        features.btf.as_deref().and_then(|btf| btf.tracepoint("sched_switch")).unwrap_or_default();
    let mut loader = Loader::new("sched", crate::ebpf_object!("sched"), features, settings)?
        .layout(LAYOUT)?
        .workloads()?
        .fields(FIELDS)?
        .global_u32("STATE_ARGUMENT", u32::from(arguments.len() >= 4))
        .hashes(&["RUN_QUEUES", "HOST_COMMS"]);
    let schedstat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let keeps_delays = arrivals(&schedstat) > 0;
    if !keeps_delays {
        // the fields may be there and stay zero
        loader = loader.global_u32("OFF_RUN_DELAY", u32::MAX);
    }
    let mut object = loader.load()?;
    let idle = (IDLE_SECONDS / settings.window_seconds.max(1)).max(2);
    let mut probe = Sched {
        queues: Growing::new(object.dump("RUN_QUEUES", features)?, idle),
        hosts: object.hosts(features)?,
        losses: object.losses(features, "usage")?,
        object,
    };
    let object = &mut probe.object;
    object.raw_tracepoint("sched_rename", "task_rename")?;
    object.raw_tracepoint("sched_gone", "sched_process_exit")?;
    object.btf_tracepoint("sched_switch", "sched_switch")?;
    if !keeps_delays {
        object.note_missing(NO_DELAYS.into());
    }
    object.settle();
    Ok(Box::new(probe))
}

/// How often this process came onto a CPU: the third of the numbers, all zero where the kernel does not keep them.
fn arrivals(schedstat: &str) -> u64 {
    schedstat.split_whitespace().nth(2).and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl Running for Sched {
    fn missing(&self) -> Vec<String> {
        self.object.missing()
    }

    fn programs(&self) -> Vec<ProgramReport> {
        self.object.programs()
    }

    fn drain(&mut self, _window: Window, sink: &mut Sink) {
        let read =
            self.queues.read(|workload, gained| sink.samples.push(sched::run_queue(workload, &gained)));
        if let Err(error) = read {
            tracing::warn!(probe = "sched", %error, "counters not read; the next window has them");
        }
        self.hosts.drain(sink);
        self.losses.drain(sink);
        self.object.drain_skipped("usage", sink);
        self.object.flush_log();
    }
}

impl Counters for RunQueue {
    const ZERO: Self = Self { voluntary: 0, involuntary: 0, delays: <[u32; 106]>::ZERO };

    fn add(&mut self, other: &Self) {
        self.voluntary = self.voluntary.wrapping_add(other.voluntary);
        self.involuntary = self.involuntary.wrapping_add(other.involuntary);
        self.delays.add(&other.delays);
    }

    fn since(&self, before: &Self) -> Self {
        if self.voluntary < before.voluntary || self.involuntary < before.involuntary {
            return *self;
        }
        Self {
            voluntary: self.voluntary - before.voluntary,
            involuntary: self.involuntary - before.involuntary,
            delays: self.delays.since(&before.delays),
        }
    }

    fn is_zero(&self) -> bool {
        self.voluntary == 0 && self.involuntary == 0
    }
}
