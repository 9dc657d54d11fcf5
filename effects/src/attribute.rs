//! Which change is to blame for an effect: a posterior over the changes, an external event, and chance.
//!
//! ln P = ln prior(kind) + onset + path, each term bounded to ±10, then normalised. An effect whose time fits no
//! change goes to "external"; nothing is ever forced on the nearest change.

use std::collections::BTreeMap;

use crate::case::{Case, ChangeKind};
use crate::finding::Finding;

/// No single term may decide alone.
const BOUND: f64 = 10.0;
/// How often something outside the recording is the cause, before anything is known.
const EXTERNAL: f64 = 0.10;
/// Median time from a change to its effect, seconds, and what each call in between adds.
const MEDIAN_DELAY_S: f64 = 20.0;
const PER_HOP_S: f64 = 10.0;
/// Spread of that time on a log scale: one effect in six takes more than e times the median.
const DELAY_SPREAD: f64 = 1.0;
/// Effects rarely go further than this through calls.
const MOST_HOPS: usize = 2;
/// Each call between change and effect makes the path less likely by this factor.
const PER_HOP: f64 = 0.5;

/// How often a change of this kind hurts, before anything is known: what replaces code or settings leads.
#[must_use]
pub fn prior(kind: ChangeKind) -> f64 {
    match kind {
        ChangeKind::Rollout | ChangeKind::Config => 0.05,
        ChangeKind::Drain => 0.03,
        ChangeKind::Scale => 0.02,
        ChangeKind::Restart | ChangeKind::Rollback => 0.01,
    }
}

/// A posterior: one probability per change, in the order of the facts, and one for everything else.
#[derive(Debug, Clone, PartialEq)]
pub struct Blame {
    /// Probability that each change caused the effect.
    pub changes: Vec<f64>,
    /// Probability that something else did.
    pub external: f64,
}

/// Blames the changes for an effect on a workload that began in its onset interval. `None` without an onset.
#[must_use]
pub fn blame(facts: &Case, effect: &Finding) -> Option<Blame> {
    let (from, to) = effect.onset?;
    let hops = hops(facts, &effect.workload);
    let mut weights = Vec::with_capacity(facts.changes.len());
    // an external event may begin at any time of the hour before as well as now
    const ANY_TIME_S: f64 = 3_600.0;
    for change in &facts.changes {
        let Some(&far) = hops.get(change.workload.as_str()) else {
            weights.push(0.0);
            continue;
        };
        let onset = onset(from - change.start, to - change.start, far);
        let path = PER_HOP.powi(far as i32).ln();
        let log = prior(change.kind).ln() + onset.clamp(-BOUND, BOUND) + path.clamp(-BOUND, BOUND);
        weights.push(if onset.is_finite() { log.exp() } else { 0.0 });
    }
    let external = EXTERNAL / ANY_TIME_S;
    let sum = external + weights.iter().sum::<f64>();
    Some(Blame { changes: weights.iter().map(|w| w / sum).collect(), external: external / sum })
}

/// Mean log-normal density of the delay over an interval of seconds since the change; −∞ if it ends before.
fn onset(from: i64, to: i64, hops: usize) -> f64 {
    if to <= 0 {
        return f64::NEG_INFINITY;
    }
    const POINTS: i32 = 16;
    let (from, to) = (from.max(0) as f64, to as f64);
    let median = MEDIAN_DELAY_S + PER_HOP_S * hops as f64;
    let mut sum = 0.0;
    for i in 0..POINTS {
        let t = (from + (to - from) * (f64::from(i) + 0.5) / f64::from(POINTS)).max(1.0);
        let z = (t / median).ln() / DELAY_SPREAD;
        sum += (-0.5 * z * z).exp() / (t * DELAY_SPREAD * (2.0 * std::f64::consts::PI).sqrt());
    }
    (sum / f64::from(POINTS)).ln()
}

/// Workloads that can hurt `workload` through calls, itself first: the callees, by number of calls between.
fn hops<'a>(facts: &'a Case, workload: &'a str) -> BTreeMap<&'a str, usize> {
    let mut found = BTreeMap::from([(workload, 0)]);
    let mut ring = vec![workload];
    for far in 1..=MOST_HOPS {
        let mut next = Vec::new();
        for (from, to) in &facts.edges {
            if ring.contains(&from.as_str()) && !found.contains_key(to.as_str()) {
                found.insert(to, far);
                next.push(to.as_str());
            }
        }
        ring = next;
    }
    found
}
