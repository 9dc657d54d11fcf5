//! Who asks sees their namespaces and nothing else, through every route that there is.

use std::time::Duration;

use daemon::clock::Clock;
use futures::StreamExt as _;
use proto::v1::{
    BlockRow, DropRow, FlowRow, Identity, LogRow, LossRow, Payload, ProcessRow, SpanRow, SyscallLatencyRow,
    SyscallRow, UsageRow,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, now_ns};

const SHOP: &str = "shop-token-of-16-letters";
const OPERATOR: &str = "operator-token-of-16";
/// A trace that every namespace has a part of.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// In each text of other namespaces, and of rows without one.
const OTHERS: [&str; 2] = ["bank", "hostproc"];

/// A row of every signal for each of these.
fn rows(namespaces: &[&str]) -> Payload {
    let ts = now_ns() - 5_000_000_000;
    let mut payload = Payload::default();
    for (identity, namespace) in (0..).zip(namespaces) {
        let name = if namespace.is_empty() { "hostproc" } else { *namespace };
        payload.identities.push(Identity {
            node: String::from("node-1"),
            namespace: (*namespace).to_owned(),
            workload: format!("{name}-app"),
            workload_kind: String::from("deployment"),
            pod: format!("{name}-app-0"),
            container: name.to_owned(),
            cgroup_id: 42,
            ..Identity::default()
        });
        payload.logs.push(LogRow {
            identity,
            ts,
            observed_ts: ts,
            body: format!("the line of owner={name}").into_bytes().into(),
            level: String::from("info"),
            trace_id: String::from(TRACE),
            attributes: [(String::from("owner"), name.to_owned())].into(),
            ..LogRow::default()
        });
        payload.spans.push(SpanRow {
            identity,
            ts,
            duration_ns: 5,
            trace_id: String::from(TRACE),
            span_id: format!("00f067aa0ba9{:04x}", payload.spans.len()),
            service: format!("{name}-app"),
            name: format!("call of {name}"),
            ..SpanRow::default()
        });
        payload.flows.push(FlowRow {
            identity,
            ts,
            window_s: 10,
            role: format!("role-{name}"),
            protocol: String::from("tcp"),
            peer_address: format!("peer.of.{name}"),
            bytes_sent: 7,
            ..FlowRow::default()
        });
        payload.drops.push(DropRow { identity, ts, window_s: 10, packets: 1, ..DropRow::default() });
        payload.usage.push(UsageRow {
            identity,
            ts,
            window_s: 10,
            cpu_usage_ns: Some(3),
            ..UsageRow::default()
        });
        payload.syscalls.push(SyscallRow {
            identity,
            ts,
            window_s: 10,
            syscall: format!("call_{name}"),
            count: 2,
            ..SyscallRow::default()
        });
        payload.syscall_latency.push(SyscallLatencyRow {
            identity,
            ts,
            window_s: 10,
            class: String::from("file"),
            sample_every: 1,
            ..SyscallLatencyRow::default()
        });
        payload.block.push(BlockRow {
            identity,
            ts,
            window_s: 10,
            device: format!("dev-{name}"),
            ..BlockRow::default()
        });
        payload.processes.push(ProcessRow {
            identity,
            ts,
            event: String::from("exec"),
            executable: format!("/bin/{name}"),
            ..ProcessRow::default()
        });
    }
    payload.losses.push(LossRow {
        ts,
        window_s: 10,
        signal: String::from("log"),
        stage: String::from("spool"),
        reason: String::from("hostproc_reason"),
        count: 9,
    });
    payload
}

/// A server that asks for tokens, with rows of three kinds.
async fn server() -> Server {
    let server = Server::start_with(|config| {
        let file = config.data_dir.parent().unwrap().join("tokens.yaml");
        let tokens = format!(
            "version: 1\ntokens:\n- {{name: dev, token: {SHOP}, namespaces: [shop]}}\n\
             - {{name: ops, token: {OPERATOR}, operator: true}}\n"
        );
        std::fs::write(&file, tokens).unwrap();
        config.auth.mode = aggregator::config::security::AuthMode::Tokens;
        config.auth.token_file = file;
    })
    .await;
    server.agent("node-1").await.send(1, 1, &rows(&["shop", "bank", ""])).await.ack();
    server
}

