//! `GET /traces`: requests by what happened in them; `GET /traces/{trace_id}`: one of them, with its log lines.

mod joined;

use axum::extract::Path;
use proto::error::ErrorCode;
use store::{LogRequest, Says, Table};

use crate::api::Api;
use crate::api::answer::{Answer, Body, Rows as Kept};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::logs;
use crate::api::openapi::{RangeParams, Rows, TextParams, Trace, TraceSpans, WhereParams};
use crate::api::params::{Params, Range};
use crate::api::traces::joined::{Joined, MOST_SPANS};
use crate::api::wheres::{Values, clause, says};
use crate::query::gap;
use crate::query::session::Take;
use crate::requests::span::{NETWORK_PROTOCOL, PROTOCOLS, TELLING};

/// Traces unless the request says otherwise, and the most that it may ask for.
const TRACES: u64 = 20;
const MOST_TRACES: u64 = 1_000;
/// Joined traces whose log lines are in an answer, too.
const MOST_LOGGED: usize = 16;
/// How far beyond the asked range the other spans of a trace are looked for, ns.
const AROUND_NS: i64 = 3_600_000_000_000;

/// What a span is of: the application's own name for it, else the workload.
const SERVICE: &str = "coalesce(CAST(service AS VARCHAR), CAST(workload AS VARCHAR))";

