//! Query: every question to the store runs here, in bounded number, time, memory and rows.
//!
//! `text` reads a person's SQL; `engine` is DataFusion as it is set up; `table`, `pushdown`, `scan`, `top` and `counts`
//! make the store's tables DataFusion's (`plan` and `function` say once what it asks of each); `histogram` adds the
//! functions over latency; `bounded`, `made`, `watches` and `batch` hold a query to its memory where the engine does not count;
//! `session` is one request's view; `gap` says what its answer lacks; `gate` bounds how many run. Queries have threads of
//! their own, so that none of them holds up ingest.
//!
//! Does not: know HTTP or JSON (`api`), nor write anything.

mod batch;
mod bounded;
mod counts;
mod engine;
pub mod error;
mod field_counts;
mod fields;
mod function;
mod fuzz;
pub(crate) mod gap;
mod gate;
mod histogram;
mod made;
mod plan;
mod pushdown;
pub mod reason;
mod scan;
pub(crate) mod session;
mod table;
mod text;
mod top;
mod watches;
mod words;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use store::{Scope, SealError, Sealed, Snapshot, Store, StoreStats, Table};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::metrics::QueryMetrics;
use crate::query::engine::Engine;
use crate::query::error::QueryError;
use crate::query::gate::Gate;
use crate::query::session::Session;

pub(crate) use fuzz::{filter as fuzz_filter, text as fuzz_text};

/// Stack of a query thread: planning recurses with the depth of a query (which `text` bounds). Only touched when used.
const STACK_BYTES: usize = 32 << 20;

/// What a query may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time, waiting included.
    pub timeout: Duration,
    /// Memory before it spills, bytes.
    pub memory_bytes: usize,
    /// Spill files of all queries, bytes.
    pub spill_bytes: u64,
    /// Queries that run at the same time.
    pub running: usize,
    /// Seconds that rows of each table are kept.
    pub retention_s: [u64; Table::COUNT],
}

/// Queries could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BuildQueryError {
    /// No threads.
    #[error("start the query threads")]
    Threads(#[source] std::io::Error),
    /// The folder for spill files could not be made.
    #[error("make {}", path.display())]
    SpillDir {
        /// The folder.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The engine refused its settings.
    #[error("set up the query engine")]
    Engine(#[source] datafusion::common::DataFusionError),
}

/// Runs queries; clones share limits and threads.
#[derive(Clone, Debug)]
pub struct Query(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    limits: Limits,
    gate: Gate,
    engine: Engine,
    clock: Clock,
    metrics: QueryMetrics,
    /// `None` only while it is dropped.
    threads: Option<Runtime>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            // May be dropped within another runtime, which must not wait.
            threads.shutdown_background();
        }
    }
}

impl Query {
    /// Prepares threads and the spill folder, which is emptied.
    ///
    /// # Errors
    /// When either cannot be had.
    pub(crate) fn build(
        store: Arc<Store>,
        limits: Limits,
        spill_dir: &Path,
        clock: Clock,
        metrics: QueryMetrics,
    ) -> Result<Self, BuildQueryError> {
        let spill_error = |source| BuildQueryError::SpillDir { path: spill_dir.to_owned(), source };
        match std::fs::remove_dir_all(spill_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(spill_error(error)),
            _ => std::fs::create_dir_all(spill_dir).map_err(spill_error)?,
        }
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![spill_dir.to_owned()]))
            .with_max_temp_directory_size(limits.spill_bytes);
        let environment = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(BuildQueryError::Engine)?;
        let threads = Builder::new_multi_thread()
            .worker_threads(limits.running.max(1))
            .max_blocking_threads(limits.running.max(1) * 8)
            .thread_stack_size(STACK_BYTES)
            .thread_name("query")
            .enable_time()
            .build()
            .map_err(BuildQueryError::Threads)?;
        let engine = Engine::build(environment, limits.memory_bytes).map_err(BuildQueryError::Engine)?;
        let gate = Gate::new(limits.running);
        let threads = Some(threads);
        Ok(Self(Arc::new(Shared { store, limits, gate, engine, clock, metrics, threads })))
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// Runs work on the query threads with a session of its own, which shows only what `scope` allows, once there is a
    /// place.
    ///
    /// # Errors
    /// The work's own; `Busy` without a place; `Timeout` past the limit: then the work is told to stop, and its place
    /// is free when it has.
    pub(crate) async fn run<T, E, W, F>(&self, endpoint: &'static str, scope: Scope, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<QueryError> + Send + 'static,
        W: FnOnce(Session) -> F + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let shared = &self.0;
        let started = shared.clock.monotonic();
        let limit = shared.limits.timeout;
        let answered = tokio::time::timeout(limit, async {
            let place = shared.gate.enter().await?;
            let deadline = started + limit;
            // the place is free when the last thread that reads for it has ended, not when its caller gives up
            let snapshot = shared.store.snapshot().holding(place);
            let (clock, engine) = (shared.clock.clone(), shared.engine.clone());
            let session = Session::new(snapshot, &scope, clock, deadline, &shared.limits, engine);
            let Some(threads) = &shared.threads else { return Err(E::from(QueryError::Stopping)) };
            let task = threads.spawn(work(session));
            match Abort(task).join().await {
                Ok(answer) => answer,
                Err(error) if error.is_cancelled() => Err(E::from(QueryError::Stopping)),
                Err(error) => Err(E::from(QueryError::Internal(error.to_string()))),
            }
        })
        .await;
        shared.metrics.answered(endpoint, shared.clock.monotonic().saturating_sub(started));
        answered.unwrap_or_else(|_elapsed| Err(E::from(QueryError::Timeout { limit })))
    }

    /// The newest view of what `scope` allows, for those that need no plan.
    pub(crate) fn view(&self, scope: &Scope) -> Snapshot {
        self.0.store.snapshot().within(scope)
    }

    /// Changes whenever rows were added.
    pub(crate) fn watch_rows(&self) -> watch::Receiver<i64> {
        self.0.store.watch_rows()
    }

    /// How the store stands.
    pub(crate) fn stats(&self) -> StoreStats {
        self.0.store.stats()
    }

    /// Seals what only memory and the write-ahead log hold.
    ///
    /// # Errors
    /// The store's own.
    pub(crate) async fn seal(&self, now_ns: i64) -> Result<Vec<Sealed>, SealError> {
        self.0.store.seal(now_ns).await
    }

    /// Writes how many run and wait into the metrics.
    pub(crate) fn measure(&self) {
        let (running, waiting) = self.0.gate.load();
        self.0.metrics.load(running, waiting);
    }
}

/// Stops the task when nobody waits for it any more.
struct Abort<T>(JoinHandle<T>);

impl<T> Abort<T> {
    async fn join(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for Abort<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
