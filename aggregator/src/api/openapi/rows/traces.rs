//! Rows of the API: what became of requests.
#![expect(dead_code, reason = "these types only describe what is written row by row")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

use super::logs::LogLine;
use crate::api::answer::ReasonBody;

/// A trace in one row.
#[derive(ToSchema)]
pub(crate) struct Trace {
    /// 32 hex digits.
    trace_id: String,
    /// When its first span started.
    ts: String,
    /// From there to the end of its last span.
    duration_ns: i64,
    root_service: Option<String>,
    root_name: Option<String>,
    spans: i64,
    /// Spans whose status is `error`.
    errors: i64,
    services: Vec<String>,
}

/// A span.
#[derive(ToSchema)]
pub(crate) struct Span {
    /// When it started.
    ts: String,
    cluster: Option<String>,
    node: Option<String>,
    zone: Option<String>,
    namespace: String,
    workload: Option<String>,
    /// `service` where only the name of the service was said.
    workload_kind: Option<String>,
    pod: Option<String>,
    pod_uid: Option<String>,
    container: Option<String>,
    duration_ns: i64,
    trace_id: String,
    span_id: String,
    /// Absent of a root.
    parent_span_id: Option<String>,
    trace_state: Option<String>,
    /// `service.name`, else the workload.
    service: Option<String>,
    name: Option<String>,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    kind: Option<String>,
    /// `ok` or `error`; absent where it was not said.
    status: Option<String>,
    status_message: Option<String>,
    scope_name: Option<String>,
    scope_version: Option<String>,
    /// `otlp`.
    source: Option<String>,
    attributes: BTreeMap<String, String>,
    /// A JSON array of `{"ts", "name", "attributes"}`.
    events: Option<String>,
    /// A JSON array of `{"trace_id", "span_id", "trace_state", "attributes"}`.
    links: Option<String>,
}

/// One trace.
#[derive(ToSchema)]
pub(crate) struct TraceSpans {
    /// Oldest first.
    rows: Vec<Span>,
    /// Log lines that carry the trace's id, oldest first.
    logs: Vec<LogLine>,
    /// Whether nothing is missing.
    complete: bool,
    /// What is missing, and why.
    reasons: Vec<ReasonBody>,
}
