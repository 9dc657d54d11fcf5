//! A judged case as the answer lines that a scorer reads: one JSON object per change.

use effects::case::Case;
use effects::watch::{Judgement, Verdict};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct Answer<'a> {
    case: &'a str,
    change: &'a str,
    verdict: &'static str,
    confidence: f64,
    rank: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    affected: Vec<&'a str>,
}

/// The word for a verdict.
pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Harm => "harm",
        Verdict::Improvement => "improvement",
        Verdict::None => "none",
        Verdict::Inconclusive => "inconclusive",
    }
}

/// One line per change, in the order of the case.
pub(crate) fn lines(case: &Case, judged: &[Judgement]) -> Result<Vec<String>, serde_json::Error> {
    let mut lines = Vec::with_capacity(judged.len());
    for one in judged {
        let harm = one.probability_of_harm();
        let hurt = one.verdict == Verdict::Harm;
        let confidence = if hurt { harm } else { 1.0 - harm };
        let answer = Answer {
            case: &case.id,
            change: &one.change,
            verdict: word(one.verdict),
            // four digits: more would claim a precision that no calibration has
            confidence: (confidence * 1e4).round() / 1e4,
            rank: one.rank,
            decided_at: one.since.filter(|_| hurt || one.verdict == Verdict::Improvement),
            affected: if hurt { one.affected() } else { Vec::new() },
        };
        lines.push(serde_json::to_string(&answer)?);
    }
    Ok(lines)
}
