//! What each part of the judgement is worth: every suite judged without it, one part at a time.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use effects::ingredient::Ingredient;
use effects::watch::Verdict;

use super::calibration::Judged;

/// The table, in Markdown: F1 (precision) where changes were harmful, alarms where none was, then blame.
pub(super) fn table(
    judge: impl Fn(Option<Ingredient>) -> anyhow::Result<Vec<Judged>>,
) -> anyhow::Result<String> {
    let mut text = String::new();
    let left_out = std::iter::once(None).chain(Ingredient::ALL.map(Some));
    for (row, part) in left_out.enumerate() {
        let judged = judge(part)?;
        let suites: BTreeSet<&str> = judged.iter().map(|j| j.suite.as_str()).collect();
        if row == 0 {
            write!(text, "| left out |")?;
            suites.iter().try_for_each(|suite| write!(text, " {suite} |"))?;
            writeln!(text, " first rank to the culprit | harmless called harmful |")?;
            writeln!(text, "|---|{}---|---|", "---|".repeat(suites.len()))?;
        }
        write!(text, "| {} |", part.map_or("nothing", Ingredient::name))?;
        for suite in suites {
            write!(text, " {} |", score(judged.iter().filter(|j| j.suite == suite)))?;
        }
        let ranks: Vec<usize> = judged.iter().filter_map(|j| j.culprit_rank).collect();
        let first = ranks.iter().filter(|rank| **rank == 1).count();
        let wrong = judged.iter().filter(|j| !j.harmful && j.verdict == Verdict::Harm).count();
        writeln!(text, " {first} of {} | {wrong} |", ranks.len())?;
    }
    Ok(text)
}

fn score<'a>(judged: impl Iterator<Item = &'a Judged> + Clone) -> String {
    let count = |harmful: bool, called: bool| {
        judged.clone().filter(|j| j.harmful == harmful && (j.verdict == Verdict::Harm) == called).count()
            as f64
    };
    let (right, wrong, missed) = (count(true, true), count(false, true), count(true, false));
    if right + missed <= 0.0 {
        return format!("{:.2} %", 100.0 * wrong / (wrong + count(false, false)).max(1.0));
    }
    let precision =
        if right + wrong > 0.0 { format!("{:.3}", right / (right + wrong)) } else { "-".to_owned() };
    format!("{:.3} ({precision})", 2.0 * right / (2.0 * right + wrong + missed))
}
