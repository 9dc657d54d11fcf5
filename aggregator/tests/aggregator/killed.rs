//! The real binary, killed at any moment: nothing acknowledged is lost, nothing is there twice.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proto::v1::agent_message::Kind;
use serde_json::{Value, json};

use crate::agent::{Agent, Answer, batch, logs};
use crate::server::now_ns;

/// Rounds of kill; more in the full run.
const ROUNDS: u64 = 10;
const FULL_ROUNDS: u64 = 50;

/// A process of its own.
struct Process {
    child: Child,
    ingest: SocketAddr,
    api: SocketAddr,
}

impl Process {
    async fn start(dir: &Path) -> Self {
        let config = dir.join("aggregator.yaml");
        let text = json!({
            "version": 1,
            "data_dir": dir.join("data"),
            "ingest": { "listen": "127.0.0.1:0" },
            "api": { "listen": "127.0.0.1:0" },
            "otlp": { "grpc_listen": "off", "http_listen": "off" },
            // the machine's disk may be full of other things
            "store": { "disk_drop_percent": 100, "disk_refuse_percent": 100 },
        });
        std::fs::write(&config, text.to_string()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wake-aggregator"))
            .arg("--config")
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut first = Value::Null;
        for line in lines.by_ref() {
            let line = line.unwrap();
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            assert_ne!(line["level"], "ERROR", "{line}");
            if line["ingest"].is_string() {
                first = line.clone();
            }
            if line["message"] == "ready" {
                break;
            }
        }
        // Nobody reads further lines, but the pipe must not fill.
        std::thread::spawn(move || lines.for_each(drop));
        let address = |name: &str| first[name].as_str().unwrap_or_else(|| panic!("{first}")).parse().unwrap();
        Self { ingest: address("ingest"), api: address("api"), child }
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let request = reqwest::Client::new().post(format!("http://{}{path}", self.api)).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_loses_and_doubles_nothing() {
    let rounds = if std::env::var_os("WAKE_FULL").is_some() { FULL_ROUNDS } else { ROUNDS };
    let dir = tempfile::tempdir().unwrap();
    // What the agent would hold in its spool: sent, but not acknowledged yet.
    let (mut unacknowledged, mut next): (Vec<u64>, u64) = (Vec::new(), 1);
    let mut acknowledged = 0_u64;
    let seed = std::env::var("WAKE_SEED").ok().and_then(|text| text.parse().ok());
    let mut random: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("WAKE_SEED={random}");
    for round in 0..rounds {
        let mut process = Process::start(dir.path()).await;
        let mut agent = Agent::connect(process.ingest, "a").await;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let answers_before_the_kill = random >> 33 & 63;
        let is_sealing = round % 3 == 1;
        let resend = unacknowledged.clone();
        let fresh: Vec<u64> = (next..next + 100 - resend.len() as u64).collect();
        next += fresh.len() as u64;
        unacknowledged.extend(&fresh);
        let seal = is_sealing.then(|| {
            let url = format!("http://{}/api/v1/admin/seal", process.api);
            // Cut off by the kill, mostly.
            tokio::spawn(async move { reqwest::Client::new().post(url).send().await.map(drop) })
        });
        let (mut waiting, mut sent) = (resend.iter().chain(&fresh), 0_u64);
        let mut answered = 0;
        while answered < answers_before_the_kill {
            while sent - answered < 16 {
                let Some(seq) = waiting.next() else { break };
                agent.say(Kind::Batch(batch("a", 1, *seq, &numbered(*seq)))).await;
                sent += 1;
            }
            let Answer::Ack(ack) = agent.answer().await.unwrap() else { panic!("refused") };
            assert_eq!(ack.rejected_rows, 0);
            answered += 1;
            acknowledged += 1;
            unacknowledged.retain(|seq| *seq != ack.seq);
        }
        process.kill();
        if let Some(seal) = seal {
            drop(seal.await);
        }
    }
    let process = Process::start(dir.path()).await;
    // What was not acknowledged may or may not be there; sent again, it is there once.
    let mut agent = Agent::connect(process.ingest, "a").await;
    let query = json!({"query": "SELECT count(*), count(DISTINCT body) FROM log"});
    let before = process.post("/api/v1/sql", query.clone()).await;
    assert!(
        before["rows"][0][0].as_u64().unwrap() >= acknowledged * 3,
        "{before}, {acknowledged} acknowledged"
    );
    assert_eq!(before["rows"][0][0], before["rows"][0][1], "doubled: {before}");
    for seq in &unacknowledged {
        agent.send(1, *seq, &numbered(*seq)).await.ack();
    }
    let after = process.post("/api/v1/sql", query).await;
    assert_eq!(after["rows"], json!([[(next - 1) * 3, (next - 1) * 3]]), "{acknowledged} acknowledged");
}

/// Three lines that name their batch.
fn numbered(seq: u64) -> proto::v1::Payload {
    let lines: Vec<String> = (0..3).map(|line| format!("batch {seq} line {line}")).collect();
    logs("a", &lines.iter().map(|line| (now_ns(), line.as_str())).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_in_time_and_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path()).await;
    let mut agent = Agent::connect(process.ingest, "a").await;
    agent.log(1, &[(now_ns(), "kept")]).await;
    let pid = process.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let status = loop {
        if let Some(status) = process.child.try_wait().unwrap() {
            break status;
        }
        assert!(tokio::time::Instant::now() < deadline, "still running");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(status.success(), "{status}");
    let process = Process::start(dir.path()).await;
    let answer = process.post("/api/v1/sql", json!({"query": "SELECT body FROM log"})).await;
    assert_eq!(answer["rows"], json!([["kept"]]));
}

#[test]
fn the_binary_prints_what_it_is_asked_for() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_wake-aggregator")).args(arguments).output().unwrap()
    };
    let document: Value = serde_json::from_slice(&run(&["--print-openapi"]).stdout).unwrap();
    assert!(document["paths"]["/api/v1/sql"]["post"].is_object());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("aggregator.yaml");
    std::fs::write(&path, run(&["--print-example-config"]).stdout).unwrap();
    let path = path.to_str().unwrap();
    assert!(run(&["--config", path, "--check-config"]).status.success());
    std::fs::write(path, "version: 1\nquery: {max_rows: 0}\nfoo: 1\n").unwrap();
    let refused = run(&["--config", path, "--check-config"]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(64), "{text}");
    assert!(text.contains("query.max_rows") && text.contains("foo"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_data_is_said_and_the_rest_is_served() {
    let server = crate::server::Server::start().await;
    let mut agent = server.agent("a").await;
    for seq in 1..=3 {
        agent.log(seq, &[(now_ns(), &format!("line {seq}"))]).await;
    }
    let dir = server.stop().await;
    let wal = dir.path().join("data/wal");
    let file = std::fs::read_dir(&wal).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&file, bytes).unwrap();
    let server = crate::server::Server::start_in(dir, |_config| {}).await;
    let (status, text) = server.text("/readyz").await;
    assert!(status == 200 && text.contains("acknowledged data is lost"), "{status} {text}");
    let (_, metrics) = server.text("/metrics").await;
    assert!(!metrics.contains("wake_aggregator_store_lost_records_total 0"), "{metrics}");
    let bodies = server.sql("SELECT body FROM log ORDER BY body").await;
    assert!((1..3).contains(&bodies.as_array().unwrap().len()), "{bodies}");
    server.stop().await;
}