async fn ask(
    server: &Server,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> (u16, String) {
    let mut request = server.http.request(method, format!("http://{}{path}", server.api));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    if !path.contains("/follow") || status != 200 {
        return (status, response.text().await.unwrap());
    }
    // a stream does not end: what comes first is enough
    let mut pieces = response.bytes_stream();
    let first = tokio::time::timeout(Duration::from_secs(20), pieces.next()).await;
    (status, String::from_utf8(first.unwrap().unwrap().unwrap().to_vec()).unwrap())
}

/// Every route of the description, with every way to ask that may tell more.
async fn routes(server: &Server) -> Vec<(Method, String, Option<Value>)> {
    let (_, document) = ask(server, Method::GET, "/api/v1/openapi.json", None, None).await;
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = &path.replace("{trace_id}", TRACE);
        for (method, operation) in operations.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            if path.ends_with("/sql") {
                let (_, tables) =
                    ask(server, method.clone(), path, Some(OPERATOR), Some(json!({"query": "SHOW TABLES"})))
                        .await;
                let tables: Value = serde_json::from_str(&tables).unwrap();
                for row in tables["rows"].as_array().unwrap() {
                    let (schema, table) = (row[1].as_str().unwrap(), row[2].as_str().unwrap());
                    if schema == "public" {
                        for query in [
                            format!("SELECT * FROM \"{table}\""),
                            format!(
                                "SELECT * FROM \"{table}\" WHERE namespace = 'bank' ORDER BY ts DESC LIMIT 9"
                            ),
                            format!("SELECT namespace, count(*) FROM \"{table}\" GROUP BY namespace"),
                            format!("EXPLAIN ANALYZE SELECT max(workload) FROM \"{table}\""),
                            String::from("SELECT logfmt_field(body, 'owner'), count(*) FROM log GROUP BY 1"),
                            String::from(
                                "SELECT logfmt_field(body, 'owner') o, count(*) FROM log WHERE namespace = 'bank' GROUP BY o",
                            ),
                        ] {
                            routes.push((method.clone(), path.clone(), Some(json!({"query": query}))));
                        }
                    }
                }
                continue;
            }
            let named = |name: &str| {
                let mut given = operation["parameters"].as_array().into_iter().flatten();
                given.any(|parameter| parameter["name"] == name)
            };
            let mut queries = vec![String::new()];
            for (name, values) in [
                ("from", &["-1h"][..]),
                ("where", &["namespace%3Dbank", "workload%3Dbank-app", "workload%3Dshop-app"]),
                ("by", &["namespace", "workload"]),
                ("show", &["new", "gone"]),
                ("raw", &["true"]),
                ("contains", &["line"]),
            ] {
                if named(name) {
                    queries.extend(values.iter().map(|value| format!("?{name}={value}")));
                }
            }
            if path.ends_with("/follow") {
                queries = vec![String::from("?from=-1h")];
            }
            routes.extend(queries.into_iter().map(|query| (method.clone(), format!("{path}{query}"), None)));
        }
    }
    routes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_token_sees_nothing_of_others_through_any_route() {
    let server = server().await;
    let routes = routes(&server).await;
    assert!(routes.len() > 60, "{}", routes.len());
    let mut seen = 0;
    for sealed in [false, true] {
        if sealed {
            let (status, body) = ask(&server, Method::POST, "/api/v1/admin/seal", Some(OPERATOR), None).await;
            assert_eq!(status, 200, "{body}");
        }
        for (method, path, body) in &routes {
            let asked = format!("{method} {path} {body:?} sealed={sealed}");
            let (status, text) = ask(&server, method.clone(), path, None, body.clone()).await;
            assert_eq!(status, 401, "{asked}: {text}");
            assert!(text.contains("unauthenticated"), "{asked}: {text}");
            let (status, mut text) = ask(&server, method.clone(), path, Some(SHOP), body.clone()).await;
            if path.contains("/admin/") || path.ends_with("/doctor") {
                assert_eq!(status, 403, "{asked}: {text}");
                continue;
            }
            // a table without namespaces has no such column to be asked for
            assert!(status == 200 || (status == 400 && body.is_some()), "{asked}: {status} {text}");
            // what was lost is said to everybody, how much only to operators
            text = text.replace("some log lost at spool: hostproc_reason", "");
            // a plan shows its own question
            if body.as_ref().is_none_or(|body| !body["query"].as_str().unwrap().contains("EXPLAIN")) {
                for other in OTHERS {
                    assert!(!text.contains(other), "{asked}: {text}");
                }
            }
            seen += usize::from(text.contains("shop-app"));
        }
    }
    assert!(seen > 40, "what they may see they do see: {seen}");
    let (_, all) = ask(&server, Method::GET, "/api/v1/workloads", Some(OPERATOR), None).await;
    assert!(all.contains("bank-app") && all.contains("hostproc-app") && all.contains("shop-app"), "{all}");
    let (status, text) = ask(&server, Method::GET, "/api/v1/logs", Some("a-wrong-token-of-16"), None).await;
    assert!(status == 401 && !text.contains("a-wrong"), "{status} {text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sees_only_their_own_lines_arrive() {
    let server = server().await;
    let request = server.http.get(format!("http://{}/api/v1/logs/follow", server.api)).bearer_auth(SHOP);
    let mut pieces = request.send().await.unwrap().bytes_stream();
    let mut agent = server.agent("node-1").await;
    agent.send(1, 2, &rows(&["bank", ""])).await.ack();
    agent.send(1, 3, &rows(&["bank", "shop"])).await.ack();
    let first = tokio::time::timeout(Duration::from_secs(20), pieces.next()).await.unwrap().unwrap().unwrap();
    let text = String::from_utf8(first.to_vec()).unwrap();
    assert!(text.contains("the line of owner=shop") && text.lines().count() == 1, "{text}");
    drop(pieces);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_is_written_down_without_its_token() {
    let server = server().await;
    let query = json!({"query": "SELECT count(*) FROM log"});
    ask(&server, Method::POST, "/api/v1/sql", Some(SHOP), Some(query)).await;
    ask(&server, Method::GET, "/api/v1/logs?contains=line", Some(SHOP), None).await;
    ask(&server, Method::GET, "/api/v1/logs?token=hidden", None, None).await;
    ask(&server, Method::POST, "/api/v1/admin/seal", Some(SHOP), None).await;
    let path = server.dir.path().join("data/audit.log");
    let clock = Clock::system();
    let records: Vec<Value> = loop {
        let text = std::fs::read_to_string(&path).unwrap();
        let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if records.len() >= 4 || clock.monotonic() > Duration::from_secs(20) {
            assert!(!text.contains("hidden") && !text.contains(SHOP), "{text}");
            break records;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let shown: Vec<_> = records
        .iter()
        .map(|record| {
            (record["user"].as_str(), record["path"].as_str().unwrap(), record["result"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        shown,
        [
            (Some("dev"), "/api/v1/sql", "ok"),
            (Some("dev"), "/api/v1/logs", "ok"),
            (None, "/api/v1/logs", "unauthenticated"),
            (Some("dev"), "/api/v1/admin/seal", "forbidden"),
        ]
    );
    assert_eq!(records[0]["text"], "SELECT count(*) FROM log");
    assert_eq!((&records[0]["rows"], &records[0]["scope"]), (&json!(1), &json!(["shop"])));
    assert_eq!((&records[1]["rows"], &records[1]["query"]), (&json!(1), &json!("contains=line")));
    server.stop().await;
}
