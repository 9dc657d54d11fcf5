//! The agent's budget: when it costs more than it may, parts are shed in a fixed order, and taken up again when there is
//! room. Pure.
//!
//! Order: spans of requests that did not fail and were not slow, latency of syscalls, run-queue delays, flows by peer, and at
//! last requests altogether. Never: identity, counts, bytes, loss counters.
//! What counts is the agent's own CPU time and, estimated from counts, that of its programs inside other processes.
//! Sheds after `HOLD` above the budget, one part at a time, and only a part that the cost comes from: what saves less
//! than `WORTH_PERCENT` stays. Restores the last after a calm time that doubles each time a restored part had to go
//! again soon.

use std::time::Duration;

#[cfg(test)]
mod tests;

/// How long the cost stays above the budget before a part is shed.
const HOLD: Duration = Duration::from_secs(20);
/// How long it stays below `CALM_PERCENT` of the budget before a part comes back, at first and at most.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3_600));
/// A part that must go again so soon after it came back was taken up too early.
const RELAPSE: Duration = Duration::from_secs(300);
const CALM_PERCENT: u128 = 60;
/// Share of the budget that a part must cost to be worth shedding.
const WORTH_PERCENT: u128 = 5;

/// What can be shed, the first to go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Spans of requests that did not fail and were not slow; all stay counted.
    Spans,
    /// Timing of syscalls; their counts and errors stay.
    SyscallLatency,
    /// Run-queue delays and context switches: the whole `sched` probe.
    RunQueue,
    /// Flows by peer; their sums per workload stay.
    Peers,
    /// Requests: the whole `requests` probe.
    Requests,
}

impl Part {
    /// The order of shedding.
    pub const ORDER: [Self; 5] =
        [Self::Spans, Self::SyscallLatency, Self::RunQueue, Self::Peers, Self::Requests];

    /// For the metric and the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spans => "request_spans",
            Self::Requests => "requests",
            Self::SyscallLatency => "syscall_latency",
            Self::RunQueue => "run_queue",
            Self::Peers => "flow_peers",
        }
    }

    /// The probe that it belongs to.
    pub fn probe(self) -> &'static str {
        match self {
            Self::Spans | Self::Requests => "requests",
            Self::SyscallLatency => "syscalls",
            Self::RunQueue => "sched",
            Self::Peers => "flows",
        }
    }
}

/// CPU time of a while: all of it, and what of it each part accounts for that is not shed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The agent and its programs.
    pub total: Duration,
    /// Timing of syscalls.
    pub latency: Duration,
    /// The `sched` probe.
    pub run_queue: Duration,
    /// Rows of flows.
    pub peers: Duration,
    /// Spans of requests.
    pub spans: Duration,
    /// The `requests` probe without its spans.
    pub requests: Duration,
}

impl Cost {
    fn of(&self, part: Part) -> Duration {
        match part {
            Part::Spans => self.spans,
            Part::Requests => self.requests,
            Part::SyscallLatency => self.latency,
            Part::RunQueue => self.run_queue,
            Part::Peers => self.peers,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Keep,
    /// Give this up.
    Shed(Part),
    /// Take this up again.
    Restore(Part),
}

/// The governor.
#[derive(Debug)]
pub struct Governor {
    /// CPU time per second that is allowed.
    budget: Duration,
    /// What is shed, the last to come back first.
    shed: Vec<Part>,
    above: Duration,
    calm: Duration,
    patience: Duration,
    since_restore: Option<Duration>,
}

impl Governor {
    /// Allows `budget` of CPU time per second.
    pub fn new(budget: Duration) -> Self {
        let (above, calm) = (Duration::ZERO, Duration::ZERO);
        Self { budget, shed: Vec::new(), above, calm, patience: PATIENCE.0, since_restore: None }
    }

    /// Whether this part is shed.
    pub fn is_shed(&self, part: Part) -> bool {
        self.shed.contains(&part)
    }

    /// What is shed.
    pub fn shed(&self) -> &[Part] {
        &self.shed
    }

    /// In the time `elapsed` the agent and its programs cost this much.
    pub fn observe(&mut self, cost: &Cost, elapsed: Duration) -> Decision {
        let used = cost.total;
        self.since_restore = self.since_restore.map(|since| since.saturating_add(elapsed));
        let allowed = self.budget.as_nanos().saturating_mul(elapsed.as_nanos()) / 1_000_000_000;
        if used.as_nanos() > allowed {
            self.calm = Duration::ZERO;
            self.above += elapsed;
            return self.too_much(cost, allowed);
        }
        self.above = Duration::ZERO;
        if used.as_nanos().saturating_mul(100) > allowed.saturating_mul(CALM_PERCENT) {
            self.calm = Duration::ZERO;
            return Decision::Keep;
        }
        self.calm += elapsed;
        self.enough()
    }

    fn too_much(&mut self, cost: &Cost, allowed: u128) -> Decision {
        if self.above < HOLD {
            return Decision::Keep;
        }
        let is_worth = |part: &Part| cost.of(*part).as_nanos() * 100 >= allowed.saturating_mul(WORTH_PERCENT);
        let next = Part::ORDER.into_iter().find(|part| !self.is_shed(*part) && is_worth(part));
        let Some(part) = next else { return Decision::Keep };
        self.above = Duration::ZERO;
        self.shed.push(part);
        if let Some(since) = self.since_restore.take() {
            let is_relapse = since < RELAPSE;
            self.patience = if is_relapse { (self.patience * 2).min(PATIENCE.1) } else { PATIENCE.0 };
        }
        Decision::Shed(part)
    }

    fn enough(&mut self) -> Decision {
        let Some(&part) = self.shed.last() else { return Decision::Keep };
        if self.calm < self.patience {
            return Decision::Keep;
        }
        self.calm = Duration::ZERO;
        self.shed.pop();
        self.since_restore = Some(Duration::ZERO);
        Decision::Restore(part)
    }
}
