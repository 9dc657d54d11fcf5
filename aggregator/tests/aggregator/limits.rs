//! Limits that limit: time, rows, memory, how many at once; and a store that is full and recovers alone.

use std::time::Duration;

use proto::v1::agent_message::Kind;
use proto::v1::{AgentMessage, Payload};
use serde_json::json;

use crate::agent::{Agent, hello, logs};
use crate::server::{Server, now_ns};

/// Costs more time than anybody has, in few rows of memory.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000) b WHERE a.value % 7 = b.value % 5";

#[tokio::test(flavor = "multi_thread")]
async fn time_is_limited() {
    let server = Server::start_with(|config| config.query.timeout_s = 1).await;
    let (status, body) = server.try_sql(ENDLESS).await;
    assert_eq!((status, &body["error"]["code"]), (504, &json!("timeout")), "{body}");
    // The place is free again.
    let answer = poll(async || server.try_sql("SELECT 1").await, |(status, _)| *status == 200).await;
    assert_eq!(answer.1["rows"], json!([[1]]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_limited_and_the_answer_says_so() {
    let server = Server::start_with(|config| config.query.max_rows = 10).await;
    let (status, body) = server.try_sql("SELECT * FROM generate_series(1, 1000)").await;
    assert_eq!(status, 200);
    assert_eq!(body["rows"].as_array().unwrap().len(), 10);
    assert_eq!((&body["complete"], &body["reasons"][0]["code"]), (&json!(false), &json!("row_limit")));
    let (_, body) = server.try_sql("SELECT * FROM generate_series(1, 10)").await;
    assert_eq!(body["complete"], true, "exactly as many as may be: {body}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_limited() {
    let server = Server::start_with(|config| {
        config.query.memory_mib = 4;
        config.query.spill_mib = 1;
    })
    .await;
    let query = "SELECT value, count(*) FROM generate_series(1, 5000000) GROUP BY value ORDER BY value DESC";
    let (status, body) = server.try_sql(query).await;
    assert_eq!((status, &body["error"]["code"]), (422, &json!("memory")), "{body}");
    assert_eq!(server.sql("SELECT 1").await, json!([[1]]));
    server.stop().await;
}

/// Each would take hours, all memory, or all of the stack; each ends in time with a code that says which.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_queries_end_with_a_typed_answer() {
    let server = Server::start_with(|config| {
        config.query.timeout_s = 2;
        config.query.memory_mib = 8;
        config.query.spill_mib = 4;
    })
    .await;
    let mut agent = server.agent("a").await;
    agent.send(1, 1, &noise(1)).await.ack();
    let many = "generate_series(1, 100000000)";
    let nested = format!("SELECT {}1{}", "abs(".repeat(60), ")".repeat(60));
    let deep = format!("SELECT {}1{}", "abs(".repeat(600), ")".repeat(600));
    let wide = format!("SELECT {} FROM log", vec!["max(body)"; 900].join(", "));
    let joins = format!(
        "SELECT count(*) FROM log l0 {}",
        (1..9).map(|at| format!("CROSS JOIN log l{at} ")).collect::<String>()
    );
    for query in [
        joins.as_str(),
        &format!("SELECT * FROM {many} a CROSS JOIN {many} b WHERE a.value + b.value = 0"),
        &format!("SELECT value, repeat('x', 1000) AS t FROM {many} ORDER BY t, value DESC"),
        &format!("SELECT array_agg(value) FROM {many}"),
        &format!("SELECT string_agg(repeat('x', 100), '') FROM {many}"),
        &format!("SELECT value, row_number() OVER (ORDER BY -value) FROM {many}"),
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT t.n FROM t, log) SELECT count(*) FROM t",
        "SELECT array_repeat(1, 2000000000)",
        "SELECT range(TIMESTAMP '1970-01-01', TIMESTAMP '2026-01-01', INTERVAL '1 millisecond')",
        "SELECT array_length(generate_series(1, 4000000000))",
        "SELECT length(replace(repeat('a', 1000000), 'a', repeat('b', 1000000)))",
        "SELECT max(length(repeat(body, 100000))) FROM log",
        "SELECT repeat('x', 2147483647)",
        "SELECT lpad('x', 2000000000, 'y')",
        "SELECT count(*) FROM log WHERE body ~ '(x+x+)+y(a|aa)+$'",
        &nested,
        &deep,
        &wide,
        &"(".repeat(100_000),
        &format!("SELECT {}", vec!["1"; 3_000].join(" + ")),
    ] {
        let asked = tokio::time::timeout(Duration::from_secs(30), server.try_sql(query)).await;
        let (status, body) = asked.unwrap_or_else(|_| panic!("{query:.80}: no answer"));
        let code = body["error"]["code"].as_str().unwrap_or_default();
        let is_typed = matches!(
            (status, code),
            (200, "") | (504, "timeout") | (422, "memory") | (400, "invalid") | (413, "too_large")
        );
        assert!(is_typed, "{query:.80}: {status} {body:.300}");
    }
    // what grows within bounds works as ever
    let grown = "SELECT repeat('ab', 2), lpad('7', 3, '0'), range(0, 3), replace('abc', 'b', 'xx'), array_repeat(1, 2)";
    assert_eq!(server.sql(grown).await, json!([["abab", "007", [0, 1, 2], "axxc", [1, 1]]]));
    // nobody else suffers, and every place is free again
    let answer =
        poll(async || server.try_sql("SELECT count(*) FROM log").await, |(status, _)| *status == 200).await;
    assert_eq!(answer.1["rows"], json!([[200]]), "{answer:?}");
    server.stop().await;
}

/// Each makes far more than it may hold out of little, where the engine does not count; each is told so, before it does.
#[tokio::test(flavor = "multi_thread")]
async fn what_expressions_joins_and_windows_hold_is_limited() {
    let server = Server::start_with(|config| {
        config.query.memory_mib = 32;
        config.query.timeout_s = 20;
    })
    .await;
    let mut agent = server.agent("a").await;
    agent.send(1, 1, &noise(1)).await.ack();
    let rows = "generate_series(1, 4000000)";
    let mut doubled = String::from("SELECT body AS t0 FROM log");
    for at in 0..14 {
        // of names of their own: the engine takes a projection that is written twice for one
        doubled = format!("SELECT t{at} || t{at} AS t{} FROM ({doubled})", at + 1);
    }
    let columns: Vec<String> =
        (0..200).map(|at| format!("repeat('{at}', 4000 + value % 2) AS c{at}")).collect();
    let wide = "(SELECT repeat('x', 1000000 + value) AS t FROM generate_series(1, 2))";
    for query in [
        format!("SELECT max(length(t14)) FROM ({doubled})"),
        format!("SELECT {} FROM {rows}", columns.join(", ")),
        format!("SELECT max(length(a.t)) FROM {wide} a, {rows} b WHERE length(a.t) + b.value > 0"),
        format!("SELECT a.t, b.value FROM {wide} a CROSS JOIN {rows} b"),
        format!("SELECT t, unnest(range(0, 1000000)) FROM {wide}"),
        format!("SELECT sum(value) OVER (), value + 1 FROM {rows}"),
        format!(
            "SELECT first_value(t) OVER (), value FROM (SELECT repeat('x', 1000) AS t, value FROM {rows})"
        ),
        format!(
            "SELECT max(l) FROM (SELECT lag(t, 3999999) OVER () AS l FROM (SELECT repeat('x', 1000) AS t, value FROM {rows}))"
        ),
        format!("SELECT array_agg(value || 'x') FROM {rows}"),
        format!("SELECT string_agg(value || 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', ',') FROM {rows}"),
        String::from(
            "WITH RECURSIVE t AS (SELECT 'x' AS n UNION ALL SELECT n || n FROM t) SELECT max(length(n)) FROM t",
        ),
        String::from("SELECT array_to_string(range(0, 1000000), repeat('x', 100000))"),
        String::from("SELECT repeat('x', 60000000) FROM log"),
    ] {
        let (status, body) = server.try_sql(&query).await;
        assert_eq!((status, &body["error"]["code"]), (422, &json!("memory")), "{query:.120}: {body:.300}");
    }
    // a constant is made a column of a few rows at a time
    let long = "y".repeat(200_000);
    let query = format!(
        "SELECT count(*) FROM (SELECT '{long}' || value AS t FROM generate_series(1, 2000)) WHERE length(t) > 200000"
    );
    // how many of these pieces are under way at once is up to the threads: with a slow one it may be one too many
    let (_, answer) = poll(async || server.try_sql(&query).await, |(status, _)| *status == 200).await;
    assert_eq!(answer["rows"], json!([[2000]]));
    // and what fits is answered as ever
    let query = "SELECT count(*), sum(n), max(t) FROM (SELECT row_number() OVER (ORDER BY a.value, b.value) AS n, \
                 'k' || a.value AS t FROM generate_series(1, 200) a, generate_series(1, 200) b)";
    assert_eq!(server.sql(query).await, json!([[40_000, 800_020_000, "k99"]]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_queries_than_may_wait_are_refused() {
    let server = Server::start_with(|config| {
        config.query.running = 1;
        config.query.timeout_s = 3;
    })
    .await;
    let asked = (0..12).map(|_| server.try_sql(ENDLESS));
    let answers = futures::future::join_all(asked).await;
    let count = |code: u16| answers.iter().filter(|(status, _)| *status == code).count();
    assert!(count(429) >= 5 && count(504) >= 1, "{answers:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_agents_than_may_connect_are_refused() {
    let server = Server::start_with(|config| config.ingest.max_agents = 1).await;
    let _first = server.agent("a").await;
    poll(async || server.get("/api/v1/status", &[]).await, |status| status["agents"][0]["connected"] == true)
        .await;
    let hello = AgentMessage { kind: Some(Kind::Hello(hello("b"))) };
    let mut second = Agent::connect_with(server.ingest, hello, "b").await.unwrap();
    assert_eq!(second.answer().await.unwrap_err().code(), tonic::Code::ResourceExhausted);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_followers_than_may_be_are_refused() {
    let server = Server::start_with(|config| config.api.max_followers = 1).await;
    let first = server.http.get(format!("http://{}/api/v1/logs/follow", server.api)).send().await.unwrap();
    assert_eq!(first.status().as_u16(), 200);
    let (status, body) = server.try_get("/api/v1/logs/follow", &[]).await;
    assert_eq!((status, &body["error"]["code"]), (429, &json!("busy")), "{body}");
    drop(first);
    poll(
        async || {
            server
                .http
                .get(format!("http://{}/api/v1/logs/follow", server.api))
                .send()
                .await
                .unwrap()
                .status()
        },
        |status| status.is_success(),
    )
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_refuses_for_now_and_takes_again_by_itself() {
    // Whatever is written is above the limits; each round of housekeeping seals it away.
    let server = Server::start_with(|config| {
        config.store.wal_soft_mib = 1;
        config.store.wal_hard_mib = 1;
    })
    .await;
    let mut agent = server.agent("a").await;
    let (mut seq, mut refused, mut lines) = (1, 0, 0);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while (refused == 0 || seq < 20) && tokio::time::Instant::now() < deadline {
        match agent.send(1, seq, &noise(seq)).await {
            crate::agent::Answer::Ack(_) => {
                seq += 1;
                lines += 200;
            }
            crate::agent::Answer::Refused(answer) => {
                assert!(answer.retryable && answer.retry_after_ms > 0, "{answer:?}");
                assert_eq!(answer.code, "wal_full", "{answer:?}");
                refused += 1;
                tokio::time::sleep(Duration::from_millis(answer.retry_after_ms)).await;
            }
        }
    }
    assert!(refused > 0 && seq >= 20, "refused {refused}, stored {seq}");
    assert_eq!(server.sql("SELECT count(*), count(DISTINCT body) FROM log").await, json!([[lines, lines]]));
    server.stop().await;
}

/// 200 lines that do not shrink.
fn noise(seed: u64) -> Payload {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let bodies: Vec<String> =
        (0..200).map(|_| (0..60).map(|_| format!("{:016x}", next())).collect()).collect();
    let now = now_ns();
    logs("a", &bodies.iter().map(|body| (now, body.as_str())).collect::<Vec<_>>())
}

/// Asks until the answer is right or the patience is at its end.
async fn poll<T>(mut ask: impl AsyncFnMut() -> T, is_right: impl Fn(&T) -> bool) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let answer = ask().await;
        if is_right(&answer) || tokio::time::Instant::now() > deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
