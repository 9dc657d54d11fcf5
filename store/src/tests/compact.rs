//! Merging segments changes no answer, whoever looks when.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::basics::everything;
use super::fixture::{NOW, SECOND, batch, bodies, collect, limits, lines, newest, open, open_with, render};
use crate::{HistogramBy, HistogramRequest, Limits, LogRequest, Order, ScanRequest, Snapshot, Store, Table};

const HOUR: i64 = 3_600 * SECOND;

/// All that a snapshot answers, as text.
async fn answers(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for table in Table::ALL {
        let request = ScanRequest { order: Order::OldestFirst, ..ScanRequest::default() };
        text +=
            &format!("{}\n{}", table.name(), render(&collect(snapshot.scan(table, request).unwrap()).await));
    }
    let requests = [
        newest(10_000),
        LogRequest { words: vec![b"seven".to_vec()], ..newest(100) },
        LogRequest { contains: vec![b"er seve".to_vec()], ..newest(100) },
        LogRequest { equals: vec![("k".to_owned(), "v".to_owned())], ..newest(100) },
        LogRequest { after_lsn: Some(20), ..newest(100) },
    ];
    for request in requests {
        text += &render(&collect(snapshot.logs(request.clone()).unwrap()).await);
        for step_ns in [Some(60 * SECOND), Some(SECOND)] {
            let by = HistogramBy::Workload;
            let request = HistogramRequest { logs: request.clone(), step_ns, by };
            let histogram = snapshot.log_histogram(request).await.unwrap();
            assert!(histogram.errors.is_empty(), "{:?}", histogram.errors);
            text += &format!("{:?}\n", histogram.buckets);
        }
    }
    text
}

/// Four seals of one hour, with rows of every table.
async fn fill(store: &Store) {
    for seq in 0..4_i64 {
        let ts = NOW + seq * 60 * SECOND;
        let node = format!("n{}", seq % 2);
        let mut payload = everything(ts);
        payload.identities[0].workload = format!("w{}", (seq * 7) % 3);
        let seq = seq.unsigned_abs();
        store.append(&batch(&node, 1, 2 * seq, &payload), NOW).await.unwrap();
        let texts: Vec<String> =
            (0..50).map(|at| format!("line {at} of {seq}, number {}", ["six", "seven"][at % 2])).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        store.append(&batch(&node, 1, 2 * seq + 1, &lines(ts, &texts)), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
    }
}

fn segments(store: &Store, table: Table) -> usize {
    store.stats().tables[table as usize].segments
}

#[tokio::test]
async fn a_compaction_changes_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store).await;
    let before = store.snapshot();
    let expected = answers(&before).await;
    let mut done = Vec::new();
    while let Some(compacted) = store.compact(NOW).await.unwrap() {
        done.push(compacted);
    }
    let tables: Vec<_> = done.iter().map(|done| (done.table, done.level, done.segments)).collect();
    assert_eq!(tables, Table::ALL.map(|table| (table, 1, 4)));
    assert!(done.iter().all(|done| done.bytes < done.bytes_before), "{done:?}");
    assert_eq!(answers(&store.snapshot()).await, expected);
    assert_eq!(answers(&before).await, expected, "a snapshot keeps what it has");
    let counters = store.stats().counters;
    let tables = Table::COUNT as u64;
    assert_eq!((counters.compactions, counters.compacted_segments), (tables, 4 * tables));
    store.close().await;
    let store = open(dir.path());
    assert_eq!(answers(&store.snapshot()).await, expected);
    assert!(Table::ALL.iter().all(|table| segments(&store, *table) == 1));
    store.close().await;
}

