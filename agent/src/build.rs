//! The composition root: builds every part from the config, leaf first, binds what must be bound, starts nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use proto::v1;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::config::{AgentConfig, ExportKind};
use crate::driver::Driver;
use crate::driver::budget::Budget;
use crate::driver::states::States;
use crate::driver::tree::Tree;
use crate::export::SharedSpool;
use crate::export::chunks::Chunks;
use crate::export::client::Client;
use crate::export::spool::{Spool, SpoolError};
use crate::export::writer::{Item, QUEUE_ITEMS, Writer};
use crate::files::addresses::Addresses;
use crate::files::{Roots, Usage};
use crate::identity::walk::{Mounts, mounts};
use crate::identity::{Identities, NodeName};
use crate::logs::checkpoint::{CheckpointError, Checkpoints};
use crate::logs::reader::{self, Logs};
use crate::logs::redact::{BuildRulesError, Rules};
use crate::metrics::workloads::Workloads;
use crate::metrics::{AgentMetrics, ExportMetrics, LogMetrics};
use crate::probe::Probe;
use crate::window::assemble::Assembler;
use crate::window::sample::Owner;

/// Most file descriptors that the usage reader keeps open.
const USAGE_FILES: usize = 1_024;

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
    pub(crate) export: Option<(Writer<Chunks>, Client)>,
    /// Started with everything else; then the writer takes its chunks.
    pub(crate) logs: Option<(Logs, LogMetrics)>,
    pub(crate) admin: TcpListener,
    pub(crate) registry: Registry,
    pub(crate) health: Health,
    pub(crate) states: States,
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
            .map(|text| mounts(&text))
            .unwrap_or_default();
        let node = node_name(&config, &proc);
        let root_id = mounts.cgroup2.as_deref().and_then(inode).unwrap_or(0);
        let identities = Arc::new(Mutex::new(Identities::new(node.clone(), root_id)));
        let rules = Arc::new(Rules::build(&config.logs.redact)?);
        let usage = usage(&config, &mounts, &proc, &states);
        let (items, queue) = mpsc::channel(QUEUE_ITEMS);
        let ledger = metrics.ledger.clone();
        let is_exporting = config.export.kind == ExportKind::Wake;
        let (export, logs) = if is_exporting {
            let exporting = Exporting {
                config: &config,
                node: &node,
                metrics: ExportMetrics::register(&own),
                agent_metrics: &metrics,
                identities: &identities,
                states: &states,
                workloads: &workloads,
                health: &health,
                log_metrics: LogMetrics::register(&own),
                rules: &rules,
                mounts: &mounts,
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
            settings: config.settings(),
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
            budget: Budget::new(Duration::from_millis(config.budget.cpu_ms_per_second)),
            clock,
        };
        Ok(Self { driver, export, logs, admin, registry, health, states })
    }
}

struct Exporting<'a> {
    config: &'a AgentConfig,
    node: &'a NodeName,
    metrics: ExportMetrics,
    agent_metrics: &'a AgentMetrics,
    identities: &'a Arc<Mutex<Identities>>,
    states: &'a States,
    workloads: &'a Workloads,
    health: &'a Health,
    log_metrics: LogMetrics,
    rules: &'a Arc<Rules>,
    mounts: &'a Mounts,
    root_id: u64,
    clock: &'a Clock,
}

type Built = ((Writer<Chunks>, Client), Option<(Logs, LogMetrics)>);

