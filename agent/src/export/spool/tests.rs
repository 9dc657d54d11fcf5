use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use bytes::Bytes;

use super::{Kept, Next, Spool, SpoolError};
use crate::export::batch::Packed;
use crate::logs::checkpoint::Mark;

const MAX: u64 = 64 << 10;

/// In memory where that is possible: hundreds of syncs would otherwise wait for a disk that others use.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn packed(content: u64) -> Packed {
    let body = format!("{content:08}").repeat(20 + content as usize % 40);
    Packed { zstd_payload: Bytes::from(body), unpacked_bytes: content, ..Packed::default() }
}

fn open(dir: &Path, now_ms: u64) -> Spool {
    Spool::open(dir, MAX, now_ms).unwrap().0
}

fn sync(spool: &mut Spool) {
    let (file, ids) = spool.unsynced();
    file.sync_data().unwrap();
    spool.synced(&ids);
}

#[test]
fn batches_come_out_in_order_and_only_once_synced() {
    let dir = scratch();
    let mut spool = open(dir.path(), 5);
    assert_eq!(spool.append(&packed(1)).unwrap(), (5, 1));
    assert!(spool.next("n").is_none());
    sync(&mut spool);
    spool.append(&packed(2)).unwrap();
    sync(&mut spool);
    let first = spool.next("n").unwrap();
    assert_eq!((first.node.as_str(), first.epoch, first.seq, first.unpacked_bytes), ("n", 5, 1, 1));
    assert_eq!(spool.next("n").unwrap().seq, 2);
    assert!(spool.next("n").is_none());
    spool.disconnected();
    assert_eq!(spool.next("n").unwrap().seq, 1);
    assert!(spool.acked((5, 1)) && !spool.acked((5, 1)));
    spool.refused((5, 2));
    assert_eq!(spool.batches(), 1);
}

#[test]
fn what_was_just_spooled_is_given_as_it_was_once_and_then_from_its_file() {
    let dir = scratch();
    let mut spool = open(dir.path(), 5);
    spool.keep_recent(8);
    let id = spool.append(&packed(1)).unwrap();
    spool.remember(id, Bytes::from_static(b"unpacked"));
    assert!(spool.next_payload().is_none(), "not on disk so far");
    sync(&mut spool);
    let Some(Next { id: (5, 1), payload: Kept::Unpacked(payload) }) = spool.next_payload() else {
        panic!("it was kept")
    };
    assert_eq!(&payload[..], b"unpacked");
    spool.refused(id);
    let Some(Next { payload: Kept::Packed(payload, 1), .. }) = spool.next_payload() else {
        panic!("it is on disk")
    };
    assert_eq!(payload, packed(1).zstd_payload);
}

/// An endpoint that takes a batch out of memory while it goes to disk.
#[test]
fn what_was_delivered_before_it_was_on_disk_is_not_given_again() {
    let dir = scratch();
    let mut spool = open(dir.path(), 5);
    spool.keep_recent(8);
    let id = spool.append(&packed(1)).unwrap();
    spool.remember(id, Bytes::from_static(b"unpacked"));
    assert!(spool.acked(id));
    sync(&mut spool);
    assert!(spool.next_payload().is_none());
}

#[test]
fn fresh_batches_alternate_with_the_backlog() {
    let dir = scratch();
    let mut spool = open(dir.path(), 5);
    for content in 1..=4 {
        spool.append(&packed(content)).unwrap();
    }
    sync(&mut spool);
    spool.disconnected();
    for content in 5..=6 {
        spool.append(&packed(content)).unwrap();
    }
    sync(&mut spool);
    let order: Vec<_> = std::iter::from_fn(|| spool.next("n")).map(|batch| batch.seq).collect();
    assert_eq!(order, [5, 1, 6, 2, 3, 4]);
}

#[test]
fn a_full_spool_refuses_and_goes_on_once_it_was_drained() {
    let dir = scratch();
    let mut spool = open(dir.path(), 5);
    let mut count = 0;
    let error = loop {
        match spool.append(&packed(count)) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
        assert!(count < 1000);
    };
    assert!(matches!(error, SpoolError::Full { .. }) && !spool.has_room_for_logs());
    assert!(spool.bytes() <= MAX);
    sync(&mut spool);
    while let Some(batch) = spool.next("n") {
        spool.acked((batch.epoch, batch.seq));
    }
    spool.rotate_if_settled().unwrap();
    let removable = spool.removable();
    spool.remove(removable).unwrap();
    assert!(spool.bytes() < 1000 && spool.has_room_for_logs(), "{}", spool.bytes());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(spool.append(&packed(1)).unwrap(), (5, count + 1));
}

