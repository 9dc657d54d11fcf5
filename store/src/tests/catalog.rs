//! A catalog of which any part is lost: what the segments say of themselves makes up for it, each row is there once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fixture::{NOW, SECOND, batch, bodies, limits, lines, newest, open, open_with};
use crate::disk::faulty::Random;
use crate::{Limits, LogRequest, Recovered, Store};

const HOUR: i64 = 3_600 * SECOND;

fn open_and_say(dir: &Path) -> (Arc<Store>, Recovered) {
    open_with(dir, Limits { compact_segments: 2, ..limits() }).unwrap()
}

fn manifest(dir: &Path) -> PathBuf {
    let name = fs::read_to_string(dir.join("catalog/CURRENT")).unwrap();
    dir.join("catalog").join(name.trim())
}

async fn sorted(store: &Store) -> Vec<String> {
    let mut found = bodies(&store.snapshot(), LogRequest::default()).await;
    found.sort();
    found
}

/// A store with several seals, merges, rows of two hours, and rows that are only in the log. Returns what it holds.
async fn fill(dir: &Path, random: &mut Random) -> Vec<String> {
    let (store, _) = open_and_say(dir);
    let mut sent = Vec::new();
    for seq in 1..=4 + random.below(8) {
        let hour = i64::try_from(random.below(2)).unwrap() * HOUR;
        let texts = [format!("batch {seq} first"), format!("batch {seq} second")];
        let payload = lines(NOW - hour, &texts.each_ref().map(String::as_str));
        store.append(&batch("n", 1, seq, &payload), NOW).await.unwrap();
        sent.extend(texts);
        match random.below(4) {
            0 | 1 => drop(store.seal(NOW).await.unwrap()),
            2 => drop(store.compact(NOW).await.unwrap()),
            _ => {}
        }
    }
    store.close().await;
    sent.sort();
    sent
}

/// Damages the catalog in one of many ways.
fn damage(dir: &Path, random: &mut Random) {
    let path = manifest(dir);
    let mut bytes = fs::read(&path).unwrap();
    let any = |random: &mut Random, bytes: &[u8]| usize::try_from(random.below(bytes.len() as u64)).unwrap();
    match random.below(6) {
        0 => return fs::remove_file(dir.join("catalog/CURRENT")).unwrap(),
        1 => return fs::write(dir.join("catalog/CURRENT"), "MANIFEST-").unwrap(),
        2 => return fs::remove_file(path).unwrap(),
        3 => bytes.truncate(any(random, &bytes)),
        _ => {
            let (start, len) = (any(random, &bytes), 1 + any(random, &bytes) / 4);
            let end = (start + len).min(bytes.len());
            bytes[start..end].fill(u8::try_from(random.below(256)).unwrap());
        }
    }
    fs::write(&path, bytes).unwrap();
}

#[test]
fn whatever_part_of_the_catalog_is_lost_each_row_is_there_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let mut rebuilt = 0;
    for seed in 0..40 {
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let sent = fill(dir.path(), &mut random).await;
            damage(dir.path(), &mut random);
            let (store, recovered) = open_and_say(dir.path());
            rebuilt += recovered.rebuilt.len();
            assert_eq!(sorted(&store).await, sent, "seed {seed}: {recovered:?}");
            if random.below(2) == 0 {
                store.seal(NOW).await.unwrap();
                while store.compact(NOW + 3 * HOUR).await.unwrap().is_some() {}
                assert_eq!(sorted(&store).await, sent, "seed {seed}, sealed");
            }
            store.close().await;
            // as it was put right, so it stays
            let (store, recovered) = open_and_say(dir.path());
            assert_eq!((recovered.damaged.len(), recovered.rebuilt.len()), (0, 0), "seed {seed}");
            assert_eq!(sorted(&store).await, sent, "seed {seed}, again");
            store.seal(NOW).await.unwrap();
            assert_eq!(sorted(&store).await, sent, "seed {seed}, sealed again");
            store.close().await;
        });
    }
    assert!(rebuilt > 40, "{rebuilt}");
}

