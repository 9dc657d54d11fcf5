//! A judged case as a report for people (Markdown that reads as plain text) and for programs (JSON).

use std::fmt::Write as _;

use effects::case::{Case, Change};
use effects::finding::{Design, Direction, Finding, What};
use effects::watch::{Judgement, STILL, Verdict};
use serde_json::{Value, json};

use super::answers::word;
use super::words::{clock, detectable, probability, round, since, size};

/// Findings with a larger probability of chance are left out of a person's report.
const WORTH_SHOWING: f64 = 0.05;

/// Fewer earlier stretches than this are worth a word.
const FEW: usize = 20;

/// The report of every change, in Markdown.
pub(super) fn markdown(case: &Case, judged: &[Judgement]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for (change, one) in case.changes.iter().zip(judged) {
        writeln!(text, "# {} on {}", change.id, change.workload)?;
        writeln!(text, "\n{}\n", sentence(case, change, one))?;
        effects(&mut text, change, one)?;
        beside(&mut text, case, change, one)?;
        blind(&mut text, change, one)?;
    }
    Ok(text)
}

fn sentence(case: &Case, change: &Change, one: &Judgement) -> String {
    let best = one.weighed.as_ref().and_then(|w| w.own.iter().find(|(_, carrier)| carrier.is_none()));
    match one.verdict {
        Verdict::Harm => {
            let others: Vec<&str> = one.affected().into_iter().filter(|w| *w != change.workload).collect();
            let also = if others.is_empty() { String::new() } else { format!(", and {}", others.join(", ")) };
            let size = best.map_or(String::new(), |(f, _)| format!(": {}{}", size(f), since(f)));
            format!("**Harm.** The change hurt {}{also}{size}.", change.workload)
        }
        Verdict::Improvement => {
            let better = one.weighed.as_ref().and_then(|w| {
                let better = w.own.iter().map(|(f, _)| f).find(|f| f.direction == Direction::Better);
                better.map(|f| format!("{}{}", size(f), since(f)))
            });
            format!("**Improvement**: {}. Nothing tested got worse.", better.unwrap_or_default())
        }
        Verdict::None if carried(one).is_some() => format!(
            "**None of its own.** {} got worse, but only passes on the trouble of {}.",
            change.workload,
            carried(one).unwrap_or_default()
        ),
        Verdict::None => {
            let seen = one.weighed.iter().flat_map(|w| &w.own).filter_map(|(f, _)| detectable(f));
            let seen: Vec<String> = seen.collect();
            let bound = match &seen[..] {
                [] => String::new(),
                _ => format!(" Excluded, had it lasted: {}. Smaller effects may be there.", seen.join("; ")),
            };
            let own = one.weighed.iter().flat_map(|w| &w.own).map(|(f, _)| f);
            let fewest = own.filter(|f| has_placebos(f)).map(|f| f.compared).min();
            let young = match fewest {
                Some(n) if n < FEW => {
                    format!(" Compared with only {n} earlier stretches: more history says more.")
                }
                _ => String::new(),
            };
            format!("**None.** Nothing that chance would not show once in a hundred times.{bound}{young}")
        }
        Verdict::Inconclusive => {
            format!("**Inconclusive.** {}", needed(case, change, one).join(" "))
        }
    }
}

/// Whether what it was compared with are stretches of the past.
fn has_placebos(finding: &Finding) -> bool {
    matches!(finding.design, Design::Synthetic | Design::Seasonal | Design::Short)
}

/// What kept a change from being judged, and what would be needed.
fn needed(case: &Case, change: &Change, one: &Judgement) -> Vec<String> {
    let times = || case.series.iter().flat_map(|s| &s.samples).map(|s| s.0);
    let after = times().filter(|t| *t > change.start && *t <= change.observe_until).count();
    if after == 0 {
        return vec![format!(
            "No sample lies after the change (those given run from {} to {}). Needed: at least two after it, and the hour before.",
            clock(case.span.0),
            clock(case.span.1)
        )];
    }
    if !times().any(|t| t <= change.start) {
        return vec![format!(
            "All {after} samples are later than the change, so there is nothing to compare with. Needed: at least the hour before, better some days."
        )];
    }
    let mut reasons = Vec::new();
    for (signal, why) in &one.untestable {
        reasons.push(format!("{signal} has {why}: needed are samples of that hour, six or more."));
    }
    for (f, _) in one.weighed.iter().flat_map(|w| &w.own).filter(|(f, _)| f.direction == Direction::Worse) {
        if f.samples < 2 {
            reasons.push(format!(
                "{} has {} sample after the change: needed are two.",
                f.what.name(),
                f.samples
            ));
        } else if has_placebos(f) && f.compared < 2 {
            let window = change.observe_until - change.start;
            reasons.push(format!(
                "{} can be compared with {} earlier stretch: needed is a history of {} s or more, for twenty.",
                f.what.name(),
                f.compared,
                window.saturating_mul(20)
            ));
        }
    }
    if reasons.is_empty() {
        reasons.push(format!(
            "Nothing was measured of {} both before and after the change: needed is one signal that was.",
            change.workload
        ));
    }
    reasons
}

fn carried(one: &Judgement) -> Option<&str> {
    let weighed = one.weighed.as_ref()?;
    weighed.own.iter().filter(|(f, _)| f.p <= WORTH_SHOWING).find_map(|(_, carrier)| carrier.as_deref())
}

