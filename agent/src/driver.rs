//! The probe thread: attaches the probes, empties their rings as they wake, and drains their maps at each window's end.
//!
//! In: probes, the cgroup tree, usage files. Out: named rows for the export and the workload metrics, losses.
//! Invariants: cgroup events are handled before the rows that came with them; a probe that panics is dropped and
//! marked, the others go on; windows are aligned to wall time; nothing here waits for disk or network: when the queue to
//! the export is full, rows are counted as `queue_full`.

mod attach;
pub mod states;
pub mod tree;

use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_common::workload::HOST_BIT;
use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::shutdown::Token;
use tokio::sync::mpsc::Sender;

use crate::driver::states::States;
use crate::driver::tree::Tree;
use crate::export::ledger::Ledger;
use crate::export::writer::{ITEM_ROWS, Item};
use crate::files::Usage;
use crate::identity::Identities;
use crate::kernel::Settings;
use crate::logs::redact::{RawText, Rules, redact_arguments};
use crate::metrics::workloads::Workloads;
use crate::metrics::{AgentMetrics, ProbeLabels};
use crate::probe::{Probe, Running, Sink};
use crate::window::Window;
use crate::window::assemble::{Assembler, Named, signal, table};
use crate::window::peers;
use crate::window::sample::{CgroupEvent, Loss, Owner, Row, Sample};

/// Rings are emptied at least this often, since programs submit without waking.
const TICK: Duration = Duration::from_millis(100);
/// Cgroups whose files are read between windows because a process of theirs ended.
const STALE_READS: usize = 64;
/// After a window of more rows, freed memory is given back.
const BURST_ROWS: usize = 4_000;

/// What the driver works with.
#[derive(Debug)]
pub struct Driver {
    /// The table of probes, in the order in which they are attached: cgroup events first.
    pub probes: &'static [Probe],
    /// What they are told.
    pub settings: Settings,
    /// Their states.
    pub states: States,
    /// Names.
    pub identities: Arc<Mutex<Identities>>,
    /// The cgroup tree; `None` where no hierarchy is mounted.
    pub tree: Option<Tree>,
    /// Usage files; `None` when switched off.
    pub usage: Option<Usage>,
    /// The window stage.
    pub assembler: Assembler,
    /// What is taken out of process arguments.
    pub rules: Arc<Rules>,
    /// To the export; `None` when nothing is exported.
    pub items: Option<Sender<Item>>,
    /// To `/metrics`.
    pub workloads: Workloads,
    /// Own metrics.
    pub metrics: AgentMetrics,
    /// What is lost.
    pub ledger: Ledger,
    /// Not ready while probes are being attached.
    pub health: Health,
    /// Time.
    pub clock: Clock,
}

struct Attached {
    name: &'static str,
    running: Box<dyn Running>,
    fds: Vec<RawFd>,
}

impl Driver {
    /// Runs until the token's phase begins; the window that is open then is drained before the end. Dropping
    /// `detached` says that every program is gone.
    pub fn run(mut self, token: Token, detached: Token) {
        let mut sink = Sink::default();
        let mut probes = self.attach(&token, &mut sink);
        self.measure(&probes);
        let mut window = Window::containing(self.clock.now_unix_ns(), self.settings.window_seconds);
        self.pass(&mut sink);
        while !token.is_stopped() {
            self.wait(&probes, window);
            self.poll(&mut probes, &mut sink);
            self.pass(&mut sink);
            let now = self.clock.now_unix_ns();
            if now >= window.end_ns() {
                self.close(&mut probes, &mut sink, window);
                window = Window::containing(self.clock.now_unix_ns(), self.settings.window_seconds);
            } else if now < window.start_ns {
                // the machine's clock was set back
                window = Window::containing(now, self.settings.window_seconds);
            }
        }
        self.poll(&mut probes, &mut sink);
        self.pass(&mut sink);
        self.close(&mut probes, &mut sink, window);
        drop(self);
        drop(token);
        probes.clear();
        drop(detached);
    }

