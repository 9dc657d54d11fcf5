//! Requests: what workloads ask of each other over plaintext connections, as spans.
//!
//! Hooks: `sys_exit`, `sys_enter`, `inet_sock_set_state` (BTF tracepoints), `task_rename` and `sched_process_exit` for the
//! names of the root cgroup's tasks. Kernel: 5.10 with BTF and cgroup2.
//! Maps: `CONNS` (TCP connections by socket), a ring of 8 MiB; a refused entry counts as `map_full`, a lost record as
//! `ring_full`, and marks its connection.
//! Does not: see io_uring, TLS, UNIX sockets, or what 32-bit programs do; look at Wake's own processes.

use std::os::fd::{AsRawFd as _, RawFd};

use agent_common::requests::{Conn, FIELDS, HEAD_LEN, LAYOUT, TAIL_DATAGRAM, TAIL_STREAM, TAIL_UNDERSTAND};
use aya::maps::{MapData, RingBuf};

use super::{AttachError, Probe, Running, Sink};
use crate::decode::requests::piece;
use crate::kernel::batch::Dump;
use crate::kernel::hosts::HostComms;
use crate::kernel::load::{Loader, Object, ProgramReport};
use crate::kernel::losses::Losses;
use crate::kernel::{KernelFeatures, Settings, clock};
use crate::requests::ids::Ids;
use crate::requests::tracker::{Run, Tracker};
use crate::window::Window;
use crate::window::sample::Loss;

/// The row of the probe table.
pub const PROBE: Probe = Probe { name: "requests", attach };

/// Most records of one `poll`.
const MOST_RECORDS: usize = 65_536;

struct Requests {
    object: Object,
    ring: RingBuf<MapData>,
    conns: Dump<u64, Conn>,
    tracker: Tracker,
    hosts: HostComms,
    losses: Losses,
    undecodable: u64,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").field("object", &self.object).finish_non_exhaustive()
    }
}

fn attach(features: &KernelFeatures, settings: &Settings) -> Result<Box<dyn Running>, AttachError> {
    let (low, high) = super::flows::ports::ephemeral();
    let mut object = Loader::new("requests", crate::ebpf_object!("requests"), features, settings)?
        .layout(LAYOUT)?
        .workloads()?
        .fields(FIELDS)?
        .global_u32("OWN_TGID", std::process::id())
        .global_u32("EPHEMERAL_LOW", u32::from(low))
        .global_u32("EPHEMERAL_HIGH", u32::from(high))
        .max_entries("CONNS", settings.max_requested)
        .hashes(&["CONNS", "HOST_COMMS"])
        .load()?;
    let probe = Requests {
        ring: object.ring("RECORDS")?,
        conns: object.dump("CONNS", features)?,
        tracker: Tracker::new(settings.max_spans, Ids::random()),
        hosts: object.hosts(features)?,
        losses: object.losses(features, "span")?,
        undecodable: 0,
        object,
    };
    attach_programs(probe)
}

fn attach_programs(mut probe: Requests) -> Result<Box<dyn Running>, AttachError> {
    let object = &mut probe.object;
    object.raw_tracepoint("requests_rename", "task_rename")?;
    object.raw_tracepoint("requests_gone", "sched_process_exit")?;
    let ended = object.btf_tracepoint("requests_state", "inet_sock_set_state");
    object.optional("sides and ends of connections", ended);
    // what stands behind the first program is there before it runs
    for (program, place) in [
        ("requests_stream", TAIL_STREAM),
        ("requests_understand", TAIL_UNDERSTAND),
        ("requests_datagram", TAIL_DATAGRAM),
    ] {
        object.btf_tail(program, "sys_exit", "TAILS", place)?;
    }
    let begun = object.btf_tracepoint("requests_enter", "sys_enter");
    object.optional("begin of writes", begun);
    object.btf_tracepoint("requests_exit", "sys_exit")?;
    object.settle();
    Ok(Box::new(probe))
}

impl Requests {
    fn read_ring(&mut self, sink: &mut Sink) {
        let offset = clock::boot_to_unix_ns();
        let mut head = [0; HEAD_LEN];
        for _ in 0..MOST_RECORDS {
            let Some(record) = self.ring.next() else { break };
            match piece(&record, &mut head) {
                Some(piece) => self.tracker.take(&piece, offset, &mut sink.samples),
                None => self.undecodable += 1,
            }
        }
    }
}

impl Running for Requests {
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
        self.read_ring(sink);
        let conns = &self.conns;
        let run = |socket| {
            let Conn { born_ns, run_total, run_last_ns, .. } = conns.get(&socket)?;
            Some(Run { born_ns, total: run_total, last_ns: run_last_ns })
        };
        self.tracker.ask(clock::boot_ns(), clock::boot_to_unix_ns(), run, &mut sink.samples);
    }

    fn drain(&mut self, _window: Window, sink: &mut Sink) {
        self.poll(sink);
        let lost = self.tracker.tidy(clock::boot_ns(), clock::boot_to_unix_ns(), &mut sink.samples);
        sink.losses.extend(lost);
        let count = std::mem::take(&mut self.undecodable);
        if count > 0 {
            sink.losses.push(Loss { signal: "span", stage: "decode", reason: "undecodable", count });
        }
        self.hosts.drain(sink);
        self.losses.drain(sink);
        self.object.drain_skipped("span", sink);
        self.object.flush_log();
    }
}
