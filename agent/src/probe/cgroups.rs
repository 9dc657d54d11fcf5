//! The life of cgroups: what identity is made of.
//!
//! Hooks: raw tracepoints `cgroup_mkdir`, `cgroup_rmdir`, `cgroup_attach_task`. Kernel: 5.10 with BTF and cgroup2.
//! Ring: `IDENTITY`, 256 KiB, wakes its reader for each record; after a lost one `identity` walks the tree again.
//! Attached before all other probes and drained first, so that no row comes before its owner's name.

use std::os::fd::{AsRawFd as _, RawFd};

use agent_common::cgroups::{Event, FIELDS};
use aya::maps::{MapData, RingBuf};

use super::{AttachError, Probe, Running, Sink};
use crate::decode::cgroups;
use crate::kernel::load::{Loader, Object, ProgramReport};
use crate::kernel::losses::Losses;
use crate::kernel::{KernelFeatures, Settings};
use crate::window::Window;
use crate::window::sample::{CgroupEvent, Loss};

/// The row of the probe table.
pub const PROBE: Probe = Probe { name: "cgroups", needs: None, attach };

/// Most records of one `poll`: more than the ring holds.
const MOST_RECORDS: usize = 1024;
/// One poll in this many looks whether records were lost.
const LOSS_EVERY: u32 = 10;

struct Cgroups {
    object: Object,
    ring: RingBuf<MapData>,
    losses: Losses,
    node_level: u32,
    polls: u32,
}

impl std::fmt::Debug for Cgroups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cgroups").field("object", &self.object).finish_non_exhaustive()
    }
}

fn attach(features: &KernelFeatures, settings: &Settings) -> Result<Box<dyn Running>, AttachError> {
    if features.cgroup2.is_none() {
        let detail = "no cgroup2 hierarchy is mounted".into();
        return Err(AttachError::Unsupported { code: "no_cgroup2", detail });
    }
    let mut object = Loader::new("cgroups", crate::ebpf_object!("cgroups"), features, settings)?
        .layout(Event::LAYOUT)?
        .node()?
        .global_u64("ROOT_CGROUP", features.root_cgroup_id)
        .fields(FIELDS)?
        .load()?;
    let (ring, losses) = (object.ring("IDENTITY")?, object.losses(features, "identity")?);
    object.raw_tracepoint("cgroups_made", "cgroup_mkdir")?;
    let removed = object.raw_tracepoint("cgroups_removed", "cgroup_rmdir");
    object.optional("ends of cgroups", removed);
    let attached = object.raw_tracepoint("cgroups_attached", "cgroup_attach_task");
    object.optional("moves between cgroups", attached);
    object.settle();
    Ok(Box::new(Cgroups { object, ring, losses, node_level: features.node.level, polls: 0 }))
}

impl Cgroups {
    fn losses(&mut self, sink: &mut Sink) {
        if self.losses.drain(sink).iter().any(|count| *count > 0) {
            sink.cgroups.push(CgroupEvent::Lost);
        }
    }
}

impl Running for Cgroups {
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
        for _ in 0..MOST_RECORDS {
            let Some(record) = self.ring.next() else { break };
            match cgroups::event(&record, self.node_level) {
                Some(event) => sink.cgroups.push(event),
                None => {
                    let reason = "undecodable";
                    sink.losses.push(Loss { signal: "identity", stage: "decode", reason, count: 1 });
                    sink.cgroups.push(CgroupEvent::Lost);
                }
            }
        }
        self.polls = self.polls.wrapping_add(1);
        if self.polls.is_multiple_of(LOSS_EVERY) {
            self.losses(sink);
        }
    }

    fn drain(&mut self, _window: Window, sink: &mut Sink) {
        self.poll(sink);
        self.losses(sink);
        if self.object.drain_skipped("identity", sink) > 0 {
            sink.cgroups.push(CgroupEvent::Lost);
        }
        self.object.flush_log();
    }
}
