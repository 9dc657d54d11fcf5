//! Block I/O: operations, bytes and latency per workload, device and kind.
//!
//! Hooks: BTF tracepoints `block_rq_issue`, `block_rq_complete`; `task_rename` and `sched_process_exit` for names.
//! Kernel: 5.10 with BTF and cgroup2. Maps: `IN_FLIGHT`, `STATS`, cumulative; a refused insert counts as `map_full`.
//! Does not: replace `io.stat`, which `files` reads and which also counts what never reaches a request.

use std::path::Path;

use agent_common::block::{FIELDS, LAYOUT, Stats, StatsKey};

use super::growing::{Counters, Growing};
use super::{AttachError, Probe, Running, Sink};
use crate::decode::block::{self, Devices};
use crate::kernel::hosts::HostComms;
use crate::kernel::load::{Loader, Object, ProgramReport};
use crate::kernel::losses::Losses;
use crate::kernel::{KernelFeatures, Settings};
use crate::window::Window;

/// The row of the probe table.
pub const PROBE: Probe = Probe { name: "block", needs: None, attach };

/// Seconds without a request after which an entry leaves the kernel.
const IDLE_SECONDS: u32 = 300;

#[derive(Debug)]
struct Block {
    object: Object,
    stats: Growing<StatsKey, Stats>,
    devices: Devices,
    hosts: HostComms,
    losses: Losses,
}

fn attach(features: &KernelFeatures, settings: &Settings) -> Result<Box<dyn Running>, AttachError> {
    let mut object = Loader::new("block", crate::ebpf_object!("block"), features, settings)?
        .layout(LAYOUT)?
        .workloads()?
        .fields(FIELDS)?
        .hashes(&["IN_FLIGHT", "STATS", "HOST_COMMS"])
        .load()?;
    let idle = (IDLE_SECONDS / settings.window_seconds.max(1)).max(2);
    let mut probe = Block {
        stats: Growing::new(object.dump("STATS", features)?, idle),
        devices: devices(Path::new("/sys/block")),
        hosts: object.hosts(features)?,
        losses: object.losses(features, "block")?,
        object,
    };
    let object = &mut probe.object;
    object.raw_tracepoint("block_rename", "task_rename")?;
    object.raw_tracepoint("block_gone", "sched_process_exit")?;
    object.btf_tracepoint("block_complete", "block_rq_complete")?;
    let takes_queue =
        features.btf.as_deref().and_then(|btf| btf.argument("block_rq_issue", "request")) == Some(1);
    let issue = if takes_queue { "block_issue_of_queue" } else { "block_issue" };
    object.btf_tracepoint(issue, "block_rq_issue")?;
    if v1_controller() {
        object.note_missing("owner of writeback: the blkio controller is on cgroup v1".into());
    }
    object.settle();
    Ok(Box::new(probe))
}

/// Whether block I/O is controlled by the old hierarchy, whose ids are not those of cgroup2.
fn v1_controller() -> bool {
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split(':').nth(1))
        .any(|names| names.split(',').any(|name| name == "blkio"))
}

/// The devices there are now; read again when an unknown one shows up.
fn devices(root: &Path) -> Devices {
    let mut devices = Devices::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let number = std::fs::read_to_string(entry.path().join("dev")).ok();
        if let Some(number) = number.as_deref().and_then(block::device_number) {
            devices.insert(number, entry.file_name().to_string_lossy().into_owned());
        }
    }
    devices
}

impl Running for Block {
    fn missing(&self) -> Vec<String> {
        self.object.missing()
    }

    fn programs(&self) -> Vec<ProgramReport> {
        self.object.programs()
    }

    fn drain(&mut self, _window: Window, sink: &mut Sink) {
        let mut gained = Vec::new();
        let read = self.stats.read(|key, stats| gained.push((key, stats)));
        if let Err(error) = read {
            tracing::warn!(probe = "block", %error, "counters not read; the next window has them");
        }
        if gained.iter().any(|(key, _)| !self.devices.contains_key(&key.device)) {
            self.devices = devices(Path::new("/sys/block"));
        }
        sink.samples.extend(gained.iter().map(|(key, stats)| block::stats(key, stats, &self.devices)));
        self.hosts.drain(sink);
        self.losses.drain(sink);
        self.object.drain_skipped("block", sink);
        self.object.flush_log();
    }
}

impl Counters for Stats {
    const ZERO: Self = Self { operations: 0, bytes: 0, latency: <[u32; 106]>::ZERO };

    fn add(&mut self, other: &Self) {
        self.operations = self.operations.wrapping_add(other.operations);
        self.bytes = self.bytes.wrapping_add(other.bytes);
        self.latency.add(&other.latency);
    }

    fn since(&self, before: &Self) -> Self {
        if self.operations < before.operations {
            return *self;
        }
        Self {
            operations: self.operations - before.operations,
            bytes: self.bytes.saturating_sub(before.bytes),
            latency: self.latency.since(&before.latency),
        }
    }

    fn is_zero(&self) -> bool {
        self.operations == 0
    }
}
