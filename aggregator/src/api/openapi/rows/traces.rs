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
    /// `otlp`: sent by the application; `wake`: seen on the wire.
    source: Option<String>,
    attributes: BTreeMap<String, String>,
    /// A JSON array of `{"ts", "name", "attributes"}`.
    events: Option<String>,
    /// A JSON array of `{"trace_id", "span_id", "trace_state", "attributes"}`.
    links: Option<String>,
}

/// Two spans of different ends of one connection that are, or may be, the same request.
#[derive(ToSchema)]
pub(crate) struct SpanJoin {
    client_trace_id: String,
    client_span_id: String,
    /// Absent where several spans fit and nothing tells them apart.
    server_trace_id: Option<String>,
    server_span_id: Option<String>,
    /// From 0 to 1; from 0.9 on it can be relied on.
    confidence: Option<f64>,
    /// `connection`: nothing else fits as well; `elimination`: the others have another end already; `order`: by their
    /// order on the connection; `open`: nothing tells.
    by: String,
    /// Spans of the server that could be it.
    candidates: i64,
}

/// One trace.
#[derive(ToSchema)]
pub(crate) struct TraceSpans {
    /// Those of the asked trace, then of each that is joined to it; oldest first.
    rows: Vec<Span>,
    /// Log lines that carry the id of one of these traces, oldest first of each.
    logs: Vec<LogLine>,
    /// Spans of two ends of a connection, put together.
    joins: Vec<SpanJoin>,
    /// Whether nothing is missing.
    complete: bool,
    /// What is missing, and why.
    reasons: Vec<ReasonBody>,
}
