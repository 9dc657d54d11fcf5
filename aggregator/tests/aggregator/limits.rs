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