#[tokio::test]
async fn a_day_that_is_over_becomes_one_segment() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store).await;
    store.append(&batch("n", 9, 1, &everything(NOW - 2 * HOUR)), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    let expected = answers(&store.snapshot()).await;
    while store.compact(NOW + 3 * HOUR).await.unwrap().is_some() {}
    assert!(Table::ALL.iter().all(|table| segments(&store, *table) == 2), "rows of today may still come");
    let mut levels = Vec::new();
    while let Some(compacted) = store.compact(NOW + 48 * HOUR).await.unwrap() {
        levels.push(compacted.level);
    }
    assert_eq!(levels, [2; Table::COUNT]);
    assert_eq!(answers(&store.snapshot()).await, expected);
    store.close().await;
    let store = open(dir.path());
    assert_eq!(answers(&store.snapshot()).await, expected);
    assert_eq!(store.compact(NOW + 96 * HOUR).await.unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn whole_pages_are_copied() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // more than three pages of one workload in each segment, and one page of another
    let text = |seq: u64, at: u64| format!("{:0>2000} needle{}", seq * 10_000 + at, seq * 10_000 + at);
    for seq in 1..=4 {
        let many: Vec<String> = (0..1_200).map(|at| text(seq, at)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut payload = lines(NOW, &many);
        payload.identities.push(super::fixture::identity("shop", "small"));
        payload.logs.push(super::fixture::line(1, NOW, "warn", b"the other one"));
        store.append(&batch("n", 1, seq, &payload), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
    }
    assert_eq!(store.compact(NOW).await.unwrap().unwrap().rows, 4_804);
    for (seq, at) in [(1, 0), (2, 700), (4, 1_199)] {
        let needle = format!("needle{}", seq * 10_000 + at);
        let request = LogRequest { words: vec![needle.into_bytes()], ..newest(10) };
        assert_eq!(bodies(&store.snapshot(), request).await, [text(seq, at)]);
    }
    let other = LogRequest { equals: vec![("workload".to_owned(), "small".to_owned())], ..newest(10) };
    assert_eq!(bodies(&store.snapshot(), other).await, ["the other one"; 4]);
    assert_eq!(bodies(&store.snapshot(), LogRequest::default()).await.len(), 4_804);
    store.close().await;
}

/// The folders of a table's segments, in order.
fn folders(root: &Path, table: &str) -> Vec<std::path::PathBuf> {
    let mut level = vec![root.join("seg/default").join(table)];
    for _ in 0..3 {
        level = level
            .iter()
            .flat_map(|folder| fs::read_dir(folder).unwrap())
            .map(|e| e.unwrap().path())
            .collect();
    }
    level.sort();
    level
}

#[tokio::test]
async fn a_damaged_segment_is_left_alone_and_the_others_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for seq in 1..=5 {
        let text = format!("line {seq}");
        store.append(&batch("n", 1, seq, &lines(NOW, &[&text])), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
    }
    let victim = folders(dir.path(), "log").remove(0).join("body.bin");
    let mut bytes = fs::read(&victim).unwrap();
    bytes[15] ^= 1;
    fs::write(&victim, bytes).unwrap();
    let done = store.compact(NOW).await.unwrap().unwrap();
    assert_eq!((done.segments, segments(&store, Table::Log)), (4, 2));
    assert_eq!(store.stats().counters.failed_compactions, 1);
    assert!(victim.try_exists().unwrap(), "what cannot be read is kept");
    assert_eq!(store.compact(NOW).await.unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn merged_segments_go_when_no_snapshot_holds_them() {
    let dir = tempfile::tempdir().unwrap();
    let limits = crate::Limits { delete_after_s: 0, ..limits() };
    let store: Arc<Store> = Store::open(dir.path(), limits, NOW).unwrap().0;
    for seq in 1..=4 {
        store.append(&batch("n", 1, seq, &lines(NOW, &["line"])), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
    }
    let snapshot = store.snapshot();
    store.compact(NOW).await.unwrap().unwrap();
    assert_eq!(store.maintain(NOW).await.unwrap().unlinked_segments, 0);
    assert_eq!(bodies(&snapshot, newest(10)).await.len(), 4);
    drop(snapshot);
    // the query's thread may hold its copy a moment longer
    let deadline = 1_000;
    let mut unlinked = 0;
    for round in 0..=deadline {
        unlinked += store.maintain(NOW).await.unwrap().unlinked_segments;
        if unlinked == 4 {
            break;
        }
        assert!(round < deadline, "the segments' files stay");
        tokio::task::yield_now().await;
    }
    assert_eq!(folders(dir.path(), "log").len(), 1);
    store.close().await;
}

#[tokio::test]
async fn what_is_merged_are_neighbours_among_all_of_an_hour() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { compact_segments: 2, ..limits() };
    let (store, _) = open_with(dir.path(), limits).unwrap();
    let seal = async |seq: u64| {
        store.append(&batch("n", 1, seq, &lines(NOW, &[&format!("line {seq}")])), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
    };
    seal(1).await;
    seal(2).await;
    assert_eq!(store.compact(NOW).await.unwrap().unwrap().segments, 2);
    // one that cannot be merged stands between two that can
    seal(3).await;
    seal(4).await;
    let newest =
        store.snapshot().segments[Table::Log.index()].iter().max_by_key(|s| s.last_lsn()).unwrap().number;
    store.shared.unreadable.add(newest);
    seal(5).await;
    assert_eq!(store.compact(NOW).await.unwrap(), None);
    seal(6).await;
    assert_eq!(store.compact(NOW).await.unwrap().unwrap().segments, 2);
    let mut ranges: Vec<(i64, i64)> = store.snapshot().segments[Table::Log.index()]
        .iter()
        .map(|segment| (segment.entry.min_lsn, segment.entry.max_lsn))
        .collect();
    ranges.sort_unstable();
    assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
    store.close().await;
}
