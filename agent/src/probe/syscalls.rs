//! Syscalls: counts and errors by errno, exact per workload and call; latency per workload and class.
//!
//! Hooks: `sys_enter`, `sys_exit` (BTF tracepoints), `task_rename` and `sched_process_exit` for the names of the root
//! cgroup's tasks. Kernel: 5.10 with BTF and cgroup2.
//! Maps: `COUNTS` per CPU and `CACHE` before it, `ERRORS`, `LATENCIES`, cumulative; what is idle for five minutes is removed; a refused
//! insert counts as `map_full`.
//! Cost: 100 ns a call above empty programs, 340 with every call timed (docs/journal/2026-11-21-syscalls-and-switches.md).
//! Does not: time the agent's own calls, nor those that never return.

mod counts;

use std::collections::HashMap;

use agent_common::syscalls::{Count, CountKey, ErrorKey, LAYOUT, Latency, LatencyKey, SAMPLE_EVERY};
use counts::Counts;

use super::growing::Growing;
use super::{AttachError, Probe, Running, Sink};
use crate::decode::syscalls::{self, Errnos};
use crate::kernel::hosts::HostComms;
use crate::kernel::load::{Loader, Object, ProgramReport};
use crate::kernel::losses::Losses;
use crate::kernel::{KernelFeatures, Settings};
use crate::window::Window;

/// The row of the probe table.
pub const PROBE: Probe = Probe { name: "syscalls", needs: None, attach };

/// Seconds without a call after which an entry leaves the kernel.
const IDLE_SECONDS: u32 = 300;

#[derive(Debug)]
struct Syscalls {
    object: Object,
    counts: Counts,
    errors: Growing<ErrorKey, u64>,
    latencies: Growing<LatencyKey, Latency>,
    hosts: HostComms,
    losses: Losses,
    sample_every: u32,
}

fn attach(features: &KernelFeatures, settings: &Settings) -> Result<Box<dyn Running>, AttachError> {
    let sample_every = if settings.syscall_latency_full { 1 } else { SAMPLE_EVERY };
    let mut object = Loader::new("syscalls", crate::ebpf_object!("syscalls"), features, settings)?
        .layout(LAYOUT)?
        .workloads()?
        .global_u32("WAYS_BACK", ways_back(features.version()))
        .global_u32("SAMPLE_MASK", sample_every - 1)
        .global_u32("OWN_TGID", std::process::id())
        .hashes(&["COUNTS", "ERRORS", "LATENCIES", "HOST_COMMS"])
        .load()?;
    let classes = object.table::<u8>("CLASSES", features)?;
    for (number, class) in syscalls::classes() {
        classes.set(number, &class).map_err(|error| AttachError::Failed {
            code: "object",
            detail: format!("map CLASSES: {error}"),
        })?;
    }
    let idle = (IDLE_SECONDS / settings.window_seconds.max(1)).max(2);
    let probe = Syscalls {
        counts: Counts::new(object.dump("COUNTS", features)?, object.table("CACHE", features)?, idle),
        errors: Growing::new(object.dump("ERRORS", features)?, idle),
        latencies: Growing::new(object.dump("LATENCIES", features)?, idle),
        hosts: object.hosts(features)?,
        losses: object.losses(features, "syscall")?,
        sample_every,
        object,
    };
    attach_programs(probe)
}

/// Calls by which this kernel brings a thread back from a probe: `uretprobe` since 6.11, `uprobe` since 6.18.
fn ways_back(version: (u32, u32)) -> u32 {
    u32::from(version >= (6, 11)) + u32::from(version >= (6, 18))
}

fn attach_programs(mut probe: Syscalls) -> Result<Box<dyn Running>, AttachError> {
    let object = &mut probe.object;
    object.raw_tracepoint("syscalls_rename", "task_rename")?;
    object.raw_tracepoint("syscalls_gone", "sched_process_exit")?;
    object.btf_tracepoint("syscalls_exit", "sys_exit")?;
    let timed = object.btf_tracepoint("syscalls_enter", "sys_enter");
    object.optional("latency", timed);
    object.settle();
    Ok(Box::new(probe))
}

impl Running for Syscalls {
    fn missing(&self) -> Vec<String> {
        self.object.missing()
    }

    fn programs(&self) -> Vec<ProgramReport> {
        self.object.programs()
    }

    fn detail(&mut self, on: bool) -> Result<(), AttachError> {
        self.object.switch("syscalls_enter", on)
    }

    fn drain(&mut self, _window: Window, sink: &mut Sink) {
        let mut errnos: HashMap<(u64, u32), Errnos> = HashMap::new();
        let errors = self.errors.read(|key, gained| {
            errnos.entry((key.workload, key.number)).or_default().insert(key.errno, gained);
        });
        let counts = self.counts.read(|key, gained| {
            let own = errnos.remove(&(key.workload, key.number));
            sink.samples.push(syscalls::count(&key, &gained, own.as_ref()));
        });
        // an error between the two readings: its count was in the last window or is in the next
        for ((workload, number), own) in errnos {
            let key = CountKey { workload, number, _pad: 0 };
            sink.samples.push(syscalls::count(&key, &Count::default(), Some(&own)));
        }
        let every = self.sample_every;
        let latencies =
            self.latencies.read(|key, gained| sink.samples.push(syscalls::latency(&key, &gained, every)));
        for read in [errors, counts, latencies] {
            if let Err(error) = read {
                tracing::warn!(probe = "syscalls", %error, "counters not read; the next window has them");
            }
        }
        // after the counters, so that no key is without its name
        self.hosts.drain(sink);
        self.losses.drain(sink);
        self.object.drain_skipped("syscall", sink);
        self.object.flush_log();
    }
}
