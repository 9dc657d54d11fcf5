//! OTLP as applications send it, over both transports, and what is left of it after a kill.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

use crate::fleet::{Fleet, Part, Random, rounds};

pub(crate) const TRACE: &str = "0102030405060708090a0b0c0d0e0f10";

pub(crate) fn now_ns() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos()).unwrap()
}

pub(crate) fn pair(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn resource() -> Option<Resource> {
    let attributes = vec![pair("service.name", "cart"), pair("k8s.namespace.name", "shop")];
    Some(Resource { attributes, ..Resource::default() })
}

pub(crate) fn record(body: &str) -> LogRecord {
    LogRecord {
        time_unix_nano: now_ns(),
        severity_number: 17,
        body: Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
        trace_id: (1..=16).collect(),
        span_id: vec![2; 8],
        ..LogRecord::default()
    }
}

pub(crate) fn logs(bodies: impl Iterator<Item = String>) -> ExportLogsServiceRequest {
    let log_records = bodies.map(|body| record(&body)).collect();
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource = resource();
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs, ..Default::default() }],
    }
}

fn span(id: u8, parent: Option<u8>, name: &str) -> Span {
    let start = now_ns();
    Span {
        trace_id: (1..=16).collect(),
        span_id: vec![id; 8],
        parent_span_id: parent.map(|parent| vec![parent; 8]).unwrap_or_default(),
        name: name.to_owned(),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 30_000_000,
        attributes: vec![pair("http.route", "/cart")],
        status: Some(Status { code: if id == 2 { 2 } else { 0 }, message: String::new() }),
        ..Span::default()
    }
}

pub(crate) fn spans() -> ExportTraceServiceRequest {
    let spans = vec![span(1, None, "GET /cart"), span(2, Some(1), "SELECT"), Span::default()];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource = resource();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, ..Default::default() }],
    }
}

fn metrics() -> ExportMetricsServiceRequest {
    let data = Some(Data::Gauge(Gauge { data_points: vec![NumberDataPoint::default(); 3] }));
    let metrics = vec![Metric { name: "x".to_owned(), data, ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }],
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// Status, headers and body of an answer; nothing if the connection broke.
pub(crate) fn post(port: u16, path: &str, headers: &str, body: &[u8]) -> Option<(u16, String, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n")
        .ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head, answer[end + 4..].to_vec()))
}

pub(crate) const PROTOBUF: &str = "Content-Type: application/x-protobuf\r\n";
const GZIPPED: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: gzip\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

pub(crate) fn count(fleet: &Fleet, query: &str) -> u64 {
    fleet.poll("an answer", || fleet.rows(&["sql", query])?.first()?.get("n")?.as_u64())
}

