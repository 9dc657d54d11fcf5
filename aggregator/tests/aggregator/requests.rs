//! Requests as they are seen on the wire: spans of both ends without a word of each other, joined when they are asked for,
//! on one map with the flows, counted as metrics. The truth is made here.

use std::collections::BTreeMap;
use std::time::Duration;

use daemon::clock::Clock;
use proto::histogram::{BUCKETS, bucket};
use proto::v1::{FlowRow, Identity, Payload, RequestRow, SpanRow};
use serde_json::{Value, json};

use crate::server::{Server, now_ns};

const MS: u64 = 1_000_000;
const TOKENS: &str = "version: 1\ntokens:\n\
    - {name: dev, token: shop-token-of-16-letters, namespaces: [shop]}\n\
    - {name: ops, token: operator-token-of-16, operator: true}\n";

/// One end of a connection.
type Socket = (&'static str, u16);

fn identities() -> Vec<Identity> {
    let identity = |(namespace, workload): (&str, &str)| Identity {
        node: String::from("node-1"),
        namespace: namespace.to_owned(),
        workload: workload.to_owned(),
        workload_kind: String::from("Deployment"),
        pod: format!("{workload}-0"),
        ..Identity::default()
    };
    [("shop", "web"), ("shop", "cart"), ("data", "db")].map(identity).to_vec()
}

/// A span of the wire, of the trace and with the id of its number.
fn seen(identity: u32, kind: &str, ids: (u64, u64, u64), at: (u64, u64), ends: (Socket, Socket)) -> SpanRow {
    let ((trace, span, parent), (start, took), (local, peer)) = (ids, at, ends);
    let attributes = [
        ("network.local.address", local.0.to_owned()),
        ("network.local.port", local.1.to_string()),
        ("network.peer.address", peer.0.to_owned()),
        ("network.peer.port", peer.1.to_string()),
        ("http.request.method", String::from("GET")),
    ];
    SpanRow {
        identity,
        ts: start,
        duration_ns: took,
        trace_id: format!("{trace:032x}"),
        span_id: format!("{span:016x}"),
        parent_span_id: if parent == 0 { String::new() } else { format!("{parent:016x}") },
        name: format!("GET /{span}"),
        kind: kind.to_owned(),
        source: String::from("wake"),
        attributes: attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        ..SpanRow::default()
    }
}

const WEB: Socket = ("10.0.0.1", 40_000);
const CART: Socket = ("10.0.0.2", 8080);
const CART_OUT: Socket = ("10.0.0.2", 50_000);
const DB: Socket = ("10.0.0.3", 5432);
const OUTSIDE: Socket = ("203.0.113.9", 1_234);

/// Requests of outside → web → cart → db, one after the other on the same connections, each end with a trace of its own;
/// trace `3 * n + 1` is web's, `+ 2` cart's, `+ 3` db's of the n-th.
fn chain(requests: u64, start: u64) -> Vec<SpanRow> {
    let mut spans = Vec::new();
    for n in 0..requests {
        let at = start + n * 30 * MS;
        let (web, cart, db) = (3 * n + 1, 3 * n + 2, 3 * n + 3);
        let id = |part: u64| n * 10 + part;
        spans.push(seen(0, "server", (web, id(1), 0), (at, 25 * MS), (("10.0.0.1", 80), OUTSIDE)));
        spans.push(seen(0, "client", (web, id(2), id(1)), (at + MS, 20 * MS), (WEB, CART)));
        spans.push(seen(1, "server", (cart, id(3), 0), (at + 2 * MS, 18 * MS), (CART, WEB)));
        spans.push(seen(1, "client", (cart, id(4), id(3)), (at + 3 * MS, 10 * MS), (CART_OUT, DB)));
        spans.push(seen(2, "server", (db, id(5), 0), (at + 4 * MS, 8 * MS), (DB, CART_OUT)));
    }
    spans
}

/// What the agent counted of these spans, and `more` of each kind that are no spans.
fn counts(spans: &[SpanRow], ts: u64, more: u64) -> Vec<RequestRow> {
    let row = |span: &SpanRow, count: u64, is_told: bool| {
        let of = |key: &str| span.attributes[key].clone();
        let port = if span.kind == "server" { of("network.local.port") } else { of("network.peer.port") };
        let mut hist = vec![0; BUCKETS];
        hist[bucket(span.duration_ns)] = u32::try_from(count).unwrap();
        RequestRow {
            identity: span.identity,
            ts,
            window_s: 10,
            kind: span.kind.clone(),
            protocol: String::from("http"),
            name: span.name.clone(),
            peer_address: of("network.peer.address"),
            server_port: port.parse().unwrap(),
            count,
            spans: if is_told { count } else { 0 },
            duration_ns_sum: span.duration_ns * count,
            duration_hist: hist,
            ..RequestRow::default()
        }
    };
    let told = spans.iter().map(|span| row(span, 1, true));
    told.chain(spans.iter().filter(|_| more > 0).map(|span| row(span, more, false))).collect()
}

fn flows(ts: u64) -> Vec<FlowRow> {
    let flow = |identity: u32, role: &str, peer: Socket, workload: &str, port: u16, sent: u64| FlowRow {
        identity,
        ts,
        window_s: 10,
        role: role.to_owned(),
        protocol: String::from("tcp"),
        peer_address: peer.0.to_owned(),
        peer_kind: String::from(if workload.is_empty() { "external" } else { "pod" }),
        peer_namespace: String::from(if workload == "db" { "data" } else { "shop" }),
        peer_workload: workload.to_owned(),
        server_port: u32::from(port),
        bytes_sent: sent,
        bytes_received: 10,
        connects: u64::from(role == "client"),
        accepts: u64::from(role == "server"),
        ..FlowRow::default()
    };
    vec![
        flow(0, "client", CART, "cart", CART.1, 700),
        flow(1, "server", WEB, "web", CART.1, 10),
        flow(1, "client", DB, "db", DB.1, 300),
        flow(0, "server", OUTSIDE, "", 80, 10),
    ]
}

async fn filled(change: impl FnOnce(&mut aggregator::config::Config)) -> Server {
    let server = Server::start_with(change).await;
    let start = now_ns() - 60_000 * MS;
    let (spans, window) = (chain(20, start), start / (10_000 * MS) * 10_000 * MS);
    let payload = Payload {
        identities: identities(),
        requests: counts(&spans, window, 0),
        spans,
        flows: flows(window),
        ..Payload::default()
    };
    let ack = server.agent("node-1").await.send(1, 1, &payload).await.ack();
    assert_eq!(ack.rejected_rows, 0, "{ack:?}");
    server
}

fn joins(answer: &Value) -> BTreeMap<u64, (Option<u64>, f64)> {
    let id = |join: &Value, key: &str| u64::from_str_radix(join[key].as_str()?, 16).ok();
    let joins = answer["joins"].as_array().unwrap().iter();
    joins
        .map(|join| {
            let server = id(join, "server_span_id");
            (id(join, "client_span_id").unwrap(), (server, join["confidence"].as_f64().unwrap_or(0.0)))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_at_the_other_ends_of_its_connections() {
    let server = filled(|_| {}).await;
    for sealed in [false, true] {
        if sealed {
            server.seal().await;
        }
        for n in [0, 7, 19] {
            // by whichever end it is asked for
            for trace in 1..=3 {
                let path = format!("/api/v1/traces/{:x}", 3 * n + trace);
                let answer = server.get(&path, &[]).await;
                assert_eq!(answer["complete"], true, "{answer}");
                let mut spans: Vec<u64> = answer["rows"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|row| u64::from_str_radix(row["span_id"].as_str().unwrap(), 16).unwrap())
                    .collect();
                spans.sort_unstable();
                assert_eq!(spans, (1..=5).map(|part| n * 10 + part).collect::<Vec<_>>(), "{path} {sealed}");
                let joins = joins(&answer);
                for (client, expected) in [(2, 3), (4, 5)] {
                    let (found, confidence) = joins[&(n * 10 + client)];
                    assert_eq!(found, Some(n * 10 + expected), "{path} {joins:?}");
                    assert!(confidence >= 0.9, "{path} {joins:?}");
                }
                assert_eq!(joins.len(), 2);
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_be_two_stays_open() {
    let server = Server::start().await;
    let at = now_ns() - 60_000 * MS;
    let client = |trace| seen(0, "client", (trace, trace, 0), (at, 20 * MS), (WEB, CART));
    let its = |trace| seen(1, "server", (trace, trace, 0), (at + 2 * MS, 10 * MS), (CART, WEB));
    let spans = vec![client(1), client(2), its(3), its(4)];
    let payload = Payload { identities: identities(), spans, ..Payload::default() };
    server.agent("node-1").await.send(1, 1, &payload).await.ack();
    let answer = server.get("/api/v1/traces/1", &[]).await;
    assert_eq!(answer["rows"].as_array().unwrap().len(), 1, "{answer}");
    let open = json!({
        "client_trace_id": format!("{:032x}", 1), "client_span_id": format!("{:016x}", 1), "by": "open", "candidates": 2,
    });
    assert_eq!(answer["joins"], json!([open]), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_say_what_is_behind_a_services_address() {
    let server = Server::start().await;
    let at = now_ns() - 60_000 * MS;
    let service = ("10.96.0.7", 80);
    let spans = vec![
        seen(0, "client", (1, 1, 0), (at, 20 * MS), (WEB, service)),
        seen(1, "server", (2, 2, 0), (at + 2 * MS, 10 * MS), (CART, WEB)),
    ];
    let payload = Payload { identities: identities(), spans, ..Payload::default() };
    let mut agent = server.agent("node-1").await;
    agent.send(1, 1, &payload).await.ack();
    let confidence = async || joins(&server.get("/api/v1/traces/1", &[]).await)[&1];
    assert_eq!(confidence().await, (Some(2), 0.88), "the address is another one");
    let flow = FlowRow {
        asked_address: String::from(service.0),
        asked_port: u32::from(service.1),
        ..flows(at / (10_000 * MS) * 10_000 * MS).remove(0)
    };
    agent
        .send(1, 2, &Payload { identities: identities(), flows: vec![flow], ..Payload::default() })
        .await
        .ack();
    assert_eq!(confidence().await, (Some(2), 0.97), "and is known to be that one's");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_and_map_end_where_the_caller_may_not_look() {
    let server = filled(|config| {
        let file = config.data_dir.parent().unwrap().join("tokens.yaml");
        std::fs::write(&file, TOKENS).unwrap();
        config.auth.mode = aggregator::config::security::AuthMode::Tokens;
        config.auth.token_file = file;
        config.auth.open_metrics = true;
    })
    .await;
    let ask = async |path: &str, token: &str| -> Value {
        let request = server.http.get(format!("http://{}/api/v1/{path}", server.api)).bearer_auth(token);
        let response = request.send().await.unwrap();
        let text = response.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"))
    };
    let (dev, operator) = ("shop-token-of-16-letters", "operator-token-of-16");
    let spans = |answer: &Value| answer["rows"].as_array().unwrap().len();
    let (theirs, all) = (ask("traces/1", dev).await, ask("traces/1", operator).await);
    assert_eq!((spans(&theirs), spans(&all)), (4, 5), "{theirs}");
    assert!(
        !theirs.to_string().contains("\"data\"") && !theirs.to_string().contains("0000000000005"),
        "{theirs}"
    );
    let (theirs, all) = (ask("map", dev).await, ask("map", operator).await);
    // their own flow names whom they ask, their own span what they asked; not what db saw
    assert_eq!((spans(&theirs), spans(&all)), (3, 3), "{theirs}");
    // metrics of requests name whoever asks or is asked: open are those of the aggregator only
    let scrape = async |token: Option<&str>| -> String {
        let request = server.http.get(format!("http://{}/metrics", server.api));
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        request.send().await.unwrap().text().await.unwrap()
    };
    let clock = Clock::system();
    let deadline = clock.monotonic() + Duration::from_secs(20);
    while !scrape(Some(operator)).await.contains("traces_spanmetrics_calls_total{") {
        assert!(clock.monotonic() < deadline, "an operator sees what is counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for token in [None, Some(dev)] {
        let text = scrape(token).await;
        assert!(text.contains("wake_aggregator_red_series") && !text.contains("shop"), "{text}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_has_flows_and_requests_on_the_same_edges() {
    let server = filled(|_| {}).await;
    for sealed in [false, true] {
        if sealed {
            server.seal().await;
        }
        let map = server.get("/api/v1/map", &[]).await;
        let edges: Vec<Value> = map["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|edge| {
                let requests = edge["requests"].as_array().unwrap();
                assert!(requests.len() == 1 && requests[0]["protocol"] == "http", "{edge}");
                let p99 = requests[0]["p99_us"].as_f64().unwrap();
                let expected = match edge["server"].as_str().unwrap() {
                    "shop/web" => 25_000.0,
                    "shop/cart" => 20_000.0,
                    _ => 10_000.0,
                };
                assert!((expected * 0.75..expected * 1.25).contains(&p99), "{edge}");
                json!([
                    edge["client"],
                    edge["server"],
                    requests[0]["count"],
                    edge["bytes_sent"],
                    edge["connections"]
                ])
            })
            .collect();
        assert_eq!(
            edges,
            [
                json!(["shop/web", "shop/cart", 20, 700, 1]),
                json!(["shop/cart", "data/db", 20, 300, 1]),
                json!(["203.0.113.9", "shop/web", 20, 10, 1]),
            ],
            "{map}"
        );
        assert_eq!((&map["more_edges"], &map["complete"]), (&json!(0), &json!(true)));
        let of_db = server.get("/api/v1/map", &[("where", "workload=db"), ("where", "namespace=data")]).await;
        assert_eq!(of_db["rows"].as_array().unwrap().len(), 1, "{of_db}");
        let one = server.get("/api/v1/map", &[("limit", "1")]).await;
        assert_eq!((&one["more_edges"], one["nodes"].as_array().unwrap().len()), (&json!(2), 2));
    }
    let (status, refused) = server.try_get("/api/v1/map", &[("where", "pod=x")]).await;
    assert!(status == 400 && refused["error"]["message"].as_str().unwrap().contains("pod"), "{refused}");
    let found = server.get("/api/v1/traces", &[("protocol", "http"), ("workload", "db")]).await;
    assert_eq!(found["rows"].as_array().unwrap().len(), 20, "{found}");
    let found = server.get("/api/v1/traces", &[("service", "cart"), ("limit", "1")]).await;
    assert_eq!(
        found["rows"][0]["root_service"], "cart",
        "a workload is a service that has no other name: {found}"
    );
    let none = server.get("/api/v1/traces", &[("protocol", "grpc")]).await;
    assert_eq!(none["rows"], json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_no_spans_are_on_the_map_and_in_the_metrics() {
    let server = Server::start().await;
    let start = now_ns() - 60_000 * MS;
    let window = start / (10_000 * MS) * 10_000 * MS;
    // two seen as spans, and of each kind nine more; the application tells of some of web's as well
    let spans = chain(2, start);
    let requests = counts(&spans, window, 9);
    let told = chain(2, start).into_iter().filter(|span| span.identity == 0 && span.kind == "client");
    let told = told.map(|span| SpanRow { source: String::from("otlp"), ..span });
    let spans = spans.iter().cloned().chain(told).collect();
    let payload =
        Payload { identities: identities(), spans, requests, flows: flows(window), ..Payload::default() };
    let ack = server.agent("node-1").await.send(1, 1, &payload).await.ack();
    assert_eq!(ack.rejected_rows, 0, "{ack:?}");
    let map = server.get("/api/v1/map", &[]).await;
    let mut edges: Vec<Value> = map["rows"].as_array().unwrap().iter().map(edge_and_count).collect();
    edges.sort_by_key(ToString::to_string);
    let expected = [
        json!(["203.0.113.9", "shop/web", 20]),
        json!(["shop/cart", "data/db", 20]),
        json!(["shop/web", "shop/cart", 20]),
    ];
    assert_eq!(edges, expected, "{map}");
    let clock = Clock::system();
    let deadline = clock.monotonic() + Duration::from_secs(60);
    let of = |text: &str, metric: &str, part: &str| -> f64 {
        let lines = text.lines().filter(|line| line.starts_with(metric) && line.contains(part));
        let wake = lines.filter(|line| line.contains("source=\"wake\""));
        wake.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    };
    let total = "traces_service_graph_request_total{";
    let found = loop {
        let (_, text) = server.text("/metrics").await;
        let edges = [("web", "cart"), ("cart", "db"), ("user", "web")];
        let found = edges.map(|(client, server)| {
            of(&text, total, &format!("client=\"{client}\",")) * f64::from(u8::from(text.contains(server)))
        });
        if found.iter().sum::<f64>() >= 60.0 || clock.monotonic() > deadline {
            let calls = of(&text, "traces_spanmetrics_calls_total{", "SPAN_KIND_CLIENT");
            let seconds = of(&text, "traces_spanmetrics_latency_sum{", "SPAN_KIND_CLIENT");
            break (found, calls, (seconds * 1e3).round());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    // forty calls of clients, which took 20 and 10 ms
    assert_eq!(found, ([20.0, 20.0, 20.0], 40.0, 600.0));
    server.stop().await;
}

fn edge_and_count(edge: &Value) -> Value {
    let requests = edge["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 1, "{edge}");
    json!([edge["client"], edge["server"], requests[0]["count"]])
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_once_and_not_again_after_a_restart() {
    let server = filled(|_| {}).await;
    let calls = "traces_spanmetrics_calls_total";
    let clock = Clock::system();
    let deadline = clock.monotonic() + Duration::from_secs(20);
    let text = loop {
        let (_, text) = server.text("/metrics").await;
        if text.contains("wake_aggregator_red_processed_requests_total 100") || clock.monotonic() > deadline {
            break text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for line in ["GET /4\",span_kind=\"SPAN_KIND_CLIENT\"", "GET /5\",span_kind=\"SPAN_KIND_SERVER\""] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(text.lines().filter(|line| line.starts_with(calls)).count(), 100, "{text}");
    let edge = "client=\"web\",client_service_namespace=\"shop\",server=\"cart\",server_service_namespace=\"shop\",\
                connection_type=\"\",source=\"wake\"";
    assert!(text.contains(&format!("traces_service_graph_request_total{{{edge}}} 20")), "{text}");
    let dir = server.stop().await;
    let server = Server::start_in(dir, |_| {}).await;
    // its first look lies behind it when the next span is counted
    let start = now_ns() - 60_000 * MS;
    let spans = chain(1, start);
    let requests = counts(&spans, start / (10_000 * MS) * 10_000 * MS, 0);
    let payload = Payload { identities: identities(), spans, requests, ..Payload::default() };
    server.agent("node-1").await.send(1, 2, &payload).await.ack();
    let deadline = clock.monotonic() + Duration::from_secs(20);
    let text = loop {
        let (_, text) = server.text("/metrics").await;
        if text.contains(calls) || clock.monotonic() > deadline {
            break text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(text.contains("wake_aggregator_red_processed_requests_total 5"), "{text}");
    server.stop().await;
}
