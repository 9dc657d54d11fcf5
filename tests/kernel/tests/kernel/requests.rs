//! Requests: what a client and a server in one process say to each other over loopback becomes spans, as many as were made.

pub(crate) mod chain;
mod frames;
pub(crate) mod grpc;
mod kafka;
mod logs;
mod messages;
pub(crate) mod traffic;

use std::io::Write as _;
use std::process::{Child, Stdio};

use agent::kernel::Settings;
use agent::probe::requests::PROBE;
use agent::window::sample::Row;
use proto::v1::SpanRow;

use crate::cgroup::Cgroup;
use crate::child;
use crate::node::Node;
use crate::probes::{Attached, eventually};
use crate::requires::{Need, kernel_skipped, requires};

const NEEDS: &[Need] = &[Need::Root, Need::Btf, Need::Cgroup2];

fn spans(probe: &Attached, cgroup: &Cgroup) -> Vec<SpanRow> {
    let of_row = |row: &Row| match row {
        Row::Spans(spans) => spans.rows(),
        _ => Vec::new(),
    };
    probe.rows(cgroup.id()).flat_map(of_row).collect()
}

fn count(spans: &[SpanRow], kind: &str, path: &str, status: &str) -> usize {
    let is = |span: &&SpanRow| {
        let of = |key: &str| span.attributes.get(key).map_or("", String::as_str);
        span.kind == kind && of("url.path") == path && of("http.response.status_code") == status
    };
    spans.iter().filter(is).count()
}

/// Runs a child to its end and reads what was seen of it.
#[track_caller]
fn run(probe: &mut Attached, cgroup: &Cgroup, work: &str) -> Vec<SpanRow> {
    let status = cgroup.enter(&mut child::command(work)).status().unwrap();
    assert!(status.success());
    probe.drain();
    spans(probe, cgroup)
}

#[track_caller]
fn assert_lossless(probe: &Attached) {
    let lost: Vec<_> = probe.sink.losses.iter().filter(|loss| loss.signal == "span").collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn every_request_is_a_span_on_both_sides() {
    const NAME: &str = "every_request_is_a_span_on_both_sides";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "requests").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let spans = run(&mut probe, &cgroup, "http plain 300");
    if kernel_skipped(NAME, &probe.sink.losses) {
        return;
    }
    for kind in ["server", "client"] {
        assert_eq!(count(&spans, kind, "/ok", "200"), 200, "{kind}");
        assert_eq!(count(&spans, kind, "/missing", "404"), 50, "{kind}");
        assert_eq!(count(&spans, kind, "/broken", "500"), 50, "{kind}");
    }
    assert_eq!(spans.len(), 600);
    let errors = |kind: &str| spans.iter().filter(|span| span.kind == kind && span.status == "error").count();
    assert_eq!((errors("server"), errors("client")), (50, 100));
    for span in &spans {
        assert_eq!(span.source, "wake");
        assert!(span.duration_ns > 0 && span.duration_ns < 60_000_000_000, "{span:?}");
        assert_eq!(span.attributes.get("network.peer.address").map(String::as_str), Some("127.0.0.1"));
        assert_eq!(span.attributes.get("network.transport").map(String::as_str), Some("tcp"));
    }
    // both ends of each connection name it alike
    let mut ends: Vec<(&str, &str)> =
        spans.iter().map(|span| (span.attributes["wake.connection"].as_str(), span.kind.as_str())).collect();
    ends.sort_unstable();
    ends.dedup();
    assert!(ends.chunks(2).all(|both| both.len() == 2 && both[0].0 == both[1].0), "{ends:?}");
    assert_lossless(&probe);
}

#[test]
fn fragmented_and_pipelined_requests_are_told_apart() {
    const NAME: &str = "fragmented_and_pipelined_requests_are_told_apart";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "pieces").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    // the last: bodies of 1 MiB, of which the programs send the length alone
    for (work, sent) in [
        ("http fragmented 60", 60),
        ("http pipelined 20", 80),
        ("http vectors 40", 40),
        ("http large 12", 12),
    ] {
        let spans = run(&mut probe, &cgroup, work);
        if kernel_skipped(NAME, &probe.sink.losses) {
            return;
        }
        for kind in ["server", "client"] {
            assert_eq!(count(&spans, kind, "/ok", "200"), sent, "{work}, {kind}: {spans:#?}");
        }
        probe.sink.samples.clear();
    }
    assert_lossless(&probe);
}

/// A child that waits for lines on its standard input.
fn waiting(cgroup: &Cgroup, work: &str) -> Child {
    cgroup.enter(&mut child::command(work)).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Waits until the child has said so many lines that begin with `ready`.
fn until_ready(child: &mut Child) {
    use std::io::{BufRead as _, BufReader};
    let output = child.stdout.as_mut().unwrap();
    for line in BufReader::with_capacity(1, output).lines() {
        if line.unwrap().contains("ready") {
            return;
        }
    }
    panic!("the child ended before it was ready");
}

#[test]
fn a_connection_that_was_open_before_is_decoded_from_its_next_request_on() {
    const NAME: &str = "a_connection_that_was_open_before_is_decoded_from_its_next_request_on";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "before").unwrap();
    let mut child = waiting(&cgroup, "http before 30");
    until_ready(&mut child);
    let mut probe = Attached::new(&PROBE, &Settings::default());
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    assert!(child.wait().unwrap().success());
    probe.drain();
    if kernel_skipped(NAME, &probe.sink.losses) {
        return;
    }
    let spans = spans(&probe, &cgroup);
    for kind in ["server", "client"] {
        assert_eq!(count(&spans, kind, "/ok", "200"), 30, "{kind}");
    }
    assert_eq!(spans.len(), 60);
    assert_lossless(&probe);
}

