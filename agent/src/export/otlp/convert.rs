//! A batch as OTLP requests: one of logs (log lines, process events), one of metrics (all that is summed per window), one
//! of metrics that say what was lost, so that what becomes of them is known.

use std::collections::BTreeMap;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use prost::Message as _;
use proto::v1;

use super::points::Points;
use super::resource::{number, pair, resource, text};
use super::spans::{split, traces};

/// Where requests go, below the endpoint.
pub(super) const LOGS: &str = "/v1/logs";
pub(super) const TRACES: &str = "/v1/traces";
pub(super) const METRICS: &str = "/v1/metrics";

/// One request, and what is lost with it.
#[derive(Debug)]
pub(super) struct Request {
    /// Below the endpoint.
    pub(super) path: &'static str,
    /// Protobuf.
    pub(super) body: Bytes,
    /// Rows by the ledger's signals.
    pub(super) rows: BTreeMap<&'static str, u64>,
    /// Data points.
    pub(super) points: u64,
    /// Loss rows, which are all of their request: if it is dropped they go back to the ledger.
    pub(super) losses: Vec<v1::LossRow>,
}

impl Request {
    pub(super) fn records(&self) -> u64 {
        self.rows.values().sum()
    }
}

/// The requests that the bytes of a payload make, those without rows left out; `None` if it is damaged. Latency histograms
/// are not among them.
pub(super) fn requests(payload: &[u8], node: &str) -> Option<Vec<Request>> {
    let (rest, spans) = split(payload)?;
    let payload = &v1::Payload::decode(rest.as_slice()).ok()?;
    let traces = traces(&spans, &payload.identities);
    Some([logs(payload), traces, metrics(payload), losses(payload, node)].into_iter().flatten().collect())
}

pub(super) fn scope() -> InstrumentationScope {
    let (name, version) = ("wake-agent".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    InstrumentationScope { name, version, ..InstrumentationScope::default() }
}

fn logs(payload: &v1::Payload) -> Option<Request> {
    let mut records: BTreeMap<u32, Vec<LogRecord>> = BTreeMap::new();
    for row in &payload.logs {
        records.entry(row.identity).or_default().push(line(row));
    }
    for row in &payload.processes {
        records.entry(row.identity).or_default().push(process(row));
    }
    let resource_logs: Vec<ResourceLogs> = records
        .into_iter()
        .map(|(identity, log_records)| ResourceLogs {
            resource: payload.identities.get(identity as usize).map(resource),
            scope_logs: vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        })
        .collect();
    let rows = counted([("log", payload.logs.len()), ("process", payload.processes.len())]);
    (!resource_logs.is_empty()).then(|| Request {
        path: LOGS,
        body: ExportLogsServiceRequest { resource_logs }.encode_to_vec().into(),
        rows,
        points: 0,
        losses: Vec::new(),
    })
}

fn metrics(payload: &v1::Payload) -> Option<Request> {
    let mut points: BTreeMap<u32, Points> = BTreeMap::new();
    let mut of = |identity: u32, add: &mut dyn FnMut(&mut Points)| add(points.entry(identity).or_default());
    payload.usage.iter().for_each(|row| of(row.identity, &mut |points| points.usage(row)));
    payload.flows.iter().for_each(|row| of(row.identity, &mut |points| points.flow(row)));
    payload.drops.iter().for_each(|row| of(row.identity, &mut |points| points.drop(row)));
    payload.syscalls.iter().for_each(|row| of(row.identity, &mut |points| points.syscall(row)));
    payload.block.iter().for_each(|row| of(row.identity, &mut |points| points.block(row)));
    payload.requests.iter().for_each(|row| of(row.identity, &mut |points| points.request(row)));
    let resources: Vec<ResourceMetrics> = points
        .into_iter()
        .filter_map(|(identity, points)| {
            of_resource(resource(payload.identities.get(identity as usize)?), points)
        })
        .collect();
    let rows = counted([
        ("usage", payload.usage.len()),
        ("flow", payload.flows.len() + payload.drops.len()),
        ("syscall", payload.syscalls.len()),
        ("block", payload.block.len()),
        ("request", payload.requests.len()),
    ]);
    request(resources, rows, Vec::new())
}

fn losses(payload: &v1::Payload, node: &str) -> Option<Request> {
    let mut lost = Points::default();
    payload.losses.iter().for_each(|row| lost.loss(row));
    let host = v1::Identity {
        node: node.to_owned(),
        workload: String::from("wake-agent"),
        ..v1::Identity::default()
    };
    let resources = of_resource(resource(&host), lost).into_iter().collect();
    request(resources, BTreeMap::new(), payload.losses.clone())
}

fn request(
    resource_metrics: Vec<ResourceMetrics>,
    rows: BTreeMap<&'static str, u64>,
    losses: Vec<v1::LossRow>,
) -> Option<Request> {
    let points = points_in(&resource_metrics);
    (!resource_metrics.is_empty()).then(|| Request {
        path: METRICS,
        body: ExportMetricsServiceRequest { resource_metrics }.encode_to_vec().into(),
        rows,
        points,
        losses,
    })
}

/// How many points there are.
pub(super) fn points_in(resource_metrics: &[ResourceMetrics]) -> u64 {
    let metrics = resource_metrics.iter().flat_map(|of| &of.scope_metrics).flat_map(|of| &of.metrics);
    metrics.map(points_of).sum()
}

fn points_of(metric: &Metric) -> u64 {
    let points = match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        _ => 0,
    };
    points as u64
}