#[tokio::test]
async fn damage_in_the_middle_is_named_and_later_edits_still_count() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut ends = Vec::new();
    for seq in 1..=3 {
        let text = format!("line {seq}");
        let ts = NOW + i64::try_from(seq).unwrap() * SECOND;
        store.append(&batch("n", 1, seq, &lines(ts, &[&text])), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
        ends.push(fs::metadata(manifest(dir.path())).unwrap().len());
    }
    store.close().await;
    let path = manifest(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    let middle = usize::try_from(ends[0] + (ends[1] - ends[0]) / 2).unwrap();
    bytes[middle] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    let (store, recovered) = open_and_say(dir.path());
    assert_eq!((recovered.damaged.len(), recovered.rebuilt.len()), (0, 2), "{recovered:?}");
    assert_eq!(bodies(&store.snapshot(), newest(10)).await, ["line 3", "line 2", "line 1"]);
    // the last edit knows every batch
    for seq in 1..=3 {
        let again = store.append(&batch("n", 1, seq, &lines(NOW, &["again"])), NOW).await.unwrap();
        assert!(again.repeated, "{seq}");
    }
    assert!(path.with_extension("corrupt").try_exists().unwrap());
    store.close().await;
}

#[tokio::test]
async fn a_segment_that_is_listed_and_gone_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for seq in 1..=2 {
        let ts = NOW - i64::try_from(seq).unwrap() * HOUR;
        store.append(&batch("n", 1, seq, &lines(ts, &[&format!("line {seq}")])), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
    }
    store.close().await;
    fs::remove_dir_all(dir.path().join("seg/default/log/2026-11-21/11")).unwrap();
    fs::write(manifest(dir.path()), b"garbage").unwrap();
    let (store, recovered) = open_and_say(dir.path());
    assert!(recovered.rebuilt.iter().any(|line| line.contains("wrong magic")), "{recovered:?}");
    assert_eq!(sorted(&store).await, ["line 2"]);
    store.close().await;
}

#[tokio::test]
async fn a_folder_that_nobody_knows_is_set_aside_and_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&batch("n", 1, 1, &lines(NOW, &["line"])), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    store.close().await;
    let hour = dir.path().join("seg/default/log/2026-11-21/12");
    let segment = fs::read_dir(&hour).unwrap().next().unwrap().unwrap().path();
    fs::write(segment.join("meta.json"), b"{").unwrap();
    fs::write(manifest(dir.path()), b"garbage").unwrap();
    let (store, recovered) = open_and_say(dir.path());
    assert!(recovered.damaged.iter().any(|line| line.contains("set aside")), "{recovered:?}");
    assert_eq!(fs::read_dir(dir.path().join("corrupt")).unwrap().count(), 1);
    assert_eq!(sorted(&store).await, [""; 0]);
    store.close().await;
}

#[tokio::test]
async fn a_current_that_names_nothing_costs_no_list_of_batches() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&batch("n", 1, 1, &lines(NOW, &["line"])), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    store.close().await;
    drop(store);
    fs::write(dir.path().join("catalog/CURRENT"), "MANIFEST-").unwrap();
    let (store, recovered) = open_and_say(dir.path());
    assert_eq!((recovered.damaged.len(), recovered.rebuilt.len()), (0, 1), "{recovered:?}");
    assert!(store.append(&batch("n", 1, 1, &lines(NOW, &["line"])), NOW).await.unwrap().repeated);
    store.close().await;
}

