//! From findings to verdicts: several signals, several changes, effects that only pass through.

use std::collections::BTreeMap;

use crate::case::{Case, Signal};
use crate::finding::{Design, Direction, Finding, What};

/// A harmless change may be called harmful this often: one in a hundred is the most that people bear without
/// learning to ignore it.
pub(super) const ALPHA: f64 = 0.01;
/// An effect counts while it is within this of the .95 quantile of placebos; below, it has passed.
pub(super) const STILL: f64 = 0.8;
/// A callee's effect explains ours only if it is itself no accident.
const CARRIER_P: f64 = 0.05;
/// From this share on, an effect that a callee, or the old pods too, show is carried rather than caused.
const CARRIED: f64 = 0.5;

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It hurt its workload.
    Harm,
    /// It helped, and hurt nothing that was tested.
    Improvement,
    /// Nothing of the size that could have been seen.
    None,
    /// Too little to say.
    Inconclusive,
}

/// All findings about one change at one look.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    pub(super) own: Vec<Finding>,
    pub(super) around: Vec<Finding>,
    /// Share of the new pods' failures that old pods show too.
    pub(super) shared: f64,
    /// Largest mean failure of calls made.
    pub(super) passed_on: f64,
    pub(super) rates: BTreeMap<String, f64>,
}

/// The evidence about one change, with what only passes through taken out.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// Probability of the strongest own effect by chance, over all signals tested.
    pub p: f64,
    /// The same for the mirror of harm.
    pub p_better: f64,
    /// Own findings, the strongest first; carried ones name their carrier.
    pub own: Vec<(Finding, Option<String>)>,
    /// Findings of callers and callees, the strongest first.
    pub around: Vec<Finding>,
}

/// What is said about one change.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The change.
    pub change: String,
    /// What it did.
    pub verdict: Verdict,
    /// Time of the look since which the verdict stands.
    pub since: Option<i64>,
    /// 1 is the likeliest culprit of the case.
    pub rank: usize,
    /// Evidence of the last look; `None` before the first.
    pub weighed: Option<Weighed>,
    /// Signals that could not be tested, and why.
    pub untestable: Vec<(&'static str, &'static str)>,
    /// Neighbours left out because there are too many.
    pub cut: usize,
}

pub(super) fn weigh(facts: &Case, evidence: &[Option<Evidence>]) -> Vec<Option<Weighed>> {
    let one = |(i, e): (usize, &Option<Evidence>)| e.as_ref().map(|e| single(facts, i, e));
    evidence.iter().enumerate().map(one).collect()
}

fn single(facts: &Case, change: usize, evidence: &Evidence) -> Weighed {
    let callees: Vec<&str> = facts
        .edges
        .iter()
        .filter(|(from, to)| *from == facts.changes[change].workload && from != to)
        .map(|(_, to)| to.as_str())
        .collect();
    let weights = weights(&evidence.own);
    let mut own: Vec<(Finding, Option<String>)> = Vec::new();
    for finding in &evidence.own {
        let mut finding = finding.clone();
        let carrier = carrier(&finding, evidence, &callees);
        let weight = weights.get(&finding.what).copied().unwrap_or(1.0);
        finding.p = (finding.p / weight).min(1.0);
        own.push((finding, carrier));
    }
    let order = |a: &Finding, b: &Finding| a.p.total_cmp(&b.p).then(b.now.total_cmp(&a.now));
    own.sort_by(|a, b| order(&a.0, &b.0));
    let mut around = evidence.around.clone();
    around.sort_by(order);
    let best = |direction| {
        let counts =
            own.iter().filter(|(f, carrier)| f.direction == direction && carrier.is_none() && f.now >= STILL);
        counts.map(|(f, _)| f.p).fold(1.0, f64::min)
    };
    Weighed { p: best(Direction::Worse), p_better: best(Direction::Better), own, around }
}

/// Share of the error budget that each test gets: what users feel first, the rest in equal parts.
fn weights(own: &[Finding]) -> BTreeMap<What, f64> {
    let mut weights: BTreeMap<What, f64> = own
        .iter()
        .map(|f| match f.what {
            What::Signal(Signal::SuccessRatio | Signal::Latency) | What::Silence => (f.what, 0.3),
            What::Signal(_) => (f.what, 0.1),
        })
        .collect();
    let sum: f64 = weights.values().sum();
    weights.values_mut().for_each(|w| *w /= sum);
    weights
}

