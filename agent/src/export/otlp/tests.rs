use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::otlp::Http;
use daemon::shutdown::{Phase, Shutdown};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message as _;
use proto::v1;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Sender;
use crate::export::SharedSpool;
use crate::export::batch::{Packed, Unpacked};
use crate::export::direct::Direct;
use crate::export::ledger::Ledger;
use crate::export::spool::Spool;
use crate::metrics::export::ExportMetrics;
use crate::window::Window;

/// A status and a body.
type Answer = (u16, Vec<u8>);

/// An endpoint that answers as it is told, and with 200 when nothing is left to say.
#[derive(Clone, Default)]
struct Fake {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    received: Arc<Mutex<Vec<(String, Bytes)>>>,
    /// A path of which it knows nothing.
    unserved: Option<String>,
    /// Of the agent that sends to it.
    health: daemon::admin::Health,
}

async fn take(State(fake): State<Fake>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["x-key"], "secret");
    if fake.unserved == Some(uri.path().to_owned()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let (status, answer) = fake.answers.lock().unwrap().pop_front().unwrap_or((200, Vec::new()));
    if status == 200 {
        assert!(!headers.contains_key("content-encoding"), "it is on this machine");
        if !body.is_empty() {
            fake.received.lock().unwrap().push((uri.path().to_owned(), body));
        }
    }
    let kind = [("Content-Type", "application/x-protobuf")];
    (StatusCode::from_u16(status).unwrap(), kind, answer).into_response()
}

fn payload(line: &str) -> v1::Payload {
    let identity = v1::Identity {
        node: "n".to_owned(),
        namespace: "shop".to_owned(),
        workload: "cart".to_owned(),
        workload_kind: "deployment".to_owned(),
        ..v1::Identity::default()
    };
    let log = v1::LogRow {
        ts: 5,
        observed_ts: 6,
        body: Bytes::copy_from_slice(line.as_bytes()),
        level: "warn".to_owned(),
        trace_id: "ab".repeat(16),
        ..v1::LogRow::default()
    };
    let usage =
        v1::UsageRow { ts: 10, window_s: 10, cpu_usage_ns: Some(2_000_000_000), ..Default::default() };
    let flow = v1::FlowRow { ts: 10, window_s: 10, bytes_sent: 7, ..Default::default() };
    let request = v1::RequestRow {
        ts: 10,
        window_s: 10,
        kind: "server".to_owned(),
        protocol: "http".to_owned(),
        name: "GET /a".to_owned(),
        count: 5,
        spans: 4,
        duration_ns_sum: 500_000_000,
        ..v1::RequestRow::default()
    };
    let loss = v1::LossRow {
        signal: "log".to_owned(),
        stage: "spool".to_owned(),
        reason: "x".to_owned(),
        count: 3,
        ts: 10,
        window_s: 10,
    };
    v1::Payload {
        identities: vec![identity],
        logs: vec![log],
        usage: vec![usage],
        flows: vec![flow.clone(), flow],
        losses: vec![loss],
        requests: vec![request],
        ..v1::Payload::default()
    }
}

/// Sends these payloads through a spool to a fake endpoint; returns the ledger's rows.
async fn deliver(payloads: &[v1::Payload], fake: &Fake) -> Vec<v1::LossRow> {
    deliver_both(payloads, Vec::new(), fake).await
}