#[test]
fn numbers_go_on_after_a_clean_stop_and_begin_anew_after_damage() {
    let dir = scratch();
    let mut spool = open(dir.path(), 5);
    for content in 1..=3 {
        spool.append(&packed(content)).unwrap();
    }
    drop(spool);
    let (mut spool, recovered) = Spool::open(dir.path(), MAX, 9).unwrap();
    assert_eq!((recovered.batches, recovered.is_new_epoch), (3, false));
    assert_eq!(spool.append(&packed(4)).unwrap(), (5, 4));
    drop(spool);
    let last = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    fs::write(&last, bytes).unwrap();
    let (mut spool, recovered) = Spool::open(dir.path(), MAX, 9).unwrap();
    assert_eq!((recovered.batches, recovered.is_new_epoch), (3, true));
    assert_eq!(spool.append(&packed(5)).unwrap(), (9, 1));
    assert_eq!(spool.next("n").unwrap().epoch, 5);
}

#[test]
fn a_lost_directory_begins_a_later_epoch_and_nonsense_is_set_aside() {
    let dir = scratch();
    fs::write(dir.path().join("00000000000000000007.spool"), b"nonsense").unwrap();
    let (mut spool, recovered) = Spool::open(dir.path(), MAX, 77).unwrap();
    assert!(recovered.is_new_epoch);
    assert_eq!(spool.append(&packed(1)).unwrap(), (77, 1));
    assert!(dir.path().join("00000000000000000007.corrupt").is_file());
}

fn only_file(dir: &Path) -> std::path::PathBuf {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).max().unwrap()
}

#[test]
fn a_file_that_could_not_be_made_is_in_nobodys_way() {
    let dir = scratch();
    let mut spool = open(dir.path(), 5);
    spool.append(&packed(1)).unwrap();
    fs::write(dir.path().join(format!("{:020}.spool", 2)), "").unwrap();
    assert!(spool.rotate().is_err());
    spool.rotate().unwrap();
    assert_eq!(spool.append(&packed(2)).unwrap(), (5, 2));
}

#[test]
fn what_cannot_be_read_now_is_kept_and_what_is_damaged_is_booked() {
    let dir = scratch();
    let mut spool = open(dir.path(), 5);
    let rows = |count| BTreeMap::from([("flow".to_owned(), count)]);
    for count in 1..=3 {
        spool.append(&Packed { rows: rows(count), ..packed(count) }).unwrap();
    }
    sync(&mut spool);
    let (file, away) = (only_file(dir.path()), dir.path().join("away"));
    fs::rename(&file, &away).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(spool.next("n").is_none());
    assert!(spool.has_next() && spool.batches() == 3 && spool.take_lost().is_empty());
    fs::remove_dir(&file).unwrap();
    // the second one is damaged
    let mut bytes = fs::read(&away).unwrap();
    let second = bytes.windows(8).position(|bytes| bytes == b"00000002").unwrap();
    bytes[second] ^= 1;
    fs::write(&file, bytes).unwrap();
    let sent: Vec<u64> = std::iter::from_fn(|| spool.next("n")).map(|batch| batch.seq).collect();
    assert_eq!(sent, [1, 3]);
    assert_eq!((spool.take_lost(), spool.batches()), (rows(2), 2));
    // a restart steps over it and counts it
    fs::remove_file(&away).unwrap();
    let (mut spool, recovered) = Spool::open(dir.path(), MAX, 9).unwrap();
    assert_eq!((recovered.batches, recovered.lost_batches, recovered.is_new_epoch), (2, 1, true));
    assert_eq!(spool.take_lost(), BTreeMap::from([("batch".to_owned(), 1)]));
}

