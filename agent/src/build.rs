//! The composition root: builds every part from the config, leaf first, binds what must be bound, starts nothing.

mod descriptors;
mod exporting;
mod host;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::config::tls::TlsMode;
use crate::config::{AgentConfig, ExportKind};
use crate::doctor::Doctor;
use crate::driver::Driver;
use crate::driver::events::Exits;
use crate::driver::nat::Nat;
use crate::driver::states::States;
use crate::export::Outlet;
use crate::export::chunks::Chunks;
use crate::export::spool::SpoolError;
use crate::export::writer::{QUEUE_ITEMS, Writer};
use crate::files::addresses::Addresses;
use crate::identity::Identities;
use crate::kernel::mounts::mounts;
use crate::logs::checkpoint::CheckpointError;
use crate::logs::reader::Logs;
use crate::logs::redact::{BuildRulesError, Rules};
use crate::metrics::AgentMetrics;
use crate::metrics::export::ExportMetrics;
use crate::metrics::logs::LogMetrics;
use crate::metrics::workloads::Workloads;
use crate::probe::Probe;
use crate::window::assemble::Assembler;
use descriptors::Shares;
pub use descriptors::raise_limit;
use exporting::Exporting;
use host::{MetricsLimits, USAGE_FILES, budget, inode, limits, node_name, tree, usage};

/// What the agent stands on; tests give their own.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Time.
    pub clock: Clock,
    /// `/proc`
    pub proc: PathBuf,
    /// The probes to attach.
    pub probes: &'static [Probe],
}

impl Default for Deps {
    fn default() -> Self {
        Self { clock: Clock::system(), proc: PathBuf::from("/proc"), probes: crate::PROBES }
    }
}

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The admin address is taken or not ours.
    #[error("listen on admin.listen {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The spool cannot be used.
    #[error("use the spool")]
    Spool(#[from] SpoolError),
    /// The log checkpoints cannot be used.
    #[error("use the log checkpoints")]
    Checkpoints(#[from] CheckpointError),
    /// The way to an OTLP endpoint cannot be made.
    #[error(transparent)]
    Otlp(#[from] daemon::otlp::HttpError),
    /// The endpoint is no address.
    #[error("read export.endpoint")]
    Endpoint(#[source] tonic::transport::Error),
    /// A redaction rule does not compile.
    #[error("read logs.redact")]
    Rules(#[from] BuildRulesError),
}

/// A built agent; see `spawn`.
#[derive(Debug)]
pub struct Agent {
    pub(crate) driver: Driver,
    pub(crate) export: Option<(Writer<Chunks>, Outlet)>,
    /// Started with everything else; then the writer takes its chunks.
    pub(crate) logs: Option<Logs>,
    pub(crate) admin: TcpListener,
    pub(crate) registry: Registry,
    pub(crate) health: Health,
    pub(crate) states: States,
    pub(crate) doctor: Doctor,
}

impl Agent {
    /// Builds every part. Reads the spool and binds the admin address; starts nothing.
    ///
    /// # Errors
    /// What cannot be used, by name.
    pub async fn build(config: AgentConfig, deps: Deps) -> Result<Self, BuildError> {
        let Deps { clock, proc, probes } = deps;
        let listen = |source| BuildError::Listen { address: config.admin.listen.clone(), source };
        let admin = TcpListener::bind(&config.admin.listen).await.map_err(listen)?;
        let registry = Registry::new();
        let own = registry.with_prefix("wake_agent");
        let metrics = AgentMetrics::register(&own);
        let MetricsLimits { max_workloads, max_peers, idle } = limits(&config);
        let workloads = Workloads::new(max_workloads, max_peers, idle);
        workloads.register(&registry);
        let states = States::new(metrics.clone());
        let health = Health::new();
        health.not_ready("probes", "being attached");

        let mounts = std::fs::read_to_string(proc.join("self/mountinfo"))
            .map(|text| mounts(&text, config.node.cgroup_root.as_deref()))
            .unwrap_or_default();
        let node = node_name(&config, &proc);
        let root_id = mounts.cgroup2.as_deref().and_then(inode).unwrap_or(0);
        let identities = Arc::new(Mutex::new(Identities::new(node.clone(), root_id)));
        let rules = Arc::new(Rules::build(&config.logs.redact)?);
        let files = Shares::now(USAGE_FILES, config.logs.max_files);
        let usage = usage(&config, &mounts, &proc, files, &states);
        let settings = config.settings();
        let (items, queue) = mpsc::channel(QUEUE_ITEMS);
        let ledger = metrics.ledger.clone();
        let is_exporting = config.export.kind != ExportKind::None;
        let export_metrics = is_exporting.then(|| ExportMetrics::register(&own));
        let is_tls = config.tls.mode != TlsMode::None;
        let mut doctor =
            Doctor::new(proc.clone(), states.clone(), export_metrics.clone(), is_tls, clock.clone());
        let (export, logs) = if let Some(export_metrics) = export_metrics {
            let log_metrics = LogMetrics::register(&own);
            doctor.log_reader = config.logs.enabled.then(|| log_metrics.clone());
            let exporting = Exporting {
                config: &config,
                node: &node,
                metrics: export_metrics,
                doctor: doctor.clone(),
                agent_metrics: &metrics,
                identities: &identities,
                states: &states,
                workloads: &workloads,
                health: &health,
                log_metrics,
                written: &settings.written,
                rules: &rules,
                mounts: &mounts,
                files,
                root_id,
                clock: &clock,
            };
            let (export, logs) = exporting.build(queue)?;
            (Some(export), logs)
        } else {
            states.disabled("logs", "export.kind is none");
            (None, None)
        };
        let driver = Driver {
            probes,
            settings,
            states: states.clone(),
            identities,
            tree: tree(&mounts),
            usage,
            assembler: Assembler::new(config.window.max_rows, config.window.seconds),
            rules,
            items: is_exporting.then_some(items),
            workloads,
            metrics,
            ledger,
            health: health.clone(),
            addresses: Addresses::new(proc.clone()),
            budget: budget(&config),
            nat: Nat::default(),
            exits: Exits::default(),
            clock,
        };
        Ok(Self { driver, export, logs, admin, registry, health, states, doctor })
    }
}
