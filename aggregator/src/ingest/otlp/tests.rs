use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message as _;
use proto::v1;
use store::Scope;

use super::rows::Rejected;
use super::{Signal, convert, json};

mod received;

const NOW_NS: u64 = 1_795_262_400_000_000_000;
const MOST: usize = 16 << 20;

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn text(text: &str) -> AnyValue {
    any(Value::StringValue(text.to_owned()))
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn resource(pairs: &[(&str, &str)]) -> Option<Resource> {
    let attributes = pairs.iter().map(|(key, value)| pair(key, text(value))).collect();
    Some(Resource { attributes, ..Resource::default() })
}

fn logs_of(resource: Option<Resource>, log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope = Some(InstrumentationScope { name: "shop.cart".to_owned(), ..Default::default() });
    let scope_logs = vec![ScopeLogs { scope, log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn spans_of(resource: Option<Resource>, spans: Vec<Span>) -> Vec<u8> {
    let scope =
        Some(InstrumentationScope { name: "http".to_owned(), version: "2".to_owned(), ..Default::default() });
    let scope_spans = vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

#[track_caller]
fn rows(signal: Signal, request: Vec<u8>) -> (Vec<v1::Payload>, Rejected) {
    let mut payloads = Vec::new();
    let mut emit = |payload| {
        payloads.push(payload);
        true
    };
    let rejected =
        convert::convert(signal, &Bytes::from(request), NOW_NS, MOST, &Scope::All, &mut emit).unwrap();
    (payloads, rejected)
}

#[track_caller]
fn one_log(record: LogRecord) -> v1::LogRow {
    let (mut payloads, rejected) = rows(Signal::Logs, logs_of(None, vec![record]));
    assert_eq!(rejected.records(), 0);
    payloads[0].logs.remove(0)
}

fn good_span() -> Span {
    Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        name: "GET /cart".to_owned(),
        kind: span::SpanKind::Server.into(),
        start_time_unix_nano: NOW_NS,
        end_time_unix_nano: NOW_NS + 5,
        ..Span::default()
    }
}

#[test]
fn a_record_becomes_a_row_with_its_identity() {
    let resource = resource(&[
        ("service.name", "cart"),
        ("k8s.namespace.name", "shop"),
        ("k8s.pod.name", "cart-1"),
        ("k8s.deployment.name", "cart-v2"),
        ("k8s.replicaset.name", "cart-v2-55"),
        ("k8s.node.name", "node-a"),
        ("service.version", "1.2"),
    ]);
    let record = LogRecord {
        time_unix_nano: NOW_NS - 1,
        severity_number: 14,
        severity_text: "WARN".to_owned(),
        body: Some(text("low stock")),
        attributes: vec![
            pair("http.status", any(Value::IntValue(503))),
            pair("deep", any(Value::KvlistValue(KeyValueList { values: vec![pair("a", text("b"))] }))),
            pair("log.iostream", text("stderr")),
        ],
        trace_id: vec![0xab; 16],
        span_id: vec![1; 8],
        ..LogRecord::default()
    };
    let (payloads, rejected) = rows(Signal::Logs, logs_of(resource, vec![record]));
    assert_eq!(rejected.records(), 0);
    let v1::Payload { identities, logs, .. } = &payloads[0];
    let v1::Identity { namespace, workload, workload_kind, pod, node, .. } = &identities[0];
    let names = [namespace, workload, workload_kind, pod, node].map(String::as_str);
    assert_eq!(names, ["shop", "cart-v2", "deployment", "cart-1", "node-a"]);
    let row = &logs[0];
    assert_eq!((row.ts, row.observed_ts), (NOW_NS - 1, NOW_NS));
    assert_eq!(
        (&row.body[..], row.level.as_str(), row.stream.as_str()),
        (&b"low stock"[..], "warn", "stderr")
    );
    assert_eq!((row.trace_id.as_str(), row.span_id.as_str()), (&*"ab".repeat(16), "0101010101010101"));
    let attributes: Vec<_> =
        row.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let expected = [
        ("deep.a", "b"),
        ("http.status", "503"),
        ("otel.scope.name", "shop.cart"),
        ("service.name", "cart"),
        ("service.version", "1.2"),
    ];
    assert_eq!(attributes, expected);
}

#[test]
fn bodies_are_kept_as_they_are_or_as_json() {
    let body = |body| one_log(LogRecord { body, ..LogRecord::default() }).body;
    assert_eq!(body(None), "");
    assert_eq!(body(Some(any(Value::BytesValue(vec![0xff, 0])))), &[0xff, 0][..]);
    assert_eq!(body(Some(any(Value::IntValue(-4)))), "-4");
    let list =
        ArrayValue { values: vec![text("a\"b"), any(Value::BoolValue(true)), AnyValue { value: None }] };
    let map = KeyValueList { values: vec![pair("k", any(Value::ArrayValue(list)))] };
    assert_eq!(body(Some(any(Value::KvlistValue(map)))), r#"{"k":["a\"b",true,null]}"#);
    let long = one_log(LogRecord { body: Some(text(&"x".repeat(2 << 20))), ..LogRecord::default() });
    assert!(long.truncated && long.body.len() == proto::MAX_LOG_BODY_BYTES);
}

#[test]
fn what_is_unset_is_absent_and_time_is_when_it_came() {
    let row = one_log(LogRecord { trace_id: vec![0; 16], span_id: vec![1; 3], ..LogRecord::default() });
    assert_eq!((row.ts, row.observed_ts), (NOW_NS, NOW_NS));
    assert_eq!((row.trace_id.as_str(), row.span_id.as_str(), row.level.as_str()), ("", "", ""));
    let row = one_log(LogRecord { severity_text: "Warning".to_owned(), ..LogRecord::default() });
    assert_eq!(row.level, "warn");
}

#[test]
fn depth_and_size_reject_the_record_alone() {
    let mut deep = text("x");
    for _ in 0..40 {
        deep = any(Value::ArrayValue(ArrayValue { values: vec![deep] }));
    }
    let bad = LogRecord { body: Some(deep), ..LogRecord::default() };
    let good = LogRecord { body: Some(text("fine")), ..LogRecord::default() };
    let (payloads, rejected) = rows(Signal::Logs, logs_of(None, vec![bad, good]));
    assert_eq!((payloads[0].logs.len(), rejected.describe().as_str()), (1, "1 too_deep"));

    let many = (0..1_000).map(|index| pair(&format!("key.{index}"), text(&"v".repeat(1_000)))).collect();
    let row = one_log(LogRecord { attributes: many, ..LogRecord::default() });
    let bytes: usize = row.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    let dropped: usize = row.attributes["otel.dropped_attributes_count"].parse().unwrap();
    assert!(bytes < 65_536 && dropped + row.attributes.len() == 1_000 + 2, "{bytes} {dropped}");
}

#[test]
fn a_small_request_does_not_become_gigabytes() {
    let resource = resource(&[("a", &"x".repeat(16_000)), ("b", &"y".repeat(16_000))]);
    let records = vec![LogRecord::default(); 100_000];
    let (payloads, rejected) = rows(Signal::Logs, logs_of(resource, records));
    let taken: usize = payloads.iter().map(|payload| payload.logs.len()).sum();
    assert!(taken < 2_200 && taken as u64 + rejected.records() == 100_000, "{taken}");
    assert!(payloads.iter().all(|payload| payload.encoded_len() < 4 << 20));
}

#[test]
fn every_payload_of_a_large_request_may_be_stored() {
    let name = "n".repeat(1_024);
    let owner = |index: usize| {
        resource(&[
            ("service.name", &format!("{index}{name}")),
            ("k8s.cluster.name", &name),
            ("k8s.node.name", &name),
            ("k8s.namespace.name", &name),
            ("k8s.pod.name", &name),
            ("k8s.container.name", &name),
        ])
    };
    let record = || LogRecord {
        attributes: vec![pair("log.file.path", text(&"p".repeat(4_096)))],
        ..LogRecord::default()
    };
    let one = |index| logs_of(owner(index), vec![record()]);
    let large = logs_of(owner(0), vec![LogRecord { body: Some(text(&"x".repeat(1 << 20))), ..record() }]);
    // requests one behind the other are one request
    let many: Vec<u8> = (0..1_200).flat_map(one).chain(large).collect();
    let (payloads, rejected) = rows(Signal::Logs, many);
    assert_eq!(rejected.records(), 0, "{}", rejected.describe());
    assert_eq!(payloads.iter().map(|payload| payload.logs.len()).sum::<usize>(), 1_201);
    for payload in &payloads {
        assert!(payload.encoded_len() as u64 <= proto::MAX_PAYLOAD_BYTES, "{}", payload.encoded_len());
    }
    // small records of one resource: their fixed fields are most of them
    let small =
        LogRecord { trace_id: vec![1; 16], span_id: vec![1; 8], severity_number: 9, ..LogRecord::default() };
    let (payloads, rejected) = rows(Signal::Logs, logs_of(None, vec![small; 60_000]));
    assert_eq!(rejected.records(), 0, "{}", rejected.describe());
    assert!(payloads.iter().all(|payload| payload.encoded_len() as u64 <= proto::MAX_PAYLOAD_BYTES));
}

#[test]
fn a_span_becomes_a_row() {
    let span = Span {
        parent_span_id: vec![9; 8],
        trace_state: "a=b".to_owned(),
        attributes: vec![pair("http.route", text("/cart"))],
        status: Some(Status { message: "boom".to_owned(), code: 2 }),
        events: vec![span::Event {
            time_unix_nano: NOW_NS + 1,
            name: "exception".to_owned(),
            attributes: vec![pair("exception.type", text("E\"1"))],
            ..span::Event::default()
        }],
        links: vec![span::Link { trace_id: vec![2; 16], span_id: vec![3; 8], ..span::Link::default() }],
        dropped_events_count: 3,
        ..good_span()
    };
    let request = spans_of(resource(&[("service.name", "cart"), ("host.name", "h")]), vec![span]);
    let (payloads, rejected) = rows(Signal::Traces, request);
    assert_eq!(rejected.records(), 0);
    let row = &payloads[0].spans[0];
    assert_eq!(row.trace_id, "0102030405060708090a0b0c0d0e0f10");
    assert_eq!((row.span_id.as_str(), row.parent_span_id.as_str()), ("0102030405060708", "0909090909090909"));
    assert_eq!((row.service.as_str(), row.name.as_str(), row.kind.as_str()), ("cart", "GET /cart", "server"));
    assert_eq!((row.status.as_str(), row.status_message.as_str(), row.duration_ns), ("error", "boom", 5));
    assert_eq!((row.scope_name.as_str(), row.scope_version.as_str()), ("http", "2"));
    assert_eq!((payloads[0].identities[0].node.as_str(), row.trace_state.as_str()), ("h", "a=b"));
    assert_eq!(row.attributes["otel.dropped_events_count"], "3");
    let events: serde_json::Value = serde_json::from_str(&row.events).unwrap();
    assert_eq!(events[0]["attributes"]["exception.type"], "E\"1");
    assert_eq!(events[0]["ts"], "2026-11-21T12:00:00.000000001Z");
    let links: serde_json::Value = serde_json::from_str(&row.links).unwrap();
    assert_eq!(links[0]["span_id"], "0303030303030303");
}

#[test]
fn spans_without_ids_or_with_impossible_times_are_rejected_by_reason() {
    let bad = vec![
        Span { trace_id: vec![0; 16], ..good_span() },
        Span { trace_id: vec![1; 5], ..good_span() },
        Span { span_id: Vec::new(), ..good_span() },
        Span { start_time_unix_nano: 0, ..good_span() },
        Span { end_time_unix_nano: NOW_NS - 1, ..good_span() },
        good_span(),
    ];
    let (payloads, rejected) = rows(Signal::Traces, spans_of(None, bad));
    assert_eq!(payloads[0].spans.len(), 1);
    assert_eq!(rejected.describe(), "1 ends_before_start, 1 invalid_span_id, 2 invalid_trace_id, 1 no_start");
}

#[test]
fn a_large_span_loses_events_not_itself() {
    let event = |size: usize| span::Event { name: "x".repeat(size), ..span::Event::default() };
    let events = (0..200).map(|_| event(900)).collect();
    let attributes = (0..40).map(|index| pair(&format!("k{index}"), text(&"v".repeat(2_000)))).collect();
    let (payloads, rejected) =
        rows(Signal::Traces, spans_of(None, vec![Span { events, attributes, ..good_span() }]));
    let row = &payloads[0].spans[0];
    assert_eq!(rejected.records(), 0);
    assert!(row.encoded_len() <= 65_536, "{}", row.encoded_len());
    assert!(row.attributes["otel.dropped_events_count"].parse::<u64>().unwrap() > 100);
}

#[test]
fn json_and_protobuf_say_the_same() {
    let json = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"cart"}}}}]}},
        "scopeSpans":[{{"scope":{{"name":"http","version":"2"}},"spans":[{{
        "traceId":"0102030405060708090A0B0C0D0E0F10","spanId":"0102030405060708","name":"GET /cart","kind":2,
        "startTimeUnixNano":"{NOW_NS}","endTimeUnixNano":{},"attributes":[
        {{"key":"n","value":{{"intValue":"7"}}}},{{"key":"d","value":{{"doubleValue":1.5}}}}]}}]}}]}}]}}"#,
        NOW_NS + 5
    );
    let span = Span {
        attributes: vec![pair("n", any(Value::IntValue(7))), pair("d", any(Value::DoubleValue(1.5)))],
        ..good_span()
    };
    let protobuf = spans_of(resource(&[("service.name", "cart")]), vec![span]);
    let from_json = json::to_protobuf(Signal::Traces, json.as_bytes()).unwrap();
    assert_eq!(rows(Signal::Traces, from_json), rows(Signal::Traces, protobuf));
}