/// The same, and batches that wait beside it.
async fn deliver_both(payloads: &[v1::Payload], waiting: Vec<Unpacked>, fake: &Fake) -> Vec<v1::LossRow> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().fallback(take).with_state(fake.clone());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(dir.path(), 64 << 20, 1).unwrap();
    for payload in payloads {
        let plain = payload.encode_to_vec();
        let packed = Packed {
            zstd_payload: zstd::bulk::compress(&plain, 1).unwrap().into(),
            unpacked_bytes: plain.len() as u64,
            rows: BTreeMap::new(),
            marks: Vec::new(),
        };
        spool.append(&packed).unwrap();
    }
    let (_, ids) = spool.unsynced();
    spool.synced(&ids);
    let direct = Direct::of(1 << 20);
    waiting.into_iter().for_each(|batch| direct.offer(batch, Duration::ZERO).unwrap());
    let ledger = Ledger::default();
    let headers = BTreeMap::from([("x-key".to_owned(), "secret".to_owned())]);
    let (flushed, flushed_seen) = watch::channel(true);
    let sender = Sender {
        http: Http::build(&format!("http://{address}/"), &headers, None, Duration::from_secs(5)).unwrap(),
        node: "n".to_owned(),
        flushed: flushed_seen,
        spool: SharedSpool::beside(spool, direct),
        ledger: ledger.clone(),
        health: fake.health.clone(),
        metrics: ExportMetrics::register(&Registry::new()),
        clock: Clock::system(),
        patience: Duration::ZERO,
    };
    let spool = sender.spool.clone();
    let shutdown = Shutdown::new(Duration::from_secs(5));
    tokio::time::timeout(Duration::from_secs(20), sender.run(shutdown.register(Phase::Buffers, "x")))
        .await
        .unwrap();
    assert!(spool.lock().batches() == 0 && spool.direct.is_empty());
    server.abort();
    drop(flushed);
    ledger.take(Window { start_ns: 0, seconds: 10 })
}

fn bodies(fake: &Fake) -> Vec<String> {
    let received = fake.received.lock().unwrap();
    let logs = received.iter().filter(|(path, _)| path == "/v1/logs");
    let texts = logs.map(|(_, bytes)| {
        let request = ExportLogsServiceRequest::decode(&**bytes).unwrap();
        let record = &request.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!((record.time_unix_nano, record.severity_number, record.trace_id.len()), (5, 13, 16));
        format!("{:?}", record.body.as_ref().unwrap().value)
    });
    texts.collect()
}

#[tokio::test]
async fn what_waits_and_what_is_on_disk_take_turns() {
    let fake = Fake::default();
    // the first that waits is answered late
    fake.answers.lock().unwrap().push_back((503, Vec::new()));
    let loss = |count| v1::LossRow { signal: "waits".into(), count, ..v1::LossRow::default() };
    let waiting = (1..=2).map(|count| Unpacked::of_losses(vec![loss(count)])).collect();
    let lost = deliver_both(&[payload("a"), payload("b")], waiting, &fake).await;
    assert!(lost.is_empty(), "{lost:?}");
    let received = fake.received.lock().unwrap();
    let said = |text: &str| {
        let is_there = |(_, body): &(String, Bytes)| String::from_utf8_lossy(body).contains(text);
        let places = received.iter().enumerate().filter(|(_, request)| is_there(request));
        places.map(|(place, _)| place).collect::<Vec<_>>()
    };
    let (waited, logs) = (said("waits"), said("wake.requests"));
    assert_eq!((waited.len(), logs.len()), (2, 2), "each once");
    assert!(waited[0] < logs[0] && logs[0] < waited[1] && waited[1] < logs[1], "{waited:?} {logs:?}");
}

#[tokio::test]
async fn logs_and_metrics_arrive_once_each_after_refusals_that_pass() {
    let fake = Fake::default();
    fake.answers.lock().unwrap().extend([(503, Vec::new()), (200, Vec::new()), (429, Vec::new())]);
    let lost = deliver(&[payload("a"), payload("b")], &fake).await;
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(bodies(&fake).len(), 2);
    let received = fake.received.lock().unwrap();
    let metrics: Vec<_> = received.iter().filter(|(path, _)| path == "/v1/metrics").collect();
    assert_eq!(metrics.len(), 4);
    let mut found = BTreeMap::new();
    for (_, body) in &metrics[..2] {
        let request = ExportMetricsServiceRequest::decode(&**body).unwrap();
        for resource in &request.resource_metrics {
            for metric in &resource.scope_metrics[0].metrics {
                found.insert(metric.name.clone(), format!("{:?}", metric.data));
            }
        }
    }
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let requests = ["wake.request.duration", "wake.request.spans", "wake.requests"];
    assert_eq!(names[..3], ["container.cpu.time", "wake.agent.lost", "wake.flow"]);
    assert_eq!(names[3..], requests);
    assert!(found["wake.requests"].contains("AsDouble(5.0)"));
    assert!(found["container.cpu.time"].contains("AsDouble(2.0)"));
    assert!(found["wake.flow"].contains("AsDouble(14.0)"), "rows of one series are one point");
}

