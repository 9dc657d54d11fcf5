//! What the agent costs, and what it does about it: the governor's decisions carried out, and told.
//!
//! The agent's own CPU time is the kernel's, without that of the threads that read logs: they follow what is written, catch
//! up after a restart, and nothing that could be shed makes them cheaper. That of the programs in other processes is
//! estimated from what they counted, since the kernel's own statistics cost more than some of the programs. A part that is shed shows in `/probes`, in the
//! metric `budget_shed`, in the log, and in each window's losses under the reason `budget`.

use std::time::Duration;

use super::governor::{Cost, Decision, Governor, Part};
use super::{Attached, Driver};
use crate::kernel::{KernelFeatures, Settings, clock};
use crate::metrics::labels::PartLabels;
use crate::probe::Probe;
use crate::window::sample::{Loss, Row, Sample};

#[cfg(test)]
mod tests;
mod threads;

/// Nanoseconds of program time per event, dispatch included (docs/journal/2026-11-21-syscalls-and-switches.md and
/// 2026-11-21-flows.md).
const SYSCALL_NS: u64 = 150;
const SWITCH_NS: u64 = 330;
const PACKET_NS: u64 = 170;
/// Of a request at one end: two calls or a little more (docs/journal/2026-11-22-requests.md).
const REQUEST_NS: u64 = 2_500;
/// What it takes to decode and count a request, as a share of a row's way through the agent, which a span takes whole.
const DECODED_ROWS: f64 = 0.3;
/// What timing adds to a call: `sys_enter` is dispatched at each, and reads the clock at one in 16, or at each.
const SAMPLED_NS: u64 = 70;
const TIMED_NS: u64 = 300;
/// Without a setting: what a host of this many CPUs can spare, per CPU and at least.
const PER_CPU: Duration = Duration::from_millis(40);
const AT_LEAST: Duration = Duration::from_millis(300);

/// The budget and what became of it.
#[derive(Debug)]
pub struct Budget {
    governor: Governor,
    /// Own CPU time, that of the log threads, and monotonic time at the last look; the first one only begins.
    last: Option<(Duration, Duration, Duration)>,
    /// The probes that were dropped for it.
    dropped: Vec<&'static str>,
}

impl Budget {
    /// Allows this much CPU time per second.
    pub fn new(per_second: Duration) -> Self {
        Self { governor: Governor::new(per_second), last: None, dropped: Vec::new() }
    }

    /// CPU time per second that a host with this many CPUs allows where the config says nothing.
    pub fn of_host(cpus: usize) -> Duration {
        (PER_CPU * u32::try_from(cpus).unwrap_or(1)).max(AT_LEAST)
    }

    /// Whether this part is shed.
    pub fn is_shed(&self, part: Part) -> bool {
        self.governor.is_shed(part)
    }

    /// What of this probe is shed, for its state.
    pub(super) fn missing(&self, probe: &str) -> Option<String> {
        let part = self.governor.shed().iter().find(|part| part.probe() == probe)?;
        Some(format!("{}: shed, the agent is over its budget", part.name()))
    }
}

/// What timing costs per call: nothing where it is not attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timing {
    Off,
    Sampled,
    Every,
}

/// What a window's rows say of its cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    /// Time in programs.
    programs: Cost,
    /// Share of flows among the rows, and so of the agent's own work; of spans; of requests that are decoded and counted.
    flows: f64,
    spans: f64,
    requests: f64,
}

impl Counted {
    pub(super) fn of(samples: &[Sample], timing: Timing) -> Self {
        let (mut packets, mut calls, mut switches, mut flows) = (0_u64, 0_u64, 0_u64, 0_u64);
        let (mut requests, mut spans) = (0_u64, 0_u64);
        for sample in samples {
            match &sample.row {
                Row::Flow(row) => {
                    packets = packets.saturating_add(row.packets_sent.saturating_add(row.packets_received));
                    flows += 1;
                }
                Row::Syscall(row) => calls = calls.saturating_add(row.count),
                Row::Request(row) => {
                    requests = requests.saturating_add(row.count);
                    spans = spans.saturating_add(row.spans);
                }
                Row::RunQueue(row) => {
                    switches = switches.saturating_add(row.voluntary.saturating_add(row.involuntary));
                }
                _ => {}
            }
        }
        let timing_ns = match timing {
            Timing::Off => 0,
            Timing::Sampled => SAMPLED_NS,
            Timing::Every => TIMED_NS,
        };
        let took = |events: u64, ns: u64| Duration::from_nanos(events.saturating_mul(ns));
        let (latency, run_queue) = (took(calls, timing_ns), took(switches, SWITCH_NS));
        let requested = took(requests, REQUEST_NS);
        let total = latency + run_queue + requested + took(calls, SYSCALL_NS) + took(packets, PACKET_NS);
        let decoded = requests as f64 * DECODED_ROWS;
        let rows = samples.len().max(1) as f64 + spans as f64 + decoded;
        Self {
            programs: Cost { total, latency, run_queue, requests: requested, ..Cost::default() },
            flows: flows as f64 / rows,
            spans: spans as f64 / rows,
            requests: decoded / rows,
        }
    }

    /// With the agent's own time.
    fn cost(&self, own: Duration) -> Cost {
        Cost {
            total: self.programs.total + own,
            peers: own.mul_f64(self.flows),
            spans: own.mul_f64(self.spans),
            requests: self.programs.requests + own.mul_f64(self.requests),
            ..self.programs
        }
    }
}

