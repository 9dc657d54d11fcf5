use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::shutdown::{Phase, Shutdown};
use proto::v1;
use tokio::sync::{mpsc, watch};

use super::{ChunkSource, Item, Writer};
use crate::export::SharedSpool;
use crate::export::batch::{BATCH_AGE, Packed, unpack};
use crate::export::direct::{Direct, PATIENCE};
use crate::export::ledger::Ledger;
use crate::export::spool::Spool;
use crate::logs::checkpoint::{Checkpoints, Mark, Position};
use crate::logs::record::{Chunk, LogRecord, Origin, SourceKey};
use crate::metrics::export::ExportMetrics;
use crate::metrics::workloads::Workloads;
use crate::window::Window;
use crate::window::assemble::Named;
use crate::window::sample::{Owner, Row};

const SOURCE: SourceKey = SourceKey::Journal;

struct Chunks(VecDeque<Chunk>);

impl ChunkSource for Chunks {
    async fn next(&mut self) -> Option<Chunk> {
        self.0.pop_front()
    }

    fn stop(&mut self) {}

    fn report(&self, _ledger: &Ledger) {}
}

fn chunk(line: u64) -> Chunk {
    let row = v1::LogRow { body: format!("line {line}").into_bytes().into(), ..Default::default() };
    let origin = Origin { source: SOURCE, start: line, end: line + 1 };
    let owner = Owner::File("/a".into());
    let records = vec![LogRecord { owner, row, origin, prints: Default::default(), lines: 1 }];
    Chunk {
        records,
        marks: vec![Mark { source: SOURCE, position: Some(Position::Journal(line.to_string())) }],
    }
}

fn rows(count: usize) -> Item {
    let identity = Arc::new(v1::Identity::default());
    let row = || Named { identity: Arc::clone(&identity), row: Row::Drop(v1::DropRow::default()) };
    Item::Rows((0..count).map(|_| row()).collect())
}

fn writer(
    spool: SharedSpool,
    checkpoints: Checkpoints,
    ledger: Ledger,
    chunks: u64,
    items: mpsc::Receiver<Item>,
) -> Writer<Chunks> {
    Writer {
        items,
        logs: Chunks((0..chunks).map(chunk).collect()),
        name: Arc::new(|_| Arc::new(v1::Identity { workload: "w".into(), ..Default::default() })),
        spool,
        checkpoints: Some(checkpoints),
        ledger,
        metrics: ExportMetrics::register(&Registry::new()),
        workloads: Workloads::new(10, 10, Duration::from_secs(60)),
        flushed: watch::Sender::new(false),
        clock: Clock::system(),
    }
}

async fn run(
    spool: Spool,
    checkpoints: Checkpoints,
    ledger: Ledger,
    chunks: u64,
    items: Vec<Item>,
) -> SharedSpool {
    run_beside(SharedSpool::new(spool), checkpoints, ledger, chunks, items).await
}

async fn run_beside(
    spool: SharedSpool,
    checkpoints: Checkpoints,
    ledger: Ledger,
    chunks: u64,
    items: Vec<Item>,
) -> SharedSpool {
    let (queue, items_queue) = mpsc::channel(64);
    let shutdown = Shutdown::new(Duration::from_secs(5));
    let writer = writer(spool.clone(), checkpoints, ledger, chunks, items_queue);
    let task = tokio::spawn(writer.run(shutdown.register(Phase::Buffers, "writer")));
    for item in items {
        queue.send(item).await.unwrap();
    }
    drop(queue);
    assert!(shutdown.run().await.is_empty());
    task.await.unwrap();
    spool
}

#[tokio::test]
async fn logs_and_their_places_are_durable_together() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&dir.path().join("spool"), 1 << 24, 1).unwrap();
    let checkpoints = Checkpoints::open(&dir.path().join("checkpoints")).unwrap();
    let spool = run(spool, checkpoints, Ledger::default(), 5, vec![rows(3)]).await;
    let mut lines = Vec::new();
    let mut drops = 0;
    while let Some(batch) = spool.lock().next("n") {
        let payload = unpack(&batch.zstd_payload, batch.unpacked_bytes).unwrap();
        drops += payload.drops.len();
        lines.extend(payload.logs.iter().map(|row| String::from_utf8_lossy(&row.body).into_owned()));
    }
    assert_eq!((lines.len(), drops), (5, 3));
    drop(spool);
    // a kill before the checkpoint file was written: the spool's marks say where to go on
    let (_, recovered) = Spool::open(&dir.path().join("spool"), 1 << 24, 2).unwrap();
    let last = recovered.marks.last().and_then(|marks| marks.last()).cloned().unwrap();
    assert_eq!(last.position, Some(Position::Journal("4".into())));
}

