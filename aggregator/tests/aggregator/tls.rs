//! Agents over TLS: who may speak for a node, what a bad certificate does, and certificates that change under way.

use std::time::Duration;

use aggregator::config::security::TlsMode;
use proto::v1::WatchRequest;
use proto::v1::ingest_client::IngestClient;
use proto::v1::nodes_client::NodesClient;
use tonic::Code;

use crate::agent::logs;
use crate::certificates::{Authority, connect, endpoint, put};
use crate::server::{Server, now_ns};

async fn server(ca: &Authority) -> Server {
    let own = ca.server();
    Server::start_with(|config| {
        let dir = config.data_dir.parent().unwrap().to_owned();
        put(&dir.join("tls.crt"), &own.certificate);
        put(&dir.join("tls.key"), &own.key);
        put(&dir.join("ca.crt"), &ca.pem);
        config.tls.mode = TlsMode::Files;
        config.tls.certificate = dir.join("tls.crt");
        config.tls.key = dir.join("tls.key");
        config.tls.client_ca = dir.join("ca.crt");
    })
    .await
    .trusting(&ca.pem)
}

async fn metric(server: &Server, line: &str) -> u64 {
    let (_, text) = server.text("/metrics").await;
    let found = text.lines().find_map(|found| found.strip_prefix(line));
    found.map_or(0, |value| value.trim().parse().unwrap())
}

