//! Words of names and arguments, and the versions that wrote a kind of line: asked as users ask, before and after a seal.

use proto::v1::{KubeEventRow, Payload, ProcessRow, SpanRow};
use serde_json::{Value, json};

use crate::agent::identity;
use crate::server::{Server, column, now_ns};

const SECOND: u64 = 1_000_000_000;

fn rows() -> Payload {
    let ts = now_ns() - 60 * SECOND;
    let mut payload = Payload { identities: vec![identity("a", "web.service")], ..Payload::default() };
    for (at, arguments) in
        [["curl", "http://cart/pay?x=1"], ["curl", "http://cartoon/"], ["cart", "--verbose"]]
            .into_iter()
            .enumerate()
    {
        payload.processes.push(ProcessRow {
            ts: ts + at as u64,
            event: String::from("exec"),
            pid: u32::try_from(at).unwrap() + 1,
            executable: format!("/usr/bin/{}", arguments[0]),
            arguments: arguments.map(str::to_owned).to_vec(),
            ..ProcessRow::default()
        });
    }
    for (at, note) in ["Back-off pulling image", "pulled image cart:1.2"].into_iter().enumerate() {
        payload.kube_events.push(KubeEventRow {
            ts: ts + at as u64,
            reason: String::from("Pulling"),
            note: note.to_owned(),
            regarding_name: format!("cart-{at}"),
            count: 1,
            ..KubeEventRow::default()
        });
    }
    for (at, (name, query)) in
        [("GET /cart", "a=b"), ("SELECT", "select * from cart where id = 7"), ("x", "y")]
            .into_iter()
            .enumerate()
    {
        payload.spans.push(SpanRow {
            ts: ts + at as u64,
            trace_id: format!("{:032x}", at + 1),
            span_id: format!("{:016x}", at + 1),
            service: String::from("shop"),
            name: name.to_owned(),
            attributes: [(String::from("db.query.text"), query.to_owned())].into(),
            ..SpanRow::default()
        });
    }
    payload
}

async fn asked(server: &Server) -> Vec<Vec<String>> {
    let events = async |texts: &[(&str, &str)]| column(&server.get("/api/v1/events", texts).await, "pid");
    let kube = async |texts: &[(&str, &str)]| column(&server.get("/api/v1/kube/events", texts).await, "note");
    let traces = async |texts: &[(&str, &str)]| {
        let ids = column(&server.get("/api/v1/traces", texts).await, "trace_id");
        ids.iter().map(|id| id.trim_start_matches('0').to_owned()).collect::<Vec<_>>()
    };
    let sql = async |query: &str| {
        let answer = server.sql(query).await;
        answer.as_array().unwrap().iter().map(|row| row[0].to_string()).collect::<Vec<_>>()
    };
    vec![
        events(&[("word", "cart")]).await,
        events(&[("contains", "cart")]).await,
        events(&[("word", "cart"), ("word", "curl")]).await,
        events(&[("word", "cart"), ("where", "pid=1")]).await,
        events(&[("word", "Cart")]).await,
        kube(&[("word", "pulled")]).await,
        kube(&[("contains", "Back-off pull")]).await,
        traces(&[("word", "cart")]).await,
        traces(&[("word", "cart"), ("service", "shop"), ("contains", "where id")]).await,
        sql("SELECT pid FROM process WHERE has_word(arguments, 'verbose') ORDER BY pid").await,
        sql("SELECT pid FROM process WHERE NOT has_word(executable, arguments, 'cart') ORDER BY pid").await,
        sql("SELECT count(*) FROM span WHERE has_text(attributes, 'cart') AND name = 'SELECT'").await,
        sql("SELECT count(*) FROM kube_event WHERE has_word(note, 'cart') OR has_word(note, 'off')").await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_arguments_are_searched_by_words() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let ack = agent.send(1, 1, &rows()).await.ack();
    assert_eq!(ack.rejected_rows, 0, "{ack:?}");
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let expected = vec![
        texts(&["3", "1"]),
        texts(&["3", "2", "1"]),
        texts(&["1"]),
        texts(&["1"]),
        vec![],
        texts(&["pulled image cart:1.2"]),
        texts(&["Back-off pulling image"]),
        texts(&["2", "1"]),
        texts(&["2"]),
        texts(&["3"]),
        texts(&["2"]),
        texts(&["1"]),
        texts(&["2"]),
    ];
    assert_eq!(asked(&server).await, expected);
    let plan =
        server.sql("EXPLAIN SELECT pid FROM process WHERE has_word(arguments, 'verbose')").await.to_string();
    assert!(plan.contains("says=") && !plan.contains("FilterExec"), "{plan}");
    server.seal().await;
    assert_eq!(asked(&server).await, expected);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_tell_the_versions_that_wrote_them() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let start = now_ns() - 600 * SECOND;
    let mut payload = Payload { identities: vec![identity("a", "cart")], ..Payload::default() };
    for at in 0..60_u64 {
        let version = if at < 30 { "1.0" } else { "1.1" };
        let mut line = |body: String| {
            payload.logs.push(proto::v1::LogRow {
                ts: start + at * SECOND,
                observed_ts: start + at * SECOND,
                body: body.into_bytes().into(),
                attributes: [(String::from("service.version"), version.to_owned())].into(),
                ..proto::v1::LogRow::default()
            });
        };
        line(format!("order {at} paid"));
        match version {
            "1.0" => line(format!("asked the old ledger {at} times")),
            _ => line(format!("discount of {at} given")),
        }
    }
    agent.send(1, 1, &payload).await.ack();
    let ask = async |params: &[(&str, &str)]| {
        let answer = server.get("/api/v1/patterns", params).await;
        assert_eq!(answer["complete"], true, "{answer}");
        let row =
            |row: &Value| json!([row["pattern"], row["lines"], row["first_version"], row["last_version"]]);
        answer["rows"].as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    for sealed in [false, true] {
        if sealed {
            server.seal().await;
        }
        let all = ask(&[]).await;
        assert_eq!(all[0], json!(["order <*> paid", 60, "1.0", "1.1"]), "sealed {sealed}");
        assert_eq!(all.len(), 3);
        let of = ask(&[("version", "1.1")]).await;
        assert_eq!(of.iter().map(|row| row[1].as_u64().unwrap()).collect::<Vec<_>>(), [30, 30]);
        let new = ask(&[("version", "1.1"), ("show", "new")]).await;
        assert_eq!(new, [json!(["discount of <*> given", 30, "1.1", "1.1"])]);
        let gone = ask(&[("version", "1.1"), ("show", "gone")]).await;
        assert_eq!(gone, [json!(["asked the old ledger <*> times", 0, "1.0", "1.0"])]);
        assert!(ask(&[("version", "2.0")]).await.is_empty());
        assert!(ask(&[("version", "2.0"), ("show", "gone")]).await.is_empty());
    }
    server.stop().await;
}
