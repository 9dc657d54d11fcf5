//! What no well-meaning client sends: each is refused by name, and nothing else suffers.

use proptest::prelude::{Strategy as _, any, prop};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proto::error::ErrorCode;
use proto::v1::agent_message::Kind;
use proto::v1::{AgentMessage, Batch, Hello, Payload};
use serde_json::{Value, json};

use crate::agent::{Agent, batch, hello, logs};
use crate::server::{Server, now_ns};

fn runner(seed: u8) -> TestRunner {
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_must_begin_with_a_hello_of_this_version() {
    let server = Server::start().await;
    let firsts = [
        (Kind::Batch(Batch::default()), tonic::Code::InvalidArgument),
        (Kind::Hello(Hello { wire_version: 99, ..hello("a") }), tonic::Code::FailedPrecondition),
        (Kind::Hello(hello("")), tonic::Code::InvalidArgument),
        (Kind::Hello(hello(&"a".repeat(9_000))), tonic::Code::InvalidArgument),
        (Kind::Hello(hello("new\nline")), tonic::Code::InvalidArgument),
    ];
    for (first, code) in firsts {
        let shown = format!("{first:?}");
        let agent = Agent::connect_with(server.ingest, AgentMessage { kind: Some(first) }, "a").await;
        let status = match agent {
            Ok(mut agent) => agent.answer().await.unwrap_err(),
            Err(status) => status,
        };
        assert_eq!(status.code(), code, "{shown}: {status:?}");
    }
    assert_eq!(server.get("/api/v1/status", &[]).await["agents"], json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_batch_refuses_itself_and_the_stream_goes_on() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let good = logs("a", &[(now_ns(), "good")]);
    let whole = batch("a", 1, 1, &good);
    let cut = whole.zstd_payload.slice(..whole.zstd_payload.len() / 2);
    let bad = [
        Batch { zstd_payload: Vec::new().into(), ..whole.clone() },
        Batch { zstd_payload: b"not zstd".to_vec().into(), ..whole.clone() },
        Batch { zstd_payload: cut, ..whole.clone() },
        Batch { unpacked_bytes: whole.unpacked_bytes + 1, ..whole.clone() },
        Batch { unpacked_bytes: u64::MAX, ..whole.clone() },
        Batch { node: String::from("somebody else"), ..whole.clone() },
        batch("a", 1, 1, &Payload { identities: Vec::new(), ..Payload::default() }),
    ];
    let last = bad.len() - 1;
    for (index, batch) in bad.into_iter().enumerate() {
        agent.say(Kind::Batch(batch)).await;
        if index == last {
            // A batch of no rows is a batch all the same.
            agent.answer().await.unwrap().ack();
            continue;
        }
        let refused = agent.answer().await.unwrap().refused();
        assert!(
            !refused.retryable && ["invalid", "forbidden", "too_large"].contains(&refused.code.as_str()),
            "{refused:?}"
        );
    }
    let mut rows =
        logs("a", &[(now_ns(), "kept"), (1, "too old"), (u64::MAX, "too new"), (now_ns(), "stranger")]);
    rows.logs[3].identity = 7;
    let ack = agent.send(1, 2, &rows).await.ack();
    let reasons: Vec<_> = ack.rejected.iter().map(|row| (row.index, row.reason.as_str())).collect();
    assert_eq!(reasons, [(1, "too_old"), (2, "too_new"), (3, "unknown_identity")]);
    let (_, answer) = server.try_sql("SELECT body FROM log").await;
    // and that something was left out is said
    assert_eq!((&answer["rows"], &answer["complete"]), (&json!([["kept"]]), &json!(false)), "{answer}");
    let (_, metrics) = server.text("/metrics").await;
    assert!(metrics.contains("wake_aggregator_ingest_discarded_rows_total 3"), "{metrics}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_is_acknowledged_as_repeated() {
    let server = Server::start().await;
    let payload = logs("a", &[(now_ns(), "once")]);
    for connection in 0..3 {
        let mut agent = server.agent("a").await;
        // Both copies may be in flight at once.
        agent.say(Kind::Batch(batch("a", 5, 1, &payload))).await;
        agent.say(Kind::Batch(batch("a", 5, 1, &payload))).await;
        let answers = [agent.answer().await.unwrap().ack(), agent.answer().await.unwrap().ack()];
        let new = answers.iter().filter(|ack| !ack.repeated).count();
        assert_eq!(new, usize::from(connection == 0));
        if connection == 1 {
            server.seal().await;
        }
    }
    assert_eq!(server.sql("SELECT count(*) FROM log").await, json!([[1]]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_parameters_are_named() {
    let server = Server::start().await;
    for (path, params, parameter) in [
        ("/api/v1/logs", [("limit", "many")], "limit"),
        ("/api/v1/logs", [("limit", "999999999")], "limit"),
        ("/api/v1/logs", [("from", "yesterday")], "from"),
        ("/api/v1/logs", [("regex", "(")], "regex"),
        ("/api/v1/logs", [("regex", "(a{1000}){1000}{1000}")], "regex"),
        ("/api/v1/logs", [("where", "level")], "where"),
        ("/api/v1/logs", [("where", "cgroup_id=many")], "where"),
        ("/api/v1/logs/follow", [("regex", "[")], "regex"),
        ("/api/v1/logs/follow", [("limit", "5")], "limit"),
        ("/api/v1/logs/histogram", [("step", "0s")], "step"),
        ("/api/v1/logs/histogram", [("by", "body")], "by"),
        ("/api/v1/flows", [("sort", "size")], "sort"),
        ("/api/v1/flows", [("where", "nonsense=1")], "where"),
        ("/api/v1/flows", [("where", "server_port=http")], "where"),
        ("/api/v1/flows", [("where", "rtt_hist=1")], "where"),
        ("/api/v1/usage", [("to", "-1x")], "to"),
        ("/api/v1/syscalls", [("where", "\"; DROP TABLE log; --=1")], "where"),
    ] {
        let (status, body) = server.try_get(path, &params).await;
        assert_eq!(status, 400, "{path} {params:?}: {body}");
        assert_eq!(body["error"]["code"], "invalid", "{body}");
        assert_eq!(body["error"]["position"]["parameter"], parameter, "{path} {params:?}: {body}");
    }
    let (status, body) = server.try_get("/api/v1/nothing", &[]).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("not_found")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_that_does_more_than_read_is_refused_with_a_place() {
    let server = Server::start().await;
    for query in [
        "DROP TABLE log",
        "CREATE TABLE a AS SELECT 1",
        "COPY log TO '/tmp/log.csv'",
        "EXPLAIN ANALYZE COPY log TO '/tmp/log.csv'",
        "INSERT INTO log SELECT * FROM log",
        "SET datafusion.execution.batch_size = 1",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'file:///etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM parquet_metadata('/etc/passwd')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT getenv('HOME')",
        "COPY (SELECT 1) TO 'http://127.0.0.1:1/x'",
        "SELECT * INTO a FROM log",
        "WITH a AS (INSERT INTO log VALUES (1)) SELECT 1",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "CREATE VIEW v AS SELECT 1",
        "EXPLAIN ANALYZE INSERT INTO log SELECT * FROM log",
        "EXECUTE a",
        "USE a",
        "SELECT 1 FORMAT CSV INTO OUTFILE '/tmp/x'",
        "CREATE EXTERNAL TABLE a STORED AS CSV LOCATION '/etc/passwd'",
        "SELECT nonsense FROM log",
        "SELECT * FROM nonsense",
        "SELECT count(*) FROM log WHERE body ~ '('",
        "SELECT CAST('x' AS BIGINT)",
        "SELECT 1/0",
        "SELECT hist_quantile(rtt_hist, 7) FROM (SELECT make_array(1) AS rtt_hist)",
        "SELECT FROM WHERE",
        "",
    ] {
        let (status, body) = server.try_sql(query).await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("invalid")), "{query}: {body}");
    }
    let (_, body) = server.try_sql("SELECT 1,\n  nonsense FROM log").await;
    assert_eq!(body["error"]["position"], json!({"line": 2, "column": 3}), "{body}");
    for (query, rows) in [("SELECT 1 AS one", json!([[1]])), ("SELECT count(*) FROM log", json!([[0]]))] {
        assert_eq!(server.sql(query).await, rows);
    }
    for query in [
        "SHOW TABLES",
        "DESCRIBE log",
        "EXPLAIN SELECT * FROM flow",
        "SELECT * FROM information_schema.columns",
    ] {
        assert!(!server.sql(query).await.as_array().unwrap().is_empty(), "{query}");
    }
    for table in
        ["log", "flow", "\"drop\"", "usage", "syscall", "syscall_latency", "block", "process", "loss"]
    {
        assert_eq!(server.sql(&format!("SELECT count(*) FROM {table}")).await, json!([[0]]), "{table}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_query_is_refused() {
    let server = Server::start().await;
    for body in
        ["", "{", "[]", "{\"query\": 5}", "{\"query\": \"SELECT 1\", \"limit\": 5}", "{\"max_rows\": 1}"]
    {
        let request = server.http.post(format!("http://{}/api/v1/sql", server.api)).body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 400, "{body}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"], "invalid", "{body}: {answer}");
    }
    let large = "a".repeat(1 << 20);
    let request = server.http.post(format!("http://{}/api/v1/sql", server.api)).body(large);
    assert_eq!(request.send().await.unwrap().status().as_u16(), 413);
    server.stop().await;
}

/// Words that parameters and queries are made of, so that some of the nonsense is nearly sense.
fn nonsense() -> impl proptest::strategy::Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "now",
        "-15m",
        "2026-11-21",
        "T10:00:00Z",
        "1795249607",
        "=",
        "workload=",
        "a",
        "(",
        ")",
        "[",
        "\\",
        "*",
        "+",
        "%",
        "'",
        "\"",
        ";",
        "--",
        "\u{0}",
        "é",
        "😀",
        "-",
        "9",
        "99999999999999999999",
        ".",
        "e",
        "{",
        "}",
        "NaN",
        "true",
        "\n",
    ]);
    let any_text = any::<String>();
    prop::collection::vec(proptest::prop_oneof![3 => words.prop_map(str::to_owned), 1 => any_text], 0..6)
        .prop_map(|parts| parts.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_parameter_breaks_an_endpoint() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    agent.log(1, &[(now_ns(), "line")]).await;
    let document = server.get("/api/v1/openapi.json", &[]).await;
    let mut runner = runner(7);
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(get) = operations.get("get") else { continue };
        let empty = Vec::new();
        for parameter in get["parameters"].as_array().unwrap_or(&empty) {
            for _ in 0..6 {
                let text = nonsense().new_tree(&mut runner).unwrap().current();
                let params = [(parameter["name"].as_str().unwrap(), text.as_str())];
                // A follower that is accepted would never end.
                let request = server.http.get(format!("http://{}{path}", server.api)).query(&params);
                let response = request.send().await.unwrap();
                let status = response.status().as_u16();
                assert!([200, 400, 422].contains(&status), "{path} {params:?}: {status}");
            }
        }
    }
    server.stop().await;
}

fn sql_words() -> impl proptest::strategy::Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "SELECT",
        "FROM",
        "WHERE",
        "GROUP BY",
        "ORDER BY",
        "LIMIT",
        "log",
        "flow",
        "usage",
        "syscall",
        "*",
        "count(*)",
        "ts",
        "body",
        "workload",
        "rtt_hist",
        "errnos",
        "attributes",
        "=",
        "<",
        "LIKE",
        "~",
        "AND",
        "OR",
        "NOT",
        "IN",
        "(",
        ")",
        ",",
        "'%x%'",
        "'x'",
        "1",
        "-1",
        "NULL",
        "now()",
        "INTERVAL '1 hour'",
        "hist_sum",
        "hist_quantile",
        "unnest",
        "map_keys",
        "WITH a AS",
        "UNION ALL",
        "JOIN",
        "ON",
        "CASE WHEN",
        "THEN",
        "END",
        "CAST",
        "AS BIGINT",
        "AS",
        "a",
        "[",
        "]",
        "::",
        "$1",
        "EXPLAIN",
        "SHOW",
        "DESCRIBE",
        "information_schema.tables",
        "OVER",
        "DISTINCT",
        "EXCEPT",
        "generate_series",
        "?",
        ";",
        "1e308",
        "9223372036854775807",
        "'\u{0}'",
        "regexp_like",
        "strpos",
        "repeat('a', 10)",
        "date_bin",
        "array_agg",
    ]);
    prop::collection::vec(words, 1..24).prop_map(|words| words.join(" "))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_query_text_breaks_the_engine() {
    let server = Server::start_with(|config| config.query.timeout_s = 5).await;
    let mut agent = server.agent("a").await;
    agent.log(1, &[(now_ns(), "line")]).await;
    let mut runner = runner(11);
    for round in 0..300 {
        let words = sql_words().new_tree(&mut runner).unwrap().current();
        let query = if round % 2 == 0 { words } else { format!("SELECT {words}") };
        let (status, body) = server.try_sql(&query).await;
        let code = body["error"]["code"].as_str().and_then(ErrorCode::from_name);
        let is_fine = status == 200 || (code.is_some() && ![500, 503].contains(&status));
        assert!(is_fine, "{query}: {status} {body}");
    }
    // Deep and wide ones.
    for query in [
        format!("SELECT {}", vec!["1"; 1_900].join(" + ")),
        format!("SELECT {}1{}", "(".repeat(60), ")".repeat(60)),
        format!("SELECT {} 1", "NOT ".repeat(1_000)),
        format!("SELECT {} 1", " -".repeat(900)),
        format!("SELECT count(*) FROM log WHERE {}", vec!["body LIKE '%x%'"; 900].join(" OR ")),
        vec!["SELECT 1"; 300].join(" UNION ALL "),
        format!("SELECT 1 IN ({})", vec!["2"; 2_000].join(",")),
    ] {
        let (status, body) = server.try_sql(&query).await;
        assert!([200, 400, 413, 422, 504].contains(&status), "{query:.60}…: {status} {body}");
    }
    assert_eq!(server.sql("SELECT count(*) FROM log").await, json!([[1]]));
    server.stop().await;
}
