//! WAL, dedupe, head, seal and compaction against a naive twin, on a disk that forgets and fails: what was acknowledged is stored,
//! once each, whatever happens when.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proto::v1;

use super::fixture::{self, NOW, batch, bodies, lines};
use crate::disk::Disk;
use crate::disk::faulty::{FaultyDisk, Random};
use crate::{Limits, LogRequest, Store};

/// How many schedules run; each is another seed.
const SCHEDULES: u64 = 1_000;
/// A schedule mostly waits for its own threads.
const THREADS: usize = 4;
/// A schedule takes milliseconds; one that takes this long waits for an answer that never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the twin knows of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Never acknowledged: it may be there or not.
    Open,
    Acknowledged,
}

struct Twin {
    random: Random,
    now: i64,
    next: u64,
    fates: BTreeMap<u64, Fate>,
    /// Batches refused because something failed, and stores that did not open.
    failures: u64,
    compactions: u64,
}

/// Two lines that name their batch.
fn sent(seq: u64, now: i64) -> v1::Batch {
    let texts = [format!("batch {seq} first"), format!("batch {seq} second")];
    // every third batch reaches into the hour before
    let ts = if seq.is_multiple_of(3) { now - 3_600_000_000_000 } else { now };
    batch("node", 1, seq, &lines(ts, &texts.each_ref().map(String::as_str)))
}

fn limits() -> Limits {
    // files so small that they turn over all the time
    Limits {
        wal_file_bytes: 700,
        seal_log_rows: 40,
        delete_after_s: 0,
        compact_segments: 2,
        ..fixture::limits()
    }
}

impl Twin {
    /// One life of the store: until it is stopped, killed, or has failed.
    async fn live(&mut self, dir: &Path, seed: u64) {
        let disk = FaultyDisk::new(seed);
        let handle: Arc<dyn Disk> = Arc::new(disk.clone());
        if self.random.below(4) == 0 {
            disk.die_after(self.random.below(30));
        }
        let Ok((store, _)) = Store::open_on(handle, dir, limits(), self.now) else {
            self.failures += 1;
            disk.crash();
            return;
        };
        self.check(&store, seed).await;
        match self.random.below(3) {
            0 => disk.die_after(self.random.below(120)),
            1 => disk.fail_one_in(10 + self.random.below(60)),
            _ => {}
        }
        for _ in 0..2 + self.random.below(8) {
            match self.random.below(10) {
                0 => drop(store.seal(self.now).await),
                1 => drop(store.maintain(self.now).await),
                3 => self.compact(&store).await,
                4 => drop(tokio::join!(store.compact(self.now), store.seal(self.now))),
                2 => self.now += i64::try_from(self.random.below(120)).unwrap() * 1_000_000_000,
                _ => self.send(&store).await,
            }
        }
        store.close().await;
        disk.crash();
    }

    async fn compact(&mut self, store: &Store) {
        match store.compact(self.now).await {
            Ok(Some(_)) => self.compactions += 1,
            Ok(None) => {}
            Err(_) => self.failures += 1,
        }
    }

    async fn send(&mut self, store: &Store) {
        let mut seqs = BTreeSet::new();
        for _ in 0..1 + self.random.below(3) {
            let known = self.random.below(4) == 0 && self.next > 1;
            let seq = if known { 1 + self.random.below(self.next - 1) } else { self.next };
            self.next = self.next.max(seq + 1);
            seqs.insert(seq);
        }
        let batches: Vec<_> = seqs.iter().map(|seq| (*seq, sent(*seq, self.now))).collect();
        let copies = if self.random.below(5) == 0 { 2 } else { 1 };
        let waits = batches.iter().flat_map(|batch| std::iter::repeat_n(batch, copies));
        let waits = waits.map(|(seq, batch)| async { (*seq, store.append(batch, self.now).await) });
        for (seq, answer) in futures::future::join_all(waits).await {
            let fate = self.fates.entry(seq).or_insert(Fate::Open);
            match answer {
                Ok(appended) => {
                    let open = *fate == Fate::Open;
                    assert!(appended.repeated || open, "batch {seq} was stored twice");
                    *fate = Fate::Acknowledged;
                }
                Err(refused) => {
                    assert!(refused.code.is_retryable(), "{refused}");
                    self.failures += 1;
                }
            }
        }
    }

    /// What is acknowledged is there once; what is not is there once or not at all; nothing is there by half.
    async fn check(&self, store: &Store, seed: u64) {
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for body in bodies(&store.snapshot(), LogRequest::default()).await {
            *found.entry(body).or_default() += 1;
        }
        for (seq, fate) in &self.fates {
            let count = |part: &str| found.get(&format!("batch {seq} {part}")).copied().unwrap_or(0);
            let counts = (count("first"), count("second"));
            match fate {
                Fate::Acknowledged => assert_eq!(counts, (1, 1), "batch {seq} of seed {seed}"),
                Fate::Open => {
                    assert!(counts == (0, 0) || counts == (1, 1), "batch {seq}: {counts:?} of seed {seed}")
                }
            }
        }
        let known = found.keys().all(|body| {
            let seq = body.split(' ').nth(1).and_then(|seq| seq.parse().ok());
            seq.is_some_and(|seq: u64| self.fates.contains_key(&seq))
        });
        assert!(known, "seed {seed}: {found:?}");
    }
}

/// Runs one; returns how much failed, and how often segments were merged.
async fn schedule(seed: u64) -> (u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut twin =
        Twin { random: Random(seed), now: NOW, next: 1, fates: BTreeMap::new(), failures: 0, compactions: 0 };
    for life in 0..3 {
        twin.live(dir.path(), seed * 16 + life).await;
    }
    // a last life on a disk that works: all that was ever sent is sent again, as an agent would
    let disk: Arc<dyn Disk> = Arc::new(FaultyDisk::new(seed));
    let (store, recovered) = Store::open_on(disk, dir.path(), limits(), twin.now).unwrap();
    assert!(recovered.damaged.is_empty(), "seed {seed}: {recovered:?}");
    twin.check(&store, seed).await;
    for (seq, fate) in &mut twin.fates {
        store.append(&sent(*seq, twin.now), twin.now).await.unwrap();
        *fate = Fate::Acknowledged;
    }
    twin.check(&store, seed).await;
    store.seal(twin.now).await.unwrap();
    twin.check(&store, seed).await;
    while store.compact(twin.now).await.unwrap().is_some() {
        twin.compactions += 1;
    }
    twin.check(&store, seed).await;
    store.close().await;
    (twin.failures, twin.compactions)
}

#[test]
fn what_is_acknowledged_is_stored_once_whatever_fails() {
    let share = |first: u64| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let run = |seed: u64| {
            let answered = runtime.block_on(async { tokio::time::timeout(PATIENCE, schedule(seed)).await });
            answered.unwrap_or_else(|_| panic!("seed {seed} hangs"))
        };
        (first..SCHEDULES).step_by(THREADS).map(run).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    };
    let (failures, compactions) = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..THREADS as u64).map(|first| scope.spawn(move || share(first))).collect();
        shares
            .into_iter()
            .map(|share| share.join().unwrap())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    // a disk that never fails, or segments that are never merged, would show nothing
    assert!(failures > SCHEDULES && compactions > SCHEDULES / 2, "{failures} {compactions}");
}
