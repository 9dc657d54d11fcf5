//! Requests: what workloads ask of each other over plaintext connections, as spans.
//!
//! Hooks: `sys_exit`, `sys_enter`, `inet_sock_set_state` (BTF tracepoints), `task_rename` and `sched_process_exit` for the
//! names of the root cgroup's tasks. Kernel: 5.10 with BTF and cgroup2.
//! Maps: `CONNS` (TCP connections by socket), a ring of 8 MiB; a refused entry counts as `map_full`, a lost record as
//! `ring_full`, and marks its connection.
//! Does not: see io_uring, what is encrypted (but see `tls`), UNIX sockets, or what 32-bit programs do;
//! look at Wake's own processes.

mod rings;

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd as _, RawFd};

use agent_common::requests::{
    Conn, FIELDS, HEAD_LEN, LAYOUT, TAIL_DATAGRAM, TAIL_FRAMES, TAIL_LINE, TAIL_STREAM, TAIL_UNDERSTAND,
};
use agent_common::tls::THREADS;
use aya::maps::{MapData, RingBuf};

use super::{AttachError, Probe, Running, Sink};
use crate::decode::requests::{elsewhere, piece};
use crate::kernel::batch::Dump;
use crate::kernel::hosts::HostComms;
use crate::kernel::load::{Loader, Object, ProgramReport};
use crate::kernel::losses::Losses;
use crate::kernel::{KernelFeatures, Settings, clock};
use crate::requests::ids::Ids;
use crate::requests::tracker::{Limits, Run, Tracker};
use crate::requests::written::Written;
use crate::window::Window;
use crate::window::sample::Loss;

/// The row of the probe table.
pub const PROBE: Probe = Probe { name: "requests", needs: None, attach };

/// Most workloads of which it is told that they use io_uring.
const MOST_RINGS: usize = 64;
/// Most processes with an io_uring that are looked at in a window.
const MOST_RING_LOOKS: usize = 256;
/// Most records of one `poll`.
const MOST_RECORDS: usize = 65_536;

/// What is missing where the kernel does not take the walk that loops.
pub(super) const MANY_STREAMS: &str = "statuses of more than some 45 streams of one call";

struct Requests {
    object: Object,
    ring: RingBuf<MapData>,
    conns: Dump<u64, Conn>,
    tracker: Tracker,
    written: Written,
    hosts: HostComms,
    losses: Losses,
    undecodable: u64,
    /// Workloads that have an io_uring, and how many of them were not told of yet.
    rings: BTreeSet<String>,
    new_rings: u64,
    /// How many processes with one may still be looked at in this window.
    ring_looks: usize,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").field("object", &self.object).finish_non_exhaustive()
    }
}

fn attach(features: &KernelFeatures, settings: &Settings) -> Result<Box<dyn Running>, AttachError> {
    let (low, high) = super::flows::ports::ephemeral();
    let has_tls = super::tls::is_wanted(features, settings).is_ok();
    let mut object = Loader::new("requests", crate::ebpf_object!("requests"), features, settings)?
        .layout(LAYOUT)?
        .workloads()?
        .fields(FIELDS)?
        .global_u32("OWN_TGID", std::process::id())
        // tracing programs have the helper since 5.11
        .global_u32("TYPED_TASK", u32::from(features.version() >= (5, 11)))
        .global_u32("EPHEMERAL_LOW", u32::from(low))
        .global_u32("EPHEMERAL_HIGH", u32::from(high))
        .max_entries("CONNS", settings.max_requested)
        .max_entries("INSIDE", if has_tls { THREADS } else { 1 })
        .hashes(&["CONNS", "HOST_COMMS"])
        .load()?;
    // what the TLS probe finds goes the same way
    let shared = if has_tls { &super::tls::SHARED[..] } else { &[] };
    let lent: Vec<_> =
        shared.iter().map(|map| Ok((*map, object.lendable(map)?))).collect::<Result<_, AttachError>>()?;
    let limits = Limits {
        connections: settings.max_requested as usize,
        memory: settings.max_decoder_memory as usize,
        spans: settings.max_spans,
    };
    let probe = Requests {
        ring: object.ring("RECORDS")?,
        conns: object.dump("CONNS", features)?,
        tracker: Tracker::new(limits, Ids::random(), settings.written.clone()),
        written: settings.written.clone(),
        hosts: object.hosts(features)?,
        losses: object.losses(features, "span")?,
        undecodable: 0,
        rings: BTreeSet::new(),
        new_rings: 0,
        ring_looks: MOST_RING_LOOKS,
        object,
    };
    let running = attach_programs(probe, features)?;
    // only now is there somebody who reads them
    for (map, descriptor) in lent {
        features.lent.lend(map, descriptor);
    }
    Ok(running)
}

