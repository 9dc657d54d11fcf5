//! Are alarms as rare as promised? Nominal against realised rates on cases whose truth is known, by suite and by
//! what was tested, and precision and recall on two halves of the cases.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use effects::case::Signal;
use effects::finding::What;
use effects::ingredient::Ingredient;
use effects::watch::Verdict;
use serde::Deserialize;

use super::{evaluate, read};

const LEVELS: [f64; 5] = [0.10, 0.05, 0.02, 0.01, 0.005];

#[derive(Debug, Deserialize)]
pub(super) struct Truth {
    case: String,
    suite: String,
    culprit: Option<String>,
    changes: Vec<TrueChange>,
}

#[derive(Debug, Deserialize)]
struct TrueChange {
    id: String,
    harmful: bool,
}

/// One judged change beside its truth.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) suite: String,
    half: usize,
    pub(super) harmful: bool,
    pub(super) verdict: Verdict,
    /// Whether it stands out among all changes of its case.
    pub(super) alarm: bool,
    /// Its rank, if it is the one culprit among several changes.
    pub(super) culprit_rank: Option<usize>,
    p: f64,
    tests: Vec<(&'static str, f64)>,
}

/// The truth of every case below `root`.
pub(super) fn truths(root: &Path) -> anyhow::Result<BTreeMap<String, Truth>> {
    let mut known = BTreeMap::new();
    let dirs = evaluate::find(root, "truth.json").with_context(|| format!("list {}", root.display()))?;
    for dir in dirs {
        let path = dir.join("truth.json");
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let truth: Truth =
            serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))?;
        known.insert(truth.case.clone(), truth);
    }
    anyhow::ensure!(!known.is_empty(), "no truth.json below {}", root.display());
    Ok(known)
}

/// Judges one case and puts the truth beside it.
pub(super) fn judge(
    dir: &Path,
    known: &BTreeMap<String, Truth>,
    left_out: Option<Ingredient>,
) -> anyhow::Result<Vec<Judged>> {
    let case = read::case(dir)?;
    let truth = known.get(&case.id).with_context(|| format!("the truth of case {} is not there", case.id))?;
    let mut judged = Vec::with_capacity(case.changes.len());
    for one in effects::judge::judge_without(&case, left_out) {
        let change = truth.changes.iter().find(|c| c.id == one.change);
        let change = change.with_context(|| format!("case {} has no truth for {}", case.id, one.change))?;
        judged.push(Judged {
            suite: truth.suite.clone(),
            half: half(&case.id),
            harmful: change.harmful,
            verdict: one.verdict,
            alarm: one.alarm,
            culprit_rank: (truth.changes.len() > 1 && truth.culprit.as_ref() == Some(&one.change))
                .then_some(one.rank),
            p: one.weighed.as_ref().map_or(1.0, |w| w.p),
            tests: one.weighed.iter().flat_map(|w| &w.tests).map(|(what, p)| (kind(*what), *p)).collect(),
        });
    }
    Ok(judged)
}

/// Which half of the cases one is in: by a hash (FNV-1a) of its id, so that nobody chose.
fn half(id: &str) -> usize {
    let hash =
        id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    (hash >> 32) as usize & 1
}

fn kind(what: What) -> &'static str {
    match what {
        What::Silence => "silence",
        What::Signal(Signal::RequestRate) => "requests",
        What::Signal(Signal::SuccessRatio) => "failures",
        What::Signal(Signal::Latency) => "latency",
        What::Signal(Signal::Gauge) => "gauge",
        What::Signal(_) => "usage",
    }
}

/// .95 interval of a share (Wilson, JASA 1927).
fn wilson(hits: f64, of: f64) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    let of = of.max(1.0);
    let (share, z2) = (hits / of, Z * Z / of);
    let half = Z * (share * (1.0 - share) / of + z2 / (4.0 * of)).sqrt();
    let centre = share + z2 / 2.0;
    (((centre - half) / (1.0 + z2)).max(0.0), ((centre + half) / (1.0 + z2)).min(1.0))
}

/// The tables, in Markdown.
pub(super) fn table(judged: &[Judged]) -> Result<String, std::fmt::Error> {
    let mut text =
        String::from("Harmless changes whose p falls to the nominal level, inconclusive ones left out:\n\n");
    let mut rows: BTreeMap<(String, &str), Vec<f64>> = BTreeMap::new();
    for one in judged.iter().filter(|j| !j.harmful && j.verdict != Verdict::Inconclusive) {
        for suite in [one.suite.clone(), "all".to_owned()] {
            rows.entry((suite.clone(), "any")).or_default().push(one.p);
            for (kind, p) in &one.tests {
                rows.entry((suite.clone(), kind)).or_default().push(*p);
            }
        }
    }
    write!(text, "| suite | test | n |")?;
    LEVELS.iter().try_for_each(|level| write!(text, " {level} |"))?;
    writeln!(text, "\n|---|---|---|{}", "---|".repeat(LEVELS.len()))?;
    for ((suite, kind), p) in &rows {
        write!(text, "| {suite} | {kind} | {} |", p.len())?;
        for level in LEVELS {
            let share = p.iter().filter(|p| **p <= level).count() as f64 / p.len() as f64;
            write!(text, " {share:.3} |")?;
        }
        writeln!(text)?;
    }
    writeln!(text, "\nPrecision and recall on two halves of the cases, split by a hash of their ids:\n")?;
    writeln!(
        text,
        "| suite | half | changes | harmful | P | R | F1 | harmless called harmful | alarms of those |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|---|")?;
    let mut halves: BTreeMap<(&str, usize), Vec<&Judged>> = BTreeMap::new();
    for one in judged {
        halves.entry((&one.suite, one.half)).or_default().push(one);
    }
    for ((suite, half), of) in halves {
        let count = |harmful: bool, called: bool| {
            of.iter().filter(|j| j.harmful == harmful && (j.verdict == Verdict::Harm) == called).count()
                as f64
        };
        let (right, wrong, missed) = (count(true, true), count(false, true), count(true, false));
        let alarms = of.iter().filter(|j| !j.harmful && j.alarm).count();
        let ratio = |a: f64, b: f64| if b > 0.0 { format!("{:.3}", a / b) } else { "-".to_owned() };
        let share = |a: f64, b: f64| {
            let (low, high) = wilson(a, b);
            if b > 0.0 { format!("{:.3} ({low:.2} to {high:.2})", a / b) } else { "-".to_owned() }
        };
        writeln!(
            text,
            "| {suite} | {} | {} | {} | {} | {} | {} | {} | {alarms} |",
            if half == 0 { "a" } else { "b" },
            of.len(),
            right + missed,
            share(right, if right + missed > 0.0 { right + wrong } else { 0.0 }),
            share(right, right + missed),
            ratio(2.0 * right, if right + missed > 0.0 { 2.0 * right + wrong + missed } else { 0.0 }),
            share(wrong, count(false, true) + count(false, false)),
        )?;
    }
    Ok(text)
}