/// Waits for one: the client knows that it was refused before the server has counted it.
async fn failed_handshake(server: &Server, reason: &str) {
    let line = format!("wake_aggregator_tls_failed_handshakes_total{{reason=\"{reason}\"}}");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while metric(server, &line).await == 0 {
        assert!(tokio::time::Instant::now() < deadline, "{reason}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What ends a stream that was opened, if it was.
async fn refusal(connected: Result<crate::agent::Agent, String>) -> String {
    match connected {
        Err(text) => text,
        Ok(mut agent) => format!("{:?}", agent.answer().await.unwrap_err()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_speaks_for_its_own_node_only() {
    let (ca, other) = (Authority::new("ca"), Authority::new("another ca"));
    let server = server(&ca).await;
    let mut good = connect(server.ingest, &ca.pem, Some(&ca.node("node-1")), "node-1").await.unwrap();
    good.log(1, &[(now_ns(), "first")]).await;

    for (own, reason, words) in [
        (Some(ca.node("node-2")), "other_node", "is of node \\\"node-2\\\""),
        (Some(ca.agent("https://example.org/node-1", (-1, 1))), "no_node", "names no node"),
        (Some(ca.agent("spiffe://wake/node/", (-1, 1))), "no_node", "names no node"),
        (None, "no_certificate", "no certificate"),
    ] {
        let refused = refusal(connect(server.ingest, &ca.pem, own.as_ref(), "node-1").await).await;
        assert!(refused.contains(words), "{reason}: {refused}");
        let line = format!("wake_aggregator_ingest_strangers_total{{reason=\"{reason}\"}}");
        assert!(metric(&server, &line).await >= 1, "{reason}");
    }
    for (own, reason) in [
        (other.node("node-1"), "unknown_issuer"),
        (ca.agent("spiffe://wake/node/node-1", (-3, -1)), "expired"),
        // as one whose clock is an hour behind sees a certificate that was made just now
        (ca.agent("spiffe://wake/node/node-1", (1, 2)), "not_valid_yet"),
    ] {
        refusal(connect(server.ingest, &ca.pem, Some(&own), "node-1").await).await;
        failed_handshake(&server, reason).await;
    }
    // who may not send is told so before they have said anything
    let channel = endpoint(server.ingest, &ca.pem, None).connect().await.unwrap();
    let silent = IngestClient::new(channel).stream(tokio_stream::pending()).await.unwrap_err();
    assert!(silent.message().contains("no certificate"), "{silent:?}");
    // names are asked for by the same rule, and counted by it
    let line = "wake_aggregator_ingest_strangers_total{reason=\"other_node\"}";
    let before = metric(&server, line).await;
    let channel = endpoint(server.ingest, &ca.pem, Some(&ca.node("node-2"))).connect().await.unwrap();
    let request = WatchRequest {
        node: "node-1".to_owned(),
        wire_version: proto::WIRE_VERSION,
        ..WatchRequest::default()
    };
    assert_eq!(NodesClient::new(channel).watch(request).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(metric(&server, line).await, before + 1);

    // in plain text
    let plain = tokio::net::TcpStream::connect(server.ingest).await.unwrap();
    let mut plain = tokio::io::BufStream::new(plain);
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    tokio::io::AsyncWriteExt::flush(&mut plain).await.unwrap();
    let mut answer = Vec::new();
    drop(tokio::io::AsyncReadExt::read_to_end(&mut plain, &mut answer).await);
    failed_handshake(&server, "protocol").await;

    // a batch of another node on a stream of one's own
    let payload = logs("node-2", &[(now_ns(), "of another")]);
    good.say(proto::v1::agent_message::Kind::Batch(crate::agent::batch("node-2", 1, 2, &payload))).await;
    assert_eq!(good.answer().await.unwrap().refused().code, "forbidden");

    // and rows of another node in a batch of one's own
    let mut payload = logs("node-1", &[(now_ns(), "mixed")]);
    payload.identities.push(crate::agent::identity("node-2", "web.service"));
    assert_eq!(good.send(1, 2, &payload).await.refused().code, "forbidden");

    good.log(2, &[(now_ns(), "second")]).await;
    assert_eq!(
        server.sql("SELECT body FROM log ORDER BY ts").await,
        serde_json::json!([["first"], ["second"]])
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_certificate_takes_few_streams_and_one_place() {
    let ca = Authority::new("ca");
    let server = server(&ca).await;
    let own = ca.node("node-1");
    let mut open = Vec::new();
    let refused = loop {
        match connect(server.ingest, &ca.pem, Some(&own), "node-1").await {
            Ok(agent) => open.push(agent),
            Err(refused) => break refused,
        }
        assert!(open.len() < 50, "one node has as many streams as it likes");
    };
    assert!(refused.contains("node-1") && open.len() >= 2, "{refused}");
    let mut other = connect(server.ingest, &ca.pem, Some(&ca.node("node-2")), "node-2").await.unwrap();
    other.log(1, &[(now_ns(), "goes on")]).await;
    open[0].log(1, &[(now_ns(), "goes on too")]).await;
    let status = server.get("/api/v1/status", &[]).await;
    assert_eq!(status["agents"].as_array().unwrap().len(), 2, "{status}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_under_way_and_nothing_acknowledged_is_lost() {
    let (old, new) = (Authority::new("old ca"), Authority::new("new ca"));
    let mut server = server(&old).await;
    let mut before = connect(server.ingest, &old.pem, Some(&old.node("node-1")), "node-1").await.unwrap();
    for seq in 1..=20 {
        before.log(seq, &[(now_ns(), &format!("line {seq}"))]).await;
    }
    // both CAs are trusted while agents change over
    let (dir, own) = (server.dir.path().to_owned(), new.server());
    put(&dir.join("ca.crt"), &format!("{}{}", old.pem, new.pem));
    put(&dir.join("tls.key"), &own.key);
    put(&dir.join("tls.crt"), &own.certificate);
    let deadline = now_ns() + 30_000_000_000;
    let mut seq = 20;
    let mut after = loop {
        seq += 1;
        // the stream that was there goes on
        before.log(seq, &[(now_ns(), &format!("line {seq}"))]).await;
        match connect(server.ingest, &new.pem, Some(&new.node("node-1")), "node-1").await {
            Ok(agent) => break agent,
            Err(error) => assert!(now_ns() < deadline, "the new certificate is not served: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    // what was sent on the old stream and is sent again is stored once
    after.log(seq, &[(now_ns(), "again")]).await;
    for _ in 0..10 {
        seq += 1;
        after.log(seq, &[(now_ns(), &format!("line {seq}"))]).await;
    }
    server = server.trusting(&new.pem);
    let counted = server.sql("SELECT count(*), count(DISTINCT body) FROM log").await;
    assert_eq!(counted, serde_json::json!([[seq, seq]]));
    server.stop().await;
}
