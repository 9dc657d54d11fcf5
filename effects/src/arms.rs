//! New pods against the pods that were there before and beside them: errors.
//!
//! The strongest design where a change names its pods: the same clock, the same callers. Values of one time are
//! averaged first, so that twenty calls failing together count as one observation, not as twenty; so are values of
//! one minute, which often come from windows that overlap.

use std::collections::BTreeMap;

use crate::case::{Case, Change, Entity, Signal};
use crate::cells::Cells;
use crate::finding::{Design, Direction, Finding, Size, What};
use crate::samples::{Kept, Samples};
use crate::stats::betting::Betting;

/// Failures beyond those before the change by less than this share of requests are not worth a verdict.
const FLOOR: f64 = 0.001;
/// Looks that decide whether failures still go on.
const RECENT: usize = 3;

/// The arms of one change.
#[derive(Debug, Clone)]
pub struct Arms {
    change: Change,
    cells: Cells,
    done: i64,
    before: Mean,
    treated: Mean,
    beside: Mean,
    bet: Betting,
    recent: Vec<f64>,
    onset: Option<(i64, i64)>,
    last: i64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    n: f64,
}

impl Mean {
    fn push(&mut self, value: f64) {
        self.sum += value;
        self.n += 1.0;
    }

    fn get(self) -> Option<f64> {
        (self.n > 0.0).then(|| self.sum / self.n)
    }
}

impl Arms {
    /// `None` if no pod's successes were measured before the change.
    #[must_use]
    pub fn open(facts: &Case, samples: &Samples, change: &Change) -> Option<Self> {
        let mut arms = Self {
            change: change.clone(),
            cells: Cells::of(None, facts.step_s),
            done: change.start,
            before: Mean::default(),
            treated: Mean::default(),
            beside: Mean::default(),
            bet: Betting::default(),
            recent: Vec::new(),
            onset: None,
            last: change.start,
        };
        for (_, old) in arms.steps(facts, samples, (i64::MIN, change.start), change.start).values() {
            if let Some(failed) = old.get() {
                arms.before.push(failed);
            }
        }
        (arms.before.n > 0.0).then_some(arms)
    }

    /// Takes everything observed up to `now`.
    pub fn advance(&mut self, facts: &Case, samples: &Samples, now: i64) {
        let limit = self.limit();
        // nothing comes to the last minute any more once nobody observes
        let over = now >= self.change.observe_until;
        let until = if over { now } else { self.cells.whole(now, self.change.start) };
        for (time, (new, old)) in self.steps(facts, samples, (self.done, until), now) {
            if let Some(failed) = old.get() {
                self.beside.push(failed);
            }
            if let Some(failed) = new.get() {
                self.treated.push(failed);
                self.bet.push(failed, limit);
                self.recent.push(failed);
                if self.recent.len() > RECENT {
                    self.recent.remove(0);
                }
                let time = time.min(until);
                if self.onset.is_none() && failed > limit {
                    self.onset = Some((self.last, time));
                }
                self.last = time;
            }
        }
        self.done = self.done.max(until);
    }

    /// Mean failures a step may have without being evidence: what was before, with one failed and one good step
    /// added (Laplace), plus the floor.
    fn limit(&self) -> f64 {
        (self.before.sum + 1.0) / (self.before.n + 2.0) + FLOOR
    }

    /// Share of the new pods' extra failures that the old pods beside them show too: not the new pods' doing.
    #[must_use]
    pub fn shared(&self) -> f64 {
        let before = self.before.get().unwrap_or(0.0);
        match (self.treated.get(), self.beside.get()) {
            (Some(new), Some(old)) if new > before => ((old - before) / (new - before)).clamp(0.0, 1.0),
            _ => 0.0,
        }
    }

    /// What the arms say so far; `None` before a new pod served.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        let (before, failed) = (self.before.get()?, self.treated.get()?);
        // Hoeffding for the mean of values in 0..1, two-sided .95
        let half = ((2.0_f64 / 0.05).ln() / (2.0 * self.treated.n)).sqrt();
        let recent = self.recent.iter().sum::<f64>() / self.recent.len().max(1) as f64;
        Some(Finding {
            workload: self.change.workload.clone(),
            what: What::Signal(Signal::SuccessRatio),
            design: Design::Concurrent,
            direction: Direction::Worse,
            p: (1.0 / self.bet.e()).min(1.0),
            now: recent / self.limit(),
            size: Some(Size {
                baseline: 1.0 - before,
                observed: 1.0 - failed,
                interval: ((before - failed - half).max(before - 1.0), (before - failed + half).min(before)),
            }),
            // more failures than that are outside the interval
            detectable: Some((before - failed - half).clamp(before - 1.0, 0.0)),
            onset: self.onset,
            ended: None,
            latest: Some(self.last),
            samples: self.treated.n as usize,
            compared: self.before.n as usize,
        })
    }

    /// Per time in `(from, to]`: mean failures of new pods and of all others of the workload.
    fn steps(
        &self,
        facts: &Case,
        samples: &Samples,
        (from, to): (i64, i64),
        now: i64,
    ) -> BTreeMap<i64, (Mean, Mean)> {
        let mut steps: BTreeMap<i64, (Mean, Mean)> = BTreeMap::new();
        for kept in samples.of_workload(&self.change.workload).filter(|k| k.signal == Signal::SuccessRatio) {
            let Some(pod) = pod_of(facts, kept) else { continue };
            let new = facts.made(&self.change, pod);
            // the step in which a pod appears or goes also holds another pod's calls
            let born = if new {
                pod.created.unwrap_or(self.change.start).saturating_add(self.cells.step_s)
            } else {
                i64::MIN
            };
            let gone = pod.deleted.filter(|d| *d <= now).unwrap_or(i64::MAX);
            for &(time, value) in kept.between(from, to) {
                if time >= born && time <= gone {
                    let step = steps.entry(self.cells.end(time, self.change.start)).or_default();
                    let arm = if new { &mut step.0 } else { &mut step.1 };
                    arm.push(1.0 - value.min(1.0));
                }
            }
        }
        steps
    }
}

fn pod_of<'a>(facts: &'a Case, kept: &Kept) -> Option<&'a crate::case::Pod> {
    match &kept.entity {
        Entity::Pod(id) | Entity::Edge(_, id) => facts.pods.iter().find(|p| &p.id == id),
        Entity::Workload(_) | Entity::Node(_) => None,
    }
}
