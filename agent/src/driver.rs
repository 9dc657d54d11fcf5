//! The probe thread: attaches the probes, empties their rings as they wake, and drains their maps at each window's end.
//!
//! In: probes, the cgroup tree, usage files. Out: named rows for the export and the workload metrics, losses.
//! Invariants: cgroup events are handled before the rows that came with them; a probe that panics is dropped and
//! marked, the others go on; windows are aligned to wall time, and one that was cut or ran on says so; nothing here waits for disk or network: when the queue to
//! the export is full, rows are counted as `queue_full`.

mod attach;
pub mod budget;
pub mod events;
pub mod governor;
pub mod nat;
mod stage;
pub mod states;
pub mod tree;

use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::shutdown::{Phase, Shutdown};
use tokio::sync::mpsc::Sender;

use crate::driver::budget::Budget;
use crate::driver::events::Exits;
use crate::driver::nat::Nat;
use crate::driver::states::States;
use crate::driver::tree::Tree;
use crate::export::ledger::Ledger;
use crate::export::writer::Item;
use crate::files::Usage;
use crate::files::addresses::Addresses;
use crate::identity::Identities;
use crate::kernel::Settings;
use crate::logs::redact::Rules;
use crate::metrics::AgentMetrics;
use crate::metrics::labels::{KindLabels, ProbeLabels};
use crate::metrics::workloads::Workloads;
use crate::probe::{Probe, Running, Sink};
use crate::window::Window;
use crate::window::assemble::Assembler;
use crate::window::current::Current;

/// Rings are emptied at least this often, since programs submit without waking.
const TICK: Duration = Duration::from_millis(100);
/// How often the memory of maps is measured.
const MAPS_EVERY: Duration = Duration::from_secs(60);

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
    /// The host's own addresses.
    pub addresses: Addresses,
    /// What the agent may cost.
    pub budget: Budget,
    /// What stands behind services' addresses.
    pub nat: Nat,
    /// Ends of processes whose name has not come yet; none at start.
    pub exits: Exits,
    /// Time.
    pub clock: Clock,
}

struct Attached {
    name: &'static str,
    needs: Option<&'static str>,
    running: Box<dyn Running>,
    fds: Vec<RawFd>,
}

impl Driver {
    /// Runs until intake stops; the window that is open then is drained before the end.
    ///
    /// A stop does not wait for probes that are still being attached: the kernel may take seconds over one program, and
    /// takes everything back when the process ends.
    pub fn run(mut self, shutdown: &Shutdown) {
        let mut sink = Sink::default();
        // what is counted while probes are being attached belongs to the first window
        let mut open = self.open_window();
        let mut probes = self.attach(shutdown, &mut sink);
        crate::kernel::priority::raise();
        let token = shutdown.register(Phase::Intake, "probes");
        let detached = shutdown.register(Phase::Buffers, "probe detach");
        self.measure(&probes);
        let mut maps_due = self.measure_maps();
        self.pass(&mut sink);
        while !token.is_stopped() {
            self.wait(&probes, open);
            self.poll(&mut probes, &mut sink);
            self.pass(&mut sink);
            if open.left(self.clock.now_unix_ns()).is_zero() {
                open = self.close(&mut probes, &mut sink, open);
                if self.clock.monotonic() >= maps_due {
                    maps_due = self.measure_maps();
                }
            }
        }
        self.poll(&mut probes, &mut sink);
        self.pass(&mut sink);
        self.close(&mut probes, &mut sink, open);
        drop(self);
        drop(token);
        probes.clear();
        drop(detached);
    }

    fn open_window(&self) -> Current {
        Current::begin(self.clock.now_unix_ns(), self.clock.monotonic(), self.settings.window_seconds)
    }

    fn wait(&self, probes: &[Attached], open: Current) {
        let wait = open.left(self.clock.now_unix_ns()).min(TICK);
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
        self.release(probes);
    }

    /// Probes go with the one that they need.
    fn release(&self, probes: &mut Vec<Attached>) {
        let running: Vec<&str> = probes.iter().map(|probe| probe.name).collect();
        probes.retain(|probe| {
            let Some(needed) = probe.needs.filter(|needed| !running.contains(needed)) else { return true };
            self.states.without(probe.name, needed);
            false
        });
    }

    /// Answers when to do it again: their memory hardly changes, and reading it is most of what an idle agent would do.
    fn measure_maps(&self) -> Duration {
        self.metrics.measure_maps();
        self.clock.monotonic() + MAPS_EVERY
    }

    fn measure(&self, probes: &[Attached]) {
        let identities = lock(&self.identities);
        let ((live, dead, comms), (pods, refused)) = (identities.sizes(), identities.kube_sizes());
        drop(identities);
        self.metrics.names_refused.set(i64::try_from(refused).unwrap_or(i64::MAX));
        for (kind, count) in [("cgroup", live), ("tombstone", dead), ("executable", comms), ("pod", pods)] {
            let labels = KindLabels { kind: kind.to_owned() };
            self.metrics.identities.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        if let Some(usage) = &self.usage {
            self.metrics.usage_files.set(i64::try_from(usage.sizes().1).unwrap_or(i64::MAX));
        }
        for probe in probes {
            let mut missing = probe.running.missing();
            missing.extend(self.budget.missing(probe.name));
            self.states.running(probe.name, missing);
        }
        self.metrics.measure_process();
    }
}

fn lock(identities: &Mutex<Identities>) -> MutexGuard<'_, Identities> {
    identities.lock().unwrap_or_else(PoisonError::into_inner)
}
