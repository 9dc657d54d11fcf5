//! The store's API: append, snapshot, seal, maintain, close.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use proto::error::ErrorCode;
use proto::v1;
use tokio::sync::{Semaphore, watch};

use crate::batch::{self, Admitted};
use crate::dedupe::BatchKey;
use crate::disk::{Disk, RealDisk};
use crate::open::{self, Recovered};
use crate::state::{Answer, Begun, Shared, WalSink};
use crate::stats::{Counts, Stopwatch, TableStats};
use crate::wal::{Job, Writer, WriterLimits};
use crate::{Appended, Limits, OpenError, Refused, Snapshot, StoreStats, Table};

/// A store that is open: the only one on its folder.
#[derive(Debug)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    jobs: Mutex<Option<SyncSender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    in_flight: Arc<Semaphore>,
    /// Held while something is sealed or removed.
    pub(crate) maintaining: tokio::sync::Mutex<()>,
    /// Held while segments are merged.
    pub(crate) compacting: tokio::sync::Mutex<()>,
    /// The lock on the folder; it goes with the process, however that ends.
    lock: Mutex<Option<File>>,
}

impl Store {
    /// Opens the store in `dir`, making it if there is none, and recovers what was acknowledged.
    /// Blocks while it reads the WAL.
    ///
    /// # Errors
    /// If the folder is locked, was written by a newer release, or cannot be read or written.
    pub fn open(dir: &Path, limits: Limits, now_ns: i64) -> Result<(Arc<Self>, Recovered), OpenError> {
        Self::open_on(Arc::new(RealDisk), dir, limits, now_ns)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        limits: Limits,
        now_ns: i64,
    ) -> Result<(Arc<Self>, Recovered), OpenError> {
        let opened = open::open(Arc::clone(&disk), dir, limits, now_ns)?;
        let shared = Arc::new(opened.shared);
        let writer_limits =
            WriterLimits { file_bytes: limits.wal_file_bytes, group_bytes: limits.group_commit_bytes };
        let (jobs, queue) = sync_channel(limits.batches_in_flight.max(1));
        let sink = WalSink(Arc::clone(&shared));
        let writer = Writer::new(disk, dir.join("wal"), writer_limits, opened.next_lsn, sink);
        let thread =
            std::thread::Builder::new().name("wake-wal".to_owned()).spawn(move || writer.run(&queue));
        let thread = thread.map_err(|source| OpenError::Io {
            operation: "start the log's thread for",
            path: dir.to_owned(),
            source,
        })?;
        let store = Self {
            shared,
            jobs: Mutex::new(Some(jobs)),
            writer: Mutex::new(Some(thread)),
            in_flight: Arc::new(Semaphore::new(limits.batches_in_flight.max(1))),
            maintaining: tokio::sync::Mutex::new(()),
            compacting: tokio::sync::Mutex::new(()),
            lock: Mutex::new(Some(opened.lock)),
        };
        Ok((Arc::new(store), opened.recovered))
    }

    /// Stores a batch. Returns once it would survive a power cut and the next snapshot has it.
    /// Dropping the future does not undo it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Refused`]: nothing of the batch is searchable; after `Unavailable` it may be on disk, so the sender repeats it.
    pub async fn append(&self, batch: &v1::Batch, now_ns: i64) -> Result<Appended, Refused> {
        self.append_from(batch, now_ns, false).await
    }

