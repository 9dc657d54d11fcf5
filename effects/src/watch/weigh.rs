//! From findings to verdicts: several signals, several changes, effects that only pass through.

use std::collections::BTreeMap;

use super::near::{Near, near};
use crate::attribute::blame;
use crate::candidates::Relation;
use crate::case::{Case, Signal};
use crate::effectiveness::Score;
use crate::finding::{Design, Direction, Finding, What};
use crate::ingredient::Ingredient;

/// A harmless change may be called harmful this often: one in a hundred is the most that people bear without
/// learning to ignore it.
pub const ALPHA: f64 = 0.01;
/// An effect counts while it is within this of the .95 quantile of placebos; below, it has passed.
pub const STILL: f64 = 0.8;
/// A callee's effect explains ours only if it is itself no accident.
const CARRIER_P: f64 = ALPHA;
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
    /// Lines whose control is too weak for a verdict: they only order changes that nothing else tells apart.
    pub(super) hints: Vec<Finding>,
    pub(super) around: Vec<(Relation, Finding)>,
    /// Requests of workloads out of reach, as a ratio to before.
    pub(super) elsewhere: f64,
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
    /// Largest posterior of having caused an effect on a neighbour.
    pub blame: f64,
    /// Smallest probability among the hints, for ranks only.
    pub hint: f64,
    /// Every test for harm and its probability before the budget was split, carried or not: for calibration.
    pub tests: Vec<(What, f64)>,
    /// Own findings, the strongest first; carried ones name their carrier.
    pub own: Vec<(Finding, Option<String>)>,
    /// Findings about others, the strongest first.
    pub around: Vec<Near>,
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
    /// Whether a verdict of harm stands out among all changes of the case: of all alarms, one in twenty is chance.
    pub alarm: bool,
    /// What it mended of what was broken before it, if it is of a kind that mends and anything was.
    pub mended: Option<Score>,
    /// 1 is the likeliest culprit of the case.
    pub rank: usize,
    /// Evidence of the last look; `None` before the first.
    pub weighed: Option<Weighed>,
    /// Signals that could not be tested, and why.
    pub untestable: Vec<(&'static str, &'static str)>,
    /// Neighbours left out because there are too many.
    pub cut: usize,
}

pub(super) fn weigh(
    facts: &Case,
    evidence: &[Option<Evidence>],
    left_out: Option<Ingredient>,
) -> Vec<Option<Weighed>> {
    let one = |(i, e): (usize, &Option<Evidence>)| e.as_ref().map(|e| single(facts, i, e, left_out));
    let mut all: Vec<Option<Weighed>> = evidence.iter().enumerate().map(one).collect();
    for (_, effect) in unexplained(&all) {
        if let Some(blame) = blame(facts, &effect) {
            for (weighed, share) in all.iter_mut().zip(blame.changes) {
                if let Some(w) = weighed {
                    w.blame = w.blame.max(share);
                }
            }
        }
    }
    all
}

/// The strongest finding per neighbour and signal, over all changes, of those that are no accident.
fn unexplained(all: &[Option<Weighed>]) -> BTreeMap<(String, What), Finding> {
    let mut effects: BTreeMap<(String, What), Finding> = BTreeMap::new();
    for finding in all.iter().flatten().flat_map(|w| &w.around).filter(|n| n.counts()).map(|n| &n.finding) {
        let key = (finding.workload.clone(), finding.what);
        let known = effects.entry(key).or_insert_with(|| finding.clone());
        if finding.p < known.p {
            *known = finding.clone();
        }
    }
    effects
}