#[test]
fn a_request_whose_connection_is_closed_has_failed() {
    const NAME: &str = "a_request_whose_connection_is_closed_has_failed";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "closed").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let status = cgroup.enter(&mut child::command("http closed 10")).status().unwrap();
    assert!(status.success());
    let mut failed = Vec::new();
    eventually("ten requests without an answer", || {
        probe.drain();
        failed = spans(&probe, &cgroup);
        failed.len() >= 20
    });
    assert_eq!(failed.len(), 20);
    assert!(failed.iter().all(|span| span.status == "error"), "{failed:#?}");
}

#[test]
fn what_a_thread_asks_while_it_serves_is_a_child_of_what_it_serves() {
    const NAME: &str = "what_a_thread_asks_while_it_serves_is_a_child_of_what_it_serves";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "chain").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let spans = run(&mut probe, &cgroup, "http chain 40");
    let of = |kind: &str, path: &str| -> Vec<&SpanRow> {
        spans.iter().filter(|span| span.kind == kind && span.attributes["url.path"] == path).collect()
    };
    let (front, behind) = (of("server", "/front"), of("client", "/behind"));
    assert_eq!((front.len(), behind.len()), (40, 40));
    for asked in behind {
        let parent = front.iter().find(|server| server.span_id == asked.parent_span_id);
        let parent = parent.unwrap_or_else(|| panic!("no parent of {asked:?}"));
        assert_eq!(parent.trace_id, asked.trace_id);
        assert!(parent.ts <= asked.ts && asked.ts <= parent.ts + parent.duration_ns);
        assert_eq!(asked.attributes["wake.join.confidence"], "0.95");
    }
    // the header of the first request names its trace
    let traced: Vec<&SpanRow> = spans.iter().filter(|span| span.trace_id == traffic::TRACE_ID).collect();
    assert_eq!(traced.iter().filter(|span| span.kind == "server").count(), 40);
    assert!(traced.iter().any(|span| span.parent_span_id == traffic::SPAN_ID));
}

#[test]
fn a_node_tells_only_of_its_own_requests() {
    const NAME: &str = "a_node_tells_only_of_its_own_requests";
    if !requires(NAME, NEEDS) {
        return;
    }
    let node = Node::new(Cgroup::new(crate::features(), "node").unwrap(), Some(false));
    let outside = Cgroup::new(crate::features(), "outside").unwrap();
    let mut probe = node.attach(&PROBE);
    assert_eq!(run(&mut probe, &node.pod, "http plain 12").len(), 24);
    assert_eq!(run(&mut probe, &outside, "http plain 12").len(), 0);
}

#[test]
fn a_full_table_is_counted() {
    const NAME: &str = "a_full_table_is_counted";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "full").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings { max_map_entries: Some(16), ..Settings::default() });
    run(&mut probe, &cgroup, "http many 64");
    let is_full = |loss: &&agent::window::sample::Loss| loss.reason == "map_full";
    assert!(probe.sink.losses.iter().any(|loss| is_full(&loss)), "{:?}", probe.sink.losses);
}

#[test]
fn what_is_only_looked_at_is_no_message() {
    const NAME: &str = "what_is_only_looked_at_is_no_message";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "peeking").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let spans = run(&mut probe, &cgroup, "http peeking 40");
    for kind in ["server", "client"] {
        assert_eq!(count(&spans, kind, "/ok", "200"), 20, "{kind}");
        assert_eq!(count(&spans, kind, "/missing", "404"), 20, "{kind}");
    }
    assert_eq!(spans.len(), 80);
    assert_lossless(&probe);
}

/// The body's rest and the next request are one run.
#[test]
fn a_body_that_is_read_after_its_answer_hides_no_request() {
    const NAME: &str = "a_body_that_is_read_after_its_answer_hides_no_request";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "early").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let spans = run(&mut probe, &cgroup, "http early 300");
    for kind in ["server", "client"] {
        assert_eq!(count(&spans, kind, "/ok", "200"), 200, "{kind}");
        assert_eq!(count(&spans, kind, "/broken", "500"), 100, "{kind}");
    }
    assert_eq!(spans.len(), 600);
    assert_lossless(&probe);
}

#[test]
fn every_answer_to_a_pipeline_of_redis_is_read() {
    const NAME: &str = "every_answer_to_a_pipeline_of_redis_is_read";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "redis").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let spans = run(&mut probe, &cgroup, "http redis 30");
    for kind in ["server", "client"] {
        let of_kind = || spans.iter().filter(|span| span.kind == kind && span.name == "GET");
        assert_eq!(of_kind().count(), 600, "{kind}");
        assert_eq!(of_kind().filter(|span| span.status == "error").count(), 30, "{kind}");
        assert_eq!(
            of_kind().filter(|span| span.attributes.contains_key("wake.truncated")).count(),
            0,
            "{kind}"
        );
    }
    assert_lossless(&probe);
}

#[test]
fn an_answer_that_came_and_was_not_read_is_no_failure() {
    const NAME: &str = "an_answer_that_came_and_was_not_read_is_no_failure";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "unread").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let status = cgroup.enter(&mut child::command("http unread 10")).status().unwrap();
    assert!(status.success());
    let mut clients = Vec::new();
    eventually("ten requests of clients", || {
        probe.drain();
        clients = spans(&probe, &cgroup);
        clients.retain(|span| span.kind == "client");
        clients.len() >= 10
    });
    assert_eq!(clients.len(), 10);
    assert!(clients.iter().all(|span| span.status.is_empty()), "{clients:#?}");
}