    /// The same; with `own_node` a batch is refused whose rows are about another node than its own.
    ///
    /// # Errors
    /// As `append`.
    pub async fn append_from(
        &self,
        batch: &v1::Batch,
        now_ns: i64,
        own_node: bool,
    ) -> Result<Appended, Refused> {
        let key = batch::key(batch).inspect_err(|_| Counts::add(&self.shared.counts.refused, 1))?;
        let begun = self.shared.begin(&key).inspect_err(|_| Counts::add(&self.shared.counts.refused, 1))?;
        let (repeated, receiver) = match begun {
            Begun::Repeated => {
                Counts::add(&self.shared.counts.repeated, 1);
                return Ok(Appended { repeated: true, ..Appended::default() });
            }
            Begun::InFlight(receiver) => (true, receiver),
            Begun::New(receiver) => {
                self.admit_and_queue(key, batch, now_ns, own_node);
                (false, receiver)
            }
        };
        let mut appended = answer(receiver).await?;
        if repeated {
            Counts::add(&self.shared.counts.repeated, 1);
            appended.repeated = true;
        }
        Ok(appended)
    }

    /// Stores rows that came without a name of their own, as those of OTLP do: the same rows twice are stored twice.
    /// Else as [`Self::append`]. A payload without rows is no batch.
    ///
    /// # Errors
    /// As [`Self::append`]; a payload of more than `proto::MAX_PAYLOAD_BYTES` is too large.
    pub async fn append_payload(&self, payload: v1::Payload, now_ns: i64) -> Result<Appended, Refused> {
        let begun = self.shared.begin_own(now_ns);
        let (key, receiver) = begun.inspect_err(|_| Counts::add(&self.shared.counts.refused, 1))?;
        let limits = self.shared.limits;
        self.queue(key.clone(), move |resolve| batch::pack_and_admit(key, payload, now_ns, &limits, resolve));
        answer(receiver).await
    }

    /// Whether rows of about so many bytes would be taken now. More than half of what may wait is asked for as that half:
    /// it goes in piece by piece.
    ///
    /// # Errors
    /// The refusal that they would meet.
    pub fn has_room(&self, bytes: usize) -> Result<(), Refused> {
        let state = self.shared.state();
        self.shared.full(&state, bytes).map_or(Ok(()), |refused| {
            self.shared.due.notify_one();
            Counts::add(&self.shared.counts.refused, 1);
            Err(refused)
        })
    }

    fn admit_and_queue(&self, key: BatchKey, batch: &v1::Batch, now_ns: i64, own_node: bool) {
        let (payload, unpacked) = (batch.zstd_payload.clone(), batch.unpacked_bytes);
        let limits = self.shared.limits;
        self.queue(key.clone(), move |resolve| {
            let node = Arc::clone(&key.node);
            let from = batch::Arrival::Sender(resolve);
            let admitted = batch::admit(key, payload, unpacked, now_ns, &limits, from)?;
            match &admitted.other_node {
                Some(other) if own_node => {
                    let detail = format!("rows of node {other:?} in a batch of {:?}", &*node);
                    Err(Refused { code: ErrorCode::Forbidden, detail, retry_after_ms: 0 })
                }
                _ => Ok(admitted),
            }
        });
    }

