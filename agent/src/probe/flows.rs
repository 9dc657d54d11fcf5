//! Flows: bytes, packets, connections, failures, retransmits, round trips and drops per workload and peer.
//!
//! Hooks: `cgroup_skb` in both directions at the cgroup2 root, `inet_sock_set_state`, `tcp_retransmit_skb`,
//! `tcp_receive_reset`, `tcp_send_reset`, `kfree_skb` (BTF tracepoints). Kernel: 5.10 with cgroup2 and BTF.
//! Maps: `CONNS` (live TCP by cookie), `EDGES`, `OTHERS` (where `EDGES` is full), `DROPS`: cumulative; a refused
//! insert counts as `map_full` and its bytes go to the owner's `other` edge.
//! Does not: see payloads, name peers (that is `identity` and later the aggregator).

mod conns;
mod cumulative;
pub(in crate::probe) mod ports;

use agent_common::flows::{DropKey, Drops, Edge, EdgeKey, FIELDS, LAYOUT, PortKey, PortOwner};
use aya::programs::CgroupSkbAttachType;

use super::{AttachError, Probe, Running, Sink};
use crate::decode::flows::{self, DropReasons};
use crate::kernel::batch::MapError;
use crate::kernel::features::CAP_SYS_PTRACE;
use crate::kernel::hosts::HostComms;
use crate::kernel::load::{Loader, Object, ProgramReport};
use crate::kernel::losses::Losses;
use crate::kernel::{KernelFeatures, Settings, clock};
use crate::window::Window;
use crate::window::sample::{CgroupEvent, Loss};
use conns::Conns;
use cumulative::Cumulative;

/// The row of the probe table.
pub const PROBE: Probe = Probe { name: "flows", needs: None, attach };

/// Edges and drops that are quiet this long leave the kernel.
const EDGE_IDLE_SECONDS: u32 = 300;
/// A connection that was quiet this long is forgotten; its next packet begins it anew.
const CONN_IDLE_SECONDS: u32 = 3_600;

#[derive(Debug)]
struct Flows {
    object: Object,
    conns: Conns,
    edges: Cumulative<EdgeKey, Edge>,
    others: Cumulative<EdgeKey, Edge>,
    drops: Cumulative<DropKey, Drops>,
    reasons: DropReasons,
    hosts: HostComms,
    losses: Losses,
    /// Names behind owners of ports found at start; told with the first window.
    found: Vec<CgroupEvent>,
}

fn attach(features: &KernelFeatures, settings: &Settings) -> Result<Box<dyn Running>, AttachError> {
    Ok(Box::new(open(features, settings)?))
}

fn open(features: &KernelFeatures, settings: &Settings) -> Result<Flows, AttachError> {
    let btf = features.btf.as_deref();
    let argument = |base| btf.and_then(|btf| btf.argument("kfree_skb", base)).unwrap_or(0);
    let reason = argument("skb_drop_reason");
    let (low, high) = ports::ephemeral();
    let mut object = Loader::new("flows", crate::ebpf_object!("flows"), features, settings)?
        .layout(LAYOUT)?
        .workloads()?
        .fields(&FIELDS)?
        // before 5.12 tracing programs may not ask for a cookie: the packet programs make the entries
        .global_u32("TRACING_COOKIE", u32::from(features.version() >= (5, 12)))
        .global_u32("DROP_REASON_ARG", reason)
        .global_u32("DROP_SOCKET_ARG", argument("sock"))
        .global_u32("EPHEMERAL_LOW", u32::from(low))
        .global_u32("EPHEMERAL_HIGH", u32::from(high))
        .max_entries("CONNS", settings.max_connections)
        .load()?;
    let windows = |seconds: u32| (seconds / settings.window_seconds.max(1)).max(2);
    let known = object.dump::<PortKey, PortOwner>("PORTS", features)?;
    let mut flows = Flows {
        conns: Conns::new(
            object.dump("CONNS", features)?,
            object.table("EPOCH", features)?,
            windows(CONN_IDLE_SECONDS),
        ),
        edges: Cumulative::new(object.dump("EDGES", features)?, windows(EDGE_IDLE_SECONDS)),
        others: Cumulative::new(object.dump("OTHERS", features)?, windows(EDGE_IDLE_SECONDS)),
        drops: Cumulative::new(object.dump("DROPS", features)?, windows(EDGE_IDLE_SECONDS)),
        reasons: DropReasons::new(btf.map(|btf| btf.enumerators("skb_drop_reason")).unwrap_or_default()),
        hosts: object.hosts(features)?,
        losses: object.losses(features, "flow")?,
        found: ports::tell(&known, &features.view),
        object,
    };
    if reason == 0 {
        flows.object.note_missing("drop_reason: kernel < 5.17".into());
    }
    if !features.capable(CAP_SYS_PTRACE) {
        flows.object.note_missing("owners of the root cgroup's older sockets: missing CAP_SYS_PTRACE".into());
    }
    hook(&mut flows.object, features, settings)?;
    flows.object.settle();
    Ok(flows)
}