#[tokio::test]
async fn an_old_manifest_that_stayed_is_not_taken_for_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&batch("n", 1, 1, &lines(NOW, &["line 1"])), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    let old = manifest(dir.path());
    let stayed = fs::read(&old).unwrap();
    store.append(&batch("n", 1, 2, &lines(NOW + SECOND, &["line 2"])), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    store.close().await;
    drop(store);
    open(dir.path()).close().await;
    // as if its removal had failed, and the first record of the current one were damaged
    fs::write(&old, stayed).unwrap();
    let current = manifest(dir.path());
    assert_ne!(old, current);
    let mut bytes = fs::read(&current).unwrap();
    bytes[30] ^= 0xff;
    fs::write(&current, bytes).unwrap();
    let late = NOW + 3 * HOUR;
    let (store, recovered) = Store::open(dir.path(), limits(), late).unwrap();
    assert!(!recovered.rebuilt.is_empty(), "{recovered:?}");
    assert!(recovered.damaged.iter().any(|line| line.contains("stored again")), "{recovered:?}");
    assert_eq!(sorted(&store).await, ["line 1", "line 2"]);
    assert!(current.with_extension("corrupt").try_exists().unwrap());
    assert!(!old.try_exists().unwrap(), "it goes with the next one");
    store.close().await;
}

#[tokio::test]
async fn a_damaged_segment_that_nobody_lists_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&batch("n", 1, 1, &lines(NOW, &["line"])), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    store.close().await;
    drop(store);
    let hour = dir.path().join("seg/default/log/2026-11-21/12");
    let segment = fs::read_dir(&hour).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(segment.join("sketch.parquet")).unwrap();
    fs::write(manifest(dir.path()), b"garbage").unwrap();
    let (store, recovered) = Store::open(dir.path(), limits(), NOW + 3 * HOUR).unwrap();
    assert!(recovered.damaged.iter().any(|line| line.contains("set aside")), "{recovered:?}");
    assert_eq!(fs::read_dir(dir.path().join("corrupt")).unwrap().count(), 1);
    store.close().await;
}

#[tokio::test]
async fn what_was_merged_is_there_once_though_that_edit_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_and_say(dir.path());
    for (seq, ts) in [(1, NOW), (2, NOW + SECOND), (3, NOW - HOUR)] {
        store.append(&batch("n", 1, seq, &lines(ts, &[&format!("line {seq}")])), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
    }
    store.close().await;
    // its manifest begins with all three
    let (store, _) = open_and_say(dir.path());
    let begin = fs::metadata(manifest(dir.path())).unwrap().len();
    assert!(store.compact(NOW).await.unwrap().is_some(), "two of an hour");
    let end = fs::metadata(manifest(dir.path())).unwrap().len();
    assert!(store.compact(NOW + 90 * 24 * HOUR).await.unwrap().is_some(), "and the day");
    store.close().await;
    drop(store);
    let path = manifest(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(begin + (end - begin) / 2).unwrap()] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    let (store, recovered) = open_and_say(dir.path());
    assert_eq!(sorted(&store).await, ["line 1", "line 2", "line 3"], "{recovered:?}");
    let doubled = recovered.rebuilt.iter().filter(|line| line.contains("merged into")).count();
    assert_eq!(doubled, 2, "{recovered:?}");
    store.close().await;
}

#[tokio::test]
async fn rot_in_the_last_edit_is_damage_and_half_an_edit_is_none() {
    for (rotten, at) in [(true, 4), (true, 0), (true, 100), (false, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let begin = usize::try_from(fs::metadata(manifest(dir.path())).unwrap().len()).unwrap();
        store.append(&batch("n", 1, 1, &lines(NOW, &["line"])), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
        store.close().await;
        drop(store);
        let path = manifest(dir.path());
        let mut bytes = fs::read(&path).unwrap();
        match rotten {
            true => bytes[begin + at] ^= 0x01,
            false => bytes.truncate(begin + 60),
        }
        fs::write(&path, bytes).unwrap();
        let (store, recovered) = open_and_say(dir.path());
        assert_eq!(sorted(&store).await, ["line"], "{recovered:?}");
        let is_told = recovered.damaged.iter().any(|line| line.contains("stored again"));
        assert_eq!((is_told, recovered.torn_bytes == 0), (rotten, rotten), "at {at}: {recovered:?}");
        store.close().await;
    }
}
