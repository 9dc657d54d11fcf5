//! What the agent costs, and what it does about it: the governor's decisions carried out, and told.
//!
//! The agent's own CPU time is the kernel's; that of its programs in other processes is estimated from what they counted,
//! since the kernel's own statistics cost more than some of the programs. A part that is shed shows in `/probes`, in the
//! metric `budget_shed`, in the log, and in each window's losses under the reason `budget`.

use std::time::Duration;

use super::governor::{Decision, Governor, Part};
use super::{Attached, Driver};
use crate::kernel::{KernelFeatures, clock};
use crate::metrics::labels::PartLabels;
use crate::window::sample::{Loss, Row, Sample};

#[cfg(test)]
mod tests;

/// Nanoseconds of program time per event, dispatch included (docs/journal/2026-11-21-syscalls-and-switches.md and
/// 2026-11-21-flows.md).
const SYSCALL_NS: u64 = 220;
const SWITCH_NS: u64 = 330;
const PACKET_NS: u64 = 170;

/// The budget and what became of it.
#[derive(Debug)]
pub struct Budget {
    governor: Governor,
    /// Process CPU time and monotonic time at the last look; the first one only begins.
    last: Option<(Duration, Duration)>,
    /// The probe that was dropped for it.
    dropped: Option<&'static str>,
}

impl Budget {
    /// Allows this much CPU time per second.
    pub fn new(per_second: Duration) -> Self {
        Self { governor: Governor::new(per_second), last: None, dropped: None }
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

/// Time that the programs took for what these rows count.
pub(super) fn in_programs(samples: &[Sample]) -> Duration {
    let cost = |row: &Row| match row {
        Row::Flow(row) => row.packets_sent.saturating_add(row.packets_received).saturating_mul(PACKET_NS),
        Row::Syscall(row) => row.count.saturating_mul(SYSCALL_NS),
        Row::RunQueue(row) => row.voluntary.saturating_add(row.involuntary).saturating_mul(SWITCH_NS),
        _ => 0,
    };
    Duration::from_nanos(samples.iter().map(|sample| cost(&sample.row)).fold(0, u64::saturating_add))
}

impl Driver {
    /// What this window lacks because of the budget. Timings: as many as would have been taken. Run-queue delays: one per
    /// window. Flows by peer: as many rows as are folded.
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
                Part::RunQueue => ("usage", u64::from(self.budget.dropped.is_some())),
                Part::Peers => (
                    "flow",
                    samples.iter().filter(|sample| matches!(sample.row, Row::Flow(_))).count() as u64,
                ),
            };
            Loss { signal: name, stage: "window", reason: "budget", count }
        };
        self.budget.governor.shed().iter().map(loss).filter(|loss| loss.count > 0).collect()
    }

    /// After a window: what it cost, and what follows from that.
    pub(super) fn keep_budget(&mut self, probes: &mut Vec<Attached>, in_kernel: Duration) {
        let (cpu, now) = (clock::process_cpu(), self.clock.monotonic());
        let Some((cpu_before, before)) = self.budget.last.replace((cpu, now)) else { return };
        let (used, elapsed) = (cpu.saturating_sub(cpu_before) + in_kernel, now.saturating_sub(before));
        if !elapsed.is_zero() {
            self.metrics.budget_used.set(used.as_secs_f64() / elapsed.as_secs_f64());
        }
        let decision = self.budget.governor.observe(used, elapsed);
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
            Part::SyscallLatency => detail(probes, part, false),
            Part::RunQueue => {
                let count = probes.len();
                probes.retain(|probe| probe.name != part.probe());
                if probes.len() < count {
                    self.budget.dropped = Some(part.probe());
                    self.states.over_budget(part.probe());
                }
            }
            Part::Peers => {}
        }
    }

    fn restore(&mut self, part: Part, probes: &mut Vec<Attached>) {
        match part {
            Part::SyscallLatency => detail(probes, part, true),
            Part::RunQueue => {
                let Some(name) = self.budget.dropped.take() else { return };
                let Some(probe) = self.probes.iter().find(|probe| probe.name == name) else { return };
                let features = KernelFeatures::probe();
                probes.extend(self.attach_one(probe, &features));
                drop(features);
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