/// The states first, so that no packet's entry lacks its beginning; a tracepoint that is missing costs its column.
fn hook(object: &mut Object, features: &KernelFeatures, settings: &Settings) -> Result<(), AttachError> {
    let states = object.btf_tracepoint("flows_state", "inet_sock_set_state");
    object.optional("connection_states", states);
    for (program, tracepoint) in [
        ("flows_retransmit", "tcp_retransmit_skb"),
        ("flows_reset_received", "tcp_receive_reset"),
        ("flows_reset_sent", "tcp_send_reset"),
        ("flows_drop", "kfree_skb"),
    ] {
        let attached = object.btf_tracepoint(program, tracepoint);
        object.optional(tracepoint, attached);
    }
    let cgroup = settings.attach_cgroup.as_deref().or(features.cgroup2.as_deref());
    let cgroup = cgroup.ok_or_else(|| AttachError::Unsupported {
        code: "no_cgroup2",
        detail: "no cgroup2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified".into(),
    })?;
    object.cgroup_skb("flows_ingress", cgroup, CgroupSkbAttachType::Ingress)?;
    object.cgroup_skb("flows_egress", cgroup, CgroupSkbAttachType::Egress)
}

impl Running for Flows {
    fn missing(&self) -> Vec<String> {
        self.object.missing()
    }

    fn programs(&self) -> Vec<ProgramReport> {
        self.object.programs()
    }

    fn drain(&mut self, _window: Window, sink: &mut Sink) {
        sink.cgroups.append(&mut self.found);
        // connections before edges: what closes in between is folded into an edge that is read after
        let conns = self.conns.read(clock::boot_to_unix_ns(), sink);
        unread(conns, "conns", sink);
        for (map, edges) in [("edges", &mut self.edges), ("others", &mut self.others)] {
            let read = edges.read(|key, now, before| {
                let sample = flows::edge(key, now, before);
                let differs = sample.is_some();
                sink.samples.extend(sample);
                differs
            });
            unread(read, map, sink);
        }
        let reasons = &self.reasons;
        let read = self.drops.read(|key, now, before| {
            let sample = flows::drops(key, now, before, reasons);
            let differs = sample.is_some();
            sink.samples.extend(sample);
            differs
        });
        unread(read, "drops", sink);
        // after the rows' keys were read, so that each has its name
        self.hosts.drain(sink);
        self.losses.drain(sink);
        self.object.drain_skipped("flow", sink);
        self.object.flush_log();
    }
}

/// A map that could not be read is read with the next window: the counters still grow.
fn unread(read: Result<(), MapError>, map: &'static str, sink: &mut Sink) {
    if let Err(error) = read {
        tracing::warn!(%error, map, "flows not read");
        sink.losses.push(Loss { signal: "flow", stage: "kernel", reason: "read_failed", count: 1 });
    }
}