#[test]
fn garbage_is_refused_whole() {
    for garbage in [&b"\xff\xff\xff"[..], b"hello there", &[0x0a, 0x7f, 1]] {
        let mut emit = |_| panic!("nothing may be handed over");
        let request = Bytes::copy_from_slice(garbage);
        assert!(
            convert::convert(Signal::Logs, &request, NOW_NS, MOST, &Scope::All, &mut emit).is_err(),
            "{garbage:?}"
        );
    }
}

#[test]
fn records_of_namespaces_that_the_sender_has_not_are_rejected_alone() {
    let of = |namespace: &str| {
        let resource = resource(&[("service.name", "cart"), ("k8s.namespace.name", namespace)]);
        logs_of(resource, vec![LogRecord::default(), LogRecord::default()])
    };
    // several requests in one are a request with several resources
    let nameless = logs_of(resource(&[("service.name", "cart")]), vec![LogRecord::default()]);
    let request = Bytes::from([of("shop"), of("bank"), nameless].concat());
    let mut payloads: Vec<v1::Payload> = Vec::new();
    let mut emit = |payload| {
        payloads.push(payload);
        true
    };
    let allowed = Scope::namespaces(["shop"]);
    let rejected = convert::convert(Signal::Logs, &request, NOW_NS, MOST, &allowed, &mut emit).unwrap();
    assert_eq!(rejected.describe(), "3 forbidden_namespace");
    let namespaces = payloads.iter().flat_map(|payload| &payload.identities);
    assert_eq!(namespaces.map(|identity| identity.namespace.as_str()).collect::<Vec<_>>(), ["shop"]);
    assert_eq!(payloads.iter().map(|payload| payload.logs.len()).sum::<usize>(), 2);
}