/// Traces with a span that is like this, newest first.
///
/// All conditions must hold for one and the same span; `contains` and `word` look at its name, status message, events and the
/// values of its attributes. A row sums up the whole trace as far as its spans lie within an hour
/// of the range: its root is the oldest span without a parent, or the oldest of all while the root has not come. Traces
/// are ordered by their newest span that matched, then by id. The last hour by default.
#[utoipa::path(
    get, path = "/api/v1/traces", tag = "traces",
    params(
        RangeParams,
        WhereParams,
        TextParams,
        ("service" = Option<String>, Query, description = "The span's `service.name`, else its workload"),
        ("workload" = Option<String>, Query, description = "The span's workload"),
        ("name" = Option<String>, Query, description = "The span's name"),
        ("protocol" = Option<String>, Query, description = "What is spoken: `http`, `grpc`, `dns`, `postgresql`, `mysql`, \
            `redis`, `kafka`, or what the application calls it"),
        ("status" = Option<String>, Query, description = "`ok`, `error` or `unset`"),
        ("min_duration" = Option<String>, Query, description = "The span took at least so long: `10ms`, `1s`"),
        ("max_duration" = Option<String>, Query, description = "The span took at most so long"),
    ),
    responses((status = 200, body = Rows<Trace>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn search(api: Api, mut params: Params) -> Result<Body, ApiError> {
    let range = params.range(3_600)?;
    let limit = params.number("limit", TRACES, MOST_TRACES)?;
    let mut values = Values::default();
    let conditions = conditions(&mut params, range, &mut values)?;
    params.end()?;
    let hits = format!(
        "SELECT trace_id, max(ts) AS last_ts FROM span {conditions} GROUP BY trace_id \
         ORDER BY last_ts DESC, trace_id LIMIT {limit}"
    );
    api.answer("traces", move |session| async move {
        let mut found = Kept::default();
        session.own(&hits, values.0, &mut found).await?;
        let text = |row: &serde_json::Map<String, serde_json::Value>| {
            row.get("trace_id").and_then(|id| id.as_str()).map(str::to_owned)
        };
        let traces: Vec<String> = found.0.iter().filter_map(text).filter(|id| is_hex(id)).collect();
        let mut answer = Answer::objects(traces.len());
        if !traces.is_empty() {
            let (query, values) = summary(&traces, range)?;
            let mut sums = Kept::default();
            session.own(&query, values, &mut sums).await?;
            for trace in &traces {
                let sum = sums.0.iter().find(|row| text(row).as_deref() == Some(trace.as_str()));
                if sum.is_some_and(|sum| answer.push(sum) == Take::Enough) {
                    break;
                }
            }
        }
        gap::note(&session, range.ns(), &[Table::Span]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}

/// The `WHERE` of the spans that are looked for.
fn conditions(params: &mut Params, range: Range, values: &mut Values) -> Result<String, ApiError> {
    let mut wheres = params.wheres()?;
    for name in ["workload", "name"] {
        wheres.extend(params.one(name)?.map(|text| (name.to_owned(), text)));
    }
    if let Some(status) = params.choice("status", &["ok", "error", "unset"])? {
        let status = if status == "unset" { "" } else { status };
        wheres.push((String::from("status"), status.to_owned()));
    }
    let schema = Table::Span.schema();
    let is_column = |(key, _): &(String, String)| {
        schema.field_with_name(key).is_ok_and(|field| !field.data_type().is_nested())
    };
    let (columns, attributes): (Vec<_>, Vec<_>) = wheres.into_iter().partition(is_column);
    let mut all = clause(Table::Span, range, &columns, values)?;
    let mut also = |condition: String| {
        all.push_str(if all.is_empty() { "WHERE " } else { " AND " });
        all.push_str(&condition);
    };
    for (key, text) in attributes {
        let key = key.strip_prefix("attributes.").unwrap_or(&key).replace('\'', "''");
        also(match text.is_empty() {
            true => format!("coalesce(attributes['{key}'], '') = ''"),
            // as the store looks for it
            false => format!("attributes['{key}'] = {}", values.text(text)),
        });
    }
    for Says { text, whole, .. } in says(params)? {
        let function = if whole { "has_word" } else { "has_text" };
        also(format!("{function}({}, {})", Table::Span.texts().join(", "), values.text(text)));
    }
    if let Some(text) = params.one("service")? {
        also(format!("{SERVICE} = {}", values.text(text)));
    }
    if let Some(text) = params.one("protocol")? {
        also(format!("{} = {}", protocol(), values.text(text)));
    }
    if let Some(ns) = params.duration_ns("min_duration")? {
        also(format!("duration_ns >= {ns}"));
    }
    if let Some(ns) = params.duration_ns("max_duration")? {
        also(format!("duration_ns <= {ns}"));
    }
    also(String::from("trace_id IS NOT NULL"));
    Ok(all)
}

/// What a span speaks, as `requests::span` reads it.
fn protocol() -> String {
    let attribute = |key: &str| format!("nullif(attributes['{key}'], '')");
    let mut parts: Vec<String> = PROTOCOLS.iter().map(|key| attribute(key)).collect();
    parts
        .extend(TELLING.map(|(key, protocol)| {
            format!("CASE WHEN {} IS NOT NULL THEN '{protocol}' END", attribute(key))
        }));
    parts.push(attribute(NETWORK_PROTOCOL));
    format!("coalesce({}, '')", parts.join(", "))
}

/// What is said of each of these traces.
fn summary(
    traces: &[String],
    range: Range,
) -> Result<(String, Vec<datafusion::common::ScalarValue>), ApiError> {
    let around = Range {
        from_ns: range.from_ns.saturating_sub(AROUND_NS),
        to_ns: range.to_ns.saturating_add(AROUND_NS),
    };
    let mut values = Values::default();
    let within = clause(Table::Span, around, &[], &mut values)?;
    let within = if within.is_empty() { String::from("WHERE") } else { format!("{within} AND") };
    // they are hex, so they need no quoting
    let ids: Vec<String> = traces.iter().map(|id| format!("'{id}'")).collect();
    let first = "ORDER BY CASE WHEN parent_span_id IS NULL THEN 0 ELSE 1 END, ts, span_id";
    let query = format!(
        "SELECT trace_id, min(ts) AS ts, \
         max(CAST(ts AS BIGINT) + duration_ns) - CAST(min(ts) AS BIGINT) AS duration_ns, \
         first_value({SERVICE} {first}) AS root_service, \
         first_value(CAST(name AS VARCHAR) {first}) AS root_name, \
         count(*) AS spans, sum(CASE WHEN status = 'error' THEN 1 ELSE 0 END) AS errors, \
         array_sort(array_agg(DISTINCT {SERVICE})) AS services \
         FROM span {within} trace_id IN ({}) GROUP BY trace_id",
        ids.join(", ")
    );
    Ok((query, values.0))
}

/// One trace: its spans and the log lines that carry its id, oldest first, and what is joined to it.
///
/// The id is hex; leading zeros may be left out. `not_found` if neither a span nor a line of it is kept. Where spans were
/// seen on the wire (`source` is `wake`), the trace goes on at the other ends of their connections: `joins` says which
/// client's span is which server's span and how sure that is, and the spans of those traces follow the asked one's.
/// What cannot be told apart is in `joins` without a server.
#[utoipa::path(
    get, path = "/api/v1/traces/{trace_id}", tag = "traces",
    params(("trace_id" = String, Path, description = "The trace's id, hex"), RangeParams),
    responses((status = 200, body = TraceSpans), (status = "default", body = ErrorBody))
)]
pub(crate) async fn trace(api: Api, Path(id): Path<String>, mut params: Params) -> Result<Body, ApiError> {
    let range = params.range(0)?;
    params.end()?;
    if id.is_empty() || id.len() > 32 || !is_hex(&id) {
        return Err(ApiError::invalid(format!("{id:?} is no trace id: 1 to 32 hex digits")));
    }
    let id = format!("{:0>32}", id.to_ascii_lowercase());
    let lines = usize::try_from(api.0.limits.max_log_lines).unwrap_or(usize::MAX);
    api.answer("trace", move |session| async move {
        let mut answer = Answer::objects(MOST_SPANS.max(lines));
        let joined = Joined::write(&session, &id, range, &mut answer).await?;
        answer.section("logs");
        for trace in joined.traces.iter().take(MOST_LOGGED) {
            let request = LogRequest {
                from_ns: range.from_ns,
                to_ns: range.to_ns,
                equals: vec![(String::from("trace_id"), trace.clone())],
                limit: Some(lines),
                newest_first: false,
                ..LogRequest::default()
            };
            logs::lines(&session, request, &mut answer).await?;
        }
        if joined.spans == 0 && answer.is_empty() {
            return Err(ApiError::new(ErrorCode::NotFound, format!("nothing of trace {id} is kept")));
        }
        answer.section("joins");
        for join in joined.joins() {
            if answer.push(&join) == Take::Enough {
                break;
            }
        }
        gap::note(&session, range.ns(), &[Table::Span, Table::Log]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
