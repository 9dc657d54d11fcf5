//! From a batch to an answer: search, SQL, follow, histogram, before and after a seal.

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::server::{Server, column, now_ns};

const SECOND: u64 = 1_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_found_by_the_next_query() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    for seq in 1..=50 {
        let body = format!("request {seq} done, token-{seq:04}");
        let ack = agent.log(seq, &[(now_ns(), &body)]).await;
        assert!(!ack.repeated && ack.rejected_rows == 0);
        let answer = server.get("/api/v1/logs", &[("contains", &format!("token-{seq:04}"))]).await;
        assert_eq!(column(&answer, "body"), [body]);
    }
    assert_eq!(server.sql("SELECT count(*) FROM log").await, json!([[50]]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_ask_gives_the_same_before_and_after_a_seal() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let start = now_ns() - 600 * SECOND;
    let lines: Vec<(u64, String)> = (0..300_u64)
        .map(|line| {
            let word = if line % 10 == 0 { "error" } else { "fine" };
            (start + line * SECOND, format!("GET /item/{line} {word} 50% off it's {line:03}"))
        })
        .collect();
    let borrowed: Vec<(u64, &str)> = lines.iter().map(|(ts, body)| (*ts, body.as_str())).collect();
    agent.log(1, &borrowed).await;

    let before = ask(&server).await;
    assert_eq!(before[0]["rows"].as_array().unwrap().len(), 30);
    let mut sealed = server.seal().await;
    sealed.dedup();
    assert_eq!(sealed, ["log"]);
    assert_eq!(ask(&server).await, before);
    agent.log(2, &[(now_ns(), "after the seal error")]).await;
    assert_eq!(server.sql("SELECT count(*) FROM log WHERE body LIKE '%error%'").await, json!([[31]]));

    let dir = server.stop().await;
    let server = Server::start_in(dir, |_config| {}).await;
    assert_eq!(server.sql("SELECT count(*) FROM log WHERE body LIKE '%error%'").await, json!([[31]]));
    server.stop().await;
}

async fn ask(server: &Server) -> Vec<Value> {
    let from = ("from", "-1h");
    let mut answers = vec![
        server.get("/api/v1/logs", &[("contains", "error"), ("contains", "GET"), from]).await,
        server.get("/api/v1/logs", &[("word", "007"), from]).await,
        server.get("/api/v1/logs", &[("regex", "item/1[0-9] "), ("exclude", "error"), from]).await,
        server
            .get("/api/v1/logs", &[("contains", "ERROR"), ("ignore_case", "true"), ("limit", "3"), from])
            .await,
        server
            .get(
                "/api/v1/logs",
                &[("where", "workload=web.service"), ("where", "region=north"), ("limit", "5")],
            )
            .await,
        server.get("/api/v1/logs", &[("where", "workload=other")]).await,
        server.get("/api/v1/logs/histogram", &[("by", "level"), ("step", "1m"), from]).await,
        server
            .get(
                "/api/v1/logs/histogram",
                &[("by", "workload"), ("step", "all"), ("contains", "error"), from],
            )
            .await,
    ];
    for query in [
        "SELECT count(*) FROM log",
        "SELECT level, count(*) AS n FROM log GROUP BY level ORDER BY level",
        "SELECT count(*) FROM log WHERE body LIKE '%error%'",
        "SELECT count(*) FROM log WHERE body NOT LIKE '%error%'",
        "SELECT count(*) FROM log WHERE body LIKE '%50\\% off%'",
        "SELECT count(*) FROM log WHERE body ILIKE '%ERROR%'",
        "SELECT count(*) FROM log WHERE body LIKE 'GET%error%'",
        "SELECT count(*) FROM log WHERE strpos(body, 'it''s') > 0 AND contains(body, '007')",
        "SELECT count(*) FROM log WHERE regexp_like(body, 'item/1[0-9] ')",
        "SELECT count(*) FROM log WHERE body ~ '^GET' AND level = 'error'",
        "SELECT count(*) FROM log WHERE body ~* '\\bERROR\\b'",
        "SELECT count(*) FROM log WHERE regexp_like(body, '^get', 'i')",
        "SELECT body FROM log WHERE body LIKE '%error%' ORDER BY ts DESC LIMIT 3",
        "SELECT body FROM log ORDER BY ts LIMIT 2",
        "SELECT body, attributes['region'] FROM log WHERE attributes['region'] = 'north' ORDER BY ts DESC LIMIT 1",
        "SELECT count(*) FROM log WHERE ts > now() - INTERVAL '1 hour' AND node = 'a' AND cgroup_id = 42",
        "SELECT date_bin(INTERVAL '1 minute', ts) AS minute, count(*) FROM log GROUP BY minute ORDER BY minute",
        "SELECT DISTINCT workload, source FROM log",
    ] {
        answers.push(server.sql(query).await);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_get_each_line_once_as_it_arrives() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    agent.log(1, &[(now_ns(), "before")]).await;
    let url = format!("http://{}/api/v1/logs/follow?contains=keep", server.api);
    let mut lines = server.http.get(&url).send().await.unwrap().bytes_stream();
    let mut text = String::new();
    for seq in 2..=40 {
        let keep = format!("keep {seq}");
        agent.log(seq, &[(now_ns(), &keep), (now_ns(), "leave")]).await;
        if seq == 20 {
            server.seal().await;
        }
        while text.lines().count() < usize::try_from(seq - 1).unwrap() {
            let piece = tokio::time::timeout(std::time::Duration::from_secs(10), lines.next()).await.unwrap();
            text.push_str(std::str::from_utf8(&piece.unwrap().unwrap()).unwrap());
        }
    }
    let bodies: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(bodies, (2..=40).map(|seq| format!("keep {seq}")).collect::<Vec<_>>());
    // The stream ends with the server, not after it.
    server.stop().await;
    assert!(lines.next().await.is_none_or(|piece| piece.is_err()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_from_a_time_gets_what_was_there_and_what_comes() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    agent.log(1, &[(now_ns() - 5 * SECOND, "one"), (now_ns() - 4 * SECOND, "two")]).await;
    let url = format!("http://{}/api/v1/logs/follow?from=-1m", server.api);
    let mut lines = server.http.get(&url).send().await.unwrap().bytes_stream();
    agent.log(2, &[(now_ns(), "three")]).await;
    let mut text = String::new();
    while text.lines().count() < 3 {
        let piece = tokio::time::timeout(std::time::Duration::from_secs(10), lines.next()).await.unwrap();
        text.push_str(std::str::from_utf8(&piece.unwrap().unwrap()).unwrap());
    }
    let bodies: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(bodies, ["one", "two", "three"]);
    drop(lines);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_gets_a_long_past_whole_and_in_order() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let start = now_ns() - 50 * SECOND;
    // of one time, so that pages end within it
    for seq in 1..=4 {
        let lines: Vec<String> = (0..3_000).map(|at| format!("line {}", (seq - 1) * 3_000 + at)).collect();
        let lines: Vec<(u64, &str)> = lines.iter().map(|line| (start, line.as_str())).collect();
        agent.log(seq, &lines).await;
        if seq == 2 {
            server.seal().await;
        }
    }
    let url = format!("http://{}/api/v1/logs/follow?from=-5m", server.api);
    let mut lines = server.http.get(&url).send().await.unwrap().bytes_stream();
    agent.log(5, &[(now_ns(), "line 12000")]).await;
    let mut text = Vec::new();
    while text.iter().filter(|byte| **byte == b'\n').count() < 12_001 {
        let piece = tokio::time::timeout(std::time::Duration::from_secs(20), lines.next()).await.unwrap();
        text.extend_from_slice(&piece.unwrap().unwrap());
    }
    for (at, line) in std::str::from_utf8(&text).unwrap().lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["body"], format!("line {at}"));
    }
    drop(lines);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_utf8_is_shown_and_kept() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut payload = crate::agent::logs("a", &[(now_ns(), "x")]);
    payload.logs[0].body = b"caf\xe9 au lait".to_vec().into();
    agent.send(1, 1, &payload).await.ack();
    let answer = server.get("/api/v1/logs", &[("contains", "au lait")]).await;
    assert_eq!(answer["rows"][0]["body"], "caf\u{fffd} au lait");
    assert_eq!(answer["rows"][0]["body_raw"], "Y2Fm6SBhdSBsYWl0");
    assert_eq!(server.sql("SELECT body FROM log").await, json!([["caf\u{fffd} au lait"]]));
    server.stop().await;
}
