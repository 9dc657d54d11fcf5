use arrow::array::RecordBatch;
use daemon::metrics::Registry;
use futures::StreamExt as _;
use proto::v1::{FlowRow, Identity, Payload, RequestRow, SpanRow};
use store::{Limits, ScanRequest, Store, Table};

use super::Red;
use crate::requests::span::COLUMNS;

/// 2026-11-21 12:00 UTC.
const NOW: i64 = 1_795_262_400_000_000_000;
const MS: u64 = 1_000_000;

/// Rows as the store gives them.
async fn stored(table: Table, columns: Option<&[&str]>, payload: Payload) -> Vec<RecordBatch> {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { disk_drop_percent: 100, disk_refuse_percent: 100, ..Limits::small() };
    let (store, _) = Store::open(dir.path(), limits, NOW).unwrap();
    store.append_payload(payload, NOW).await.unwrap();
    let columns = columns.map(|columns| columns.iter().map(|&name| name.to_owned()).collect());
    let mut rows = store.snapshot().scan(table, ScanRequest { columns, ..ScanRequest::default() }).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await {
        batches.push(batch.unwrap());
    }
    batches
}

fn identities(names: &[&str]) -> Vec<Identity> {
    let identity = |name: &&str| Identity {
        namespace: String::from("shop"),
        workload: (*name).to_owned(),
        ..Identity::default()
    };
    names.iter().map(identity).collect()
}

fn span(identity: u32, service: &str, kind: &str, id: u64, parent: u64) -> SpanRow {
    let hex = |id: u64| if id == 0 { String::new() } else { format!("{id:016x}") };
    SpanRow {
        identity,
        ts: NOW.cast_unsigned(),
        duration_ns: 3 * MS,
        trace_id: format!("{:032x}", 1),
        span_id: hex(id),
        parent_span_id: hex(parent),
        service: service.to_owned(),
        name: format!("call {service}"),
        kind: kind.to_owned(),
        source: String::from("otlp"),
        ..SpanRow::default()
    }
}

fn wire(span: SpanRow, local: (&str, u16), peer: (&str, u16)) -> SpanRow {
    let attributes = [
        ("network.local.address", local.0.to_owned()),
        ("network.local.port", local.1.to_string()),
        ("network.peer.address", peer.0.to_owned()),
        ("network.peer.port", peer.1.to_string()),
    ];
    let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    SpanRow { source: String::from("wake"), attributes, parent_span_id: String::new(), ..span }
}

struct Counting {
    registry: Registry,
    red: Red,
}

impl Counting {
    fn new() -> Self {
        let registry = Registry::new();
        let red = Red::register(&registry, &registry.with_prefix("wake_aggregator"));
        Self { registry, red }
    }

    async fn spans(&self, identities: Vec<Identity>, spans: Vec<SpanRow>) {
        let payload = Payload { identities, spans, ..Payload::default() };
        for batch in stored(Table::Span, Some(&COLUMNS), payload).await {
            self.red.count(&mut self.red.lock(), &batch, 0);
        }
    }

    async fn flows(&self, identities: Vec<Identity>, flows: Vec<FlowRow>) {
        let payload = Payload { identities, flows, ..Payload::default() };
        for batch in stored(Table::Flow, None, payload).await {
            self.red.lock().name(&batch);
        }
    }