    fn wait(&self, probes: &[Attached], window: Window) {
        let until_end = Duration::from_nanos(window.end_ns().saturating_sub(self.clock.now_unix_ns()));
        let wait = until_end.min(TICK);
        let fds: Vec<RawFd> = probes.iter().flat_map(|probe| probe.fds.iter().copied()).collect();
        crate::kernel::wait::readable(&fds, wait);
    }

    fn poll(&self, probes: &mut Vec<Attached>, sink: &mut Sink) {
        self.each(probes, |probe| probe.running.poll(sink));
    }

    fn drain(&self, probes: &mut Vec<Attached>, sink: &mut Sink, window: Window) {
        self.each(probes, |probe| {
            let started = self.clock.monotonic();
            probe.running.drain(window, sink);
            let took = self.clock.monotonic() - started;
            let labels = ProbeLabels { probe: probe.name.to_owned() };
            self.metrics.drain_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        });
    }

    /// Runs something on every probe; one that panics is dropped, and stays marked.
    fn each(&self, probes: &mut Vec<Attached>, mut work: impl FnMut(&mut Attached)) {
        probes.retain_mut(|probe| {
            if catch_unwind(AssertUnwindSafe(|| work(probe))).is_ok() {
                return true;
            }
            self.metrics.probe_panics.get_or_create(&ProbeLabels { probe: probe.name.to_owned() }).inc();
            self.states.failed(
                probe.name,
                "panic",
                "the probe panicked and was stopped; the log has the place",
            );
            false
        });
    }

    /// Handles what the sink holds: events first, then rows that need no window.
    fn pass(&mut self, sink: &mut Sink) {
        let now = self.clock.monotonic();
        let mut identities = lock(&self.identities);
        let is_lost = sink.cgroups.contains(&CgroupEvent::Lost);
        let mut ends = Vec::new();
        for event in sink.cgroups.drain(..) {
            identities.apply(&event, now);
            match (&mut self.usage, &event) {
                // what its processes used is booked first
                (Some(_), CgroupEvent::Removed { .. }) => ends.push(event),
                (Some(usage), _) => usage.apply(&event, true),
                (None, _) => {}
            }
        }
        let has_events = self.states.is_running("cgroups");
        if let Some(tree) = &mut self.tree
            && tree.is_due(now, is_lost, has_events, self.assembler.is_waiting())
        {
            for event in tree.walk(&mut identities, now) {
                if let Some(usage) = &mut self.usage {
                    usage.apply(&event, true);
                }
            }
        }
        let mut losses = std::mem::take(&mut sink.losses);
        let mut events = take_events(&mut sink.samples);
        redact_events(&mut events, &self.rules);
        if let Some(usage) = &mut self.usage {
            book_exits(usage, &mut identities, &events);
            usage.read_stale(STALE_READS);
            for event in &ends {
                usage.apply(event, false);
            }
        }
        let mut rows = self.assembler.retry(&mut identities, now, &mut losses);
        rows.append(&mut self.assembler.pass(events, &mut identities, now, &mut losses));
        drop(identities);
        self.hand_over(rows, &mut losses);
    }

    /// The window has ended: everything that was summed up in it goes out.
    fn close(&mut self, probes: &mut Vec<Attached>, sink: &mut Sink, window: Window) {
        let started = self.clock.monotonic();
        self.drain(probes, sink, window);
        // events that a drain found are older than its rows
        let samples = std::mem::take(&mut sink.samples);
        let (samples, events): (Vec<_>, Vec<_>) =
            samples.into_iter().partition(|sample| !is_event(&sample.row));
        sink.samples = events;
        self.pass(sink);
        let usage = self.usage.as_mut().map(Usage::read).unwrap_or_default();
        let mut losses = Vec::new();
        let now = self.clock.monotonic();
        let mut rows = {
            let mut identities = lock(&self.identities);
            identities.expire(now);
            self.assembler.close(window, samples, usage, &mut identities, now, &mut losses)
        };
        peers::fill(&mut rows);
        let is_burst = rows.len() > BURST_ROWS;
        self.hand_over(rows, &mut losses);
        self.workloads.expire(now);
        let ledger = self.ledger.take(window);
        if !ledger.is_empty() {
            self.send(Item::Losses(ledger));
        }
        if is_burst {
            crate::kernel::memory::give_back();
        }
        self.measure(probes);
        self.metrics.window_seconds.observe((self.clock.monotonic() - started).as_secs_f64());
    }