#[tokio::test]
async fn what_is_refused_for_good_is_booked_and_not_repeated() {
    let fake = Fake::default();
    // the logs are refused, the metrics taken but for one point
    fake.answers.lock().unwrap().push_back((400, Vec::new()));
    fake.answers.lock().unwrap().push_back((200, vec![0x0a, 0x05, 0x08, 0x01, 0x12, 0x01, b'x']));
    let lost = deliver(&[payload("a")], &fake).await;
    let lost: Vec<(&str, &str, u64)> =
        lost.iter().map(|row| (row.signal.as_str(), row.reason.as_str(), row.count)).collect();
    assert_eq!(lost, [("log", "refused", 1), ("metric_point", "rejected", 1)]);
    assert!(bodies(&fake).is_empty());
}

#[tokio::test]
async fn points_that_are_rejected_are_no_rows_and_losses_go_back_to_the_ledger() {
    let partial = |rejected: u8| (200, vec![0x0a, 0x05, 0x08, rejected, 0x12, 0x01, b'x']);
    let fake = Fake::default();
    // of the metrics more than there are, of the losses one
    fake.answers.lock().unwrap().extend([(200, Vec::new()), partial(100), partial(1)]);
    let lost = deliver(&[payload("a")], &fake).await;
    let lost: Vec<(&str, &str, &str, u64)> = lost
        .iter()
        .map(|row| (row.signal.as_str(), row.stage.as_str(), row.reason.as_str(), row.count))
        .collect();
    assert_eq!(lost, [("log", "spool", "x", 3), ("metric_point", "export", "rejected", 5)]);
}

#[tokio::test]
async fn what_is_too_large_goes_in_halves_and_a_record_alone_is_booked() {
    let mut three = payload("a");
    let logs = ["b", "c"].map(|line| payload(line).logs.remove(0));
    three.logs.extend(logs);
    three.losses.clear();
    let fake = Fake::default();
    // three lines, then two of them, then the first of those
    fake.answers.lock().unwrap().extend([
        (413, Vec::new()),
        (200, Vec::new()),
        (413, Vec::new()),
        (413, Vec::new()),
    ]);
    let lost = deliver(&[three], &fake).await;
    let lost: Vec<(&str, &str, u64)> =
        lost.iter().map(|row| (row.signal.as_str(), row.reason.as_str(), row.count)).collect();
    assert_eq!(lost, [("log", "too_large", 1)]);
    let bodies = bodies(&fake);
    assert!(bodies.len() == 2 && bodies[0].contains("\"a\"") && bodies[1].contains("\"c\""), "{bodies:?}");
    let metrics = fake.received.lock().unwrap().iter().filter(|(path, _)| path == "/v1/metrics").count();
    assert_eq!(metrics, 1);
}

#[tokio::test]
async fn what_answers_and_is_no_endpoint_drops_nothing() {
    let fake = Fake::default();
    let codes = [404, 405, 301, 401, 403];
    fake.answers.lock().unwrap().extend(codes.map(|code| (code, Vec::new())));
    let lost = deliver(&[payload("a")], &fake).await;
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(bodies(&fake).len(), 1);
}

#[tokio::test]
async fn a_signal_that_the_endpoint_does_not_take_holds_no_other() {
    let fake = Fake { unserved: Some("/v1/logs".to_owned()), ..Fake::default() };
    let lost = deliver(&[payload("a"), payload("b")], &fake).await;
    let lost: Vec<(&str, &str, u64)> =
        lost.iter().map(|row| (row.signal.as_str(), row.reason.as_str(), row.count)).collect();
    assert_eq!(lost, [("log", "unserved", 2)]);
    let received = fake.received.lock().unwrap();
    assert_eq!(received.iter().filter(|(path, _)| path == "/v1/metrics").count(), 4);
    let notes = fake.health.notes();
    assert!(notes.len() == 1 && notes[0].contains("takes no /v1/logs"), "others were taken since: {notes:?}");
}
