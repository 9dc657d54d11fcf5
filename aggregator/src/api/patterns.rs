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

/// Log patterns of the range, the most frequent first.
///
/// A pattern is a line with its variable parts left out; `id` is the same wherever it occurs. With `show`, the range is
/// compared with the one of the same length before it. The last hour by default.
#[utoipa::path(
    get, path = "/api/v1/patterns", tag = "logs",
    params(
        RangeParams,
        ("where" = Option<Vec<String>>, Query, description = "`namespace=shop` or `workload=cart`; all must hold"),
        ("show" = Option<String>, Query, description = "`new`: never seen before the range; `gone`: only in the range before; `surging`: 4 times as many lines as before, and at least 10"),
        ("limit" = Option<u64>, Query, description = "Patterns, the most frequent first"),
    ),
    responses((status = 200, body = Rows<LogPattern>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn patterns(api: Api, mut params: Params) -> Result<Body, ApiError> {
    let range = params.range(3_600)?;
    let wheres = params.wheres()?;
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
    let before = PatternRequest {
        from_ns: range.from_ns.saturating_sub(length),
        to_ns: range.from_ns,
        ..request.clone()
    };
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
                let mut rows = compared(show, found.patterns, earlier.patterns);
                // what the registry has seen before the range is not new, however long ago that was
                let since = range.from_ns;
                rows.retain(|(pattern, _)| show != "new" || pattern.known_since_ns >= since);
                rows
            }
        };
        if dropped > 0 {
            let detail = format!("{dropped} lines of further patterns are not in the answer");
            session.reasons.add(Reason::new(ReasonCode::RowLimit, detail));
        }
        for (pattern, before) in rows.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            if answer.push(&row(&pattern, before)) == Take::Enough {
                let detail = "the answer is cut at the most rows or bytes that one may have";
                session.reasons.add(Reason::new(ReasonCode::RowLimit, detail));
                break;
            }
        }
        gap::note(&session, range.ns(), &[Table::Log]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}

/// The patterns that are new, gone or surging, with their lines in the range before.
fn compared(show: &str, now: Vec<Pattern>, before: Vec<Pattern>) -> Vec<(Pattern, Option<u64>)> {
    let key = |pattern: &Pattern| (pattern.id, pattern.namespace.clone(), pattern.workload.clone());
    if show == "gone" {
        let here: HashMap<_, u64> = now.iter().map(|pattern| (key(pattern), pattern.lines)).collect();
        let gone = before.into_iter().filter(|pattern| !here.contains_key(&key(pattern)));
        return gone.map(|pattern| (Pattern { lines: 0, ..pattern.clone() }, Some(pattern.lines))).collect();
    }
    let there: HashMap<_, u64> = before.iter().map(|pattern| (key(pattern), pattern.lines)).collect();
    let rows = now.into_iter().map(|pattern| {
        let lines = there.get(&key(&pattern)).copied().unwrap_or(0);
        (pattern, Some(lines))
    });
    let keep = |(pattern, before): &(Pattern, Option<u64>)| match (show, before.unwrap_or(0)) {
        ("new", before) => before == 0,
        (_, before) => {
            pattern.lines >= SURGE_LINES && before > 0 && pattern.lines >= before.saturating_mul(SURGE_TIMES)
        }
    };
    rows.filter(keep).collect()
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
            text: String::new(),
            first_ns: 0,
            last_ns: 0,
            known_since_ns: i64::MAX,
            example: String::new(),
        }
    }

    #[test]
    fn patterns_are_new_gone_or_surging() {
        let now = vec![pattern(1, 50), pattern(2, 9), pattern(3, 40), pattern(4, 100)];
        let before = vec![pattern(2, 1), pattern(3, 10), pattern(4, 90), pattern(5, 7)];
        let ids = |show: &str| -> Vec<(u64, u64, Option<u64>)> {
            let rows = compared(show, now.clone(), before.clone());
            rows.into_iter().map(|(pattern, before)| (pattern.id, pattern.lines, before)).collect()
        };
        assert_eq!(ids("new"), [(1, 50, Some(0))]);
        assert_eq!(ids("gone"), [(5, 0, Some(7))]);
        assert_eq!(ids("surging"), [(3, 40, Some(10))]);
    }
}
