//! An aggregator that sends on over OTLP, to another one, which is away, refuses, and comes back.

use std::fs;

use prost::Message as _;

use crate::fleet::{Fleet, Part, TOKEN};
use crate::otlp::{PROTOBUF, TRACE, count, logs, post, spans};

/// A fleet whose aggregator exports to this endpoint.
fn sender(endpoint: &str, more: &str) -> Fleet {
    let fleet = Fleet::logs_only();
    fleet.configure(&format!("export: {{otlp: {{endpoint: \"{endpoint}\"{more}}}}}\n"));
    fleet
}

/// Waits until so many different lines of the agent are there; how many are there twice.
fn arrived(receiver: &Fleet, lines: u64) -> u64 {
    let query = "SELECT count(*) AS n, count(DISTINCT body) AS d FROM log WHERE workload = 'e2e'";
    receiver.poll("every line at the endpoint", || {
        let rows = receiver.rows(&["sql", query])?;
        let number = |name: &str| rows.first()?.get(name)?.as_u64();
        (number("d")? >= lines).then(|| number("n").unwrap_or(0) - lines)
    })
}

#[test]
fn what_is_not_taken_waits_in_the_store_whoever_is_killed() {
    let mut receiver = Fleet::logs_only();
    let mut sender = sender(&format!("http://127.0.0.1:{}", receiver.otlp[1]), "");
    receiver.start(Part::Aggregator);
    receiver.ready(Part::Aggregator);
    sender.start(Part::Aggregator);
    sender.ready(Part::Aggregator);
    sender.start(Part::Agent);
    sender.write_lines("a.log", 2_000);
    assert_eq!(arrived(&receiver, 2_000), 0, "nobody was killed: nothing is there twice");

    // the endpoint is away, and rows are sealed meanwhile; what it took the sender knows
    sender.poll("the endpoint's answers", || {
        (sender.metric("otlp_export_sent_records_total{signal=\"logs\"}")? >= 2_000).then_some(())
    });
    receiver.kill(Part::Aggregator);
    sender.write_lines("a.log", 2_000);
    sender.expect_every_line_once();
    sender.seal_soon();
    sender.poll("a segment", || (sender.log_segments() > 0).then_some(()));
    // what is not the sender's own is not sent on
    let foreign = logs((0..5).map(|number| format!("foreign {number}"))).encode_to_vec();
    assert_eq!(post(sender.otlp[1], "/v1/logs", PROTOBUF, &foreign).unwrap().0, 200);
    sender.kill(Part::Aggregator);
    sender.start(Part::Aggregator);
    sender.ready(Part::Aggregator);
    sender.write_lines("a.log", 2_000);
    sender.expect_every_line_once();
    receiver.start(Part::Aggregator);
    receiver.ready(Part::Aggregator);
    assert_eq!(arrived(&receiver, 6_000), 0, "the sender was killed while nothing was in flight");
    assert_eq!(count(&receiver, "SELECT count(*) AS n FROM log WHERE body LIKE 'foreign%'"), 0);

    // killed while it sends: at least once
    sender.write_lines("a.log", 3_000);
    sender.kill(Part::Aggregator);
    sender.start(Part::Aggregator);
    sender.ready(Part::Aggregator);
    arrived(&receiver, 9_000);
    let identity = "SELECT count(*) AS n FROM log WHERE node = 'e2e-node' AND level = 'info'";
    assert!(count(&receiver, identity) >= 9_000, "who wrote it, and how bad it is, comes along");
}

#[test]
fn over_tls_with_a_token_records_arrive_as_they_were() {
    let mut receiver = Fleet::logs_only();
    receiver.secure();
    receiver.start(Part::Aggregator);
    receiver.ready(Part::Aggregator);
    let (ca, headers) = (receiver.path("ca/ca.crt"), receiver.path("headers"));
    fs::write(&headers, "Authorization: Bearer of-yesterday-no-longer-valid\n").unwrap();
    let more = format!(
        ", ca_file: {}, headers_file: {}, include_received: true, from: beginning",
        ca.display(),
        headers.display()
    );
    let mut sender = sender(&format!("https://localhost:{}", receiver.otlp[1]), &more);
    sender.start(Part::Aggregator);
    sender.ready(Part::Aggregator);
    let port = sender.otlp[1];
    let lines = logs((0..20).map(|number| format!("line {number}"))).encode_to_vec();
    assert_eq!(post(port, "/v1/logs", PROTOBUF, &lines).unwrap().0, 200);
    assert_eq!(post(port, "/v1/traces", PROTOBUF, &spans().encode_to_vec()).unwrap().0, 200);
    // who sends is not known there: it waits, and says so
    sender.poll("a refusal", || {
        let failed = sender.metric("otlp_export_failed_requests_total{signal=\"logs\"}")?;
        (failed >= 1).then_some(())
    });
    assert_eq!(count(&receiver, "SELECT count(*) AS n FROM log"), 0);
    fs::write(&headers, format!("Authorization: Bearer {TOKEN}\n")).unwrap();

    let rows = |fleet: &Fleet, query: &str| fleet.rows(&["sql", query]).unwrap_or_default();
    let all_logs = "SELECT ts, observed_ts, level, body, namespace, workload, trace_id, span_id, stream, attributes \
                    FROM log ORDER BY body";
    let all_spans = "SELECT ts, duration_ns, trace_id, span_id, parent_span_id, name, kind, status, service, namespace, \
                     workload, attributes FROM span ORDER BY name";
    let expected = (rows(&sender, all_logs), rows(&sender, all_spans));
    assert_eq!((expected.0.len(), expected.1.len()), (20, 2));
    receiver.poll("logs and spans", || {
        let logs = rows(&receiver, all_logs);
        let spans = rows(&receiver, all_spans);
        (logs.len() == 20 && spans.len() == 2).then_some(())
    });
    assert_eq!(rows(&receiver, all_logs), expected.0);
    assert_eq!(rows(&receiver, all_spans), expected.1);
    let found = receiver.rows(&["traces", "--service", "cart"]).unwrap();
    assert_eq!(found[0]["trace_id"].as_str(), Some(TRACE));
}
