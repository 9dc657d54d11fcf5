//! Against an endpoint that answers as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::AsArray as _;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::shutdown::Shutdown;
use futures::StreamExt as _;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use proto::v1;
use store::{Limits, ScanRequest, Store, Table};
use tokio::net::TcpListener;

use super::{ExportMetrics, Parts, start};
use crate::config::export::{ExportFrom, ExportSignal, OtlpExport};
use crate::metrics::ExportState;

/// Status and body of each answer to come.
type Answers = VecDeque<(u16, Vec<u8>)>;

/// An endpoint: what it answers next (200 when nothing is said), and what it took.
#[derive(Clone, Debug, Default)]
struct Fake {
    answers: Arc<Mutex<Answers>>,
    taken: Arc<Mutex<Vec<String>>>,
    resources: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
    asked: Arc<Mutex<u32>>,
    /// It takes so many bytes, unpacked; as many as come if none.
    most: Arc<Mutex<usize>>,
}

async fn take(State(fake): State<Fake>, body: Bytes) -> Response {
    *fake.asked.lock().unwrap() += 1;
    let (mut status, answer) = fake.answers.lock().unwrap().pop_front().unwrap_or((200, Vec::new()));
    let plain = body;
    let most = *fake.most.lock().unwrap();
    if most > 0 && plain.len() > most {
        status = 413;
    }
    let is_page = answer.starts_with(b"<");
    if status == 200 && !is_page {
        let request = ExportLogsServiceRequest::decode(&*plain).unwrap();
        for resource in request.resource_logs {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let text = |value: Option<Value>| match value {
                Some(Value::StringValue(text)) => text,
                other => format!("{other:?}"),
            };
            let pairs = attributes.into_iter().map(|pair| (pair.key, text(pair.value.unwrap().value)));
            fake.resources.lock().unwrap().push(pairs.collect());
            let records = resource.scope_logs.into_iter().flat_map(|scope| scope.log_records);
            let mut bodies = records.map(|record| text(record.body.and_then(|body| body.value)));
            fake.taken.lock().unwrap().extend(bodies.by_ref().map(|body| body[..10].to_owned()));
        }
    }
    let kind = [("Content-Type", if is_page { "text/html" } else { "application/x-protobuf" })];
    (StatusCode::from_u16(status).unwrap(), kind, answer).into_response()
}

fn payload(numbers: std::ops::Range<u32>, length: usize, boot_id: &str) -> v1::Payload {
    let now_ns = Clock::system().now_unix_ns();
    let identity = v1::Identity {
        node: "n".to_owned(),
        namespace: "shop".to_owned(),
        workload: "cart".to_owned(),
        workload_kind: "deployment".to_owned(),
        pod: "cart-1".to_owned(),
        container: "app".to_owned(),
        container_id: "0123".to_owned(),
        boot_id: boot_id.to_owned(),
        ..v1::Identity::default()
    };
    let row = |number: u32| v1::LogRow {
        ts: now_ns,
        observed_ts: now_ns,
        body: format!("line {number:05}{}", "x".repeat(length)).into(),
        level: "warn".to_owned(),
        ..v1::LogRow::default()
    };
    v1::Payload { identities: vec![identity], logs: numbers.map(row).collect(), ..v1::Payload::default() }
}

fn lines(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("line {number:05}")).collect()
}

struct Bench {
    fake: Fake,
    store: Arc<Store>,
    dir: tempfile::TempDir,
    config: OtlpExport,
    registry: Registry,
    shutdown: Shutdown,
}

impl Bench {
    async fn new() -> Self {
        let fake = Fake::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(take).with_state(fake.clone());
        let app = app.layer(axum::extract::DefaultBodyLimit::max(64 << 20));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let dir = tempfile::tempdir().unwrap();
        let now_ns = i64::try_from(Clock::system().now_unix_ns()).unwrap();
        let (store, _) = Store::open(&dir.path().join("data"), Limits::small(), now_ns).unwrap();
        let config = OtlpExport {
            endpoint,
            signals: vec![ExportSignal::Logs],
            from: ExportFrom::Beginning,
            ..OtlpExport::default()
        };
        Self {
            fake,
            store,
            dir,
            config,
            registry: Registry::new(),
            shutdown: Shutdown::new(Duration::from_secs(5)),
        }
    }

