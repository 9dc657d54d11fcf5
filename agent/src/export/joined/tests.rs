use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use proto::v1;

use super::LogJoin;
use crate::logs::record::{Chunk, LogRecord, Origin, SourceKey};
use crate::requests::context::Context;
use crate::requests::written::{Found, Print, Target, Write, Written};
use crate::window::sample::{Owner, PodContainer};

const NOW: u64 = 1_795_267_499_000_000_000;

/// Cgroup 5 is the container `app` of the pod `uid-1`.
fn join(written: &Written) -> LogJoin {
    let name = |owner: &Owner| {
        let (pod_uid, container) = match owner {
            Owner::Pod(pod) => (pod.uid.clone(), pod.container.clone()),
            Owner::Workload(5) => (String::from("uid-1"), String::from("app")),
            _ => Default::default(),
        };
        let workload = format!("{owner:?}");
        Arc::new(v1::Identity { pod_uid, container, workload, ..v1::Identity::default() })
    };
    LogJoin::new(written.clone(), Arc::new(name), Clock::system())
}

fn record(owner: Owner, start: u64, text: &str, stream: &str) -> LogRecord {
    let print = Print::of(text.as_bytes());
    LogRecord {
        owner,
        row: v1::LogRow {
            ts: NOW,
            observed_ts: NOW,
            body: text.as_bytes().to_vec().into(),
            stream: stream.to_owned(),
            ..v1::LogRow::default()
        },
        origin: Origin { source: SourceKey::File { device: 1, inode: 2 }, start, end: start + 1 },
        prints: [print; 2],
        lines: 1,
    }
}

fn pod(uid: &str) -> Owner {
    let pod = PodContainer { uid: uid.to_owned(), container: "app".to_owned(), ..PodContainer::default() };
    Owner::Pod(Box::new(pod))
}

fn write(written: &Written, target: Target, bytes: &[u8], number: u8) {
    let context = Context { trace_id: [number; 16], span_id: [number; 8], parent: None };
    let found = Found { context, confidence: 0.95 };
    let (total, start_ns) = (bytes.len() as u64, NOW - 1_000_000);
    written.lock().push(&Write { target, tid: 1, owner: 5, start_ns, bytes, total, found });
}

fn file(start: u64) -> Target {
    Target::File { device: 1, inode: 2, start }
}

#[test]
fn lines_of_files_and_of_pipes_get_their_span_and_keep_their_own() {
    let written = Written::default();
    written.switch(true);
    write(&written, file(0), b"one\n", 1);
    write(&written, file(4), b"two\n", 2);
    write(&written, Target::Stream { inode: 9 }, b"three\n", 3);
    let own = v1::LogRow { trace_id: "aa".repeat(16), ..record(pod("uid-1"), 4, "two", "").row };
    let mut chunk = Chunk {
        records: vec![
            record(pod("uid-1"), 0, "one", ""),
            LogRecord { row: own, ..record(pod("uid-1"), 4, "two", "") },
            record(pod("uid-2"), 8, "three", "stdout"),
            record(pod("uid-1"), 8, "three", "stdout"),
            record(pod("uid-1"), 8, "three", "stdout"),
        ],
        marks: Vec::new(),
    };
    join(&written).join(&mut chunk);
    let spans: Vec<&str> = chunk.records.iter().map(|record| record.row.span_id.as_str()).collect();
    assert_eq!(spans, ["0101010101010101", "", "", "0303030303030303", ""]);
    assert_eq!(chunk.records[1].row.trace_id, "aa".repeat(16));
    let sure = |at: usize| -> &BTreeMap<String, String> { &chunk.records[at].row.attributes };
    assert_eq!(sure(0)["wake.join.confidence"], "0.95");
    assert_eq!(sure(3)["wake.join.confidence"], "0.9");
    assert!(sure(4).is_empty());
}

#[tokio::test]
async fn a_chunk_waits_for_its_writes_and_not_for_ever() {
    let written = Written::default();
    let join = join(&written);
    let chunk = Chunk { records: vec![record(pod("uid-1"), 0, "one", "")], marks: Vec::new() };
    let since = join.now();
    join.ready(&chunk, since).await;
    written.switch(true);
    written.seen(NOW);
    let brief = Duration::from_millis(50);
    let waiting = tokio::time::timeout(brief, join.ready(&chunk, since)).await;
    assert!(waiting.is_err(), "not seen so far");
    written.seen(NOW + 20_000_000);
    join.ready(&chunk, since).await;
    // nothing more is ever seen, and who waits is interrupted again and again, as by the writer's other work
    written.seen(NOW);
    let since = join.now();
    while tokio::time::timeout(brief, join.ready(&chunk, since)).await.is_err() {
        assert!(join.now() < since + super::LONGEST * 20, "it waits for ever");
    }
    assert!(join.now() >= since + super::LONGEST);
}

#[test]
fn a_container_is_known_by_its_name_or_by_its_pod() {
    let of = |pod: &str, container: &str, id: &str| v1::Identity {
        pod_uid: pod.to_owned(),
        container: container.to_owned(),
        container_id: id.to_owned(),
        ..v1::Identity::default()
    };
    let log = of("uid-1", "app", "");
    assert!(super::is_same(&log, &of("uid-1", "app", "ab12")));
    assert!(super::is_same(&log, &of("uid-1", "ab12", "ab12")), "nobody told its name");
    assert!(!super::is_same(&log, &of("uid-1", "sidecar", "cd34")));
    assert!(!super::is_same(&log, &of("uid-2", "app", "ab12")));
}
