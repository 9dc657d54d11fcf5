//! Damaged bytes of every format: named and left out, the rest is served, and nothing panics.

use std::fs;
use std::path::{Path, PathBuf};

use futures::StreamExt as _;

use super::basics::everything;
use super::fixture::{NOW, SECOND, batch, bodies, limits, lines, newest, open, open_with};
use crate::disk::faulty::Random;
use crate::{
    HistogramBy, HistogramRequest, LogRequest, OpenError, PatternRequest, Says, ScanError, ScanRequest,
    Store, Table,
};

pub(super) fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, name));
        } else if path.file_name().unwrap().to_str().unwrap().contains(name) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Reads all there is in every way; returns how many parts could not be read.
async fn read_everything(store: &Store) -> (usize, usize) {
    let (mut rows, mut bad) = (0, 0);
    let snapshot = store.snapshot();
    for table in Table::ALL {
        let mut stream = snapshot.scan(table, ScanRequest::default()).unwrap();
        while let Some(item) = stream.next().await {
            match item {
                Ok(batch) => rows += batch.num_rows(),
                Err(error) => {
                    assert!(error.is_partial(), "{error}");
                    bad += 1;
                }
            }
        }
    }
    let all = PatternRequest { from_ns: i64::MIN, to_ns: i64::MAX, ..PatternRequest::default() };
    let found = snapshot.log_patterns(all).await.unwrap();
    bad += found.errors.len();
    let says = vec![Says { columns: Vec::new(), text: "ls".to_owned(), whole: true }];
    let words = ScanRequest { says, ..ScanRequest::default() };
    let mut stream = snapshot.scan(Table::Process, words).unwrap();
    while let Some(item) = stream.next().await {
        bad += usize::from(item.is_err());
    }
    for request in [newest(100), LogRequest { words: vec![b"alpha".to_vec()], ..LogRequest::default() }] {
        let mut stream = snapshot.logs(request.clone()).unwrap();
        while let Some(item) = stream.next().await {
            bad += usize::from(item.is_err());
        }
        let histogram =
            HistogramRequest { logs: request, step_ns: Some(60 * SECOND), by: HistogramBy::Level };
        bad += snapshot.log_histogram(histogram).await.unwrap().errors.len();
    }
    (rows, bad)
}

/// Changes, cuts or lengthens a file.
fn damage(path: &Path, random: &mut Random) {
    let mut bytes = fs::read(path).unwrap();
    match random.below(4) {
        0 => bytes.truncate(usize::try_from(random.below(bytes.len() as u64)).unwrap()),
        1 => bytes.extend((0..random.below(64)).map(|byte| u8::try_from(byte).unwrap())),
        _ => {
            for _ in 0..1 + random.below(8) {
                let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
                bytes[at] ^= u8::try_from(1 + random.below(255)).unwrap();
            }
        }
    }
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_damaged_segment_is_named_and_the_rest_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&batch("n", 1, 1, &lines(NOW - 3_600 * SECOND, &["alpha old"])), NOW).await.unwrap();
    store.append(&batch("n", 1, 2, &lines(NOW, &["alpha new"])), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    let body = files(dir.path(), "body.bin").remove(0);
    let mut bytes = fs::read(&body).unwrap();
    bytes[20] ^= 1;
    fs::write(&body, bytes).unwrap();
    let mut stream = store.snapshot().logs(newest(10)).unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().num_rows(), 1);
    match stream.next().await {
        Some(Err(ScanError::SegmentUnreadable { to_ns, .. })) => assert_eq!(to_ns, NOW - 3_600 * SECOND),
        other => panic!("{other:?}"),
    }
    assert!(stream.next().await.is_none());
    assert_eq!(store.stats().counters.unreadable_segments, 1);
    store.close().await;
}

#[tokio::test]
async fn a_segment_of_a_release_to_come_is_named_with_that_release() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&batch("n", 1, 1, &lines(NOW, &["alpha"])), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    store.close().await;
    drop(store);
    // a manifest that is lost is made up for by what segments say of themselves
    let meta = files(dir.path(), "meta.json").remove(0);
    let said = fs::read_to_string(&meta).unwrap();
    let this = format!("\"written_by\": \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(said.contains(&this), "{said}");
    fs::write(&meta, said.replace(&this, "\"written_by\": \"7.1\"")).unwrap();
    for manifest in files(&dir.path().join("catalog"), "MANIFEST") {
        let bytes = fs::read(&manifest).unwrap();
        fs::write(&manifest, &bytes[..bytes.len().min(40)]).unwrap();
    }
    let body = files(dir.path(), "body.bin").remove(0);
    let mut bytes = fs::read(&body).unwrap();
    let version = bytes.len() - 12;
    bytes[version] = 9;
    fs::write(&body, bytes).unwrap();
    let store = open(dir.path());
    let error = store.snapshot().logs(newest(10)).unwrap().next().await.unwrap().unwrap_err().to_string();
    assert!(error.contains("newer release") && error.contains("release 7.1 wrote it"), "{error}");
    store.close().await;
}