    fn hand_over(&mut self, rows: Vec<Named>, losses: &mut Vec<Loss>) {
        if !rows.is_empty() {
            self.workloads.add(&rows, self.clock.monotonic());
            let mut counts = std::collections::BTreeMap::<&'static str, u64>::new();
            for named in &rows {
                *counts.entry(table(&named.row)).or_default() += 1;
            }
            for (table, count) in counts {
                self.metrics.count("window", table, count);
            }
            let mut rows = rows;
            while !rows.is_empty() {
                let rest = rows.split_off(rows.len().min(ITEM_ROWS));
                self.send(Item::Rows(rows));
                rows = rest;
            }
        }
        for loss in losses.drain(..) {
            self.ledger.add(&loss);
        }
    }

    fn send(&self, item: Item) {
        let Some(items) = &self.items else { return };
        let Err(error) = items.try_send(item) else { return };
        match error.into_inner() {
            Item::Rows(rows) => {
                for named in rows {
                    let signal = signal(table(&named.row));
                    self.ledger.add(&Loss { signal, stage: "window", reason: "queue_full", count: 1 });
                }
            }
            Item::Losses(rows) => self.ledger.put_back(&rows),
        }
    }

    fn measure(&self, probes: &[Attached]) {
        let (live, dead, comms) = lock(&self.identities).sizes();
        for (kind, count) in [("cgroup", live), ("tombstone", dead), ("executable", comms)] {
            let labels = crate::metrics::KindLabels { kind: kind.to_owned() };
            self.metrics.identities.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        if let Some(usage) = &self.usage {
            self.metrics.usage_files.set(i64::try_from(usage.sizes().1).unwrap_or(i64::MAX));
        }
        for probe in probes {
            self.states.running(probe.name, probe.running.missing());
        }
        self.metrics.measure_process();
    }
}

fn lock(identities: &Mutex<Identities>) -> MutexGuard<'_, Identities> {
    identities.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_event(row: &Row) -> bool {
    matches!(row, Row::Process(_) | Row::Log(_))
}

/// Rows with a time of their own need not wait for the window's end.
fn take_events(samples: &mut Vec<Sample>) -> Vec<Sample> {
    let all = std::mem::take(samples);
    let (events, rest) = all.into_iter().partition(|sample| is_event(&sample.row));
    *samples = rest;
    events
}

/// Arguments leave the process redacted or not at all.
fn redact_events(events: &mut [Sample], rules: &Rules) {
    for sample in events {
        let Row::Process(row) = &mut sample.row else { continue };
        let raw: Vec<RawText<'_>> =
            row.arguments.iter().map(|argument| RawText::new(argument.as_bytes())).collect();
        let redacted = redact_arguments(&raw, rules);
        row.arguments = redacted;
    }
}

/// CPU time of processes that ended: what their cgroup's files may no longer tell.
fn book_exits(usage: &mut Usage, identities: &mut Identities, events: &[Sample]) {
    for Sample { owner, row } in events {
        let Row::Process(row) = row else { continue };
        let Some(cpu_ns) = row.cpu_ns.filter(|_| row.event == "exit") else { continue };
        match owner {
            Owner::Workload(key) if key & HOST_BIT == 0 => usage.exited(*key, cpu_ns),
            owner => {
                if let Some(identity) = identities.resolve(owner)
                    && let Some(comm) = identity.workload.strip_prefix("host/")
                {
                    usage.host_exited(row.pid, comm, cpu_ns);
                }
            }
        }
    }
}
