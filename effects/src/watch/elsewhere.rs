//! Traffic that stayed away everywhere: no workload's doing.

use crate::case::{Case, Change, Entity, Signal};
use crate::finding::{Direction, Finding, What};
use crate::samples::Samples;
use crate::stats::robust::median;
use crate::synthetic::unreached;

/// The level before is that of the hour before.
const HOUR_S: i64 = 3_600;
/// One other workload may have its own reasons.
const FEWEST: usize = 2;
/// Losses less sure than this are not asked about: looking at everybody costs.
const WORTH_ASKING: f64 = 0.05;

/// Median ratio of requests since a change to those of the hour before, over the workloads that it cannot reach; 1
/// if there are fewer than two, or if the changed workload has lost nothing.
pub(super) fn elsewhere(facts: &Case, samples: &Samples, change: &Change, own: &[Finding], now: i64) -> f64 {
    let lost = |f: &Finding| {
        let requests = f.what == What::Signal(Signal::RequestRate);
        requests && f.direction == Direction::Worse && f.p <= WORTH_ASKING
    };
    if !own.iter().any(lost) {
        return 1.0;
    }
    let mut ratios: Vec<f64> = Vec::new();
    for name in unreached(facts, &change.workload, change.start) {
        let Some(kept) = samples.get(&Entity::Workload(name), Signal::RequestRate) else { continue };
        let mean = |from: i64, to: i64| {
            let values = kept.between(from, to);
            values.iter().map(|s| s.1).sum::<f64>() / values.len() as f64
        };
        let ratio = mean(change.start, now) / mean(change.start - HOUR_S, change.start);
        // no samples, or no requests before
        ratios.extend(Some(ratio).filter(|r| r.is_finite()));
    }
    if ratios.len() < FEWEST { 1.0 } else { median(&mut ratios).unwrap_or(1.0) }
}
