//! A disk without room: what could not be written leaves nothing behind, and what is to go still goes.

use std::path::Path;
use std::sync::Arc;

use super::basics::everything;
use super::damage::files;
use super::fixture::{NOW, SECOND, batch, limits, lines};
use crate::disk::faulty::FaultyDisk;
use crate::{Limits, Retention, Store, Table};

fn open(dir: &Path, disk: &FaultyDisk, limits: Limits) -> Arc<Store> {
    Store::open_on(Arc::new(disk.clone()), dir, limits, NOW).unwrap().0
}

fn listed(store: &Store) -> usize {
    store.stats().tables.iter().map(|table| table.segments).sum()
}

#[tokio::test]
async fn seals_that_fail_for_want_of_room_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(7);
    let store = open(dir.path(), &disk, limits());
    store.append(&batch("n", 1, 1, &everything(NOW)), NOW).await.unwrap();
    store.append(&batch("n", 1, 2, &lines(NOW - 3_600 * SECOND, &["one", "two"])), NOW).await.unwrap();
    let mut failed = 0;
    for attempt in 0..100 {
        disk.leave_room(Some(attempt * 400));
        failed += u64::from(store.seal(NOW + i64::try_from(attempt).unwrap()).await.is_err());
        assert_eq!(files(dir.path(), "meta.json").len(), listed(&store), "attempt {attempt}");
        assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0, "attempt {attempt}");
    }
    assert!(failed > 20, "{failed} attempts failed");
    disk.leave_room(None);
    store.seal(NOW).await.unwrap();
    assert!(listed(&store) > 9);
}

#[tokio::test]
async fn what_is_old_goes_though_the_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(7);
    let mut limits = Limits { delete_after_s: 0, ..limits() };
    limits.retention[Table::Log.index()] = Retention { age_s: 60, max_bytes: u64::MAX };
    let store = open(dir.path(), &disk, limits);
    store.append(&batch("n", 1, 1, &lines(NOW, &["old"])), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    store.maintain(NOW).await.unwrap();
    disk.leave_room(Some(0));
    let late = NOW + 120 * SECOND;
    assert_eq!(store.maintain(late).await.unwrap().expired_segments, 1);
    assert_eq!(store.maintain(late).await.unwrap().unlinked_segments, 1);
    assert_eq!((listed(&store), files(dir.path(), "meta.json").len()), (0, 0));
    // a start needs room as well
    store.close().await;
    drop(store);
    open(dir.path(), &disk, limits).close().await;
}

#[tokio::test]
async fn a_small_store_goes_last_when_others_fill_the_disk() {
    for (refuse, kept) in [(90, 1), (45, 0)] {
        let dir = tempfile::tempdir().unwrap();
        // this disk says that half of it is used
        let limits = Limits { disk_drop_percent: 40, disk_refuse_percent: 90, ..limits() };
        let store = open(dir.path(), &FaultyDisk::new(7), limits);
        store.append(&batch("n", 1, 1, &lines(NOW, &["kept"])), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
        store.close().await;
        drop(store);
        let limits = Limits { disk_refuse_percent: refuse, ..limits };
        let store = open(dir.path(), &FaultyDisk::new(7), limits);
        store.maintain(NOW).await.unwrap();
        assert_eq!(listed(&store), kept, "batches are refused from {refuse} %");
        store.close().await;
    }
}

#[tokio::test]
async fn a_store_whose_log_does_not_fit_its_memory_opens_though_the_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(7);
    let store = open(dir.path(), &disk, limits());
    for seq in 0..20 {
        store.append(&batch("n", 1, seq, &everything(NOW)), NOW).await.unwrap();
    }
    let rows = |store: &Store| store.stats().tables.iter().map(|table| table.head_rows).sum::<usize>();
    let before = rows(&store);
    store.close().await;
    drop(store);
    // room for a new manifest, and for nothing of a segment
    disk.leave_room(Some(2_000));
    let store = open(dir.path(), &disk, Limits { head_bytes: 10_000, ..limits() });
    assert_eq!(rows(&store), before);
    disk.leave_room(None);
    store.seal(NOW).await.unwrap();
    assert_eq!(rows(&store), 0);
    store.close().await;
}