    async fn append(&self, payload: v1::Payload) {
        let now_ns = i64::try_from(Clock::system().now_unix_ns()).unwrap();
        self.store.append_payload(payload, now_ns).await.unwrap();
    }

    async fn start(&self) -> ExportMetrics {
        let metrics = ExportMetrics::register(&self.registry.with_prefix("w"));
        let parts = Parts {
            config: &self.config,
            data_dir: &self.dir.path().join("data"),
            store: &self.store,
            metrics: metrics.clone(),
            health: &Health::new(),
            clock: &Clock::system(),
            shutdown: &self.shutdown,
        };
        start(parts).await.unwrap();
        metrics
    }

    /// Reasons and counts of the ledger, summed up.
    async fn ledger(&self) -> Vec<(String, i64)> {
        let mut found = BTreeMap::new();
        let mut stream = self.store.snapshot().scan(Table::Loss, ScanRequest::default()).unwrap();
        while let Some(batch) = stream.next().await {
            let batch = batch.unwrap();
            let text = |name: &str| {
                let column = cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
                column.as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
            };
            let counts = cast(batch.column_by_name("count").unwrap(), &DataType::Int64).unwrap();
            for (row, (signal, reason)) in text("signal").into_iter().zip(text("reason")).enumerate() {
                assert_eq!(signal, "export_logs");
                *found.entry(reason).or_default() += counts.as_primitive::<Int64Type>().value(row);
            }
        }
        found.into_iter().collect()
    }

