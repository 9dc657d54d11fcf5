//! Which change is to blame for an effect: a posterior over the changes, an external event, and chance.
//!
//! ln P = ln prior(kind) + onset + dose + path + retraction, each term bounded to ±10, then normalised. An effect
//! whose time fits no change goes to "external"; nothing is ever forced on the nearest change.

use std::collections::BTreeMap;

use crate::candidates::MOST_HOPS;
use crate::case::{Case, Change, ChangeKind};
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
/// Each call between change and effect makes the path less likely by this factor.
const PER_HOP: f64 = 0.5;

/// An effect that ends with the rollback of its cause is e² times as likely as one that ends just then by
/// chance; one that outlives it by `OUTLIVED_S` as much less.
const RETRACTION: f64 = 2.0;
/// Rollbacks take minutes, and so do caches behind them.
const OUTLIVED_S: i64 = 600;

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
        let log = prior(change.kind).ln()
            + onset.clamp(-BOUND, BOUND)
            + dose(facts, change, to)
            + path.clamp(-BOUND, BOUND)
            + retraction(facts, change, effect);
        weights.push(if onset.is_finite() { log.exp() } else { 0.0 });
    }
    let external = EXTERNAL / ANY_TIME_S;
    let sum = external + weights.iter().sum::<f64>();
    Some(Blame { changes: weights.iter().map(|w| w / sum).collect(), external: external / sum })
}

/// An effect cannot come before its cause: nothing may have begun while none of the new pods existed.
fn dose(facts: &Case, change: &Change, until: i64) -> f64 {
    let Some(new) = change.pods_new.as_ref().filter(|new| !new.is_empty()) else { return 0.0 };
    let exists = |id: &String| {
        let pod = facts.pods.iter().find(|p| p.id == *id);
        pod.is_some_and(|p| p.created.is_none_or(|c| c < until))
    };
    if new.iter().any(exists) { 0.0 } else { -BOUND }
}

/// What the rollback of a change says of an effect that began before it: gone with it, or still there.
fn retraction(facts: &Case, change: &Change, effect: &Finding) -> f64 {
    let Some((from, _)) = effect.onset else { return 0.0 };
    let undone = facts.changes.iter().find(|r| {
        r.kind == ChangeKind::Rollback && r.workload == change.workload && r.start > change.start.max(from)
    });
    let Some(rollback) = undone.filter(|r| effect.latest.is_some_and(|t| t > r.start)) else { return 0.0 };
    match effect.ended {
        // it had passed before anybody acted
        Some(end) if end < rollback.start - facts.step_s => 0.0,
        Some(end) if end <= rollback.start + OUTLIVED_S => RETRACTION,
        Some(_) => -RETRACTION,
        None if effect.latest.is_some_and(|t| t > rollback.start + OUTLIVED_S) => -RETRACTION,
        None => 0.0,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Pod;
    use crate::finding::{Design, Direction, What};
    use crate::simulate::{Scenario, World, simulate};

    /// Two rollouts a minute apart, on middle and front, and an effect on front that begins after both.
    fn facts() -> (Case, Finding) {
        let (mut facts, _) = simulate(Scenario::OneOfTwo, &World::USUAL, 1);
        let start = facts.changes[0].start;
        facts.changes[1].start = start + 60;
        let effect = Finding {
            workload: "front".to_owned(),
            what: What::Silence,
            design: Design::Short,
            direction: Direction::Worse,
            p: 1e-4,
            now: 2.0,
            size: None,
            detectable: None,
            onset: Some((start + 70, start + 130)),
            ended: None,
            latest: Some(start + 600),
            samples: 10,
            compared: 100,
        };
        (facts, effect)
    }

    #[test]
    fn the_change_just_before_is_likelier_and_one_after_is_out() {
        let (mut facts, effect) = facts();
        let blamed = blame(&facts, &effect).unwrap();
        assert!(blamed.changes[1] > blamed.changes[0] && blamed.changes[0] > 0.0);
        assert!((blamed.changes.iter().sum::<f64>() + blamed.external - 1.0).abs() < 1e-12);
        facts.changes[1].start += 600;
        assert_eq!(blame(&facts, &effect).unwrap().changes[1], 0.0);
    }

    #[test]
    fn no_new_pod_no_blame() {
        let (mut facts, effect) = facts();
        let created = Some(facts.changes[1].start + 300);
        let pod = Pod { id: "n".into(), workload: "front".into(), node: None, created, deleted: None };
        facts.pods.push(pod);
        facts.changes[1].pods_new = Some(vec!["n".to_owned()]);
        let blamed = blame(&facts, &effect).unwrap();
        assert!(blamed.changes[1] < 0.01 && blamed.changes[0] > 0.3, "{blamed:?}");
    }

    #[test]
    fn an_effect_that_goes_with_its_rollback_is_its_changes_and_one_that_stays_is_not() {
        let (mut facts, mut effect) = facts();
        let plain = blame(&facts, &effect).unwrap().changes[1];
        let mut undo = facts.changes[1].clone();
        undo.id = "undo".to_owned();
        undo.kind = ChangeKind::Rollback;
        undo.start += 300;
        let rolled = undo.start;
        facts.changes.push(undo);
        effect.latest = Some(rolled + 1_200);
        assert!(blame(&facts, &effect).unwrap().changes[1] < plain, "it outlived the rollback");
        effect.ended = Some(rolled + 120);
        assert!(blame(&facts, &effect).unwrap().changes[1] > plain, "it went with the rollback");
    }
}
