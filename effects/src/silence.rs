//! New pods that never report: the effect that leaves no sample behind.
//!
//! A pod is due some time after its creation; the longer it stays silent, the less its start can be a slow one.
//! How long starts take is learnt from the other new pods of the recording, with a prior for the first.

use std::collections::BTreeMap;

use crate::case::{Case, Change, Entity, Pod};
use crate::cells::Cells;
use crate::finding::{Design, Direction, Finding, What};
use crate::samples::Samples;

/// Usual time from creation to the first report, seconds: image present, process started, probe passed.
const PRIOR_START_S: f64 = 60.0;
/// That guess counts as this many pods.
const PRIOR_PODS: f64 = 2.0;
/// Log-logistic shape of start times: one in eighty takes more than three times the median, one in six hundred
/// more than five times.
const SHAPE: f64 = 4.0;

/// Before any pod was seen, one in five hundred is taken to run without anybody measuring it.
const PRIOR_UNMEASURED: f64 = 0.002;

/// The silent new pods of one change at `now`; `None` if it names none that exist by then, or if nothing of its
/// workload reported before the change.
#[must_use]
pub fn silence(facts: &Case, samples: &Samples, change: &Change, now: i64) -> Option<Finding> {
    let first = first_reports(facts, samples, &change.workload, change.start, now)?;
    let new: Vec<(&str, i64)> = facts
        .pods
        .iter()
        .filter(|p| facts.made(change, p))
        .filter_map(|p| p.created.filter(|c| *c <= now).map(|c| (p, c)))
        // a pod that is already gone was replaced: it is not due any more
        .filter(|(p, _)| p.deleted.is_none_or(|d| d > now))
        .map(|(p, c)| (p.id.as_str(), c))
        .collect();
    if new.is_empty() {
        return None;
    }
    let waits: Vec<f64> =
        new.iter().filter(|(id, _)| !first.contains_key(id)).map(|(_, c)| (now - c) as f64).collect();
    let (usual, seen) = usual_start(facts, samples, change.start, now);
    let longest = waits.iter().copied().fold(0.0, f64::max);
    let shared = forsaken(facts, samples, change, now);
    // a step passes before even a pod that starts at once has a sample
    let scale = usual + facts.step_s as f64;
    let (pods, unseen) = unmeasured(facts, samples, change.start);
    let blind = (unseen + PRIOR_UNMEASURED) / (pods + 1.0);
    let p = blind + (1.0 - blind) / (1.0 + (longest / scale).powf(SHAPE));
    Some(Finding {
        workload: change.workload.clone(),
        what: What::Silence,
        design: Design::Waiting,
        direction: Direction::Worse,
        p,
        // 1 is a chance of .05; pods whose elders fell silent too wait for callers, not for themselves
        now: if waits.is_empty() || shared { 0.0 } else { 0.05 / p },
        size: None,
        detectable: None,
        onset: (longest > 0.0).then_some((change.start, change.start + scale as i64)),
        ended: None,
        latest: Some(now),
        samples: new.len(),
        compared: seen,
    })
}

/// Whether most of the pods that the change did not make and that served before it fell silent too, while they
/// were still there.
fn forsaken(facts: &Case, samples: &Samples, change: &Change, now: i64) -> bool {
    // of calls that come at random, one gap in a hundred is five times the usual one
    const GAPS: i64 = 5;
    // the step of a deletion is cut, and one before it may be empty by chance
    const SILENT_STEPS: i64 = 3;
    let step_s = Cells::of(None, facts.step_s).step_s;
    let mut served: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for kept in samples.of_workload(&change.workload) {
        let Entity::Edge(_, id) = &kept.entity else { continue };
        let old = !facts.pods.iter().any(|p| &p.id == id && facts.made(change, p));
        if old && !kept.between(i64::MIN, change.start).is_empty() {
            let last = kept.between(i64::MIN, now).last().map_or(i64::MIN, |s| s.0);
            let past = kept.between(i64::MIN, change.start);
            let gap = (change.start - past[0].0) / past.len() as i64;
            let latest = served.entry(id).or_insert((last, gap));
            *latest = (last.max(latest.0), gap.min(latest.1));
        }
    }
    let mut silent = 0;
    let mut asked = 0;
    for (id, (last, gap)) in served {
        let Some(pod) = facts.pods.iter().find(|p| p.id == id) else { continue };
        let end = pod.deleted.map_or(now, |d| d.min(now));
        // one that went before the new pods were due says nothing about them
        if end > change.start + SILENT_STEPS * step_s {
            asked += 1;
            silent += usize::from(end - last > (SILENT_STEPS * step_s).max(GAPS * gap));
        }
    }
    asked > 0 && silent * 2 >= asked
}