    /// Waits for so many records at the endpoint; they are in order of their positions.
    async fn taken(&self, count: usize) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let mut taken = self.fake.taken.lock().unwrap().clone();
            if taken.len() >= count {
                taken.sort_unstable();
                return taken;
            }
            assert!(tokio::time::Instant::now() < deadline, "{} of {count} records", taken.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a metric has this value: the answer comes after the records.
    #[track_caller]
    fn metric(&self, line: &str, value: &str) -> impl Future<Output = ()> {
        let wanted = format!("w_otlp_export_{line} {value}");
        let registry = self.registry.clone();
        async move {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
            while !registry.prometheus_text().lines().any(|line| line == wanted) {
                assert!(
                    tokio::time::Instant::now() < deadline,
                    "not {wanted}\n{}",
                    registry.prometheus_text()
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test]
async fn what_is_repeated_sends_nothing_that_was_taken() {
    let bench = Bench::new().await;
    // four requests; the second and the third are not taken at once
    bench.append(payload(0..12, 170_000, "b")).await;
    let answers = [(200, vec![]), (503, vec![]), (200, vec![]), (429, vec![]), (502, vec![])];
    bench.fake.answers.lock().unwrap().extend(answers);
    bench.start().await;
    assert_eq!(bench.taken(12).await, lines(0..12), "each once");
    assert!(*bench.fake.asked.lock().unwrap() >= 6);
    bench.metric("failed_requests_total{signal=\"logs\"}", "3").await;
    bench.metric("sent_records_total{signal=\"logs\"}", "12").await;
    let resource = bench.fake.resources.lock().unwrap()[0].clone();
    for (key, value) in [
        ("service.name", "cart"),
        ("k8s.deployment.name", "cart"),
        ("k8s.pod.name", "cart-1"),
        ("k8s.container.name", "app"),
        ("container.id", "0123"),
        ("k8s.node.name", "n"),
    ] {
        assert_eq!(resource.get(key).map(String::as_str), Some(value), "{key} of {resource:?}");
    }
}

#[tokio::test]
async fn what_is_refused_for_good_is_counted_and_the_rest_goes_on() {
    let bench = Bench::new().await;
    bench.append(payload(0..6, 170_000, "b")).await;
    // a partial success of which one record is rejected: `{1: {1: 1}}`
    let partial = vec![0x0a, 2, 0x08, 1];
    bench.fake.answers.lock().unwrap().extend([(400, vec![]), (200, partial)]);
    bench.start().await;
    assert_eq!(bench.taken(3).await, lines(3..6));
    bench.append(payload(6..8, 0, "b")).await;
    assert_eq!(bench.taken(5).await, lines(3..8));
    bench.metric("lost_records_total{signal=\"logs\",reason=\"refused\"}", "3").await;
    bench.metric("lost_records_total{signal=\"logs\",reason=\"rejected\"}", "1").await;
    // a stop writes the ledger, which else has ten seconds
    assert!(bench.shutdown.run().await.is_empty());
    assert_eq!(bench.ledger().await, [("refused".to_owned(), 3), ("rejected".to_owned(), 1)]);
}

#[tokio::test]
async fn what_answers_and_is_no_endpoint_drops_nothing_and_is_told() {
    let bench = Bench::new().await;
    bench.append(payload(0..2, 0, "b")).await;
    let page = (200, b"<html>welcome</html>".to_vec());
    let codes = [404, 405, 308, 401, 403].map(|code| (code, vec![]));
    bench.fake.answers.lock().unwrap().extend(std::iter::once(page).chain(codes));
    let metrics = bench.start().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let told = loop {
        assert!(tokio::time::Instant::now() < deadline, "nothing was told");
        if let [ExportState { waits: Some(why), .. }] = &metrics.state()[..] {
            break why.clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(
        told.contains("the endpoint is not one, or not for us") && told.contains("waits in the store"),
        "{told}"
    );
    assert_eq!(bench.taken(2).await, lines(0..2));
    bench.metric("sent_records_total{signal=\"logs\"}", "2").await;
    assert_eq!(metrics.state()[0].waits, None);
    assert!(bench.shutdown.run().await.is_empty());
    assert_eq!(bench.ledger().await, []);
}

#[tokio::test]
async fn what_is_too_large_is_halved_and_one_alone_is_counted() {
    let bench = Bench::new().await;
    *bench.fake.most.lock().unwrap() = 300_000;
    // requests of half a MiB hold five of these; line 20 is too large by itself
    bench.append(payload(0..20, 90_000, "b")).await;
    bench.append(payload(20..21, 400_000, "b")).await;
    bench.append(payload(21..24, 90_000, "b")).await;
    bench.start().await;
    let expected: Vec<String> = lines(0..20).into_iter().chain(lines(21..24)).collect();
    assert_eq!(bench.taken(23).await, expected, "each once");
    bench.metric("lost_records_total{signal=\"logs\",reason=\"too_large\"}", "1").await;
    assert!(bench.shutdown.run().await.is_empty());
    assert_eq!(bench.ledger().await, [("too_large".to_owned(), 1)]);
}

#[tokio::test]
async fn an_endpoint_that_refuses_everything_is_asked_less_and_less() {
    let bench = Bench::new().await;
    for first in [0, 5, 10, 15] {
        bench.append(payload(first..first + 5, 450_000, "b")).await;
    }
    bench.fake.answers.lock().unwrap().extend((0..5).map(|_| (500, vec![])));
    let began = tokio::time::Instant::now();
    bench.start().await;
    // 0.2, 0.4, 0.8 and 1.6 s lie between the first six
    assert_eq!(bench.taken(15).await, lines(5..20));
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    bench.metric("lost_records_total{signal=\"logs\",reason=\"refused\"}", "5").await;
}

#[tokio::test]
async fn what_came_in_over_otlp_is_sent_only_where_that_is_wanted() {
    for include_received in [false, true] {
        let mut bench = Bench::new().await;
        bench.config.include_received = include_received;
        bench.append(payload(0..2, 0, "")).await;
        bench.append(payload(2..4, 0, "b")).await;
        bench.start().await;
        let first = if include_received { 0 } else { 2 };
        assert_eq!(bench.taken(4 - first as usize).await, lines(first..4));
    }
}