fn of_resource(
    resource: opentelemetry_proto::tonic::resource::v1::Resource,
    points: Points,
) -> Option<ResourceMetrics> {
    let metrics = points.metrics();
    (!metrics.is_empty()).then(|| ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }],
        ..ResourceMetrics::default()
    })
}

pub(super) fn counted<const N: usize>(rows: [(&'static str, usize); N]) -> BTreeMap<&'static str, u64> {
    rows.into_iter().filter(|(_, count)| *count > 0).map(|(signal, count)| (signal, count as u64)).collect()
}

fn line(row: &v1::LogRow) -> LogRecord {
    let body = match str::from_utf8(&row.body) {
        Ok(text) => Value::StringValue(text.to_owned()),
        Err(_) => Value::BytesValue(row.body.to_vec()),
    };
    let mut attributes: Vec<_> = row.attributes.iter().map(|(key, value)| text(key, value)).collect();
    if row.source.starts_with('/') {
        attributes.push(text("log.file.path", &row.source));
    }
    if !row.stream.is_empty() {
        attributes.push(text("log.iostream", &row.stream));
    }
    if row.truncated {
        attributes.push(pair("wake.truncated", Value::BoolValue(true)));
    }
    LogRecord {
        time_unix_nano: row.ts,
        observed_time_unix_nano: row.observed_ts,
        severity_number: severity(&row.level),
        severity_text: row.level.clone(),
        body: Some(AnyValue { value: Some(body) }),
        attributes,
        trace_id: bytes_of(&row.trace_id),
        span_id: bytes_of(&row.span_id),
        ..LogRecord::default()
    }
}

fn process(row: &v1::ProcessRow) -> LogRecord {
    let mut attributes = vec![number("process.pid", u64::from(row.pid))];
    let numbers = [
        ("process.parent_pid", Some(u64::from(row.parent_pid)).filter(|pid| *pid > 0)),
        ("process.exit.signal", row.exit_signal.map(u64::from)),
        ("wake.process.lifetime_ns", row.lifetime_ns),
        ("wake.process.cpu_ns", row.cpu_ns),
        ("wake.process.memory_peak", row.memory_peak),
        ("wake.process.sender_pid", row.sender_pid.map(u64::from)),
        ("wake.process.count", Some(row.count).filter(|count| *count > 1)),
    ];
    attributes.extend(numbers.into_iter().filter_map(|(key, value)| Some(number(key, value?))));
    if let Some(code) = row.exit_code {
        attributes.push(pair("process.exit.code", Value::IntValue(i64::from(code))));
    }
    if !row.executable.is_empty() {
        attributes.push(text("process.executable.path", &row.executable));
    }
    if !row.arguments.is_empty() {
        let values =
            row.arguments.iter().map(|text| AnyValue { value: Some(Value::StringValue(text.clone())) });
        let values = values.collect();
        attributes.push(pair("process.command_args", Value::ArrayValue(ArrayValue { values })));
    }
    let level = if row.event == "oom_kill" { "error" } else { "info" };
    LogRecord {
        time_unix_nano: row.ts,
        observed_time_unix_nano: row.ts,
        severity_number: severity(level),
        severity_text: level.to_owned(),
        event_name: format!("process.{}", row.event),
        body: Some(AnyValue { value: Some(Value::StringValue(format!("{} {}", row.event, row.executable))) }),
        attributes,
        ..LogRecord::default()
    }
}

fn severity(level: &str) -> i32 {
    match level {
        "trace" => 1,
        "debug" => 5,
        "info" => 9,
        "warn" => 13,
        "error" => 17,
        "fatal" => 21,
        _ => 0,
    }
}

/// Hex as bytes; nothing if it is none.
fn bytes_of(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    pairs.collect::<Option<Vec<u8>>>().unwrap_or_default()
}
