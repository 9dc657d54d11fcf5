//! wake-aggregator: batches in, answers out.
//!
//! ```text
//! agents ─gRPC─▶ ingest ─▶ store ◀─ query ◀─ api ◀─HTTP─ people and tools
//!                            ▲
//!                         schedule (seal, retention)
//! ```
//! `Aggregator::build` binds; `run` opens the store and starts every part. Only this file knows all of them.
#![forbid(unsafe_code)]

mod api;
pub mod config;
#[doc(hidden)]
pub mod fuzz;
pub mod ingest;
#[doc(hidden)]
pub mod kube;
mod metrics;
pub mod query;
pub mod reference;
mod schedule;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::shutdown::{Phase, Shutdown, Token};
use store::{Recovered, Store};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

pub use api::document as openapi;

use crate::api::{Api, Late};
use crate::config::{Config, Otlp};
use crate::ingest::agents::Agents;
use crate::ingest::otlp;
use crate::kube::Kube;
use crate::metrics::{IngestMetrics, KubeMetrics, OtlpMetrics, QueryMetrics, ScheduleMetrics};
use crate::query::Query;

/// How long the start waits for the API server's first lists.
const FIRST_LISTS: Duration = Duration::from_secs(10);

/// What the aggregator takes from its process.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Time.
    pub clock: Clock,
    /// Where its parts register to be stopped.
    pub shutdown: Shutdown,
}

/// An aggregator whose addresses are bound and whose store is closed.
#[derive(Debug)]
pub struct Aggregator {
    config: Config,
    deps: Deps,
    registry: Registry,
    health: Health,
    ingest: TcpListener,
    otlp_grpc: Option<TcpListener>,
    otlp_http: Option<TcpListener>,
    api: TcpListener,
}

impl Aggregator {
    /// Binds every address; starts nothing.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn build(config: Config, deps: Deps) -> anyhow::Result<Self> {
        let ingest = bind("ingest.listen", &config.ingest.listen).await?;
        let api = bind("api.listen", &config.api.listen).await?;
        let health = Health::new();
        let usual = Otlp::default();
        let Otlp { grpc_listen, http_listen, .. } = &config.otlp;
        let otlp_grpc = otlp("otlp.grpc_listen", grpc_listen, &usual.grpc_listen, &health).await?;
        let otlp_http = otlp("otlp.http_listen", http_listen, &usual.http_listen, &health).await?;
        health.not_ready("store", "opening");
        Ok(Self { config, deps, registry: Registry::new(), health, ingest, otlp_grpc, otlp_http, api })
    }

    /// Where agents send.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn ingest_address(&self) -> std::io::Result<SocketAddr> {
        self.ingest.local_addr()
    }

    /// Where applications send OTLP/gRPC and OTLP/HTTP, where anything listens.
    pub fn otlp_addresses(&self) -> [Option<SocketAddr>; 2] {
        [&self.otlp_grpc, &self.otlp_http].map(|listener| listener.as_ref()?.local_addr().ok())
    }

    /// Where people and tools ask.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn api_address(&self) -> std::io::Result<SocketAddr> {
        self.api.local_addr()
    }

    /// Opens the store and starts every part; they stop with the shutdown. Until the store is open, the API answers
    /// that it is not.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub async fn spawn(self) -> anyhow::Result<()> {
        let Self { config, deps, registry, health, ingest, otlp_grpc, otlp_http, api } = self;
        let Deps { clock, shutdown } = deps;
        let late = Late::default();
        let server = shutdown.register(Phase::Servers, "api");
        let router = api::router(late.clone());
        let served = daemon::admin::serve(api, registry.clone(), router, health.clone(), server);
        tokio::spawn(or_stop("api", served, shutdown.clone()));

        let (store, recovered) = open(&config, &clock).await?;
        report(&recovered, &health);
        let root = registry.with_prefix(metrics::PREFIX);
        let query_metrics = QueryMetrics::register(&root);
        let running = config.queries_running();
        let limits = query::Limits {
            timeout: Duration::from_secs(u64::from(config.query.timeout_s)),
            memory_bytes: config.query_memory_bytes(running),
            spill_bytes: config.query.spill_mib.saturating_mul(1 << 20),
            running,
            retention_s: config.limits().retention.map(|kept| kept.age_s),
        };
        let spill_dir = config.data_dir.join("spill");
        let query =
            Query::build(Arc::clone(&store), limits, &spill_dir, clock.clone(), query_metrics.clone())?;
        let agents = Arc::new(Agents::new(config.ingest.max_agents as usize));
        metrics::register_store(&registry, Arc::clone(&store), Arc::clone(&agents), query.clone());

        let kube = kubernetes(&config, &store, &root, &clock, &shutdown).await?;
        let context = ingest::Context {
            store: Arc::clone(&store),
            agents: Arc::clone(&agents),
            clock: clock.clone(),
            metrics: IngestMetrics::register(&root, &clock),
            in_flight: config.ingest.in_flight_per_agent as usize,
            bytes: Arc::new(Semaphore::new(config.ingest_kib())),
            tasks: TaskTracker::new(),
            token: Arc::new(shutdown.register(Phase::Intake, "ingest")),
            nodes: kube::NodesService::new(kube.clone(), config.ingest.max_agents as usize),
        };
        tokio::spawn(or_stop("ingest", ingest::serve(ingest, context), shutdown.clone()));
        let otlp = otlp::Context {
            store: Arc::clone(&store),
            clock: clock.clone(),
            metrics: OtlpMetrics::register(&root, &clock),
            max_request_bytes: (config.otlp.max_request_mib as usize) << 20,
            room: Arc::new(Semaphore::new(config.otlp_kib())),
        };
        if let Some(listener) = otlp_http {
            let served = daemon::admin::serve_app(
                listener,
                otlp::router(otlp.clone()),
                shutdown.register(Phase::Intake, "otlp http"),
            );
            tokio::spawn(or_stop("otlp http", served, shutdown.clone()));
        }
        if let Some(listener) = otlp_grpc {
            let token = shutdown.register(Phase::Intake, "otlp grpc");
            tokio::spawn(or_stop("otlp grpc", otlp::serve_grpc(listener, otlp, token), shutdown.clone()));
        }
        let token = shutdown.register(Phase::Buffers, "schedule");
        let schedule_metrics = ScheduleMetrics::register(&root);
        let scheduled =
            schedule::run(Arc::clone(&store), clock.clone(), schedule_metrics, shutdown.clone(), token);
        tokio::spawn(scheduled);
        let token = shutdown.register(Phase::Buffers, "compaction");
        tokio::spawn(schedule::compact(Arc::clone(&store), clock.clone(), token));
        tokio::spawn(close(store, shutdown.register(Phase::Buffers, "store")));
        let streams = shutdown.register(Phase::Intake, "api streams");
        let api = Api::new(&config, query, agents, clock, query_metrics, streams);
        if let Some(kube) = kube {
            api.watches(kube);
        }
        late.open(api);
        health.ready("store");
        Ok(())
    }
}

