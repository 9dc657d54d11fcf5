//! Every endpoint with real rows, and the API's description held against its answers.

use std::collections::BTreeSet;

use proto::v1::{
    AgentStatus, BlockRow, DropRow, FlowRow, LossRow, Payload, ProbeState, ProcessRow, SyscallLatencyRow,
    SyscallRow, UsageRow,
};
use serde_json::{Value, json};

use crate::agent::identity;
use crate::server::{Server, column, now_ns};

const SECOND: u64 = 1_000_000_000;

fn hist(bucket: usize, count: u32) -> Vec<u32> {
    let mut counts = vec![0; 106];
    counts[bucket] = count;
    counts
}

/// Two windows of 10 s of two workloads.
fn windows(node: &str) -> Payload {
    let start = now_ns() / (10 * SECOND) * 10 * SECOND - 20 * SECOND;
    let mut payload = Payload {
        identities: vec![identity(node, "web.service"), identity(node, "db.service")],
        ..Payload::default()
    };
    for ts in [start, start + 10 * SECOND] {
        let flow = FlowRow {
            identity: 0,
            ts,
            window_s: 10,
            role: String::from("client"),
            protocol: String::from("tcp"),
            peer_address: String::from("127.0.0.1"),
            peer_workload: String::from("db.service"),
            server_port: 5432,
            bytes_sent: 1_000,
            bytes_received: 9_000,
            packets_sent: 10,
            packets_received: 20,
            connects: 2,
            retransmits: 1,
            srtt_us: Some(120),
            rtt_hist: hist(20, 4),
            ..FlowRow::default()
        };
        payload.flows.push(FlowRow {
            identity: 1,
            role: String::from("server"),
            bytes_sent: 5,
            ..flow.clone()
        });
        payload.flows.push(flow);
        payload.usage.push(UsageRow {
            identity: 0,
            ts,
            window_s: 10,
            cpu_usage_ns: Some(5 * SECOND),
            cpu_periods: Some(100),
            cpu_throttled_periods: Some(25),
            memory_working_set: Some(64 << 20),
            memory_limit: Some(128 << 20),
            io_read_bytes: Some(1_000),
            psi_cpu_some_us: Some(1_000_000),
            switches_voluntary: Some(50),
            run_queue_hist: hist(9, 7),
            ..UsageRow::default()
        });
        payload.usage.push(UsageRow {
            identity: 1,
            ts,
            window_s: 10,
            cpu_usage_ns: Some(SECOND),
            ..UsageRow::default()
        });
        payload.syscalls.push(SyscallRow {
            identity: 0,
            ts,
            window_s: 10,
            syscall: String::from("openat"),
            class: String::from("file"),
            abi: String::from("native"),
            count: 40,
            errors: 3,
            errnos: [(String::from("ENOENT"), 2), (String::from("EACCES"), 1)].into(),
        });
        payload.syscall_latency.push(SyscallLatencyRow {
            identity: 0,
            ts,
            window_s: 10,
            class: String::from("file"),
            sample_every: 16,
            latency_hist: hist(12, 5),
        });
        payload.drops.push(DropRow {
            identity: 0,
            ts,
            window_s: 10,
            reason: String::from("NETFILTER_DROP"),
            protocol: String::from("tcp"),
            packets: 3,
            bytes: 180,
        });
        payload.block.push(BlockRow {
            identity: 1,
            ts,
            window_s: 10,
            device: String::from("vda"),
            operation: String::from("write"),
            operations: 8,
            bytes: 32_768,
            latency_hist: hist(30, 8),
        });
        payload.processes.push(ProcessRow {
            identity: 0,
            ts: ts + 1,
            event: String::from("exit"),
            pid: 4_242,
            parent_pid: 1,
            executable: String::from("/usr/bin/curl"),
            arguments: vec![String::from("curl"), String::from("-s")],
            exit_code: Some(7),
            count: 1,
            ..ProcessRow::default()
        });
    }
    payload
}