impl Exporting<'_> {
    fn build(self, items: mpsc::Receiver<Item>) -> Result<Built, BuildError> {
        let Self { config, node, metrics, agent_metrics, identities, states, clock, .. } = &self;
        let now_ms = clock.now_unix_ns() / 1_000_000;
        let (spool, recovered) =
            Spool::open(&config.state_dir.join("spool"), config.spool.max_bytes, now_ms)?;
        let checkpoints = Checkpoints::open(&config.state_dir.join("checkpoints"))?;
        for marks in &recovered.marks {
            checkpoints.commit(marks);
        }
        let (batches, lost) = (recovered.batches, recovered.lost_batches);
        tracing::info!(batches, lost, new_epoch = recovered.is_new_epoch, "spool opened");
        let spool = SharedSpool::new(spool);
        let (flushed, flushed_seen) = watch::channel(false);
        let table = Arc::clone(*identities);
        let name = move |owner: &Owner| {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            table.resolve(owner).unwrap_or_else(|| table.unnamed(owner))
        };
        let writer = Writer {
            items,
            logs: Chunks::new(None, States::clone(states), self.log_metrics.clone()),
            name: Arc::new(name),
            spool: spool.clone(),
            checkpoints: Some(checkpoints.clone()),
            ledger: agent_metrics.ledger.clone(),
            metrics: metrics.clone(),
            workloads: self.workloads.clone(),
            flushed,
            clock: Clock::clone(clock),
        };
        let client = Client {
            endpoint: config.export.endpoint.parse().map_err(BuildError::Endpoint)?,
            hello: v1::Hello {
                node: node.node.clone(),
                boot_id: node.boot_id.clone(),
                agent_version: env!("CARGO_PKG_VERSION").to_owned(),
                wire_version: proto::WIRE_VERSION,
                cluster: node.cluster.clone(),
            },
            probes: states.subscribe(),
            flushed: flushed_seen,
            in_flight: config.export.in_flight,
            spool,
            ledger: agent_metrics.ledger.clone(),
            health: self.health.clone(),
            metrics: metrics.clone(),
            clock: Clock::clone(clock),
        };
        Ok(((writer, client), self.logs(checkpoints)))
    }
}

impl Exporting<'_> {
    fn logs(&self, checkpoints: Checkpoints) -> Option<(Logs, LogMetrics)> {
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
        };
        Some((Logs::build(self.config.logs.clone(), deps), self.log_metrics.clone()))
    }
}

struct MetricsLimits {
    max_workloads: usize,
    max_peers: usize,
    idle: Duration,
}

fn limits(config: &AgentConfig) -> MetricsLimits {
    let crate::config::MetricsConfig { max_workloads, max_peers, idle_seconds } = config.metrics;
    MetricsLimits { max_workloads, max_peers, idle: Duration::from_secs(idle_seconds) }
}

fn node_name(config: &AgentConfig, proc: &std::path::Path) -> NodeName {
    let line = |path: &str| {
        let text = std::fs::read_to_string(proc.join(path)).unwrap_or_default();
        text.trim().to_owned()
    };
    let crate::config::NodeConfig { name, cluster, zone } = config.node.clone();
    let node = if name.is_empty() { line("sys/kernel/hostname") } else { name };
    NodeName { cluster, node, zone, boot_id: line("sys/kernel/random/boot_id") }
}

fn inode(path: &std::path::Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata))
}

fn tree(mounts: &Mounts) -> Option<Tree> {
    let root =
        mounts.cgroup2.clone().or_else(|| mounts.v1.get("memory").or(mounts.v1.get("cpuacct")).cloned());
    root.map(Tree::new)
}

fn usage(config: &AgentConfig, mounts: &Mounts, proc: &std::path::Path, states: &States) -> Option<Usage> {
    if !config.probes.usage.enabled {
        states.disabled("usage", "switched off in the config");
        return None;
    }
    if mounts.cgroup2.is_none() && mounts.v1.is_empty() {
        states.unsupported("usage", "no_cgroup", "no cgroup hierarchy is mounted");
    } else {
        states.running("usage", missing(mounts));
    }
    let roots = Roots {
        mounts: mounts.clone(),
        proc: proc.to_path_buf(),
        max_open: USAGE_FILES,
        ticks_per_second: rustix::param::clock_ticks_per_second(),
        page_bytes: rustix::param::page_size() as u64,
    };
    Some(Usage::new(roots))
}

/// What the mounted hierarchies cannot tell.
fn missing(mounts: &Mounts) -> Vec<String> {
    let controllers = mounts
        .cgroup2
        .as_deref()
        .and_then(|root| std::fs::read_to_string(root.join("cgroup.controllers")).ok());
    let has = |name: &str| {
        let in_v2 = controllers.as_deref().is_some_and(|all| all.split_whitespace().any(|one| one == name));
        in_v2 || mounts.v1.contains_key(name)
    };
    let mut missing = Vec::new();
    for (what, v2, v1) in [("memory", "memory", "memory"), ("io", "io", "blkio"), ("pids", "pids", "pids")] {
        if !has(v2) && !has(v1) {
            missing.push(format!("{what}: no controller is mounted"));
        }
    }
    let has_pressure = mounts.cgroup2.as_deref().is_some_and(|root| root.join("cpu.pressure").is_file());
    if !has_pressure {
        missing.push(String::from("pressure: PSI is off in this kernel, or cgroup2 is not mounted"));
    }
    missing
}