    /// Lines of a metric, without those of its buckets.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = self.registry.prometheus_text();
        let of = |line: &&str| line.starts_with(name) && !line.contains("_bucket");
        text.lines().filter(of).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn spans_are_counted_by_service_name_kind_and_status() {
    let counting = Counting::new();
    let mut spans = vec![span(0, "cart", "server", 1, 0), span(0, "cart", "server", 2, 0)];
    spans.push(SpanRow { status: String::from("error"), ..span(0, "cart", "server", 3, 0) });
    spans.push(SpanRow { name: String::from("a\"\n # {b"), ..span(0, "cart", "", 4, 0) });
    counting.spans(identities(&["cart"]), spans).await;
    let labels = |name: &str, kind: &str, status: &str| {
        format!(
            "{{service=\"cart\",service_namespace=\"shop\",span_name=\"{name}\",span_kind=\"SPAN_KIND_{kind}\",\
             status_code=\"STATUS_CODE_{status}\",source=\"otlp\"}}"
        )
    };
    assert_eq!(
        counting.lines("traces_spanmetrics_calls_total"),
        [
            format!(
                "traces_spanmetrics_calls_total{} 1",
                labels("a\\\"\u{fffd} # {b", "UNSPECIFIED", "UNSET")
            ),
            format!("traces_spanmetrics_calls_total{} 1", labels("call cart", "SERVER", "ERROR")),
            format!("traces_spanmetrics_calls_total{} 2", labels("call cart", "SERVER", "UNSET")),
        ]
    );
    let text = counting.registry.prometheus_text();
    let label = "service=\"cart\",service_namespace=\"shop\",span_name=\"call cart\",span_kind=\"SPAN_KIND_SERVER\",\
                 status_code=\"STATUS_CODE_UNSET\",source=\"otlp\"";
    for (bound, count) in [("0.002", 0), ("0.004", 2), ("+Inf", 2)] {
        let forms = [
            format!("traces_spanmetrics_latency_bucket{{le=\"{bound}\",{label}}} {count}"),
            format!("traces_spanmetrics_latency_bucket{{{label},le=\"{bound}\"}} {count}"),
        ];
        assert!(forms.iter().any(|line| text.contains(line)), "{bound}\n{text}");
    }
    assert!(text.contains(&format!("traces_spanmetrics_latency_sum{{{label}}} 0.006")), "{text}");
}

#[tokio::test]
async fn a_request_of_two_ends_is_one_edge() {
    let counting = Counting::new();
    let spans = vec![
        span(0, "web", "client", 1, 9),
        span(1, "cart", "server", 2, 1),
        // its own caller's span never comes
        span(1, "cart", "server", 3, 77),
        // nobody called it
        span(0, "web", "server", 9, 0),
    ];
    counting.spans(identities(&["web", "cart"]), spans).await;
    counting.red.expire_before(i64::MAX);
    let edge = |client: &str, namespace: &str, server: &str, kind: &str| {
        format!(
            "{{client=\"{client}\",client_service_namespace=\"{namespace}\",server=\"{server}\",\
             server_service_namespace=\"shop\",connection_type=\"{kind}\",source=\"otlp\"}} 1"
        )
    };
    let expected = [edge("user", "", "web", "virtual_node"), edge("web", "shop", "cart", "")];
    let lines = counting.lines("traces_service_graph_request_total");
    assert_eq!(lines, expected.map(|edge| format!("traces_service_graph_request_total{edge}")));
    assert_eq!(
        counting.lines("wake_aggregator_red_unpaired_spans_total"),
        ["wake_aggregator_red_unpaired_spans_total 1"]
    );
    assert_eq!(counting.lines("traces_service_graph_request_client_seconds_count").len(), 1);
    assert_eq!(counting.lines("traces_service_graph_request_server_seconds_count").len(), 2);
}

#[tokio::test]
async fn ends_seen_on_the_wire_meet_by_their_connection() {
    let counting = Counting::new();
    let (web, cart, db) = (("10.0.0.1", 40_000), ("10.0.0.2", 80), ("10.0.0.3", 5432));
    let flow = |role: &str, peer: (&str, u16), name: &str| FlowRow {
        identity: 0,
        ts: NOW.cast_unsigned(),
        window_s: 10,
        role: role.to_owned(),
        peer_address: peer.0.to_owned(),
        server_port: u32::from(peer.1),
        peer_kind: String::from("pod"),
        peer_namespace: String::from("data"),
        peer_workload: name.to_owned(),
        ..FlowRow::default()
    };
    let flows = vec![flow("client", db, "postgres"), flow("server", web, "web")];
    counting.flows(identities(&["cart"]), flows).await;
    let query = wire(span(1, "cart", "client", 3, 0), ("10.0.0.2", 50_000), db);
    let mut failed = wire(span(0, "web", "client", 1, 0), web, cart);
    failed.status = String::from("error");
    let outside = wire(span(1, "cart", "server", 5, 0), cart, ("203.0.113.9", 1234));
    counting
        .spans(
            identities(&["web", "cart"]),
            vec![wire(span(1, "cart", "server", 2, 0), cart, web), failed, query, outside],
        )
        .await;
    counting.red.expire_before(i64::MAX);
    let total = |client: &str, server: &str| {
        let lines = counting.lines("traces_service_graph_request_total");
        let of = |line: &&String| {
            line.contains(&format!("client=\"{client}\"")) && line.contains(&format!("server=\"{server}\""))
        };
        lines.iter().filter(of).count()
    };
    assert_eq!((total("web", "cart"), total("cart", "postgres"), total("user", "cart")), (1, 1, 1));
    assert_eq!(counting.lines("traces_service_graph_request_total").len(), 3);
    let failed = counting.lines("traces_service_graph_request_failed_total");
    assert!(failed.iter().any(|line| line.contains("client=\"web\"") && line.ends_with(" 1")), "{failed:?}");
}

#[tokio::test]
async fn a_server_alone_counts_only_where_nobody_is_seen_to_ask() {
    // flows know nobody
    let counting = Counting::new();
    let (web, cart) = (("10.0.0.1", 40_000), ("10.0.0.2", 80));
    let spans = vec![
        wire(span(0, "web", "client", 1, 0), web, cart),
        // of another connection of the same client; its own end was not told as a span
        wire(span(1, "cart", "server", 2, 0), cart, ("10.0.0.1", 41_000)),
        wire(span(1, "cart", "server", 3, 0), cart, ("203.0.113.9", 1_234)),
        // another port than is asked for
        wire(span(1, "cart", "server", 4, 0), ("10.0.0.2", 81), ("10.0.0.1", 42_000)),
    ];
    counting.spans(identities(&["web", "cart"]), spans).await;
    counting.red.expire_before(i64::MAX);
    let lines = counting.lines("traces_service_graph_request_total");
    let of = |client: &str| {
        lines.iter().filter(|line| line.contains(&format!("client=\"{client}\""))).collect::<Vec<_>>()
    };
    assert_eq!((lines.len(), of("web").len()), (2, 1), "{lines:?}");
    assert!(of("web")[0].ends_with(" 1") && of("user")[0].ends_with(" 2"), "{lines:?}");
    assert_eq!(
        counting.lines("wake_aggregator_red_unpaired_spans_total"),
        ["wake_aggregator_red_unpaired_spans_total 1"]
    );
}

#[tokio::test]
async fn who_asks_from_a_nodes_address_hides_no_user_behind_it() {
    let counting = Counting::new();
    let cart = ("10.0.0.2", 80);
    let spans = vec![
        // the node's own check of the pod
        wire(span(0, "kubelet.service", "client", 1, 0), ("10.0.0.254", 40_000), cart),
        wire(span(1, "cart", "server", 2, 0), cart, ("10.0.0.254", 40_000)),
        // from outside, in the node's name
        wire(span(1, "cart", "server", 3, 0), cart, ("10.0.0.254", 50_000)),
    ];
    let mut identities = identities(&["kubelet.service", "cart"]);
    identities[0].namespace = String::new();
    counting.spans(identities, spans).await;
    counting.red.expire_before(i64::MAX);
    let lines = counting.lines("traces_service_graph_request_total");
    assert!(lines.iter().any(|line| line.contains("client=\"user\"") && line.ends_with(" 1")), "{lines:?}");
}

#[tokio::test]
async fn names_beyond_the_bound_are_other_and_counted() {
    let counting = Counting::new();
    let spans =
        (0..600_u64).map(|at| SpanRow { name: format!("GET /{at}"), ..span(0, "cart", "server", at + 1, 0) });
    counting.spans(identities(&["cart"]), spans.collect()).await;
    let lines = counting.lines("traces_spanmetrics_calls_total");
    assert_eq!(lines.len(), 513);
    assert!(lines.iter().any(|line| line.contains("span_name=\"other\"") && line.ends_with(" 88")));
    assert_eq!(
        counting.lines("wake_aggregator_red_folded_spans_total"),
        ["wake_aggregator_red_folded_spans_total 88"]
    );
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One kind of requests that are no spans, as one end has counted them.
fn counted(identity: u32, kind: &str, peer: &str, durations_ns: &[u64]) -> RequestRow {
    let mut hist = vec![0_u32; proto::histogram::BUCKETS];
    for duration in durations_ns {
        hist[proto::histogram::bucket(*duration)] += 1;
    }
    RequestRow {
        identity,
        ts: NOW.cast_unsigned(),
        window_s: 10,
        kind: kind.to_owned(),
        protocol: String::from("http"),
        name: String::from("GET /"),
        peer_address: peer.to_owned(),
        server_port: 80,
        count: durations_ns.len() as u64,
        duration_ns_sum: durations_ns.iter().sum(),
        duration_hist: hist,
        ..RequestRow::default()
    }
}

/// Requests of several clients to one server, each with how long its server took; of each end the span may be lost, and is
/// counted in a row then.
struct Lossy {
    counting: Counting,
    dice: Dice,
    spans: Vec<SpanRow>,
    rows: Vec<RequestRow>,
}

impl Lossy {
    /// From `client`, at `address`; how long the servers took in all, ns.
    fn requests(&mut self, client: u32, address: &str, count: u16) -> u64 {
        let cart = ("10.0.0.2", 80);
        let (mut client_alone, mut server_alone, mut sum) = (Vec::new(), Vec::new(), 0);
        for at in 0..count {
            let from = (address, 40_000 + at);
            let ms = 1 + self.dice.throw(50);
            sum += ms * MS;
            let times = |span: SpanRow, more: u64| SpanRow {
                ts: span.ts + u64::from(at) * 1_000 * MS,
                duration_ns: (ms + more) * MS,
                ..span
            };
            // the first is seen at both ends: by it spans say who asks
            if at == 0 || self.dice.throw(3) > 0 {
                self.spans.push(times(wire(span(client, "", "client", 1, 0), from, cart), 1));
            } else {
                client_alone.push((ms + 1) * MS);
            }
            if at == 0 || self.dice.throw(3) > 0 {
                self.spans.push(times(wire(span(0, "", "server", 2, 0), cart, from), 0));
            } else {
                server_alone.push(ms * MS);
            }
        }
        self.rows.push(counted(client, "client", "10.0.0.2", &client_alone));
        self.rows.push(counted(0, "server", address, &server_alone));
        sum
    }

    async fn count(&mut self, names: &[&str]) {
        let mut spans = std::mem::take(&mut self.spans);
        for span in &mut spans {
            names[span.identity as usize].clone_into(&mut span.service);
        }
        self.counting.spans(identities(names), spans).await;
        let rows = std::mem::take(&mut self.rows);
        let payload = Payload { identities: identities(names), requests: rows, ..Payload::default() };
        for batch in stored(Table::Request, Some(&crate::requests::counted::COLUMNS), payload).await {
            self.counting.red.count_counted(&mut self.counting.red.lock(), &batch, 0);
        }
        self.counting.red.expire_before(i64::MAX);
    }

    /// Of a client's edge: how many requests, and how many are known by their servers, for how long in all.
    fn edge(&self, client: &str) -> (u64, u64, f64) {
        let value = |name: &str| {
            let lines = self.counting.lines(name);
            let mut of = lines.iter().filter(|line| line.contains(&format!("{{client=\"{client}\"")));
            let value = of.next().map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap());
            assert_eq!(of.next(), None, "{lines:?}");
            value
        };
        let seconds = "traces_service_graph_request_server_seconds";
        let count = value(&format!("{seconds}_count"));
        (value("traces_service_graph_request_total") as u64, count as u64, value(&format!("{seconds}_sum")))
    }

    #[track_caller]
    fn check(&self, client: &str, (requests, servers, sum_ns): (u16, u16, u64)) {
        let (found, known, seconds) = self.edge(client);
        assert_eq!((found, known), (u64::from(requests), u64::from(servers)), "{client}");
        assert!((seconds - sum_ns as f64 / 1e9).abs() < 1e-6, "{client}: {seconds} s of {sum_ns} ns");
    }
}

#[tokio::test]
async fn how_long_a_server_took_is_observed_once_whichever_spans_are_lost() {
    for seed in 1..20 {
        let counting = Counting::new();
        let flow = FlowRow {
            identity: 0,
            ts: NOW.cast_unsigned(),
            window_s: 10,
            role: String::from("server"),
            peer_address: String::from("10.0.0.1"),
            server_port: 80,
            peer_kind: String::from("pod"),
            peer_namespace: String::from("shop"),
            peer_workload: String::from("web"),
            ..FlowRow::default()
        };
        counting.flows(identities(&["cart"]), vec![flow]).await;
        let mut lossy = Lossy { counting, dice: Dice(seed), spans: Vec::new(), rows: Vec::new() };
        // flows know who the first is, spans alone who the second is, nobody who the third is of two at one address
        let web = lossy.requests(1, "10.0.0.1", 40);
        let job = lossy.requests(2, "10.0.0.3", 40);
        let mut both = lossy.requests(3, "10.0.0.4", 40);
        both += lossy.requests(4, "10.0.0.4", 1);
        lossy.count(&["cart", "web", "job", "one", "two"]).await;
        lossy.check("web", (40, 40, web));
        lossy.check("job", (40, 40, job));
        let of = |client: &str| lossy.edge(client);
        let (one, two, other, user) = (of("one"), of("two"), of("(other)"), of("user"));
        assert_eq!((one.0, two.0, other.0, user), (40, 1, 0, (0, 0, 0.0)));
        assert_eq!(one.1 + two.1 + other.1, 41);
        assert!(((one.2 + two.2 + other.2) - both as f64 / 1e9).abs() < 1e-6);
    }
}
