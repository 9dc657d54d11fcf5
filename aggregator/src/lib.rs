//! wake-aggregator: batches in, answers out.
//!
//! ```text
//! agents ─gRPC─▶ ingest ─▶ store ◀─ query ◀─ api ◀─HTTP─ people and tools
//!                            ▲
//!                         schedule (seal, retention)
//! ```
//! `Aggregator::build` binds; `run` opens the store and starts every part. Only this file knows all of them.
#![forbid(unsafe_code)]

mod access;
mod api;
mod audit;
mod base64;
pub mod config;
mod doctor;
mod export;
#[doc(hidden)]
pub mod fuzz;
pub mod ingest;
#[doc(hidden)]
pub mod kube;
mod metrics;
pub mod query;
mod red;
pub mod reference;
mod requests;
mod schedule;
mod start;
mod tls;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::http::{Door, HttpMetrics};
use daemon::metrics::Registry;
use daemon::shutdown::{Phase, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

pub use api::document as openapi;

use crate::access::Access;
use crate::api::Late;
use crate::audit::Audit;
use crate::config::security::AuthMode;
use crate::config::{Config, Otlp};
use crate::ingest::agents::Agents;
use crate::ingest::otlp;
use crate::ingest::places::Places;
use crate::metrics::{ExportMetrics, IngestMetrics, OtlpMetrics, QueryMetrics, ScheduleMetrics};
use crate::query::Query;
use crate::red::Red;
use crate::start::receivers::{Receivers, receive};
use crate::start::watched::kubernetes;
use crate::start::{callers, listeners, opened, or_stop};
use crate::tls::Tls;

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
    access: Access,
    ingest: TcpListener,
    otlp_grpc: Option<TcpListener>,
    otlp_http: Option<TcpListener>,
    api: TcpListener,
    admin: Option<TcpListener>,
}