/// First report per pod of a workload: a call it answered if its pods answered calls before the change, else
/// any sample of the pod. `None` if no pod reported before the change.
fn first_reports<'a>(
    facts: &'a Case,
    samples: &'a Samples,
    workload: &str,
    start: i64,
    now: i64,
) -> Option<BTreeMap<&'a str, i64>> {
    let mut calls: BTreeMap<&str, i64> = BTreeMap::new();
    let mut any: BTreeMap<&str, i64> = BTreeMap::new();
    let pods: BTreeMap<&str, i64> =
        facts.pods.iter().map(|p| (p.id.as_str(), p.created.unwrap_or(i64::MIN))).collect();
    for kept in samples.of_workload(workload) {
        let (id, map) = match &kept.entity {
            Entity::Pod(id) => (id.as_str(), &mut any),
            Entity::Edge(_, id) => (id.as_str(), &mut calls),
            Entity::Workload(_) | Entity::Node(_) => continue,
        };
        let Some(&created) = pods.get(id) else { continue };
        if let Some(s) = kept.between(created, now).first() {
            let first = map.entry(id).or_insert(s.0);
            *first = s.0.min(*first);
        }
    }
    let served = calls.values().any(|t| *t <= start);
    let map = if served { calls } else { any };
    map.values().any(|t| *t <= start).then_some(map)
}

/// Pods that were there well before `start`, of workloads of which some pod reported by then, and how many of them
/// never did: where some pods are not measured, silence of others says little.
fn unmeasured(facts: &Case, samples: &Samples, start: i64) -> (f64, f64) {
    // whoever was created this long before had time to report
    const SETTLED_S: i64 = 600;
    let (mut pods, mut unseen) = (0.0, 0.0);
    for workload in &facts.workloads {
        let Some(first) = first_reports(facts, samples, workload, start, start) else { continue };
        let there = |p: &&Pod| {
            &p.workload == workload
                && p.created.is_none_or(|c| c <= start - SETTLED_S)
                && p.deleted.is_none_or(|d| d > start)
        };
        for pod in facts.pods.iter().filter(there) {
            pods += 1.0;
            unseen += f64::from(u8::from(!first.contains_key(pod.id.as_str())));
        }
    }
    (pods, unseen)
}

/// Median start time over new pods of all changes, and how many of them were seen.
fn usual_start(facts: &Case, samples: &Samples, start: i64, now: i64) -> (f64, usize) {
    let mut log_sum = PRIOR_PODS * PRIOR_START_S.ln();
    let mut seen = 0;
    for change in facts.changes.iter().filter(|c| c.start <= now) {
        let Some(first) = first_reports(facts, samples, &change.workload, start.min(change.start), now)
        else {
            continue;
        };
        for pod in facts.pods.iter().filter(|p| facts.made(change, p)) {
            if let (Some(created), Some(&at)) = (pod.created, first.get(pod.id.as_str())) {
                log_sum += ((at - created).max(1) as f64).ln();
                seen += 1;
            }
        }
    }
    ((log_sum / (PRIOR_PODS + seen as f64)).exp(), seen)
}
