//! What the parts of the store share: the head, the list of segments, what is stored, and how full everything is.
//!
//! Invariant: a row is in the head or in a listed segment, and moves under one lock.

mod sink;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use proto::error::ErrorCode;
use tokio::sync::{Notify, watch};

use crate::batch::{Admitted, OWN_NODE, Resolver};
use crate::catalog::Manifest;
use crate::compact::Unreadable;
use crate::dedupe::{BatchKey, Dedupe};
use crate::disk::Disk;
use crate::head::Head;
use crate::maintain::Believed;
use crate::readers::Readers;
use crate::registry::SharedRegistry;
use crate::rows::{CHUNK_ROWS, Chunk, TableRows};
use crate::segment::{BlockEncoder, Reader, Segment};
use crate::stats::{Counts, Stopwatch, SyncCounts};
use crate::{Appended, Limits, Refused, SealError, Snapshot, Table};

pub(crate) use sink::WalSink;

/// How long a sender should wait when something is full, ms.
const RETRY_FULL_MS: u64 = 500;
const RETRY_DISK_MS: u64 = 5_000;

pub(crate) type Answer = Result<Appended, Refused>;

/// Shared by the API, the WAL's thread and the seal.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) limits: Limits,
    pub(crate) reader: Arc<Reader>,
    pub(crate) registry: Arc<SharedRegistry>,
    pub(crate) counts: Counts,
    /// How far tables are read through.
    pub(crate) readers: Readers,
    pub(crate) sync_times: SyncCounts,
    /// The caller's clock, for measuring.
    pub(crate) stopwatch: OnceLock<Stopwatch>,
    /// What the caller knows beside a batch.
    pub(crate) resolver: OnceLock<Resolver>,
    /// The last position that is searchable.
    pub(crate) rows: watch::Sender<i64>,
    /// Something reached its size and wants `maintain`.
    pub(crate) due: Notify,
    /// Held by the thread that seals or removes.
    pub(crate) running: Mutex<()>,
    /// What retention believes of the clock.
    believed: Mutex<Believed>,
    /// Held by the thread that compacts.
    pub(crate) compacting: Mutex<()>,
    /// Segments that compaction leaves alone.
    pub(crate) unreadable: Unreadable,
    /// Encodes the bodies of seals and merges, a block at a time.
    pub(crate) encoder: BlockEncoder,
    /// The store is being closed: long work ends early.
    pub(crate) closing: AtomicBool,
    manifest: Mutex<Manifest>,
    state: Mutex<State>,
}

/// A segment that left the catalog and waits for its files to be removed.
#[derive(Debug)]
pub(crate) struct Doomed {
    pub(crate) segment: Arc<Segment>,
    pub(crate) since_ns: i64,
}

/// Behind the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) head: Head,
    pub(crate) segments: [Arc<Vec<Arc<Segment>>>; Table::COUNT],
    pub(crate) version: u64,
    pub(crate) dedupe: Dedupe,
    pub(crate) in_flight: HashMap<BatchKey, watch::Sender<Option<Answer>>>,
    /// Epoch and next number of batches that the store names itself.
    pub(crate) own: Option<(u64, u64)>,
    pub(crate) last_lsn: i64,
    pub(crate) wal: Vec<WalFile>,
    /// A group of batches is being written to the newest WAL file.
    pub(crate) wal_writing: bool,
    /// WAL files up to this first lsn are not appended to any more, the newest among them.
    pub(crate) wal_given_up: i64,
    pub(crate) stopped: Option<String>,
    pub(crate) disk_full: bool,
    /// Up to where the catalog's list of stored batches is complete.
    pub(crate) remembered_through: i64,
    /// Up to where each table's rows are in segments.
    pub(crate) sealed_through: [i64; Table::COUNT],
    pub(crate) doomed: Vec<Doomed>,
    /// Rows of each table from before this time may be gone, ns.
    pub(crate) gone_before: [i64; Table::COUNT],
    /// Segments of tables that only a newer release knows, bytes: never dropped here, and part of what the store takes.
    pub(crate) unknown_bytes: u64,
}

/// One WAL file and what pins it.
#[derive(Clone, Debug)]
pub(crate) struct WalFile {
    pub(crate) first_lsn: i64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// The lsn of the last record's last place.
    pub(crate) last_lsn: i64,
    /// The last lsn of each table's rows; -1 without any.
    pub(crate) tables: [i64; Table::COUNT],
}

/// What became of a batch that was just received.
pub(crate) enum Begun {
    Repeated,
    /// Another copy is on its way.
    InFlight(watch::Receiver<Option<Answer>>),
    New(watch::Receiver<Option<Answer>>),
}