#[test]
fn after_a_failed_sync_everything_unsynced_is_written_to_another_file() {
    let root = scratch();
    let (dir, away) = (root.path().join("spool"), root.path().join("away"));
    let mut spool = open(&dir, 5);
    let marked = |line: u64| {
        let position = Some(crate::logs::checkpoint::Position::Journal(line.to_string()));
        let mark = Mark { source: crate::logs::record::SourceKey::Journal, position };
        Packed { marks: vec![mark], ..packed(line) }
    };
    spool.append(&marked(1)).unwrap();
    sync(&mut spool);
    spool.append(&marked(2)).unwrap();
    spool.append(&marked(3)).unwrap();
    spool.not_synced();
    assert!(spool.unsynced().1.is_empty());
    // no other file can be made now
    fs::rename(&dir, &away).unwrap();
    spool.append(&marked(4)).unwrap_err();
    fs::rename(&away, &dir).unwrap();
    assert_eq!(spool.append(&marked(4)).unwrap(), (7, 3));
    let (file, ids) = spool.unsynced();
    file.sync_data().unwrap();
    let marks: Vec<_> = [2, 3, 4].into_iter().flat_map(|line| marked(line).marks).collect();
    assert_eq!(spool.synced(&ids), marks);
    let all = [((5, 1), 1), ((7, 1), 2), ((7, 2), 3), ((7, 3), 4)];
    let sent = |spool: &mut Spool| -> Vec<_> {
        std::iter::from_fn(|| spool.next("n"))
            .map(|batch| ((batch.epoch, batch.seq), batch.unpacked_bytes))
            .collect()
    };
    assert_eq!(sent(&mut spool), all);
    drop(spool);
    // the old file no longer has them
    let (mut spool, recovered) = Spool::open(&dir, MAX, 9).unwrap();
    assert_eq!((recovered.lost_batches, recovered.is_new_epoch), (0, false));
    assert_eq!(sent(&mut spool), all);
}

#[test]
fn a_full_spool_still_takes_what_was_lost() {
    let dir = scratch();
    let mut spool = open(dir.path(), 5);
    let rows = Packed { rows: [("flow".to_owned(), 1)].into(), ..packed(1) };
    while spool.append(&rows).is_ok() {}
    spool.append(&packed(1)).unwrap();
    assert!(spool.append(&rows).is_err() && spool.bytes() <= MAX);
}

#[test]
fn nobody_else_may_look_into_the_spool() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = scratch();
    let inside = dir.path().join("spool");
    fs::create_dir(&inside).unwrap();
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755)).unwrap();
    open(&inside, 5);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&inside), mode(&only_file(&inside))), (0o700, 0o600));
}

/// The naive twin: what was sent and not acknowledged is what a reopened spool sends, under the same numbers and with
/// the same content, whatever is killed whenever; no number ever names two contents.
#[test]
fn random_kills_lose_nothing_that_was_sent() {
    for seed in 0..20_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let dir = scratch();
        let mut spool = open(dir.path(), 1);
        let mut synced: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut unsynced = Vec::new();
        let mut sent: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut acked = BTreeSet::new();
        for step in 0..300_u64 {
            match random(12) {
                0..=4 => {
                    if let Ok(id) = spool.append(&packed(step)) {
                        unsynced.push((id, step));
                    }
                }
                5 => {
                    sync(&mut spool);
                    synced.extend(unsynced.drain(..));
                }
                6..=8 => {
                    if let Some(batch) = spool.next("n") {
                        let id = (batch.epoch, batch.seq);
                        let before = sent.insert(id, batch.unpacked_bytes);
                        assert!(
                            before.is_none_or(|content| content == batch.unpacked_bytes),
                            "{id:?} has two contents"
                        );
                        assert_eq!(batch.zstd_payload, packed(batch.unpacked_bytes).zstd_payload);
                        if random(2) == 0 {
                            spool.acked(id);
                            acked.insert(id);
                        }
                    }
                }
                9 => {
                    spool.rotate_if_settled().unwrap();
                    let removable = spool.removable();
                    spool.remove(removable).unwrap();
                }
                10 => spool.disconnected(),
                _ => {
                    drop(spool);
                    if random(3) == 0 && !unsynced.is_empty() {
                        // the power went: the end of the last file that was written is lost
                        cut_tail(dir.path(), random(40) as usize + 1, &unsynced, &synced);
                    }
                    unsynced.clear();
                    spool = open(dir.path(), 1000 + step);
                    let mut again = BTreeMap::new();
                    while let Some(batch) = spool.next("n") {
                        again.insert((batch.epoch, batch.seq), batch.unpacked_bytes);
                    }
                    for (id, content) in synced.iter().filter(|(id, _)| !acked.contains(id)) {
                        assert_eq!(again.get(id), Some(content), "seed {seed} step {step}: {id:?} lost");
                    }
                    synced.extend(again);
                    spool.disconnected();
                }
            }
        }
    }
}

/// Cuts bytes off the newest file, but never into a record that was synced.
fn cut_tail(dir: &Path, bytes: usize, unsynced: &[((u64, u64), u64)], _synced: &BTreeMap<(u64, u64), u64>) {
    let last = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let content = fs::read(&last).unwrap();
    let newest = unsynced.last().map(|(_, content)| packed(*content).zstd_payload.len()).unwrap_or(0);
    if content.len() > newest + 60 {
        fs::write(&last, &content[..content.len() - bytes.min(newest)]).unwrap();
    }
}