#[test]
fn logs_and_traces_of_both_transports_are_found() {
    let mut fleet = Fleet::logs_only();
    fleet.start(Part::Aggregator);
    fleet.ready(Part::Aggregator);
    let [grpc, http] = fleet.otlp;
    let plain = logs((0..10).map(|n| format!("plain {n}"))).encode_to_vec();
    let (status, _, body) = post(http, "/v1/logs", PROTOBUF, &plain).unwrap();
    assert_eq!((status, body.len()), (200, 0), "a whole success is an empty message");
    let packed = gzip(&logs((0..10).map(|n| format!("packed {n}"))).encode_to_vec());
    assert_eq!(post(http, "/v1/logs", GZIPPED, &packed).unwrap().0, 200);
    let json = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"cart"}}}}]}},
        "scopeLogs":[{{"logRecords":[{{"timeUnixNano":"{}","severityText":"INFO","body":{{"stringValue":"json 0"}}}},
        {{"timeUnixNano":"5","body":{{"stringValue":"too old"}}}}]}}]}}]}}"#,
        now_ns()
    );
    let (status, _, body) = post(http, "/v1/logs", JSON, json.as_bytes()).unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, answer["partialSuccess"]["rejectedLogRecords"].as_str()), (200, Some("1")));
    assert_eq!(answer["partialSuccess"]["errorMessage"], "1 too_old");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = format!("http://127.0.0.1:{grpc}");
        let mut client = LogsServiceClient::connect(address.clone()).await.unwrap();
        let request = logs((0..10).map(|n| format!("grpc {n}")));
        assert!(client.export(request).await.unwrap().into_inner().partial_success.is_none());
        let mut client = LogsServiceClient::connect(address.clone())
            .await
            .unwrap()
            .send_compressed(tonic::codec::CompressionEncoding::Gzip);
        let request = logs((0..10).map(|n| format!("gzip {n}")));
        assert!(client.export(request).await.unwrap().into_inner().partial_success.is_none());
        let large = logs((0..3).map(|_| "x".repeat(500_000)));
        let refused = client.export(large).await.unwrap_err();
        assert!(refused.message().contains("limit"), "{refused:?}");
        let mut client = TraceServiceClient::connect(address.clone()).await.unwrap();
        let partial = client.export(spans()).await.unwrap().into_inner().partial_success.unwrap();
        assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (1, "1 invalid_trace_id"));
        let mut client = MetricsServiceClient::connect(address).await.unwrap();
        let partial = client.export(metrics()).await.unwrap().into_inner().partial_success.unwrap();
        assert_eq!(
            (partial.rejected_data_points, partial.error_message.as_str()),
            (3, "3 metrics_not_stored")
        );
    });

    assert_eq!(
        count(&fleet, "SELECT count(*) AS n FROM log WHERE workload = 'cart' AND level = 'error'"),
        40
    );
    assert_eq!(count(&fleet, "SELECT count(*) AS n FROM log WHERE body = 'json 0' AND level = 'info'"), 1);
    assert_eq!(count(&fleet, &format!("SELECT count(*) AS n FROM log WHERE trace_id = '{TRACE}'")), 40);
    for sealed in [false, true] {
        if sealed {
            fleet.seal_soon();
            let sealed = "SELECT count(*) AS n FROM span";
            fleet.poll("the seal", || (fleet.log_segments() > 0).then_some(()));
            assert_eq!(count(&fleet, sealed), 2);
        }
        let found = |args: &[&str]| fleet.rows(args).unwrap();
        let traces = found(&["traces", "--service", "cart", "http.route=/cart", "--min", "10ms"]);
        assert_eq!(traces.len(), 1);
        assert_eq!((traces[0]["trace_id"].as_str(), traces[0]["spans"].as_u64()), (Some(TRACE), Some(2)));
        assert_eq!(
            (traces[0]["root_name"].as_str(), traces[0]["errors"].as_u64()),
            (Some("GET /cart"), Some(1))
        );
        assert_eq!(found(&["traces", "--errors", "--name", "SELECT"]).len(), 1);
        assert_eq!(found(&["traces", "--errors", "--name", "GET /cart"]).len(), 0);
        assert_eq!(found(&["traces", "http.route=/other"]).len(), 0);
        assert_eq!(found(&["traces", "--max", "10ms"]).len(), 0);
        let trace = &found(&["trace", TRACE])[0];
        assert_eq!(
            (trace["rows"].as_array().unwrap().len(), trace["logs"].as_array().unwrap().len()),
            (2, 40)
        );
        // leading zeros may be left out
        assert_eq!(found(&["trace", TRACE.trim_start_matches('0')]).len(), 1);
    }
    let shown = String::from_utf8(fleet.wake(&["trace", TRACE]).stdout).unwrap();
    let place = |text: &str| shown.find(text).unwrap_or_else(|| panic!("{text} is not in\n{shown}"));
    assert!(place("GET /cart") < place("  cart SELECT") && place("SELECT") < place("plain 3"), "{shown}");
    assert_eq!(fleet.wake(&["trace", "ffff"]).status.code(), Some(1));
}

