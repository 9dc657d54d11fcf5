//! Findings about others than the changed workload, and which of them to believe.

use std::collections::BTreeMap;

use super::weigh::STILL;
use crate::candidates::Relation;
use crate::finding::{Direction, Finding};
use crate::select::adjusted;

/// Expected share of chance among the effects on others that are believed.
const Q: f64 = 0.05;

/// A finding about another workload than the changed one.
#[derive(Debug, Clone, PartialEq)]
pub struct Near {
    /// How it is tied to the changed one.
    pub relation: Relation,
    /// What was found.
    pub finding: Finding,
    /// Its p-value, adjusted for all workloads and signals tested around this change.
    pub q: f64,
}

impl Near {
    /// Whether it is to be believed: at most one in twenty of those believed is chance.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.finding.direction == Direction::Worse && self.q <= Q && self.finding.now >= STILL
    }
}

/// Findings around a change with their p-values adjusted: Benjamini and Hochberg over workloads, weighted by
/// relation, each workload entering with its smallest p over its signals.
pub(super) fn near(around: &[(Relation, Finding)]) -> Vec<Near> {
    let mut signals: BTreeMap<&str, (Relation, f64, f64)> = BTreeMap::new();
    for (relation, finding) in around {
        let entry = signals.entry(&finding.workload).or_insert((*relation, 1.0, 0.0));
        entry.1 = entry.1.min(finding.p);
        entry.2 += 1.0;
    }
    let mut kinds: BTreeMap<&'static str, f64> = BTreeMap::new();
    signals.values().for_each(|(relation, ..)| *kinds.entry(relation.name()).or_default() += 1.0);
    let weight = |relation: Relation| relation.share() / kinds.get(relation.name()).copied().unwrap_or(1.0);
    let tests: Vec<(f64, f64)> = signals.values().map(|(r, p, n)| ((p * n).min(1.0), weight(*r))).collect();
    let adjusted: BTreeMap<&str, f64> = signals.keys().copied().zip(adjusted(&tests)).collect();
    let mut near = Vec::with_capacity(around.len());
    for (relation, finding) in around {
        // a signal that is not the workload's strongest is held to its own p times the number of signals
        let (_, _, n) = signals.get(finding.workload.as_str()).copied().unwrap_or((*relation, 1.0, 1.0));
        let entity = adjusted.get(finding.workload.as_str()).copied().unwrap_or(1.0);
        let q = entity.max(finding.p * n).min(1.0);
        near.push(Near { relation: *relation, finding: finding.clone(), q });
    }
    near
}