fn single(facts: &Case, change: usize, evidence: &Evidence, left_out: Option<Ingredient>) -> Weighed {
    let own = &facts.changes[change].workload;
    let callees: Vec<&str> = facts.edges.iter().filter(|e| e.0 == *own).map(|e| e.1.as_str()).collect();
    let weights = match left_out {
        Some(Ingredient::Multiplicity) => BTreeMap::new(),
        _ => weights(&evidence.own),
    };
    let still = if left_out == Some(Ingredient::Passing) { 0.0 } else { STILL };
    let mut own: Vec<(Finding, Option<String>)> = Vec::new();
    for finding in &evidence.own {
        let mut finding = finding.clone();
        let paths = left_out != Some(Ingredient::Paths);
        let carrier = paths.then(|| carrier(&finding, evidence, &callees)).flatten();
        let weight = weights.get(&finding.what).copied().unwrap_or(1.0);
        finding.p = (finding.p / weight).min(1.0);
        own.push((finding, carrier));
    }
    let worse = evidence.own.iter().filter(|f| f.direction == Direction::Worse);
    let tests = worse.map(|f| (f.what, f.p)).collect();
    let order = |a: &Finding, b: &Finding| a.p.total_cmp(&b.p).then(b.now.total_cmp(&a.now));
    own.sort_by(|a, b| order(&a.0, &b.0));
    let mut around = near(&evidence.around);
    around.sort_by(|a, b| order(&a.finding, &b.finding));
    let best = |direction| {
        // more requests are neither harm nor help
        let idle =
            |f: &Finding| direction == Direction::Better && f.what == What::Signal(Signal::RequestRate);
        let counts = own.iter().filter(|(f, carrier)| {
            f.direction == direction && carrier.is_none() && f.now >= still && !idle(f) && compared(f)
        });
        counts.map(|(f, _)| f.p).fold(1.0, f64::min)
    };
    let hints = evidence.hints.iter().filter(|f| f.direction == Direction::Worse && f.now >= STILL);
    let hint = hints.map(|f| f.p).fold(1.0, f64::min);
    Weighed {
        p: best(Direction::Worse),
        p_better: best(Direction::Better),
        blame: 0.0,
        hint,
        tests,
        own,
        around,
    }
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
        if evidence.passed_on > 0.0 && evidence.passed_on >= CARRIED * size.excess().abs() {
            return Some("its callees".to_owned());
        }
    }
    let before = |g: &Finding| match (finding.onset, g.onset) {
        (Some(ours), Some(theirs)) => theirs.0 < ours.1,
        _ => false,
    };
    let real =
        |g: &Finding| g.direction == Direction::Worse && g.p <= CARRIER_P && g.now >= STILL && before(g);
    if finding.what == What::Signal(Signal::RequestRate) {
        if size.baseline > 0.0 && (1.0 - evidence.elsewhere) * size.baseline >= CARRIED * -size.excess() {
            return Some("everybody's traffic".to_owned());
        }
        // a workload whose callers fail, slow down or fall silent is called less
        let caller = |g: &&(Relation, Finding)| matches!(g.0, Relation::Caller(1)) && real(&g.1);
        return evidence.around.iter().find(caller).map(|g| g.1.workload.clone());
    }
    let rate = |w: &str| evidence.rates.get(w).copied().filter(|r| *r > 0.0);
    let ours = rate(&finding.workload);
    let explains = |g: &&Finding| {
        let Some(theirs) = g.size else { return false };
        // calls per request, if both are counted
        let calls = match (rate(&g.workload), ours) {
            (Some(g), Some(f)) => g / f,
            _ => 1.0,
        };
        g.what == finding.what
            && real(g)
            && callees.contains(&g.workload.as_str())
            && theirs.excess().abs() * calls >= CARRIED * size.excess().abs()
    };
    evidence.around.iter().map(|(_, g)| g).find(explains).map(|g| g.workload.clone())
}

/// Whether a finding was compared with enough to be evidence: a line needs placebos of its own.
fn compared(finding: &Finding) -> bool {
    finding.design == Design::Waiting || finding.compared >= 2
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
        let around = weighed.around.iter().filter(|n| n.counts()).map(|n| &n.finding);
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