impl Aggregator {
    /// Binds every address; starts nothing.
    ///
    /// # Errors
    /// When an address is taken, or what says who may ask cannot be read.
    pub async fn build(config: Config, deps: Deps) -> anyhow::Result<Self> {
        let access = callers::access(&config, &deps.clock).await?;
        let ingest = listeners::bind("ingest.listen", &config.ingest.listen).await?;
        let api = listeners::bind("api.listen", &config.api.listen).await?;
        let admin = match config.admin.listen.as_str() {
            "" => None,
            address => Some(listeners::bind("admin.listen", address).await?),
        };
        let health = Health::new();
        let usual = Otlp::default();
        let Otlp { grpc_listen, http_listen, .. } = &config.otlp;
        let otlp_grpc = listeners::otlp("otlp.grpc_listen", grpc_listen, &usual.grpc_listen, &health).await?;
        let otlp_http = listeners::otlp("otlp.http_listen", http_listen, &usual.http_listen, &health).await?;
        health.not_ready("store", "opening");
        let registry = Registry::new();
        Ok(Self { config, deps, registry, health, access, ingest, otlp_grpc, otlp_http, api, admin })
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
        let Self { config, deps, registry, health, access, ingest, otlp_grpc, otlp_http, api, admin } = self;
        let Deps { clock, shutdown } = deps;
        let late = Late::default();
        let server = shutdown.register(Phase::Servers, "api");
        let root = registry.with_prefix(metrics::PREFIX);
        let http = HttpMetrics::register(&root);
        if let Some(admin) = admin {
            let server = shutdown.register(Phase::Servers, "admin");
            let door = Door::plain(admin, http.of("admin"));
            let served = daemon::admin::serve(door, registry.clone(), Router::new(), health.clone(), server);
            tokio::spawn(or_stop("admin", served, shutdown.clone()));
        }
        let kubernetes_client = callers::client_for(&config).await?;
        health.not_ready("tls", "certificates are being read or made");
        let tls = Tls::start(&config.tls, kubernetes_client.clone(), &clock, &root, &shutdown).await?;
        health.ready("tls");
        let otlp_tls = tls.clone();
        let tls_metrics = tls.as_ref().map(|tls| tls.metrics.clone());
        let (speaks, on_failure) =
            (tls.as_ref().map(|tls| tls.api.clone()), tls.as_ref().map(|tls| tls.on_failure("api")));
        let open_metrics = config.auth.open_metrics || config.auth.mode == AuthMode::None;
        let requests = Registry::new();
        let (own, is_open) = (registry.clone(), open_metrics);
        let scraped = api::Scraped { late: late.clone(), own, requests: requests.clone(), is_open };
        let door = Door { tls: speaks, on_failure, ..Door::plain(api, http.of("api")) };
        let router = api::router(late.clone())
            .merge(daemon::admin::health_router(health.clone()))
            .merge(scraped.router());
        let served = daemon::admin::serve_app(door, router, health.clone(), server);
        tokio::spawn(or_stop("api", served, shutdown.clone()));

        let (store, recovered) = opened::open(&config, &clock).await?;
        opened::report(&recovered, &health);
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

        // what was replayed was counted before the restart
        let (red, after) = (Red::register(&requests, &root), store.snapshot().last_lsn());
        let token = shutdown.register(Phase::Buffers, "red");
        tokio::spawn(red::run(red, Arc::clone(&store), clock.clone(), after, token));

        let kube = kubernetes(&config, &store, &root, &clock, &shutdown).await?;
        let doctor_client = kube.as_ref().map(|kube| kube.client());
        let ingest_metrics = IngestMetrics::register(&root, &clock);
        let most_agents = config.ingest.max_agents as usize;
        let context = ingest::Context {
            store: Arc::clone(&store),
            agents: Arc::clone(&agents),
            clock: clock.clone(),
            metrics: ingest_metrics.clone(),
            in_flight: config.ingest.in_flight_per_agent as usize,
            bytes: Arc::new(Semaphore::new(config.ingest_kib())),
            tasks: TaskTracker::new(),
            token: Arc::new(shutdown.register(Phase::Intake, "ingest")),
            places: Places::default(),
            nodes: kube::NodesService::new(kube.clone(), most_agents, ingest_metrics, clock.clone()),
            enroller: callers::enroller(&config, tls.as_ref(), kubernetes_client, &clock),
            tls,
            // an agent has one for batches and names, and another while it connects anew
            connections: most_agents * 2 + 16,
        };
        tokio::spawn(or_stop("ingest", ingest::serve(ingest, context), shutdown.clone()));
        let otlp = otlp::Context {
            store: Arc::clone(&store),
            clock: clock.clone(),
            metrics: OtlpMetrics::register(&root, &clock),
            max_request_bytes: (config.otlp.max_request_mib as usize) << 20,
            room: Arc::new(Semaphore::new(config.otlp_kib())),
            senders: callers::senders(&config, &clock).await?,
        };
        let otlp_tls = otlp_tls.filter(|_| config.otlp.tls);
        receive(Receivers { grpc: otlp_grpc, http: otlp_http, tls: otlp_tls }, otlp, &http, &shutdown);
        let export_metrics = ExportMetrics::register(&root);
        let export = export::Parts {
            config: &config.export.otlp,
            data_dir: &config.data_dir,
            store: &store,
            metrics: export_metrics.clone(),
            health: &health,
            clock: &clock,
            shutdown: &shutdown,
        };
        export::start(export).await.context("start the export over OTLP")?;
        let token = shutdown.register(Phase::Buffers, "schedule");
        let schedule_metrics = ScheduleMetrics::register(&root);
        let scheduled =
            schedule::run(Arc::clone(&store), clock.clone(), schedule_metrics, shutdown.clone(), token);
        tokio::spawn(scheduled);
        let token = shutdown.register(Phase::Buffers, "compaction");
        tokio::spawn(schedule::compact(Arc::clone(&store), clock.clone(), token));
        tokio::spawn(opened::close(store, shutdown.register(Phase::Buffers, "store")));
        let streams = shutdown.register(Phase::Intake, "api streams");
        let audit = match config.audit_place() {
            Some(place) => {
                let at = place.path.display().to_string();
                let token = shutdown.register(Phase::Servers, "audit log");
                let started = Audit::start(place, clock.clone(), &root, token);
                Some(started.with_context(|| format!("open the audit log {at}"))?)
            }
            None => None,
        };
        let doctor = api::Doctor {
            config: config.clone(),
            client: doctor_client,
            tls: tls_metrics,
            export: export_metrics,
        };
        let parts = api::Parts {
            query,
            agents,
            access,
            audit,
            doctor,
            clock,
            metrics: query_metrics,
            token: streams,
        };
        let shared = api::Shared::new(&config, parts);
        if let Some(kube) = kube {
            shared.watches(kube);
        }
        late.open(shared);
        health.ready("store");
        Ok(())
    }
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
