//! The way out: spool, checkpoints, writer, client, log reader.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::otlp::Http;
use proto::v1;
use tokio::sync::{mpsc, watch};

use super::BuildError;
use super::descriptors::Shares;
use crate::config::{AgentConfig, ExportKind};
use crate::doctor::Doctor;
use crate::driver::states::States;
use crate::export::chunks::Chunks;
use crate::export::client::Client;
use crate::export::credentials::{self, Credentials};
use crate::export::direct::Direct;
use crate::export::joined::LogJoin;
use crate::export::names::Names;
use crate::export::otlp::{PATIENCE, Sender};
use crate::export::spool::Spool;
use crate::export::writer::{Item, NameOwner, Writer};
use crate::export::{Outlet, SharedSpool};
use crate::identity::{Identities, NodeName, saved};
use crate::kernel::mounts::Mounts;
use crate::kernel::view::NodeView;
use crate::logs::checkpoint::Checkpoints;
use crate::logs::reader::{self, Logs};
use crate::logs::redact::Rules;
use crate::metrics::AgentMetrics;
use crate::metrics::export::ExportMetrics;
use crate::metrics::logs::LogMetrics;
use crate::metrics::workloads::Workloads;
use crate::requests::written::Written;
use crate::window::sample::Owner;

/// Bytes of batches that OTLP is made of without a way over the disk, and as many of what has just been spooled.
const RECENT_BYTES: usize = 8 << 20;

/// What the way out is built from.
pub(super) struct Exporting<'a> {
    pub(super) config: &'a AgentConfig,
    pub(super) node: &'a NodeName,
    pub(super) metrics: ExportMetrics,
    pub(super) agent_metrics: &'a AgentMetrics,
    pub(super) identities: &'a Arc<Mutex<Identities>>,
    pub(super) states: &'a States,
    pub(super) workloads: &'a Workloads,
    pub(super) health: &'a Health,
    pub(super) doctor: Doctor,
    pub(super) log_metrics: LogMetrics,
    pub(super) written: &'a Written,
    pub(super) rules: &'a Arc<Rules>,
    pub(super) mounts: &'a Mounts,
    pub(super) files: Shares,
    pub(super) root_id: u64,
    pub(super) clock: &'a Clock,
}

pub(super) type Built = ((Writer<Chunks>, Outlet), Option<Logs>);

impl Exporting<'_> {
    pub(super) fn build(self, items: mpsc::Receiver<Item>) -> Result<Built, BuildError> {
        let Self { config, node, metrics, agent_metrics, identities, states, clock, .. } = &self;
        let now_ms = clock.now_unix_ns() / 1_000_000;
        let (mut spool, recovered) =
            Spool::open(&config.state_dir.join("spool"), config.spool.max_bytes, now_ms)?;
        let checkpoints = Checkpoints::open(&config.state_dir.join("checkpoints"))?;
        for marks in &recovered.marks {
            checkpoints.commit(marks);
        }
        let (batches, lost) = (recovered.batches, recovered.lost_batches);
        tracing::info!(batches, lost, new_epoch = recovered.is_new_epoch, "spool opened");
        let mut direct = Direct::default();
        if config.export.kind == ExportKind::Otlp {
            spool.keep_recent(RECENT_BYTES);
            direct = Direct::of(RECENT_BYTES);
        }
        let spool = SharedSpool::beside(spool, direct);
        let (flushed, flushed_seen) = watch::channel(false);
        let table = Arc::clone(*identities);
        let name = move |owner: &Owner| {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            table.resolve(owner).unwrap_or_else(|| table.unnamed(owner))
        };
        let name: NameOwner = Arc::new(name);
        let join = LogJoin::new(self.written.clone(), Arc::clone(&name), Clock::clone(clock));
        let writer = Writer {
            items,
            logs: Chunks::new(join, States::clone(states), self.log_metrics.clone()),
            name,
            spool: spool.clone(),
            checkpoints: Some(checkpoints.clone()),
            ledger: agent_metrics.ledger.clone(),
            metrics: metrics.clone(),
            workloads: self.workloads.clone(),
            flushed,
            clock: Clock::clone(clock),
        };
        if config.export.kind == ExportKind::Otlp {
            identities.lock().unwrap_or_else(PoisonError::into_inner).nobody_tells();
            let (otlp, endpoint) = (&config.export.otlp, &config.export.endpoint);
            let ca_file = (!otlp.ca_file.as_os_str().is_empty()).then_some(otlp.ca_file.as_path());
            let sender = Sender {
                http: Http::build(endpoint, &otlp.headers, ca_file, Duration::from_secs(otlp.timeout_s))?,
                node: node.node.clone(),
                flushed: flushed_seen,
                spool,
                ledger: agent_metrics.ledger.clone(),
                health: self.health.clone(),
                metrics: metrics.clone(),
                clock: Clock::clone(clock),
                patience: PATIENCE,
            };
            return Ok(((writer, Outlet::Otlp(Box::new(sender))), self.logs(checkpoints)));
        }
        let names = Names {
            identities: Arc::clone(*identities),
            path: saved::path(&config.state_dir),
            clock: Clock::clone(clock),
        };
        names.load();
        let credentials = credentials::Deps {
            endpoint: config.export.endpoint.parse().map_err(BuildError::Endpoint)?,
            node: node.node.clone(),
            state_dir: config.state_dir.clone(),
            clock: Clock::clone(clock),
            health: self.health.clone(),
            metrics: metrics.clone(),
        };
        let client = Client {
            credentials: Credentials::new(config.tls.clone(), credentials),
            hello: v1::Hello {
                node: node.node.clone(),
                boot_id: node.boot_id.clone(),
                agent_version: env!("CARGO_PKG_VERSION").to_owned(),
                wire_version: proto::WIRE_VERSION,
                cluster: node.cluster.clone(),
            },
            probes: states.subscribe(),
            doctor: self.doctor.clone(),
            flushed: flushed_seen,
            in_flight: config.export.in_flight,
            spool,
            ledger: agent_metrics.ledger.clone(),
            health: self.health.clone(),
            metrics: metrics.clone(),
            names: Some(names),
            clock: Clock::clone(clock),
        };
        Ok(((writer, Outlet::Wake(Box::new(client))), self.logs(checkpoints)))
    }
}

impl Exporting<'_> {
    fn logs(&self, checkpoints: Checkpoints) -> Option<Logs> {
        if !self.config.logs.enabled {
            self.states.disabled("logs", "switched off in the config");
            return None;
        }
        let deps = reader::Deps {
            rules: Arc::clone(self.rules),
            checkpoints,
            clock: self.clock.clone(),
            cgroup2: self.mounts.cgroup2.clone(),
            root_cgroup_id: self.root_id,
            view: NodeView::of(self.mounts),
            identities: Some(Arc::clone(self.identities)),
        };
        let mut config = self.config.logs.clone();
        if self.files.logs < config.max_files {
            let Shares { logs, limit, .. } = self.files;
            tracing::warn!(
                max_files = logs,
                wanted = config.max_files,
                limit,
                "fewer logs are followed: the limit of open files is low"
            );
            config.max_files = logs;
        }
        Some(Logs::build(config, deps))
    }
}
