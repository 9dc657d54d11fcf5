//! Counting log lines by SQL: the same as counting them one by one, whether sketches answer, rows, or both.

use std::collections::BTreeMap;

use proto::v1::{LogRow, Payload};
use serde_json::{Value, json};

use crate::agent::identity;
use crate::server::{Server, now_ns};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

#[derive(Clone)]
struct Line {
    ts: u64,
    level: &'static str,
    workload: usize,
    body: String,
}

const WORKLOADS: [&str; 2] = ["db.service", "web.service"];

/// Ten minutes of lines, not evenly, from a whole minute on.
fn lines(start: u64) -> Vec<Line> {
    let level = |at: u64| ["", "error", "info", "info"][(at % 4) as usize];
    let line = |at: u64| Line {
        ts: start + at * at * 37 * SECOND / 20 % (10 * MINUTE),
        level: level(at),
        workload: usize::from(at.is_multiple_of(3)),
        body: format!("line {at} {}", level(at)),
    };
    (0..300).map(line).collect()
}

fn payload(lines: &[Line]) -> Payload {
    let row = |line: &Line| LogRow {
        identity: line.workload as u32,
        ts: line.ts,
        observed_ts: line.ts,
        body: line.body.clone().into_bytes().into(),
        level: line.level.to_owned(),
        ..LogRow::default()
    };
    let identities = WORKLOADS.map(|workload| identity("a", workload)).to_vec();
    Payload { identities, logs: lines.iter().map(row).collect(), ..Payload::default() }
}

/// Keys and counts, as SQL gives them ordered by the keys.
fn truth(lines: &[Line], key: impl Fn(&Line) -> Vec<Value>) -> Value {
    let mut counts: BTreeMap<String, (Vec<Value>, u64)> = BTreeMap::new();
    for line in lines {
        let key = key(line);
        counts.entry(json!(key).to_string()).or_insert((key, 0)).1 += 1;
    }
    let row = |(mut key, count): (Vec<Value>, u64)| {
        key.push(json!(count));
        Value::Array(key)
    };
    Value::Array(counts.into_values().map(row).collect())
}

fn sorted(rows: Value) -> Value {
    let mut rows = rows.as_array().unwrap().clone();
    rows.sort_by_key(Value::to_string);
    Value::Array(rows)
}

fn level(line: &Line) -> Value {
    if line.level.is_empty() { Value::Null } else { json!(line.level) }
}

fn bucket(line: &Line, width: u64) -> Value {
    let start = line.ts / width * width;
    json!(format!("{:.9}", jiff::Timestamp::from_nanosecond(i128::from(start)).unwrap()))
}

async fn check(server: &Server, lines: &[Line], start: u64) {
    let is_counted = async |query: &str| {
        let plan = server.sql(&format!("EXPLAIN {query}")).await.to_string();
        plan.contains("LogCounts")
    };
    let time = |ns: u64| jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap().to_string();
    // half a minute in, so that the first and the last are no whole minutes
    let (from, to) = (start + MINUTE / 2, start + 7 * MINUTE + 3 * SECOND);
    let range = format!("ts >= '{}' AND ts < '{}'", time(from), time(to));
    let within: Vec<Line> = lines.iter().filter(|line| line.ts >= from && line.ts < to).cloned().collect();
    let of = |wanted: &str| -> Vec<Line> {
        lines.iter().filter(|line| line.body.contains(wanted)).cloned().collect()
    };
    let queries: Vec<(String, Value)> = vec![
        ("SELECT count(*) FROM log".into(), truth(lines, |_| vec![])),
        ("SELECT level, count(*) FROM log GROUP BY level".into(), truth(lines, |line| vec![level(line)])),
        (
            "SELECT workload, count(1) AS n FROM log GROUP BY 1 ORDER BY n DESC".into(),
            truth(lines, |line| vec![json!(WORKLOADS[line.workload])]),
        ),
        ("SELECT namespace, count(*) FROM log GROUP BY 1".into(), truth(lines, |_| vec![json!("")])),
        (
            "SELECT date_trunc('minute', ts) AS minute, level, count(*) FROM log GROUP BY 1, 2".into(),
            truth(lines, |line| vec![bucket(line, MINUTE), level(line)]),
        ),
        (
            format!(
                "SELECT level, date_bin(INTERVAL '2 minutes', ts) AS t, count(*) FROM log WHERE {range} GROUP BY level, t"
            ),
            truth(&within, |line| vec![level(line), bucket(line, 2 * MINUTE)]),
        ),
        (
            "SELECT workload, count(*) FROM log WHERE body LIKE '%line 1%' GROUP BY workload".into(),
            truth(&of("line 1"), |line| vec![json!(WORKLOADS[line.workload])]),
        ),
        (
            "SELECT date_trunc('hour', ts) AS h, count(*) FROM log WHERE level = 'error' GROUP BY h".into(),
            truth(&of("error"), |line| vec![bucket(line, 60 * MINUTE)]),
        ),
    ];
    for (query, expected) in queries {
        assert!(is_counted(&query).await, "{query} is no histogram");
        assert_eq!(sorted(server.sql(&query).await), expected, "{query}");
    }
    // what only looks like it is counted row by row, and right
    let errors = of("error").len();
    for (query, expected) in [
        (
            "SELECT count(level) FROM log",
            json!([[lines.iter().filter(|line| !line.level.is_empty()).count()]]),
        ),
        ("SELECT count(DISTINCT level) FROM log", json!([[2]])),
        ("SELECT count(*) FILTER (WHERE level = 'error') FROM log", json!([[errors]])),
        ("SELECT count(*) FROM log WHERE length(body) > 0", json!([[lines.len()]])),
        ("SELECT count(*), max(ts) > min(ts) FROM log", json!([[lines.len(), true]])),
        ("SELECT count(*) FROM (SELECT * FROM log LIMIT 7)", json!([[7]])),
    ] {
        assert!(!is_counted(query).await, "{query} is a histogram");
        assert_eq!(server.sql(query).await, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_those_of_the_rows() {
    let server = Server::start().await;
    assert_eq!(server.sql("SELECT count(*) FROM log").await, json!([[0]]), "one row, even of nothing");
    assert_eq!(server.sql("SELECT level, count(*) FROM log GROUP BY level").await, json!([]));
    let start = now_ns() / MINUTE * MINUTE - 30 * MINUTE;
    let all = lines(start);
    let mut agent = server.agent("a").await;
    agent.send(1, 1, &payload(&all[..200])).await.ack();
    check(&server, &all[..200], start).await;
    server.seal().await;
    check(&server, &all[..200], start).await;
    agent.send(1, 2, &payload(&all[200..])).await.ack();
    check(&server, &all, start).await;
    server.stop().await;
}