impl Driver {
    /// What this window lacks because of the budget. Timings: as many as would have been taken. Run-queue delays and requests:
    /// one per window. Flows by peer: as many rows as are folded. Spans are counted where they are shed.
    pub(super) fn shed_losses(&self, samples: &[Sample]) -> Vec<Loss> {
        let every = if self.settings.syscall_latency_full { 1 } else { 16 };
        let loss = |part: &Part| {
            let (name, count) = match part {
                Part::SyscallLatency => {
                    let calls = samples.iter().map(|sample| match &sample.row {
                        Row::Syscall(row) => row.count,
                        _ => 0,
                    });
                    ("syscall", calls.fold(0, u64::saturating_add) / every)
                }
                Part::RunQueue | Part::Requests => {
                    let signal = if *part == Part::RunQueue { "usage" } else { "span" };
                    (signal, u64::from(self.budget.dropped.contains(&part.probe())))
                }
                Part::Spans => ("span", 0),
                Part::Peers => (
                    "flow",
                    samples.iter().filter(|sample| matches!(sample.row, Row::Flow(_))).count() as u64,
                ),
            };
            Loss { signal: name, stage: "window", reason: "budget", count }
        };
        self.budget.governor.shed().iter().map(loss).filter(|loss| loss.count > 0).collect()
    }

    /// Whether calls are timed, as it was during the window that ends.
    pub(super) fn timing(&self, probes: &[Attached]) -> Timing {
        let probe = probes.iter().find(|probe| probe.name == Part::SyscallLatency.probe());
        let lacks = |probe: &Attached| probe.running.missing().iter().any(|what| what.starts_with("latency"));
        let is_on = probe.is_some_and(|probe| !lacks(probe)) && !self.budget.is_shed(Part::SyscallLatency);
        match (is_on, self.settings.syscall_latency_full) {
            (false, _) => Timing::Off,
            (true, false) => Timing::Sampled,
            (true, true) => Timing::Every,
        }
    }

    /// After a window: what it cost, and what follows from that.
    pub(super) fn keep_budget(&mut self, probes: &mut Vec<Attached>, counted: &Counted) {
        let (cpu, logs) = (clock::process_cpu(), threads::log_cpu());
        let now = self.clock.monotonic();
        let Some((cpu_before, logs_before, before)) = self.budget.last.replace((cpu, logs, now)) else {
            return;
        };
        let own = cpu.saturating_sub(cpu_before).saturating_sub(logs.saturating_sub(logs_before));
        let elapsed = now.saturating_sub(before);
        let cost = counted.cost(own);
        let used = cost.total;
        if !elapsed.is_zero() {
            self.metrics.budget_used.set(used.as_secs_f64() / elapsed.as_secs_f64());
        }
        let decision = self.budget.governor.observe(&cost, elapsed);
        let used_ms = u64::try_from(used.as_millis()).unwrap_or(u64::MAX);
        match decision {
            Decision::Keep => {}
            Decision::Shed(part) => {
                tracing::warn!(part = part.name(), used_ms, ?elapsed, "over the budget, part shed");
                self.shed(part, probes);
            }
            Decision::Restore(part) => {
                tracing::info!(
                    part = part.name(),
                    used_ms,
                    ?elapsed,
                    "room in the budget, part taken up again"
                );
                self.restore(part, probes);
            }
        }
        for part in Part::ORDER {
            let labels = PartLabels { part: part.name().to_owned() };
            self.metrics.budget_shed.get_or_create(&labels).set(i64::from(self.budget.is_shed(part)));
        }
    }

    fn shed(&mut self, part: Part, probes: &mut Vec<Attached>) {
        match part {
            Part::SyscallLatency | Part::Spans => detail(probes, part, false),
            Part::RunQueue | Part::Requests => {
                // and what has no use without it
                let goes = |probe: &Attached| [Some(probe.name), probe.needs].contains(&Some(part.probe()));
                for probe in probes.iter().filter(|probe| goes(probe)) {
                    self.budget.dropped.push(probe.name);
                    self.states.over_budget(probe.name);
                }
                probes.retain(|probe| !goes(probe));
            }
            Part::Peers => {}
        }
    }

    fn restore(&mut self, part: Part, probes: &mut Vec<Attached>) {
        match part {
            Part::SyscallLatency | Part::Spans => detail(probes, part, true),
            Part::RunQueue | Part::Requests => {
                let back: Vec<&Probe> = self
                    .probes
                    .iter()
                    .filter(|probe| self.budget.dropped.contains(&probe.name))
                    .filter(|probe| [Some(probe.name), probe.needs].contains(&Some(part.probe())))
                    .collect();
                if back.is_empty() {
                    return;
                }
                self.budget.dropped.retain(|name| back.iter().all(|probe| probe.name != *name));
                let Settings { cgroup_root, host_owner, .. } = &self.settings;
                // the same for all: by them one is lent the maps of another
                let features = KernelFeatures::of_node(cgroup_root.as_deref(), *host_owner);
                for probe in back {
                    probes.extend(self.attach_one(probe, &features));
                }
                drop(features);
                // what is attached anew tells all
                if self.budget.is_shed(Part::Spans) && part == Part::Requests {
                    detail(probes, Part::Spans, false);
                }
                crate::kernel::memory::give_back();
            }
            Part::Peers => {}
        }
    }
}

fn detail(probes: &mut [Attached], part: Part, on: bool) {
    for probe in probes.iter_mut().filter(|probe| probe.name == part.probe()) {
        if let Err(error) = probe.running.detail(on) {
            tracing::warn!(probe = probe.name, %error, on, "detail not switched");
        }
    }
}
