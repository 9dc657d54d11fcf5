//! Bounds hold, are said, and are left again without a person.

use std::sync::Arc;

use proto::error::ErrorCode;

use super::fixture::{NOW, SECOND, batch, bodies, limits, lines, newest, open};
use crate::{Limits, OpenError, Retention, Store, Table};

fn open_with(dir: &std::path::Path, limits: Limits) -> Arc<Store> {
    Store::open(dir, limits, NOW).unwrap().0
}

#[tokio::test]
async fn a_full_head_refuses_until_it_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), Limits { head_bytes: 1, ..limits() });
    store.append(&batch("n", 1, 1, &lines(NOW, &["first"])), NOW).await.unwrap();
    let second = batch("n", 1, 2, &lines(NOW, &["second"]));
    let refused = store.append(&second, NOW).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::HeadFull);
    assert!(refused.retry_after_ms > 0);
    store.due().await;
    store.maintain(NOW).await.unwrap();
    assert!(!store.append(&second, NOW).await.unwrap().repeated);
}

#[tokio::test]
async fn a_full_log_refuses_until_it_is_sealed_and_its_files_go() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { wal_file_bytes: 1, wal_soft_bytes: 1, wal_hard_bytes: 200, ..limits() };
    let store = open_with(dir.path(), limits);
    store.append(&batch("n", 1, 1, &lines(NOW, &["first"])), NOW).await.unwrap();
    store.append(&batch("n", 1, 2, &lines(NOW, &["second"])), NOW).await.unwrap();
    let third = batch("n", 1, 3, &lines(NOW, &["third"]));
    assert_eq!(store.append(&third, NOW).await.unwrap_err().code, ErrorCode::WalFull);
    store.maintain(NOW).await.unwrap();
    assert_eq!((store.stats().wal_files, store.stats().wal_bytes), (0, 0));
    store.append(&third, NOW).await.unwrap();
    store.close().await;
    drop(store);
    let store = open_with(dir.path(), limits);
    assert!(store.append(&batch("n", 1, 1, &lines(NOW, &["first"])), NOW).await.unwrap().repeated);
    assert_eq!(bodies(&store.snapshot(), newest(10)).await, ["third", "second", "first"]);
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), Limits { max_disk_bytes: 100, ..limits() });
    store.append(&batch("n", 1, 1, &lines(NOW, &["first"])), NOW).await.unwrap();
    store.maintain(NOW).await.unwrap();
    // the log alone is too large for this disk
    let second = batch("n", 1, 2, &lines(NOW, &["second"]));
    let refused = store.append(&second, NOW).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::DiskFull);
    assert!(refused.code.is_retryable());
    store.seal(NOW).await.unwrap();
    store.maintain(NOW).await.unwrap();
    // the segment was dropped to make room
    assert_eq!(store.stats().counters.dropped_segments, 1);
    store.append(&second, NOW).await.unwrap();
}

#[tokio::test]
async fn retention_drops_what_is_old_and_keeps_what_a_snapshot_holds() {
    let dir = tempfile::tempdir().unwrap();
    let mut limits = Limits { delete_after_s: 0, ..limits() };
    limits.retention[Table::Log as usize] = Retention { age_s: 3_600, max_bytes: u64::MAX };
    let store = open_with(dir.path(), limits);
    store.append(&batch("n", 1, 1, &lines(NOW - 7_200 * SECOND, &["old"])), NOW).await.unwrap();
    store.append(&batch("n", 1, 2, &lines(NOW, &["new"])), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    let snapshot = store.snapshot();
    let done = store.maintain(NOW).await.unwrap();
    assert_eq!((done.expired_segments, done.unlinked_segments), (1, 0));
    assert_eq!(bodies(&store.snapshot(), newest(10)).await, ["new"]);
    assert_eq!(bodies(&snapshot, newest(10)).await, ["new", "old"]);
    drop(snapshot);
    // the query's thread may hold its copy a moment longer
    let deadline = 1_000;
    for round in 0..=deadline {
        if store.maintain(NOW).await.unwrap().unlinked_segments == 1 {
            break;
        }
        assert!(round < deadline, "the segment's files stay");
        tokio::task::yield_now().await;
    }
    store.close().await;
    drop(store);
    assert_eq!(bodies(&open_with(dir.path(), limits).snapshot(), newest(10)).await, ["new"]);
}

#[tokio::test]
async fn a_clock_that_is_wrong_for_a_while_costs_no_rows() {
    const YEAR: i64 = 365 * 86_400 * SECOND;
    let dir = tempfile::tempdir().unwrap();
    let limits = limits();
    let store = open_with(dir.path(), limits);
    store.append(&batch("n", 1, 1, &lines(NOW, &["line"])), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    store.maintain(NOW).await.unwrap();
    assert_eq!(store.maintain(NOW + YEAR).await.unwrap().expired_segments, 0);
    // rows of that time are sealed, as any that wait
    store.append(&batch("n", 1, 2, &lines(NOW + YEAR, &["wrong"])), NOW + YEAR).await.unwrap();
    store.seal(NOW + YEAR).await.unwrap();
    store.close().await;
    drop(store);
    // nor after a restart
    let store = open_with(dir.path(), limits);
    for minute in 1..=60 {
        let wall = NOW + YEAR + minute * 60 * SECOND;
        assert_eq!(store.maintain(wall).await.unwrap().expired_segments, 0, "{minute}");
    }
    assert_eq!(store.maintain(NOW + YEAR + 62 * 60 * SECOND).await.unwrap().expired_segments, 1, "it is so");
    store.close().await;
}

#[tokio::test]
async fn a_table_keeps_to_its_share_of_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut limits = limits();
    limits.retention[Table::Log as usize] = Retention { age_s: u64::MAX, max_bytes: 30_000 };
    let store = open_with(dir.path(), limits);
    for seq in 1..=8 {
        let ts = NOW - (8 - i64::try_from(seq).unwrap()) * 3_600 * SECOND;
        store.append(&batch("n", 1, seq, &lines(ts, &["line"])), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
    }
    store.maintain(NOW).await.unwrap();
    let table = store.stats().tables[Table::Log as usize].clone();
    assert!(table.segment_bytes <= 30_000 && table.segments > 0 && table.segments < 8, "{table:?}");
    assert!(table.oldest_ns.unwrap() > NOW - 7 * 3_600 * SECOND);
}

#[tokio::test]
async fn old_rows_are_sealed_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&batch("n", 1, 1, &lines(NOW, &["line"])), NOW).await.unwrap();
    assert!(store.maintain(NOW + 60 * SECOND).await.unwrap().sealed.is_empty());
    assert_eq!(store.maintain(NOW + 66 * 60 * SECOND).await.unwrap().sealed[0].rows, 1);
}

#[tokio::test]
async fn a_store_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(dir.path());
    assert!(matches!(Store::open(dir.path(), limits(), NOW), Err(OpenError::Locked { .. })));
}

#[tokio::test]
async fn a_store_of_a_newer_release_is_refused_and_names_it() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close().await;
    std::fs::write(dir.path().join("FORMAT"), "format 9\noldest_reader 2\nwritten_by 3.1.4\n").unwrap();
    match Store::open(dir.path(), limits(), NOW) {
        Err(OpenError::TooNew { found: 9, written_by, .. }) => assert_eq!(written_by, "3.1.4"),
        other => panic!("{other:?}"),
    }
}
