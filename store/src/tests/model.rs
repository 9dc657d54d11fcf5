//! WAL, dedupe, head, seal and compaction against a naive twin, on a disk that forgets and fails: what was acknowledged is stored,
//! once each, whatever happens when.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use proto::v1;

use super::fixture::{self, NOW, batch, bodies, collect, lines};
use crate::disk::Disk;
use crate::disk::faulty::{FaultyDisk, Random};
use crate::{Limits, LogRequest, ScanRequest, Store, Table};

/// How many schedules run; each is another seed.
const SCHEDULES: u64 = 800;
/// A schedule mostly waits for its own threads.
const THREADS: usize = 4;
/// A schedule takes milliseconds; one that takes this long waits for an answer that never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Flows are sealed when they take this much memory: sooner than lines.
const FLOWS_BYTES: usize = 4_000;
/// A head of so many bytes has room for few batches: the log is sealed while it is read again.
const SMALL_HEAD: usize = 2_000;

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
    seen: Seen,
}

/// What happened in schedules: without it they would show nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Batches refused because something failed, and stores that did not open.
    failures: u64,
    compactions: u64,
    /// Seals while the log was read again.
    seals_at_open: u64,
}

impl std::iter::Sum for Seen {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            failures: sum.failures + one.failures,
            compactions: sum.compactions + one.compactions,
            seals_at_open: sum.seals_at_open + one.seals_at_open,
        })
    }
}

/// Two lines that name their batch, and a flow that does.
fn sent(seq: u64, now: i64) -> v1::Batch {
    let texts = [format!("batch {seq} first"), format!("batch {seq} second")];
    // every third batch reaches into the hour before
    let ts = if seq.is_multiple_of(3) { now - 3_600_000_000_000 } else { now };
    let mut payload = lines(ts, &texts.each_ref().map(String::as_str));
    payload.flows.push(v1::FlowRow { ts: ts.cast_unsigned(), bytes_sent: seq, ..v1::FlowRow::default() });
    batch("node", 1, seq, &payload)
}

fn limits() -> Limits {
    // files so small that they turn over all the time, and tables that are sealed at different times
    Limits {
        wal_file_bytes: 700,
        seal_log_rows: 40,
        seal_table_bytes: FLOWS_BYTES,
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
        let mut limits = limits();
        if self.random.below(3) == 0 {
            limits.head_bytes = SMALL_HEAD;
        }
        let Ok((store, _)) = Store::open_on(handle, dir, limits, self.now) else {
            self.seen.failures += 1;
            disk.crash();
            return;
        };
        self.seen.seals_at_open += store.stats().counters.seals;
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
            Ok(Some(_)) => self.seen.compactions += 1,
            Ok(None) => {}
            Err(_) => self.seen.failures += 1,
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
                    self.seen.failures += 1;
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
        let mut flows: BTreeMap<u64, u64> = BTreeMap::new();
        for batch in collect(store.snapshot().scan(Table::Flow, ScanRequest::default()).unwrap()).await {
            let sent = batch.column_by_name("bytes_sent").unwrap();
            for seq in sent.as_primitive::<Int64Type>().values() {
                *flows.entry(seq.cast_unsigned()).or_default() += 1;
            }
        }
        for (seq, fate) in &self.fates {
            let flow = flows.get(seq).copied().unwrap_or(0);
            let count = |part: &str| found.get(&format!("batch {seq} {part}")).copied().unwrap_or(0);
            let counts = (count("first"), count("second"), flow);
            match fate {
                Fate::Acknowledged => assert_eq!(counts, (1, 1, 1), "batch {seq} of seed {seed}"),
                Fate::Open => {
                    assert!(
                        counts == (0, 0, 0) || counts == (1, 1, 1),
                        "batch {seq}: {counts:?} of seed {seed}"
                    )
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

/// Runs one.
async fn schedule(seed: u64) -> Seen {
    let dir = tempfile::tempdir().unwrap();
    let mut twin =
        Twin { random: Random(seed), now: NOW, next: 1, fates: BTreeMap::new(), seen: Seen::default() };
    for life in 0..3 {
        twin.live(dir.path(), seed * 16 + life).await;
    }
    // last lives on a disk that works
    let open = |limits: Limits, now: i64| {
        let disk: Arc<dyn Disk> = Arc::new(FaultyDisk::new(seed));
        let (store, recovered) = Store::open_on(disk, dir.path(), limits, now).unwrap();
        assert!(recovered.damaged.is_empty(), "seed {seed}: {recovered:?}");
        store
    };
    let store = open(Limits { head_bytes: SMALL_HEAD, ..limits() }, twin.now);
    twin.seen.seals_at_open += store.stats().counters.seals;
    twin.check(&store, seed).await;
    store.close().await;
    drop(store);
    let store = open(limits(), twin.now);
    twin.check(&store, seed).await;
    // all that was ever sent is sent again, as an agent would
    for (seq, fate) in &mut twin.fates {
        store.append(&sent(*seq, twin.now), twin.now).await.unwrap();
        *fate = Fate::Acknowledged;
    }
    twin.check(&store, seed).await;
    store.seal(twin.now).await.unwrap();
    twin.check(&store, seed).await;
    while store.compact(twin.now).await.unwrap().is_some() {
        twin.seen.compactions += 1;
    }
    twin.check(&store, seed).await;
    store.close().await;
    twin.seen
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
        (first..SCHEDULES).step_by(THREADS).map(run).sum::<Seen>()
    };
    let seen: Seen = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..THREADS as u64).map(|first| scope.spawn(move || share(first))).collect();
        shares.into_iter().map(|share| share.join().unwrap()).sum()
    });
    let Seen { failures, compactions, seals_at_open } = seen;
    assert!(failures > SCHEDULES && compactions > SCHEDULES / 2 && seals_at_open > SCHEDULES / 2, "{seen:?}");
}
