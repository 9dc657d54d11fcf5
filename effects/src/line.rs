//! One signal of one workload as a single line: measured as such, or put together from its pods or its calls.

use std::collections::BTreeMap;

use crate::case::{Case, Entity, Signal};
use crate::samples::{Kept, Samples};
use crate::stats::robust::median;

/// A pod's own usual level needs this many samples before it can stand for "known up to a factor".
const FEWEST_FOR_LEVEL: usize = 3;

/// Where the line of a signal comes from, decided once by what exists when a change starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Measured for the workload.
    Workload,
    /// Put together from its pods.
    Pods,
    /// Put together from the calls that it answers.
    Calls,
}

impl Source {
    /// The best source that has samples at or before `start`.
    #[must_use]
    pub fn of(samples: &Samples, workload: &str, signal: Signal, start: i64) -> Option<Self> {
        let has = |want: fn(&Entity) -> bool| {
            samples.of_workload(workload).any(|k| {
                k.signal == signal && want(&k.entity) && k.values.first().is_some_and(|s| s.0 <= start)
            })
        };
        if has(|e| matches!(e, Entity::Workload(_))) {
            Some(Self::Workload)
        } else if has(|e| matches!(e, Entity::Pod(_))) {
            Some(Self::Pods)
        } else if matches!(signal, Signal::Latency | Signal::SuccessRatio)
            && has(|e| matches!(e, Entity::Edge(..)))
        {
            Some(Self::Calls)
        } else {
            None
        }
    }

    fn holds(self, entity: &Entity) -> bool {
        matches!(
            (self, entity),
            (Self::Workload, Entity::Workload(_))
                | (Self::Pods, Entity::Pod(_))
                | (Self::Calls, Entity::Edge(..))
        )
    }
}

/// The samples of the line with a time in `(from, to]`. A signal known only up to a factor per entity is taken
/// relative to each pod's own median up to `start`, so pods without a past stay out.
#[must_use]
pub fn line(
    facts: &Case,
    samples: &Samples,
    (workload, signal, source): (&str, Signal, Source),
    start: i64,
    (from, to): (i64, i64),
) -> Vec<(i64, f64)> {
    let parts: Vec<&Kept> =
        samples.of_workload(workload).filter(|k| k.signal == signal && source.holds(&k.entity)).collect();
    if let [only] = parts[..] {
        return only.between(from, to).to_vec();
    }
    let relative = facts.relative.contains(&signal);
    let mut sums: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for part in parts {
        let level = if relative {
            let mut past: Vec<f64> = part.between(i64::MIN, start).iter().map(|s| s.1).collect();
            match median(&mut past) {
                Some(m) if m > 0.0 && past.len() >= FEWEST_FOR_LEVEL => m,
                _ => continue,
            }
        } else {
            1.0
        };
        let requests = match (&part.entity, signal) {
            (Entity::Pod(_), Signal::Latency | Signal::SuccessRatio) => {
                samples.get(&part.entity, Signal::RequestRate)
            }
            _ => None,
        };
        for &(time, value) in part.between(from, to) {
            let weight = match requests {
                Some(r) => r.between(time - 1, time).first().map_or(0.0, |s| s.1),
                None => 1.0,
            };
            let sum = sums.entry(time).or_default();
            sum.0 += weight * value / level;
            sum.1 += weight;
        }
    }
    let total = signal == Signal::RequestRate;
    let kept = sums.into_iter().filter(|(_, s)| s.1 > 0.0);
    kept.map(|(t, s)| (t, if total { s.0 } else { s.0 / s.1 })).collect()
}