/// Who shows the same effect so strongly that ours only passes it on.
fn carrier(finding: &Finding, evidence: &Evidence, callees: &[&str]) -> Option<String> {
    let size = finding.size?;
    if finding.direction == Direction::Better {
        return None;
    }
    if finding.design == Design::Concurrent {
        if evidence.shared >= CARRIED {
            return Some("the old pods".to_owned());
        }
        if evidence.passed_on >= CARRIED * size.excess().abs() {
            return Some("its callees".to_owned());
        }
    }
    let rate = |w: &str| evidence.rates.get(w).copied().filter(|r| *r > 0.0);
    let ours = rate(&finding.workload);
    let explains = |g: &&Finding| {
        let (Some(theirs), Some(onset), Some(begun)) = (g.size, finding.onset, g.onset) else { return false };
        // calls per request, if both are counted
        let calls = match (rate(&g.workload), ours) {
            (Some(g), Some(f)) => g / f,
            _ => 1.0,
        };
        g.what == finding.what
            && g.direction == Direction::Worse
            && callees.contains(&g.workload.as_str())
            && g.p <= CARRIER_P
            && g.now >= STILL
            && begun.0 < onset.1
            && theirs.excess().abs() * calls >= CARRIED * size.excess().abs()
    };
    evidence.around.iter().find(explains).map(|g| g.workload.clone())
}

pub(super) fn verdict(weighed: &Weighed) -> Verdict {
    let tested = weighed.own.iter().any(|(f, _)| f.samples >= 2 && f.compared >= 2);
    if weighed.p <= ALPHA {
        Verdict::Harm
    } else if weighed.p_better <= ALPHA {
        Verdict::Improvement
    } else if tested {
        Verdict::None
    } else {
        Verdict::Inconclusive
    }
}

/// Orders the changes by how likely each is the culprit: by evidence, then by how much of it is still there,
/// then by time.
pub(super) fn rank(facts: &Case, mut judged: Vec<Judgement>) -> Vec<Judgement> {
    let key = |j: &Judgement| match &j.weighed {
        None => (1.0, 0.0),
        Some(w) => (w.p, w.own.iter().filter(|o| o.1.is_none()).map(|o| o.0.now).fold(0.0, f64::max)),
    };
    let mut order: Vec<usize> = (0..judged.len()).collect();
    order.sort_by(|&a, &b| {
        let (x, y) = (key(&judged[a]), key(&judged[b]));
        x.0.total_cmp(&y.0)
            .then(y.1.total_cmp(&x.1))
            .then(facts.changes[a].start.cmp(&facts.changes[b].start))
    });
    for (place, i) in order.into_iter().enumerate() {
        judged[i].rank = place + 1;
    }
    judged
}

impl Judgement {
    /// Probability that the change harmed: the largest posterior that p allows (Sellke, Bayarri and Berger,
    /// The American Statistician 2001), from a prior of one harmful change in four.
    #[must_use]
    pub fn probability_of_harm(&self) -> f64 {
        const PRIOR_ODDS: f64 = 1.0 / 3.0;
        let p = self.weighed.as_ref().map_or(1.0, |w| w.p).max(1e-9);
        // beyond 1/e the bound is one; a p near one speaks against harm as far as the tests had power
        let factor = if p < 0.3 { -1.0 / (std::f64::consts::E * p * p.ln()) } else { 0.2 };
        let odds = PRIOR_ODDS * factor;
        odds / (1.0 + odds)
    }
}

impl Judgement {
    /// Workloads that the change hurt: its own, and callers whose errors or latency rose by more than chance.
    #[must_use]
    pub fn affected(&self) -> Vec<&str> {
        let Some(weighed) = &self.weighed else { return Vec::new() };
        let own = weighed.own.iter().filter(|(f, carrier)| carrier.is_none() && counts(f)).map(|(f, _)| f);
        let around = weighed.around.iter().filter(|f| counts(f));
        let mut names: Vec<&str> = Vec::new();
        for finding in own.chain(around) {
            if !names.contains(&finding.workload.as_str()) {
                names.push(&finding.workload);
            }
        }
        names
    }
}

fn counts(finding: &Finding) -> bool {
    finding.direction == Direction::Worse && finding.p <= ALPHA && finding.now >= STILL
}