fn effects(text: &mut String, change: &Change, one: &Judgement) -> std::fmt::Result {
    let Some(weighed) = &one.weighed else { return Ok(()) };
    let own = weighed.own.iter().map(|(f, carrier)| (f, f.p, carrier.as_deref(), None));
    let around = weighed.around.iter().map(|n| (&n.finding, n.q, None, Some(n.relation)));
    let shown: Vec<_> = own.chain(around).filter(|(_, p, ..)| *p <= WORTH_SHOWING).collect();
    if shown.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "| workload | signal | expected | seen | 95 % of the difference | p | control | caused by |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|")?;
    for (f, p, carrier, relation) in shown {
        let (expected, seen, interval) = match f.size {
            Some(s) => {
                let interval = format!("{} to {}", round(s.interval.0), round(s.interval.1));
                (round(s.baseline), round(s.observed), interval)
            }
            None => ("-".to_owned(), "-".to_owned(), "-".to_owned()),
        };
        let signal = match f.direction {
            Direction::Worse => f.what.name().to_owned(),
            Direction::Better => format!("{} (better)", f.what.name()),
        };
        let cause = carrier.unwrap_or(match one.verdict {
            _ if relation.is_none() && effects::transient::expected(change, f) => {
                "expected transient, passed"
            }
            _ if f.now < STILL => "passed",
            Verdict::Harm | Verdict::Improvement => "this change",
            Verdict::None | Verdict::Inconclusive => "not this change",
        });
        writeln!(
            text,
            "| {} | {signal} | {expected} | {seen} | {interval} | {} | {}, {} compared | {cause} |",
            relation.map_or(f.workload.clone(), |r| format!("{} ({})", f.workload, r.name())),
            probability(p),
            f.design.name(),
            f.compared
        )?;
    }
    writeln!(text)
}

/// What stands beside the verdict: what was mended, and whether one harm among many changes stands out.
fn beside(text: &mut String, case: &Case, change: &Change, one: &Judgement) -> std::fmt::Result {
    if let Some(score) = one.mended {
        let percent = |share: f64| 100.0 * share;
        writeln!(
            text,
            "It mended {:.0} % of what was broken before it (95 % interval {:.0} % to {:.0} %, {} signals).\n",
            percent(score.value),
            percent(score.interval.0),
            percent(score.interval.1),
            score.signals
        )?;
    }
    if one.verdict == Verdict::Harm && !one.alarm {
        writeln!(
            text,
            "Among the {} changes of this recording such a p is no rarity: {} alone would not raise an alarm.\n",
            case.changes.len(),
            change.id
        )?;
    }
    Ok(())
}

fn blind(text: &mut String, change: &Change, one: &Judgement) -> std::fmt::Result {
    for (signal, why) in &one.untestable {
        writeln!(text, "Not tested: {signal} of {}: {why}.", change.workload)?;
    }
    if one.cut > 0 {
        writeln!(text, "Not tested: {} neighbours, beyond the limit.", one.cut)?;
    }
    Ok(())
}

/// The report of every change as one JSON value.
pub(super) fn json(case: &Case, judged: &[Judgement]) -> Value {
    let reports = case.changes.iter().zip(judged).map(|(change, one)| {
        let own = one.weighed.iter().flat_map(|w| &w.own);
        let own = own.map(|(f, carrier)| finding(change, f, f.p, carrier.as_deref(), "self"));
        let around = one.weighed.iter().flat_map(|w| &w.around);
        let around = around.map(|n| finding(change, &n.finding, n.q, None, n.relation.name()));
        json!({
            "change": change.id,
            "workload": change.workload,
            "verdict": word(one.verdict),
            "summary": sentence(case, change, one),
            "needed": if one.verdict == Verdict::Inconclusive { needed(case, change, one) } else { Vec::new() },
            "p": one.weighed.as_ref().map(|w| w.p),
            "probability_of_harm": one.probability_of_harm(),
            "alarm": one.alarm,
            "mended": one.mended.map(|s| json!({"share": s.value, "interval_95": [s.interval.0, s.interval.1], "signals": s.signals})),
            "rank": one.rank,
            "since": one.since,
            "affected": if one.verdict == Verdict::Harm { one.affected() } else { Vec::new() },
            "effects": own.chain(around).collect::<Vec<Value>>(),
            "not_tested": one.untestable.iter().map(|(s, why)| json!({"signal": s, "reason": why})).collect::<Vec<Value>>(),
            "neighbours_cut": one.cut,
            "candidates": around_of(case, change),
            "posterior_of_an_effect_on_others": one.weighed.as_ref().map(|w| w.blame),
        })
    });
    json!({ "case": case.id, "reports": reports.collect::<Vec<Value>>() })
}

/// Whom the change could have hurt, the nearest first.
fn around_of(case: &Case, change: &Change) -> Vec<Value> {
    let (all, _) = effects::candidates::candidates(case, change);
    all.into_iter().map(|(workload, tie)| json!({"workload": workload, "relation": tie.name()})).collect()
}

fn finding(change: &Change, f: &Finding, q: f64, carrier: Option<&str>, relation: &str) -> Value {
    json!({
        "workload": f.workload,
        "relation": relation,
        "signal": f.what.name(),
        "direction": match f.direction { Direction::Worse => "worse", Direction::Better => "better" },
        "p": f.p,
        "q": q,
        "now": f.now,
        "ended": f.ended,
        "expected_transient": relation == "self" && effects::transient::expected(change, f),
        "design": f.design.name(),
        "expected": f.size.map(|s| s.baseline),
        "seen": f.size.map(|s| s.observed),
        "difference_95": f.size.map(|s| [s.interval.0, s.interval.1]),
        "detectable": f.detectable,
        "onset": f.onset.map(|(a, b)| [a, b]),
        "samples": f.samples,
        "compared": f.compared,
        "carried_by": carrier,
        "silent": matches!(f.what, What::Silence),
    })
}