#[test]
fn no_damage_of_a_segment_makes_a_reader_panic() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    runtime.block_on(async {
        let store = open(dir.path());
        store.append(&batch("n", 1, 1, &everything(NOW)), NOW).await.unwrap();
        let many: Vec<String> = (0..400).map(|at| format!("alpha {at} beta")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        store.append(&batch("n", 1, 2, &lines(NOW, &many)), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
        let (rows, bad) = read_everything(&store).await;
        assert_eq!((rows, bad), (crate::Table::COUNT + 400, 0));
        store.close().await;
    });
    let names = ["data.parquet", "body.bin", "sketch.parquet", "meta.json", "patterns.parquet", "terms.bin"];
    let victims: Vec<PathBuf> = names.iter().flat_map(|name| files(dir.path(), name)).collect();
    for round in 0..150 {
        let victim = &victims[usize::try_from(random.below(victims.len() as u64)).unwrap()];
        let whole = fs::read(victim).unwrap();
        damage(victim, &mut random);
        runtime.block_on(async {
            let store = open(dir.path());
            let (rows, bad) = read_everything(&store).await;
            assert!(
                rows == crate::Table::COUNT + 400 || bad > 0,
                "round {round}: {} rows of {}",
                rows,
                victim.display()
            );
            store.close().await;
        });
        fs::write(victim, whole).unwrap();
    }
}

#[tokio::test]
async fn damage_before_the_tail_of_the_log_is_set_aside_and_the_rest_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for seq in 1..=3 {
        let text = format!("line {seq}");
        store
            .append(&batch("n", 1, seq, &lines(NOW + i64::try_from(seq).unwrap(), &[&text])), NOW)
            .await
            .unwrap();
    }
    store.close().await;
    let wal = files(&dir.path().join("wal"), ".wal").remove(0);
    let mut bytes = fs::read(&wal).unwrap();
    let second = 8 + (bytes.len() - 8) / 3 + 30;
    bytes[second] ^= 0xff;
    fs::write(&wal, bytes).unwrap();
    for again in 0..2 {
        let (store, recovered) = open_with(dir.path(), limits()).unwrap();
        assert_eq!(bodies(&store.snapshot(), newest(10)).await, ["line 3", "line 1"]);
        assert_eq!(recovered.damaged.len(), 1 - again, "{recovered:?}");
        assert_eq!(store.stats().counters.lost_records, 1 - again as u64);
        assert_eq!(files(dir.path(), ".corrupt").len(), 1);
        store.close().await;
    }
}

#[tokio::test]
async fn a_torn_tail_of_the_log_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&batch("n", 1, 1, &lines(NOW, &["whole"])), NOW).await.unwrap();
    store.close().await;
    let wal = files(&dir.path().join("wal"), ".wal").remove(0);
    let mut bytes = fs::read(&wal).unwrap();
    bytes.extend_from_slice(&[9, 0, 0, 0, 1, 2, 3]);
    fs::write(&wal, bytes).unwrap();
    let (store, recovered) = open_with(dir.path(), limits()).unwrap();
    assert_eq!((recovered.batches, recovered.torn_bytes, recovered.damaged.len()), (1, 7, 0));
    store.append(&batch("n", 1, 2, &lines(NOW + 1, &["next"])), NOW).await.unwrap();
    store.close().await;
    assert_eq!(bodies(&open(dir.path()).snapshot(), newest(10)).await, ["next", "whole"]);
}

#[test]
fn no_damage_of_log_or_manifest_makes_opening_panic() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let mut random = Random(11);
    for _ in 0..100 {
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let store = open(dir.path());
            store.append(&batch("n", 1, 1, &everything(NOW)), NOW).await.unwrap();
            store.seal(NOW).await.unwrap();
            for seq in 2..6 {
                store.append(&batch("n", 1, seq, &lines(NOW, &["one", "two"])), NOW).await.unwrap();
            }
            store.close().await;
        });
        let mut victims = files(&dir.path().join("wal"), ".wal");
        victims.extend(files(&dir.path().join("catalog"), ""));
        victims.push(dir.path().join("FORMAT"));
        damage(&victims[usize::try_from(random.below(victims.len() as u64)).unwrap()], &mut random);
        runtime.block_on(async {
            match open_with(dir.path(), limits()) {
                Ok((store, _)) => {
                    read_everything(&store).await;
                    store.close().await;
                }
                Err(error) => {
                    assert!(matches!(error, OpenError::TooNew { .. } | OpenError::Io { .. }), "{error:?}")
                }
            }
        });
    }
}