async fn filled() -> Server {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    agent
        .status(AgentStatus {
            probes: vec![ProbeState {
                probe: String::from("flows"),
                state: String::from("running"),
                reason: String::new(),
                missing: vec![String::from("drop_reason")],
            }],
            spool_bytes: 17,
            spool_batches: 1,
            ..AgentStatus::default()
        })
        .await;
    let ack = agent.send(1, 1, &windows("a")).await.ack();
    assert_eq!(ack.rejected_rows, 0, "{ack:?}");
    agent.log(2, &[(now_ns(), "hello error")]).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_right_and_the_same_after_a_seal() {
    let server = filled().await;
    let before = check_sums(&server).await;
    server.seal().await;
    assert_eq!(check_sums(&server).await, before);
    server.stop().await;
}

async fn check_sums(server: &Server) -> Vec<Value> {
    let flows = server.get("/api/v1/flows", &[("where", "role=client")]).await;
    assert_eq!(flows["rows"].as_array().unwrap().len(), 1);
    let edge = &flows["rows"][0];
    assert_eq!(
        (&edge["bytes_sent"], &edge["connects"], &edge["srtt_us"]),
        (&json!(2_000), &json!(4), &json!(120))
    );
    assert!(edge["rtt_p50_us"].as_f64().unwrap() > 30.0, "{edge}");
    let raw = server.get("/api/v1/flows", &[("raw", "true"), ("sort", "rtt")]).await;
    assert_eq!(column(&raw, "bytes_received").len(), 4);

    let usage = server.get("/api/v1/usage", &[]).await;
    assert_eq!(column(&usage, "workload"), ["web.service", "db.service"]);
    let web = &usage["rows"][0];
    assert_eq!(web["cpu_cores"], json!(0.5), "{web}");
    assert_eq!(web["memory_working_set"], json!(64 << 20));
    assert_eq!(web["throttled_ratio"], json!(0.25));
    assert_eq!(web["net_received_bytes_per_s"], json!(900.0));
    assert_eq!(web["psi_cpu_some_ratio"], json!(0.1));
    assert!(usage["rows"][1].get("memory_working_set").is_none(), "absent is not zero: {usage}");
    for sort in ["memory", "io", "network", "run_queue"] {
        server.get("/api/v1/usage", &[("sort", sort), ("from", "-1m"), ("where", "node=a")]).await;
    }

    let calls = server.get("/api/v1/syscalls", &[("sort", "errors")]).await;
    assert_eq!(calls["rows"][0]["errnos"], json!({"ENOENT": 4, "EACCES": 2}), "{calls}");
    assert_eq!((&calls["rows"][0]["count"], &calls["rows"][0]["errors"]), (&json!(80), &json!(6)));
    assert!(calls["rows"][0]["p99_us"].as_f64().unwrap() > 0.0);
    let narrowed = server.get("/api/v1/syscalls", &[("where", "syscall=openat"), ("sort", "p99")]).await;
    assert_eq!(narrowed, calls);

    let events = server.get("/api/v1/events", &[("where", "event=exit"), ("where", "pid=4242")]).await;
    assert_eq!(column(&events, "exit_code"), ["7", "7"]);
    assert_eq!(events["rows"][0]["arguments"], json!(["curl", "-s"]));
    assert!(column(&events, "ts")[0] > column(&events, "ts")[1], "newest first");

    let drops = server.get("/api/v1/drops", &[]).await;
    assert_eq!(
        (&drops["rows"][0]["packets"], &drops["rows"][0]["reason"]),
        (&json!(6), &json!("NETFILTER_DROP"))
    );
    let block = server.get("/api/v1/block", &[]).await;
    assert_eq!(block["rows"][0]["operations"], json!(16));

    let workloads = server.get("/api/v1/workloads", &[]).await;
    let mut names = column(&workloads, "workload");
    names.sort();
    assert_eq!(names, ["db.service", "web.service"]);
    for answer in [&flows, &usage, &calls, &events, &drops, &block, &workloads] {
        assert_eq!(answer["complete"], true, "{answer}");
    }
    vec![flows, usage, calls, events, drops, block, workloads]
}

#[tokio::test(flavor = "multi_thread")]
async fn losses_make_an_answer_incomplete_and_say_why() {
    let server = filled().await;
    let mut agent = server.agent("a").await;
    let loss = LossRow {
        ts: now_ns() - 10 * SECOND,
        window_s: 10,
        signal: String::from("flow"),
        stage: String::from("kernel"),
        reason: String::from("map_full"),
        count: 12,
    };
    agent.send(1, 9, &Payload { losses: vec![loss], ..Payload::default() }).await.ack();
    let flows = server.get("/api/v1/flows", &[]).await;
    assert_eq!(flows["complete"], false);
    assert_eq!(flows["reasons"][0]["code"], "agent_gap");
    assert_eq!(flows["reasons"][0]["detail"], "12 flow lost at kernel: map_full");
    assert!(flows["reasons"][0]["from"].is_string() && flows["reasons"][0]["to"].is_string());
    assert_eq!(server.get("/api/v1/events", &[]).await["complete"], true, "another signal");
    for (query, is_complete) in [
        ("SELECT count(*) FROM flow", false),
        ("SELECT count(*) FROM flow WHERE ts < now() - INTERVAL '1 hour'", true),
        ("EXPLAIN SELECT count(*) FROM flow", true),
        ("SELECT count(*) FROM process", true),
        ("SELECT count(*) FROM loss", true),
    ] {
        let (_, answer) = server.try_sql(query).await;
        assert_eq!(answer["complete"], is_complete, "{query}: {answer}");
    }
    let losses = server.get("/api/v1/losses", &[]).await;
    assert_eq!(losses["rows"][0]["count"], json!(12));
    assert_eq!(losses["rows"][0]["node"], "a");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_from_before_what_is_kept_is_said() {
    let server = filled().await;
    let reasons = |answer: &Value| -> Vec<String> {
        let reasons = answer["reasons"].as_array().unwrap();
        reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect()
    };
    for path in ["logs", "logs/histogram", "flows", "usage", "syscalls", "events", "drops", "block", "losses"]
    {
        let path = format!("/api/v1/{path}");
        let old = server.get(&path, &[("from", "2020-01-01")]).await;
        assert!(reasons(&old).contains(&String::from("retention")), "{path}: {old}");
        let new = server.get(&path, &[("from", "-1h")]).await;
        assert!(reasons(&new).is_empty(), "{path}: {new}");
    }
    for (query, expected) in [
        ("SELECT count(*) FROM log WHERE ts >= '2020-01-01T00:00:00Z'", vec!["retention"]),
        ("SELECT body FROM log WHERE ts >= '2020-01-01T00:00:00Z'", vec!["retention"]),
        ("SELECT count(*) FROM log", vec![]),
    ] {
        assert_eq!(reasons(&server.try_sql(query).await.1), expected, "{query}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_metrics_say_how_it_stands() {
    let server = filled().await;
    let status = server.get("/api/v1/status", &[]).await;
    let agent = &status["agents"][0];
    assert_eq!(
        (&agent["node"], &agent["connected"], &agent["spool_bytes"]),
        (&json!("a"), &json!(false), &json!(17))
    );
    assert_eq!(
        agent["probes"][0],
        json!({"probe": "flows", "state": "running", "reason": "", "missing": ["drop_reason"]})
    );
    assert!(agent["lag_s"].as_f64().unwrap() < 60.0);
    assert_eq!(status["store"]["tables"][0]["head_rows"], json!(1));
    let (code, text) = server.text("/metrics").await;
    assert_eq!(code, 200);
    for line in [
        "wake_aggregator_ingest_processed_batches_total 2",
        "wake_aggregator_ingest_refused_batches_total{code=\"disk_full\"} 0",
        "wake_aggregator_store_head_rows{table=\"log\"} 1",
        "wake_aggregator_store_lost_records_total 0",
        "wake_aggregator_query_running 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert_eq!(server.text("/healthz").await.0, 200);
    assert_eq!(server.text("/readyz").await, (200, String::from("ready\n")));
    let (code, index) = server.text("/").await;
    assert!(code == 200 && index.contains("/api/v1/logs/histogram"), "{index}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_hold_only_what_the_description_names() {
    let server = filled().await;
    let document = server.get("/api/v1/openapi.json", &[]).await;
    let mut seen = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(get) = operations.get("get") else { continue };
        assert!(get["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{path} has no summary");
        // a stream, and one thing by its id, have no rows
        if path.ends_with("/follow") || path.contains('{') {
            continue;
        }
        let schema = &get["responses"]["200"]["content"]["application/json"]["schema"];
        let rows = &resolve(&document, schema)["properties"]["rows"];
        let answer = server.get(path, &[]).await;
        let Some(rows_given) = answer["rows"].as_array() else { continue };
        let item = resolve(&document, &rows["items"]);
        let known = item["properties"].as_object().unwrap_or_else(|| panic!("{path}: {schema}"));
        for row in rows_given {
            for key in row.as_object().unwrap().keys() {
                assert!(known.contains_key(key), "{path} gives {key}, which is not described");
            }
            for required in item["required"].as_array().unwrap() {
                assert!(row.get(required.as_str().unwrap()).is_some(), "{path} gives no {required}: {row}");
            }
            seen.insert(path.clone());
        }
        // Each described parameter is taken; anything else is refused.
        for parameter in get["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let (_, body) = server.try_get(path, &[(name, "\u{1}")]).await;
            let message = body["error"]["message"].as_str().unwrap_or_default();
            assert!(!message.contains("not a parameter of this endpoint"), "{path}: {message}");
        }
        let (status, body) = server.try_get(path, &[("nonsense", "1")]).await;
        assert_eq!((status, &body["error"]["position"]["parameter"]), (400, &json!("nonsense")), "{path}");
    }
    assert!(seen.len() >= 9, "{seen:?}");
    server.stop().await;
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}
