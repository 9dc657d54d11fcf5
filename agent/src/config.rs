//! `agent.yaml`: what every key means, its unit, its default and its cost. The reference is generated from here.

use std::net::SocketAddr;
use std::path::PathBuf;

use daemon::config::{Config, ConfigError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernel::{Settings, TlsMode};
use crate::logs::config::LogsConfig;
use crate::requests::written::Written;

mod defaults;
mod export;
mod probes;
#[cfg(test)]
mod tests;
pub mod tls;

pub use export::{ExportConfig, ExportKind, OtlpConfig};
pub use probes::{
    FlowsConfig, Latency, ProbeConfig, ProbesConfig, RequestsConfig, SyscallsConfig, TlsProbeConfig,
    TlsProbeMode,
};
use tls::TlsConfig;

/// Configuration of wake-agent. Every key is optional but `version`; what is shown are the defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AgentConfig {
    /// Version of this file's format.
    pub version: u32,
    /// How this host is named in every row.
    pub node: NodeConfig,
    /// Where the agent keeps its spool and its places in the logs. Without it nothing is sent twice or lost only as
    /// long as the agent runs.
    pub state_dir: PathBuf,
    /// The span of time that a row sums up.
    pub window: WindowConfig,
    /// Where rows go.
    pub export: ExportConfig,
    /// How the aggregator at `export.endpoint` and the agent prove who they are.
    pub tls: TlsConfig,
    /// Batches on disk until they are acknowledged.
    pub spool: SpoolConfig,
    /// What is captured from the kernel.
    pub probes: ProbesConfig,
    /// Which logs are followed.
    pub logs: LogsConfig,
    /// The HTTP endpoint with `/metrics`, `/probes`, `/healthz` and `/readyz`.
    pub admin: AdminConfig,
    /// Workload metrics on `/metrics`.
    pub metrics: MetricsConfig,
    /// What the agent may cost; beyond, it sheds detail.
    pub budget: BudgetConfig,
    /// Let the eBPF programs' own debug lines reach the agent's log. Costs a ring buffer and time per event.
    pub ebpf_log: bool,
}

/// How this host is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// The host's name; the kernel's hostname when empty.
    pub name: String,
    /// The cluster's name; empty outside a cluster.
    pub cluster: String,
    /// The zone's name; empty where there is none.
    pub zone: String,
    /// Where the node's cgroups are mounted, e.g. `/host/sys/fs/cgroup`, or a directory of cgroup2 that is the node's root.
    /// Without it the highest that are mounted here. Below the hierarchy's root (several nodes on one kernel, as in kind)
    /// the agent tells only what runs below it.
    pub cgroup_root: Option<PathBuf>,
    /// Whether this agent also tells what belongs to no node: tasks in the machine's root cgroup, as the kernel's own, and
    /// dropped packets without a socket; connections of the machine's root cgroup, and what of them is dropped, no agent
    /// tells. One agent of a kernel should. Without it: where the node has the kernel for itself.
    pub host_owner: Option<bool>,
}

/// The window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WindowConfig {
    /// Length in seconds, 1 to 60. Shorter windows cost more rows and more map reads.
    #[schemars(range(min = 1, max = 60))]
    pub seconds: u32,
    /// Most rows of one signal in one window. Rows beyond are folded into one `other` row per workload where they can be
    /// added up, and counted.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub max_rows: usize,
}

/// Batches on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SpoolConfig {
    /// Most bytes of batches on disk. From 80 % on log lines wait in their files; at the limit new rows are dropped and
    /// counted as `spool_full`. At least 16 MiB.
    #[schemars(range(min = 16_777_216))]
    pub max_bytes: u64,
}

/// The admin endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Address and port to listen on.
    pub listen: String,
}

/// Workload metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Most workloads with series of their own; the rest is `other`.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_workloads: usize,
    /// Most peers of one workload with series of their own; the rest is `other`.
    #[schemars(range(min = 1, max = 256))]
    pub max_peers: usize,
    /// Seconds after which the series of a workload that has gone disappear.
    #[schemars(range(min = 60))]
    pub idle_seconds: u64,
}

/// What the agent may cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// CPU time in milliseconds per second, of the agent without its log readers and, as estimated, of its programs in
    /// other processes. Without it: 40 per CPU, at least 300. When it is exceeded for 20 s, the agent sheds, one after the
    /// other: latency of syscalls, run-queue delays, flows by peer, of which only what costs a twentieth of it or more;
    /// never identity, counts and bytes. What is shed is told in `/probes`, in `budget_shed` and as losses, and comes back
    /// when there is room.
    #[schemars(range(min = 10, max = 64_000))]
    pub cpu_ms_per_second: Option<u64>,
}

impl Config for AgentConfig {
    const ENV_PREFIX: &'static str = "WAKE_AGENT";

    fn problems(&self) -> Vec<ConfigError> {
        let mut found = self.logs.problems("logs");
        if self.admin.listen.parse::<SocketAddr>().is_err() {
            found.push(ConfigError::new(
                "admin.listen",
                format!("'{}' is not address:port", self.admin.listen),
            ));
        }
        match self.export.kind {
            ExportKind::Otlp => found.extend(self.export.endpoint_problem()),
            ExportKind::Wake | ExportKind::None => found.extend(self.tls.problems(&self.export.endpoint)),
        }
        if !self.state_dir.is_absolute() {
            found.push(ConfigError::new("state_dir", "must be an absolute path"));
        }
        found
    }
}

impl AgentConfig {
    /// What every probe is told.
    pub fn settings(&self) -> Settings {
        let ProbesConfig { flows, syscalls, sched, block, process, cgroups, usage, requests, tls } =
            &self.probes;
        let switches = [
            ("flows", flows.enabled),
            ("syscalls", syscalls.enabled),
            ("sched", sched.enabled),
            ("block", block.enabled),
            ("process", process.enabled),
            ("cgroups", cgroups.enabled),
            ("usage", usage.enabled),
            ("requests", requests.enabled),
            ("tls", tls.mode != TlsProbeMode::Never),
        ];
        Settings {
            window_seconds: self.window.seconds,
            syscall_latency_full: syscalls.latency == Latency::Full,
            disabled: switches
                .iter()
                .filter(|(_, enabled)| !enabled)
                .map(|(name, _)| (*name).to_owned())
                .collect(),
            cgroup_root: self.node.cgroup_root.clone(),
            host_owner: self.node.host_owner,
            attach_cgroup: flows.cgroup.clone(),
            max_connections: flows.max_connections,
            max_requested: requests.max_connections,
            max_spans: requests.max_spans,
            max_decoder_memory: requests.max_memory,
            max_map_entries: None,
            tls: match tls.mode {
                TlsProbeMode::Auto => TlsMode::Auto,
                TlsProbeMode::Always => TlsMode::On,
                TlsProbeMode::Never => TlsMode::Off,
            },
            ebpf_log: self.ebpf_log,
            written: Written::default(),
        }
    }
}
