//! A finished case, judged by the steps that live data would take.

use std::collections::BTreeMap;

use crate::case::{Case, Entity, Signal};
use crate::ingredient::Ingredient;
use crate::watch::{Judgement, Watch};

/// Judges every change of a checked case: feeds its samples in order of time and looks after each time.
#[must_use]
pub fn judge(case: &Case) -> Vec<Judgement> {
    judge_without(case, None)
}

/// As [`judge`], with one ingredient left out: to measure what it is worth.
#[must_use]
pub fn judge_without(case: &Case, left_out: Option<Ingredient>) -> Vec<Judgement> {
    let mut watch = Watch::without(facts(case), left_out);
    let mut times: BTreeMap<i64, Vec<(&Entity, Signal, f64)>> = BTreeMap::new();
    for series in &case.series {
        for &(time, value) in &series.samples {
            times.entry(time).or_default().push((&series.entity, series.signal, value));
        }
    }
    for (time, samples) in times {
        for (entity, signal, value) in samples {
            watch.observe(entity, signal, time, value);
        }
        watch.look(time);
    }
    watch.judgements()
}

/// A case without its samples.
fn facts(case: &Case) -> Case {
    Case {
        id: case.id.clone(),
        step_s: case.step_s,
        span: case.span,
        relative: case.relative.clone(),
        workloads: case.workloads.clone(),
        pods: case.pods.clone(),
        edges: case.edges.clone(),
        changes: case.changes.clone(),
        series: Vec::new(),
    }
}