fn attach_programs(mut probe: Requests, features: &KernelFeatures) -> Result<Box<dyn Running>, AttachError> {
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
        ("requests_line", TAIL_LINE),
    ] {
        object.btf_tail(program, "sys_exit", "TAILS", place)?;
    }
    let walk = |object: &mut Object, program| object.btf_tail(program, "sys_exit", "TAILS", TAIL_FRAMES);
    let looped = features.makes_loops.then(|| walk(object, "requests_frames_looped"));
    let has_looped = matches!(looped, Some(Ok(())));
    object.optional(MANY_STREAMS, looped.unwrap_or(Ok(())));
    if !has_looped {
        walk(object, "requests_frames")?;
    }
    let rings = object.raw_tracepoint("requests_ring", "io_uring_create");
    object.optional("workloads that use io_uring", rings);
    let begun = object.btf_tracepoint("requests_enter", "sys_enter");
    object.optional("begin of writes", begun);
    object.btf_tracepoint("requests_exit", "sys_exit")?;
    object.settle();
    for process in rings::open() {
        probe.ring(process);
    }
    probe.written.switch(true);
    Ok(Box::new(probe))
}

impl Requests {
    fn read_ring(&mut self, sink: &mut Sink) {
        let offset = clock::boot_to_unix_ns();
        let mut head = [0; HEAD_LEN];
        let began_ns = clock::boot_ns();
        let mut rings = Vec::new();
        for _ in 0..MOST_RECORDS {
            let Some(record) = self.ring.next() else {
                self.written.seen(clock::unix_ns(began_ns, offset));
                break;
            };
            if let Some(seen) = elsewhere(&record) {
                if seen.is_ring() {
                    rings.push(seen.line.tgid);
                }
                self.tracker.elsewhere(&seen, offset);
                continue;
            }
            match piece(&record, &mut head) {
                Some(piece) => self.tracker.take(&piece, offset, &mut sink.samples),
                None => self.undecodable += 1,
            }
        }
        for process in rings {
            self.ring(process);
        }
    }

    /// A process has an io_uring: what its workload does over that is not seen. Told once of each workload.
    fn ring(&mut self, process: u32) {
        // whoever makes many of them has no file read for each
        if self.rings.len() >= MOST_RINGS || self.ring_looks == 0 {
            return;
        }
        self.ring_looks -= 1;
        let Some(name) = rings::name(process) else { return };
        self.new_rings += u64::from(self.rings.insert(name));
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.written.switch(false);
    }
}

impl Running for Requests {
    fn missing(&self) -> Vec<String> {
        let mut missing = self.object.missing();
        missing.extend(self.rings.iter().map(|name| format!("requests over io_uring, which {name} has")));
        missing
    }

    fn programs(&self) -> Vec<ProgramReport> {
        self.object.programs()
    }

    fn wake_fds(&self) -> Vec<RawFd> {
        vec![self.ring.as_raw_fd()]
    }

    /// Spans of requests that did not fail and were not slow; all stay counted.
    fn detail(&mut self, on: bool) -> Result<(), AttachError> {
        self.tracker.tell_all(on);
        Ok(())
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
        self.ring_looks = MOST_RING_LOOKS;
        let count = std::mem::take(&mut self.new_rings);
        if count > 0 {
            sink.losses.push(Loss { signal: "span", stage: "kernel", reason: "io_uring", count });
        }
        self.hosts.drain(sink);
        self.losses.drain(sink);
        self.object.drain_skipped("span", sink);
        self.object.flush_log();
    }
}