/// Watches the cluster, if it is to be watched; then every batch that comes in gets the names that are known.
async fn kubernetes(
    config: &Config,
    store: &Arc<Store>,
    root: &Registry,
    clock: &Clock,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<Arc<Kube>>> {
    let Some(client) = kube::connect(&config.kubernetes).await? else { return Ok(None) };
    let kube = Kube::new(config.kubernetes.clone(), client, KubeMetrics::register(root), clock.clone());
    let known = Arc::clone(&kube);
    store.resolve_with(move |payload| known.resolve(payload));
    // before the watch, which tells it
    kube::record(&kube, Arc::clone(store), shutdown.register(Phase::Intake, "kube record"));
    let token = shutdown.register(Phase::Buffers, "kube");
    tokio::spawn(kube::watch(Arc::clone(&kube), token));
    // what comes in before is named as far as is known, and never again
    kube.first_lists(FIRST_LISTS).await;
    Ok(Some(kube))
}

async fn bind(key: &str, address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address} ({key})"))
}

/// Binds an address of OTLP. That of everybody's default is done without if somebody has it, such as a collector.
async fn otlp(
    key: &'static str,
    address: &str,
    usual: &str,
    health: &Health,
) -> anyhow::Result<Option<TcpListener>> {
    if address == Otlp::OFF {
        return Ok(None);
    }
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if address == usual && error.kind() == std::io::ErrorKind::AddrInUse => {
            tracing::warn!(
                address,
                key,
                "another program listens there: OTLP is not received at this address"
            );
            health.note(key, format!("another program listens on {address}; OTLP is not received there"));
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("listen on {address} ({key})")),
    }
}

async fn open(config: &Config, clock: &Clock) -> anyhow::Result<(Arc<Store>, Recovered)> {
    let dir = config.data_dir.clone();
    let limits = config.limits();
    let now_ns = i64::try_from(clock.now_unix_ns()).unwrap_or(i64::MAX);
    let started = clock.monotonic();
    // It reads the write-ahead log, which may take seconds.
    let opened = tokio::task::spawn_blocking(move || Store::open(&dir, limits, now_ns)).await;
    let (store, recovered) =
        opened?.with_context(|| format!("open the store in {}", config.data_dir.display()))?;
    let seconds = clock.monotonic().saturating_sub(started).as_secs_f64();
    let Recovered { batches, rows, torn_bytes, .. } = &recovered;
    tracing::info!(dir = %config.data_dir.display(), batches, rows, torn_bytes, seconds, "store opened");
    let stopwatch = clock.clone();
    store.measure_with(move || stopwatch.monotonic());
    Ok((store, recovered))
}

fn report(recovered: &Recovered, health: &Health) {
    for detail in &recovered.rebuilt {
        tracing::warn!(%detail, "the store's catalog was put right");
    }
    for damage in &recovered.damaged {
        tracing::error!(%damage, "acknowledged data is lost");
    }
    if !recovered.damaged.is_empty() {
        health.note("store", format!("acknowledged data is lost: {}", recovered.damaged.join("; ")));
    }
}

/// A server that fails ends the process in order.
async fn or_stop<E: Error>(
    part: &'static str,
    served: impl Future<Output = Result<(), E>>,
    shutdown: Shutdown,
) {
    if let Err(error) = served.await {
        tracing::error!(part, error = %chain(&error), "server failed");
        shutdown.request();
    }
}

async fn close(store: Arc<Store>, token: Token) {
    token.stopped().await;
    store.close().await;
    drop(token);
}

/// An error and what caused it, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
