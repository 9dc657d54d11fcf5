//! `GET /patterns`: which kinds of lines workloads write, and which are new, gone or surging.

mod compared;
mod versions;

use serde_json::Map;
use store::{Pattern, PatternRequest, PatternVersion, Table};

use crate::api::answer::{Answer, Body};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::logs::refused;
use crate::api::openapi::{LogPattern, RangeParams, Rows};
use crate::api::params::Params;
use crate::api::{Api, json};
use crate::query::gap;
use crate::query::reason::{Reason, ReasonCode};
use crate::query::session::{Session, Take};
use compared::Compared;

/// Patterns unless the request says otherwise.
const PATTERNS: u64 = 100;

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
        ("version" = Option<String>, Query, description = "Only lines of this version of a workload: the attribute `service.version`, else the pod's label `app.kubernetes.io/version` or `version`, else the hash of a Deployment's template; empty for lines that say none"),
        ("show" = Option<String>, Query, description = "`new`: never seen before the range; `gone`: only in the range before; `surging`: 4 times as many lines as before, or none before but earlier, and at least 10. With `version`, `new`: no version of the workload that began earlier had it; `gone`: such versions had it in the range or the one before, and this one never"),
        ("limit" = Option<u64>, Query, description = "Patterns, the most frequent first"),
    ),
    responses((status = 200, body = Rows<LogPattern>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn patterns(api: Api, mut params: Params) -> Result<Body, ApiError> {
    let range = params.range(3_600)?;
    let wheres = params.wheres()?;
    let contains = params.all("contains");
    let version = params.one("version")?;
    let show = params.choice("show", &["new", "gone", "surging"])?;
    let max_rows = api.0.limits.max_rows;
    let limit = params.number("limit", PATTERNS, max_rows as u64)?;
    params.end()?;
    let now = api.now_ns().max(range.from_ns.saturating_add(1));
    let to_ns = range.to_ns.min(now);
    let mut request = PatternRequest { from_ns: range.from_ns, to_ns, version, ..PatternRequest::default() };
    for (name, value) in wheres {
        match name.as_str() {
            "namespace" => request.namespace = Some(value),
            "workload" => request.workload = Some(value),
            _ => return Err(ApiError::parameter("where", 0, "patterns know `namespace` and `workload`")),
        }
    }
    let length = to_ns.saturating_sub(range.from_ns);
    let compared_from_ns = range.from_ns.saturating_sub(length);
    let asked = Asked { show, since_ns: range.from_ns, compared_from_ns };
    api.answer("patterns", move |session| async move {
        let mut answer = Answer::objects(max_rows);
        let rows = asked.of(&session, request).await?;
        // only now: a pattern without the text may cover one that has it
        let rows = rows.into_iter().filter(|(pattern, _)| pattern.contains(&contains));
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

/// Which of a range's patterns are asked for.
struct Asked {
    show: Option<&'static str>,
    since_ns: i64,
    compared_from_ns: i64,
}

impl Asked {
    /// The patterns, each with its lines in what it is compared with.
    async fn of(&self, session: &Session, request: PatternRequest) -> Result<Vec<Compared>, ApiError> {
        let Some(show) = self.show else {
            let patterns = found(session, request).await?;
            return Ok(patterns.into_iter().map(|pattern| (pattern, None)).collect());
        };
        // what is new has to be compared with all that is known
        let ever = PatternRequest { ever: true, ..request.clone() };
        if let (Some(version), "new" | "gone") = (request.version.clone(), show) {
            let from_ns = if show == "gone" { self.compared_from_ns } else { ever.from_ns };
            let patterns = found(session, PatternRequest { from_ns, ..ever }).await?;
            return Ok(versions::compared(show, &version, patterns));
        }
        let version = request.version.clone();
        let before =
            PatternRequest { from_ns: self.compared_from_ns, to_ns: self.since_ns, ..request.clone() };
        let now = found(session, if show == "new" { ever } else { request }).await?;
        let before = found(session, before).await?;
        Ok(compared::compared(show, self.since_ns, version.as_deref(), now, &before))
    }
}

/// The patterns of a request; what could not be looked at is noted.
async fn found(session: &Session, request: PatternRequest) -> Result<Vec<Pattern>, ApiError> {
    let found = session.snapshot.log_patterns(request).await.map_err(|error| refused(&error))?;
    found.errors.iter().for_each(|error| session.reasons.add_scan(error));
    if found.dropped_lines > 0 {
        let detail = format!("{} lines of further patterns are not in the answer", found.dropped_lines);
        session.reasons.add(Reason::new(ReasonCode::RowLimit, detail));
    }
    Ok(found.patterns)
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
    let versions = &pattern.versions;
    // what was known before versions were told apart began with one that nobody knows
    let is_first = |of: &&PatternVersion| is_named(of) && of.first_ns <= pattern.known_since_ns;
    if let Some(first) = versions.first().filter(is_first) {
        put("first_version", first.version.as_str().into());
    }
    if let Some(last) = versions.iter().max_by_key(|of| of.last_ns).filter(|of| is_named(of)) {
        put("last_version", last.version.as_str().into());
    }
    let versions: Vec<_> = versions.iter().filter(|of| is_named(of)).map(of_version).collect();
    if !versions.is_empty() {
        put("versions", versions.into());
    }
    put("pattern", pattern.text.as_str().into());
    put("example", pattern.example.as_str().into());
    row
}

/// Whether its lines say which version it is.
fn is_named(version: &PatternVersion) -> bool {
    !version.version.is_empty()
}

/// A version of the workload that had such lines.
fn of_version(version: &PatternVersion) -> serde_json::Value {
    serde_json::json!({
        "version": version.version,
        "first_ts": json::rfc3339(i128::from(version.first_ns)),
        "last_ts": json::rfc3339(i128::from(version.last_ns)),
    })
}
