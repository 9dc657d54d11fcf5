//! `GET /patterns`: which kinds of lines workloads write, and which are new, gone or surging.

use std::collections::HashMap;

use serde_json::Map;
use store::{Pattern, PatternRequest, Table};

use crate::api::answer::{Answer, Body};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::logs::refused;
use crate::api::openapi::{LogPattern, RangeParams, Rows};
use crate::api::params::Params;
use crate::api::{Api, json};
use crate::query::gap;
use crate::query::reason::{Reason, ReasonCode};
use crate::query::session::Take;

/// Patterns unless the request says otherwise.
const PATTERNS: u64 = 100;
/// A pattern surges at so many times the lines of the range before, and at so many lines.
const SURGE_TIMES: u64 = 4;
const SURGE_LINES: u64 = 10;
/// Patterns of as many words that one is compared with, where it has no equal.
const MOST_ALIKE: usize = 1_000;

/// Log patterns of the range, the most frequent first.
///
/// A pattern is a line with its variable parts left out; `id` is the same wherever it occurs. With `show`, the range is
/// compared with the one of the same length before it. The last hour by default.
#[utoipa::path(
    get, path = "/api/v1/patterns", tag = "logs",
    params(
        RangeParams,
        ("where" = Option<Vec<String>>, Query, description = "`namespace=shop` or `workload=cart`; all must hold"),
        ("contains" = Vec<String>, Query, description = "Text that the pattern or its example must contain. Repeat for more; all must be there"),
        ("show" = Option<String>, Query, description = "`new`: never seen before the range; `gone`: only in the range before; `surging`: 4 times as many lines as before, or none before but earlier, and at least 10"),
        ("limit" = Option<u64>, Query, description = "Patterns, the most frequent first"),
    ),
    responses((status = 200, body = Rows<LogPattern>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn patterns(api: Api, mut params: Params) -> Result<Body, ApiError> {
    let range = params.range(3_600)?;
    let wheres = params.wheres()?;
    let contains = params.all("contains");
    let show = params.choice("show", &["new", "gone", "surging"])?;
    let max_rows = api.0.limits.max_rows;
    let limit = params.number("limit", PATTERNS, max_rows as u64)?;
    params.end()?;
    let now = api.now_ns().max(range.from_ns.saturating_add(1));
    let to_ns = range.to_ns.min(now);
    let mut request = PatternRequest { from_ns: range.from_ns, to_ns, ..PatternRequest::default() };
    for (name, value) in wheres {
        match name.as_str() {
            "namespace" => request.namespace = Some(value),
            "workload" => request.workload = Some(value),
            _ => return Err(ApiError::parameter("where", 0, "patterns know `namespace` and `workload`")),
        }
    }
    let length = to_ns.saturating_sub(range.from_ns);
    let compared_from_ns = range.from_ns.saturating_sub(length);
    let before = PatternRequest { from_ns: compared_from_ns, to_ns: range.from_ns, ..request.clone() };
    api.answer("patterns", move |session| async move {
        let mut answer = Answer::objects(max_rows);
        let found = session.snapshot.log_patterns(request).await.map_err(|error| refused(&error))?;
        found.errors.iter().for_each(|error| session.reasons.add_scan(error));
        let mut dropped = found.dropped_lines;
        let rows: Vec<(Pattern, Option<u64>)> = match show {
            None => found.patterns.into_iter().map(|pattern| (pattern, None)).collect(),
            Some(show) => {
                let earlier = session.snapshot.log_patterns(before).await.map_err(|error| refused(&error))?;
                earlier.errors.iter().for_each(|error| session.reasons.add_scan(error));
                dropped += earlier.dropped_lines;
                compared(show, range.from_ns, found.patterns, earlier.patterns)
            }
        };
        // only now: a pattern without the text may cover one that has it
        let rows = rows.into_iter().filter(|(pattern, _)| pattern.contains(&contains));
        if dropped > 0 {
            let detail = format!("{dropped} lines of further patterns are not in the answer");
            session.reasons.add(Reason::new(ReasonCode::RowLimit, detail));
        }
        for (pattern, before) in rows.take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            if answer.push(&row(&pattern, before)) == Take::Enough {
                let detail = "the answer is cut at the most rows or bytes that one may have";
                session.reasons.add(Reason::new(ReasonCode::RowLimit, detail));
                break;
            }
        }
        // what is missing of the range before makes patterns new that are not
        let from_ns = if show.is_some() { compared_from_ns } else { range.from_ns };
        gap::note(&session, (from_ns, range.to_ns), &[Table::Log]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}

/// The patterns that are new, gone or surging, with their lines in the range before, which ends at `since_ns`.
fn compared(
    show: &str,
    since_ns: i64,
    now: Vec<Pattern>,
    before: Vec<Pattern>,
) -> Vec<(Pattern, Option<u64>)> {
    if show == "gone" {
        let here = Earlier::new(&now);
        let gone = before.iter().filter(|pattern| here.lines(pattern) == 0);
        return gone.map(|pattern| (Pattern { lines: 0, ..pattern.clone() }, Some(pattern.lines))).collect();
    }
    let there = Earlier::new(&before);
    let rows =
        now.into_iter().filter(|pattern| show == "new" || pattern.lines >= SURGE_LINES).map(|pattern| {
            let lines = there.lines(&pattern);
            (pattern, Some(lines))
        });
    let keep = |(pattern, before): &(Pattern, Option<u64>)| {
        // what the registry has seen before the range is not new, however long ago that was
        let was_known = pattern.known_since_ns < since_ns;
        match (show, before.unwrap_or(0)) {
            ("new", before) => before == 0 && !was_known,
            (_, 0) => was_known,
            (_, before) => pattern.lines >= before.saturating_mul(SURGE_TIMES),
        }
    };
    rows.filter(keep).collect()
}

/// Patterns of another range. One that has no equal there may stand in others that were merged, or were not.
struct Earlier<'a> {
    lines: HashMap<(u64, &'a str, &'a str), u64>,
    /// By how many words they have: patterns of which one covers the other have as many.
    by_words: HashMap<(&'a str, &'a str, usize), Vec<&'a Pattern>>,
}

impl<'a> Earlier<'a> {
    fn new(patterns: &'a [Pattern]) -> Self {
        let mut earlier = Self { lines: HashMap::new(), by_words: HashMap::new() };
        for pattern in patterns {
            let (namespace, workload) = (pattern.namespace.as_str(), pattern.workload.as_str());
            earlier.lines.insert((pattern.id, namespace, workload), pattern.lines);
            let key = (namespace, workload, words(pattern));
            earlier.by_words.entry(key).or_default().push(pattern);
        }
        earlier
    }

    /// Lines of the same pattern there, else of those that it covers or that cover it.
    fn lines(&self, pattern: &Pattern) -> u64 {
        let (namespace, workload) = (pattern.namespace.as_str(), pattern.workload.as_str());
        if let Some(lines) = self.lines.get(&(pattern.id, namespace, workload)) {
            return *lines;
        }
        let alike = self.by_words.get(&(namespace, workload, words(pattern)));
        let alike = alike.into_iter().flatten().take(MOST_ALIKE);
        alike.filter(|other| pattern.covers(other) || other.covers(pattern)).map(|other| other.lines).sum()
    }
}

fn words(pattern: &Pattern) -> usize {
    pattern.text.split(' ').count()
}

fn row(pattern: &Pattern, before: Option<u64>) -> Map<String, serde_json::Value> {
    let mut row = Map::new();
    let mut put = |name: &str, value: serde_json::Value| row.insert(name.to_owned(), value);
    put("id", format!("{:016x}", pattern.id).into());
    put("namespace", pattern.namespace.as_str().into());
    put("workload", pattern.workload.as_str().into());
    put("lines", pattern.lines.into());
    if let Some(before) = before {
        put("lines_before", before.into());
    }
    put("first_ts", json::rfc3339(i128::from(pattern.first_ns)).into());
    put("last_ts", json::rfc3339(i128::from(pattern.last_ns)).into());
    put("known_since", json::rfc3339(i128::from(pattern.known_since_ns)).into());
    put("pattern", pattern.text.as_str().into());
    put("example", pattern.example.as_str().into());
    row
}

#[cfg(test)]
mod tests {
    use store::Pattern;

    use super::compared;

    fn pattern(id: u64, lines: u64) -> Pattern {
        Pattern {
            id,
            lines,
            namespace: "shop".to_owned(),
            workload: "cart".to_owned(),
            text: format!("pattern{id}"),
            first_ns: 0,
            last_ns: 0,
            known_since_ns: i64::MAX,
            example: String::new(),
        }
    }

    #[test]
    fn patterns_are_new_gone_or_surging() {
        let known = |id, lines| Pattern { known_since_ns: 50, ..pattern(id, lines) };
        let now = vec![
            pattern(1, 50),
            known(2, 9),
            known(3, 40),
            known(4, 100),
            // long ago, and not in the range before
            known(6, 12),
            known(7, 9),
        ];
        let before = vec![pattern(2, 1), pattern(3, 10), pattern(4, 90), pattern(5, 7)];
        let ids = |show: &str| -> Vec<(u64, u64, Option<u64>)> {
            let rows = compared(show, 100, now.clone(), before.clone());
            rows.into_iter().map(|(pattern, before)| (pattern.id, pattern.lines, before)).collect()
        };
        assert_eq!(ids("new"), [(1, 50, Some(0))]);
        assert_eq!(ids("gone"), [(5, 0, Some(7))]);
        assert_eq!(ids("surging"), [(3, 40, Some(10)), (6, 12, Some(0))]);
    }

    #[test]
    fn a_word_that_varied_in_one_range_only_makes_nothing_new_or_gone() {
        let of = |id, lines, text: &str| Pattern { text: text.to_owned(), ..pattern(id, lines) };
        let merged = vec![of(1, 40, "user <*> left")];
        let single = vec![of(2, 3, "user ann left"), of(3, 4, "user bob left"), of(4, 9, "disk full")];
        let ids = |show: &str, now: &[Pattern], before: &[Pattern]| -> Vec<(u64, Option<u64>)> {
            let rows = compared(show, 100, now.to_vec(), before.to_vec());
            rows.into_iter().map(|(pattern, before)| (pattern.id, before)).collect()
        };
        assert_eq!(ids("new", &merged, &single), []);
        assert_eq!(ids("gone", &merged, &single), [(4, Some(9))]);
        assert_eq!(ids("surging", &merged, &single), [(1, Some(7))]);
        assert_eq!(ids("new", &single, &merged), [(4, Some(0))]);
        assert_eq!(ids("gone", &single, &merged), []);
    }
}