#[tokio::test]
async fn what_nobody_takes_directly_is_spooled_before_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&dir.path().join("spool"), 1 << 24, 1).unwrap();
    let checkpoints = Checkpoints::open(&dir.path().join("checkpoints")).unwrap();
    let spool = SharedSpool::beside(spool, Direct::of(1 << 20));
    let spool = run_beside(spool, checkpoints, Ledger::default(), 5, vec![rows(3), rows(4)]).await;
    assert!(spool.direct.is_empty());
    let (mut lines, mut drops) = (0, 0);
    while let Some(batch) = spool.lock().next("n") {
        let payload = unpack(&batch.zstd_payload, batch.unpacked_bytes).unwrap();
        (lines, drops) = (lines + payload.logs.len(), drops + payload.drops.len());
    }
    assert_eq!((lines, drops), (5, 7));
}

/// A batch in hand of a sender that waits for its endpoint, while the disk takes nothing.
#[tokio::test]
async fn what_is_in_hand_at_the_end_and_finds_no_room_is_booked() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&dir.path().join("spool"), 50, 1).unwrap();
    let checkpoints = Checkpoints::open(&dir.path().join("checkpoints")).unwrap();
    let spool = SharedSpool::beside(spool, Direct::of(1 << 20));
    let ledger = Ledger::default();
    let (queue, items) = mpsc::channel(64);
    let mut writer = writer(spool.clone(), checkpoints, ledger.clone(), 0, items);
    let clock = Clock::manual(1);
    writer.clock = clock.clone();
    let mut open = writer.open();
    writer.take(&mut open, rows(7));
    clock.advance(BATCH_AGE);
    writer.flush(&mut open, false).await;
    spool.direct.next().unwrap();
    clock.advance(PATIENCE);
    writer.flush(&mut open, false).await;
    let booked = || ledger.take(Window { start_ns: 0, seconds: 10 });
    assert!(!spool.direct.is_empty() && booked().is_empty(), "it may be delivered yet");
    drop(queue);
    writer.finish(open).await;
    let booked = booked();
    assert_eq!((booked.len(), booked[0].reason.as_str(), booked[0].count), (1, "spool_full", 7));
    assert!(spool.direct.is_empty() && spool.lock().batches() == 0);
}

#[tokio::test]
async fn rows_that_find_no_room_are_booked_and_their_loss_rows_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&dir.path().join("spool"), 50, 1).unwrap();
    let checkpoints = Checkpoints::open(&dir.path().join("checkpoints")).unwrap();
    let ledger = Ledger::default();
    let loss = v1::LossRow {
        signal: "flow".into(),
        stage: "kernel".into(),
        reason: "map_full".into(),
        count: 9,
        ..Default::default()
    };
    let spool = run(spool, checkpoints, ledger.clone(), 0, vec![rows(20), Item::Losses(vec![loss])]).await;
    assert_eq!(spool.lock().batches(), 0);
    let mut booked: Vec<_> = ledger
        .take(Window { start_ns: 0, seconds: 10 })
        .into_iter()
        .map(|row| (row.reason, row.count))
        .collect();
    booked.sort();
    assert_eq!(booked, [("map_full".to_owned(), 9), ("spool_full".to_owned(), 20)]);
}

#[tokio::test]
async fn what_a_full_spool_refused_is_told_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(&dir.path().join("spool"), 16 << 10, 1).unwrap();
    let rows_of_one = [("flow".to_owned(), 1)].into();
    let filler = Packed { zstd_payload: vec![7; 400].into(), rows: rows_of_one, ..Packed::default() };
    while spool.append(&filler).is_ok() {}
    let small = Packed { zstd_payload: [7].as_slice().into(), ..filler };
    while spool.append(&small).is_ok() {}
    let filled = spool.batches();
    let checkpoints = Checkpoints::open(&dir.path().join("checkpoints")).unwrap();
    let ledger = Ledger::default();
    let spool = run(spool, checkpoints, ledger.clone(), 0, vec![rows(2000)]).await;
    assert!(ledger.take(Window { start_ns: 0, seconds: 10 }).is_empty());
    drop(spool);
    let (mut spool, recovered) = Spool::open(&dir.path().join("spool"), 16 << 10, 2).unwrap();
    assert_eq!(recovered.batches, filled + 1);
    let last = std::iter::from_fn(|| spool.next("n")).last().unwrap();
    let losses = unpack(&last.zstd_payload, last.unpacked_bytes).unwrap().losses;
    assert_eq!((losses.len(), losses[0].reason.as_str(), losses[0].count), (1, "spool_full", 2000));
}
