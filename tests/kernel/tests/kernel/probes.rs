//! Driving one probe as the agent does: attach, poll, drain, and look at the rows of one owner.
#![expect(clippy::disallowed_methods, reason = "a deadline on real time, polled")]

use std::time::{Duration, Instant};

use agent::kernel::{KernelFeatures, Settings};
use agent::probe::{Probe, Running, Sink};
use agent::window::Window;
use agent::window::sample::{Owner, Row};

/// An attached probe, and all that it gave so far.
pub(crate) struct Attached {
    running: Box<dyn Running>,
    pub(crate) sink: Sink,
}

impl Attached {
    /// Attaches, or fails the test with the reason.
    #[track_caller]
    pub(crate) fn new(probe: &Probe, settings: &Settings) -> Self {
        Self::of_node(crate::features(), probe, settings)
    }

    /// The same for an agent of a node of its own.
    #[track_caller]
    pub(crate) fn of_node(features: &KernelFeatures, probe: &Probe, settings: &Settings) -> Self {
        match (probe.attach)(features, settings) {
            Ok(running) => Self { running, sink: Sink::default() },
            Err(error) => panic!("probe {}: {error}", probe.name),
        }
    }

    /// Gives up or takes up again what the probe can do without.
    #[track_caller]
    pub(crate) fn detail(&mut self, on: bool) {
        self.running.detail(on).unwrap();
    }

    /// What the probe says that it does not see.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.running.missing()
    }

    /// Empties rings, once.
    pub(crate) fn poll(&mut self) {
        self.running.poll(&mut self.sink);
    }

    /// Ends a window: rings first, then maps.
    pub(crate) fn drain(&mut self) {
        self.poll();
        self.running.drain(Window { start_ns: 0, seconds: 10 }, &mut self.sink);
    }

    /// The rows of one owner so far.
    pub(crate) fn rows(&self, workload: u64) -> impl Iterator<Item = &Row> {
        self.sink
            .samples
            .iter()
            .filter(move |sample| sample.owner == Owner::Workload(workload))
            .map(|sample| &sample.row)
    }
}

/// Tries until it holds, for at most a minute: an emulated machine on a busy one is slow.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 60 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