#[test]
fn what_is_no_otlp_is_refused_with_its_reason() {
    let mut fleet = Fleet::logs_only();
    fleet.start(Part::Aggregator);
    fleet.ready(Part::Aggregator);
    let http = fleet.otlp[1];
    let refused = |path: &str, headers: &str, body: &[u8]| {
        let (status, _, body) = post(http, path, headers, body).unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    let (status, why) = refused("/v1/logs", PROTOBUF, b"\xff\xff\xffgarbage");
    assert!(status == 400 && why.contains("no OTLP request"), "{status} {why}");
    let (status, why) = refused("/v1/traces", JSON, b"{\"resourceSpans\":[{\"scopeSpans\":{\"spans\":5}}]}");
    assert!(status == 400 && why.contains("line 1"), "{status} {why}");
    assert_eq!(refused("/v1/logs", GZIPPED, b"not gzip").0, 400);
    assert_eq!(refused("/v1/logs", "Content-Type: text/plain\r\n", b"x").0, 415);
    assert_eq!(
        refused("/v1/logs", "Content-Encoding: br\r\nContent-Type: application/json\r\n", b"{}").0,
        415
    );
    assert_eq!(refused("/v1/logs", PROTOBUF, &vec![0; 2 << 20]).0, 413);
    let bomb = gzip(&vec![0; 64 << 20]);
    assert_eq!(refused("/v1/logs", GZIPPED, &bomb).0, 413);
    let deep = format!("{{\"resourceLogs\":{}", "[".repeat(200_000));
    assert_eq!(refused("/v1/logs", JSON, deep.as_bytes()).0, 400);
    assert_eq!(refused("/v1/other", PROTOBUF, b"").0, 404);
    assert_eq!(post(http, "/v1/logs", PROTOBUF, b"").unwrap().0, 200, "an empty request is a request");
}

#[test]
fn what_was_acknowledged_over_otlp_survives_kills() {
    let mut random = Random::new("otlp");
    let mut fleet = Fleet::logs_only();
    fleet.start(Part::Aggregator);
    fleet.ready(Part::Aggregator);
    let http = fleet.otlp[1];
    let mut acknowledged: Vec<u64> = Vec::new();
    let mut sent = 0_u64;
    for round in 0..rounds() {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let first = sent;
        let sender = std::thread::spawn(move || {
            let (mut sent, mut acknowledged) = (first, Vec::new());
            while !stopping.load(Ordering::Relaxed) {
                let lines = sent..sent + 20;
                sent = lines.end;
                let body = gzip(&logs(lines.clone().map(|n| format!("number {n}"))).encode_to_vec());
                match post(http, "/v1/logs", GZIPPED, &body) {
                    Some((200, _, _)) => acknowledged.extend(lines),
                    _ => std::thread::sleep(Duration::from_millis(5)),
                }
            }
            (sent, acknowledged)
        });
        if round % 2 == 1 {
            fleet.seal_soon();
        }
        std::thread::sleep(Duration::from_millis(50 + random.below(400)));
        fleet.kill(Part::Aggregator);
        stop.store(true, Ordering::Relaxed);
        let (end, lines) = sender.join().unwrap();
        sent = end;
        acknowledged.extend(lines);
        fleet.start(Part::Aggregator);
        fleet.ready(Part::Aggregator);
    }
    let query = "SELECT body FROM log WHERE workload = 'cart'";
    let rows = fleet.poll("every line", || fleet.rows(&["sql", "-n", "1000000", query]));
    let mut found: Vec<u64> =
        rows.iter().filter_map(|row| row["body"].as_str()?.strip_prefix("number ")?.parse().ok()).collect();
    found.sort_unstable();
    let lost: Vec<&u64> = acknowledged.iter().filter(|number| found.binary_search(number).is_err()).collect();
    assert!(
        !acknowledged.is_empty() && lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    let rows = found.len();
    found.dedup();
    assert_eq!(found.len(), rows, "nothing was sent twice, so nothing is there twice; {sent} sent");
}