    fn queue(
        &self,
        key: BatchKey,
        admit: impl for<'a> FnOnce(Option<batch::Resolve<'a>>) -> Result<Admitted, Refused> + Send + 'static,
    ) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let shared = Arc::clone(&self.shared);
        let permits = Arc::clone(&self.in_flight);
        // in a task of its own, so that a caller who goes away leaves nothing half done
        drop(tokio::spawn(async move {
            let permit = permits.acquire_owned().await;
            let unavailable = |detail: &str| Refused::later(ErrorCode::Unavailable, detail, 1_000);
            let task_key = key.clone();
            let task_shared = Arc::clone(&shared);
            let work = move || {
                let _permit = permit;
                let resolver = task_shared.resolver.get();
                match admit(resolver.map(|resolver| &*resolver.0 as batch::Resolve<'_>)) {
                    Err(refused) => task_shared.complete(&task_key, Err(refused)),
                    Ok(admitted) => {
                        let sent = jobs.map(|jobs| jobs.send(Job(Box::new(admitted))).is_ok());
                        if sent != Some(true) {
                            task_shared.complete(&task_key, Err(unavailable("the store is closed")));
                        }
                    }
                }
            };
            if tokio::task::spawn_blocking(work).await.is_err() {
                shared.complete(&key, Err(unavailable("admission ended early")));
            }
        }));
    }

    /// One consistent view of all rows.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Changes whenever rows become searchable; its value is the last position.
    pub fn watch_rows(&self) -> watch::Receiver<i64> {
        self.shared.rows.subscribe()
    }

    /// Returns when a table has grown large enough to be sealed, or the store stopped: time to call `maintain`.
    pub async fn due(&self) {
        self.shared.due.notified().await;
    }

    /// Gives the store a monotonic clock to measure its syncs with; it reads none by itself. Once.
    pub fn measure_with(&self, clock: impl Fn() -> Duration + Send + Sync + 'static) {
        // a second clock would only measure the same
        drop(self.shared.stopwatch.set(Stopwatch(Box::new(clock))));
    }

    /// Gives the store what is asked about each new batch before it is written down: the names that its sender did not
    /// know. The answer is kept with the batch, so that a replay gives the same rows. Once.
    pub fn resolve_with(
        &self,
        resolver: impl Fn(&v1::Payload) -> Option<v1::Resolved> + Send + Sync + 'static,
    ) {
        drop(self.shared.resolver.set(batch::Resolver(Box::new(resolver))));
    }

    /// How the store stands.
    pub fn stats(&self) -> StoreStats {
        let state = self.shared.state();
        let tables = Table::ALL.map(|table| {
            let head = state.head.table(table);
            let segments = &state.segments[table.index()];
            TableStats {
                table,
                head_rows: head.rows,
                head_bytes: head.bytes,
                segments: segments.len(),
                segment_rows: segments.iter().map(|segment| segment.rows()).sum(),
                segment_bytes: segments.iter().map(|segment| segment.file_bytes()).sum(),
                oldest_ns: segments.iter().map(|segment| segment.times().0).min(),
            }
        });
        StoreStats {
            stopped: state.stopped.clone(),
            wal_bytes: state.wal.iter().map(|file| file.bytes).sum(),
            wal_files: state.wal.len(),
            head_bytes: state.head.bytes(),
            cache_bytes: self.shared.reader.cache_bytes(),
            last_lsn: state.last_lsn,
            catalog_version: state.version,
            dedupe_entries: state.dedupe.len(),
            dedupe_closed_gaps: state.dedupe.closed_gaps,
            disk_full: state.disk_full,
            tables: tables.to_vec(),
            sync_times: self.shared.sync_times.copy(),
            counters: self.counters(),
        }
    }

    fn counters(&self) -> crate::Counters {
        let unreadable_segments = self.shared.reader.unreadable.load(std::sync::atomic::Ordering::Relaxed);
        crate::Counters { unreadable_segments, ..self.shared.counts.copy() }
    }

    /// Waits for what is on its way to the disk and lets go of the folder. Nothing is sealed: the WAL has it.
    /// Batches that come after it are refused.
    pub async fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.shared.closing.store(true, std::sync::atomic::Ordering::Relaxed);
        let _maintaining = self.maintaining.lock().await;
        let _compacting = self.compacting.lock().await;
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let shared = Arc::clone(&self.shared);
        let ended = tokio::task::spawn_blocking(move || {
            // work whose caller gave up goes on without the two above
            drop(shared.compacting.lock());
            drop(shared.running.lock());
            thread.is_none_or(|thread| thread.join().is_ok())
        });
        if !matches!(ended.await, Ok(true)) {
            tracing::error!("the log's thread ended early");
        }
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

async fn answer(mut receiver: watch::Receiver<Option<Answer>>) -> Answer {
    let unavailable = || Refused::later(ErrorCode::Unavailable, "the store is closing", 1_000);
    match receiver.wait_for(Option::is_some).await {
        Ok(answer) => answer.clone().unwrap_or_else(|| Err(unavailable())),
        Err(_) => Err(unavailable()),
    }
}