impl Shared {
    pub(crate) fn new(
        root: PathBuf,
        disk: Arc<dyn Disk>,
        limits: Limits,
        reader: Arc<Reader>,
        manifest: Manifest,
        state: State,
    ) -> Self {
        let rows = watch::Sender::new(state.last_lsn);
        let newest = state.segments.iter().flat_map(|list| list.iter()).map(|segment| segment.times().1);
        let before_ns = manifest.contents().believed_ns.or_else(|| newest.max());
        Self {
            root,
            disk,
            limits,
            reader,
            registry: Arc::default(),
            counts: Counts::default(),
            readers: Readers::default(),
            sync_times: SyncCounts::default(),
            stopwatch: OnceLock::new(),
            resolver: OnceLock::new(),
            rows,
            due: Notify::new(),
            running: Mutex::new(()),
            believed: Mutex::new(Believed::new(before_ns)),
            compacting: Mutex::new(()),
            unreadable: Unreadable::default(),
            encoder: BlockEncoder::default(),
            closing: AtomicBool::new(false),
            manifest: Mutex::new(manifest),
            state: Mutex::new(state),
        }
    }

    /// The state. A thread that panicked while it held the lock left nothing half done: every change is one step.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is believed of the clock.
    pub(crate) fn believed(&self) -> MutexGuard<'_, Believed> {
        self.believed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn manifest(&self) -> MutexGuard<'_, Manifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot {
            version: state.version,
            last_lsn: state.last_lsn,
            chunks: Table::ALL.map(|table| Arc::new(state.head.table(table).chunks())),
            segments: state.segments.clone(),
            gone_before: state.gone_before,
            reader: Arc::clone(&self.reader),
            registry: Arc::clone(&self.registry),
            held: None,
            scope: crate::Scope::All,
        }
    }

    /// Takes a batch in, unless it is here already or there is no room.
    pub(crate) fn begin(&self, key: &BatchKey) -> Result<Begun, Refused> {
        self.begin_in(&mut self.state(), key)
    }

    fn begin_in(&self, state: &mut State, key: &BatchKey) -> Result<Begun, Refused> {
        if let Some(why) = &state.stopped {
            return Err(Refused::later(
                ErrorCode::Unavailable,
                format!("the store has stopped: {why}"),
                RETRY_DISK_MS,
            ));
        }
        if state.dedupe.contains(key) {
            return Ok(Begun::Repeated);
        }
        if let Some(other) = state.in_flight.get(key) {
            return Ok(Begun::InFlight(other.subscribe()));
        }
        if let Some(refused) = self.full(state, 0) {
            self.due.notify_one();
            return Err(refused);
        }
        let (sender, receiver) = watch::channel(None);
        state.in_flight.insert(key.clone(), sender);
        Ok(Begun::New(receiver))
    }

    /// Names a batch that came without a name, unless there is no room.
    pub(crate) fn begin_own(
        &self,
        now_ns: i64,
    ) -> Result<(BatchKey, watch::Receiver<Option<Answer>>), Refused> {
        let mut state = self.state();
        let key = state.own_key(now_ns);
        match self.begin_in(&mut state, &key)? {
            Begun::New(receiver) => {
                // only now: a refusal leaves no gap
                state.own = Some((key.epoch, key.seq + 1));
                Ok((key, receiver))
            }
            Begun::Repeated | Begun::InFlight(_) => {
                Err(Refused::later(ErrorCode::Internal, "a name was given twice", 0))
            }
        }
    }

    /// Why there is no room, with so many bytes more.
    pub(crate) fn full(&self, state: &State, more: usize) -> Option<Refused> {
        let Limits { wal_hard_bytes, head_bytes, .. } = self.limits;
        let wal = state.wal.iter().map(|file| file.bytes).sum::<u64>();
        if state.disk_full {
            let detail = format!("{} has no room left", self.root.display());
            return Some(Refused::later(ErrorCode::DiskFull, detail, RETRY_DISK_MS));
        }
        if wal.saturating_add((more as u64).min(wal_hard_bytes / 2)) >= wal_hard_bytes {
            let detail = format!("{wal} of {wal_hard_bytes} bytes wait to be sealed");
            return Some(Refused::later(ErrorCode::WalFull, detail, RETRY_FULL_MS));
        }
        let head = state.head.bytes();
        if head.saturating_add(more.min(head_bytes / 2)) >= head_bytes {
            let detail = format!("{head} of {head_bytes} bytes wait to be sealed");
            return Some(Refused::later(ErrorCode::HeadFull, detail, RETRY_FULL_MS));
        }
        None
    }

    /// Answers everybody who waits for this batch.
    pub(crate) fn complete(&self, key: &BatchKey, answer: Answer) {
        match &answer {
            Ok(appended) => {
                Counts::add(&self.counts.batches, 1);
                Counts::add(&self.counts.rows, appended.rows);
                Counts::add(&self.counts.rejected_rows, appended.rejected_rows);
            }
            Err(_) => Counts::add(&self.counts.refused, 1),
        }
        let sender = self.state().in_flight.remove(key);
        if let Some(sender) = sender {
            sender.send_replace(Some(answer));
        }
    }

    /// Bytes in all and bytes that are free for us on the store's file system.
    pub(crate) fn space(&self) -> Result<(u64, u64), SealError> {
        let failed = |source| SealError::Io { operation: "measure", path: self.root.clone(), source };
        self.disk.space(&self.root).map_err(failed)
    }

    /// Stops acknowledging for good.
    pub(crate) fn stop(&self, why: String) {
        let mut state = self.state();
        if state.stopped.is_none() {
            tracing::error!(error = %why, "store stopped: what is on disk is unknown, restart to recover");
            state.stopped = Some(why);
        }
        self.due.notify_one();
    }

    /// Whether a table has reached a size at which it is sealed.
    pub(crate) fn is_large(&self, state: &State, table: Table) -> bool {
        let head = state.head.table(table);
        match table {
            Table::Log => {
                head.body_bytes >= self.limits.seal_log_bytes || head.rows >= self.limits.seal_log_rows
            }
            _ => head.bytes >= self.limits.seal_table_bytes,
        }
    }
}

impl State {
    /// Puts a batch's rows into the head, leaving out tables that are sealed past it (after a restart).
    pub(crate) fn publish(
        &mut self,
        admitted: Admitted,
        lsn: i64,
    ) -> Result<[i64; Table::COUNT], arrow::error::ArrowError> {
        let Admitted { now_ns, logs, tables, places, .. } = admitted;
        let last = lsn + places - 1;
        let mut touched = [-1; Table::COUNT];
        let sealed_through = self.sealed_through;
        if lsn > sealed_through[Table::Log.index()] {
            for mut rows in logs {
                rows.rebase(lsn);
                touched[Table::Log.index()] = last;
                self.head.table_mut(Table::Log).push(Chunk::Log(Box::new(rows)), now_ns);
            }
        }
        for (table, rows) in tables {
            if lsn > sealed_through[table.index()] {
                touched[table.index()] = last;
                for chunk in table_chunks(table, rows, lsn)? {
                    self.head.table_mut(table).push(chunk, now_ns);
                }
            }
        }
        self.last_lsn = self.last_lsn.max(last);
        Ok(touched)
    }

    /// The name of the next batch that came without one: an epoch of this opening, which no earlier one had.
    fn own_key(&self, now_ns: i64) -> BatchKey {
        let (epoch, seq) = self.own.unwrap_or_else(|| {
            let before = self.dedupe.last_epoch(OWN_NODE);
            (u64::try_from(now_ns).unwrap_or(0).max(before.saturating_add(1)), 1)
        });
        BatchKey { node: Arc::from(OWN_NODE), epoch, seq }
    }

    /// After the WAL was read: positions up to `known_lsn` are given away, though what had them may be sealed. Returns the
    /// next one.
    pub(crate) fn went_on_from(&mut self, known_lsn: i64) -> i64 {
        self.last_lsn = self.last_lsn.max(known_lsn);
        self.last_lsn + 1
    }

    /// Notes what a WAL file holds.
    pub(crate) fn note_wal(&mut self, file: WalFile) {
        match self.wal.iter_mut().find(|known| known.first_lsn == file.first_lsn) {
            Some(known) => {
                known.bytes += file.bytes;
                known.last_lsn = known.last_lsn.max(file.last_lsn);
                known.tables.iter_mut().zip(file.tables).for_each(|(known, lsn)| *known = (*known).max(lsn));
            }
            None => self.wal.push(file),
        }
    }
}

fn table_chunks(table: Table, rows: TableRows, lsn: i64) -> Result<Vec<Chunk>, arrow::error::ArrowError> {
    let TableRows { mut columns, places } = rows;
    let lsns: arrow::array::Int64Array = places.into_iter().map(|place| Some(lsn + place)).collect();
    columns.push(Arc::new(lsns));
    let batch = arrow::array::RecordBatch::try_new(table.schema(), columns)?;
    let mut chunks = Vec::new();
    let mut at = 0;
    while at < batch.num_rows() {
        let len = (batch.num_rows() - at).min(CHUNK_ROWS);
        chunks.push(Chunk::Rows(batch.slice(at, len)));
        at += len;
    }
    Ok(chunks)
}
