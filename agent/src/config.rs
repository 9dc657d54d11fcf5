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
#[cfg(test)]
mod tests;
pub mod tls;

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

/// Where rows go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExportConfig {
    /// To a wake-aggregator, to an OTLP endpoint, or nowhere.
    pub kind: ExportKind,
    /// The aggregator's ingest address: http://host:port on loopback, https://host:port with `tls`; with `otlp` the
    /// base URL of an OTLP/HTTP endpoint, such as `https://collector:4318`, below which `/v1/logs` and `/v1/metrics`
    /// lie.
    pub endpoint: String,
    /// What `kind: otlp` needs beside the endpoint.
    pub otlp: OtlpConfig,
    /// Most batches that are sent and not yet acknowledged; each is at most 1 MiB unpacked.
    #[schemars(range(min = 1, max = 64))]
    pub in_flight: usize,
}

/// What `kind: otlp` needs beside the endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// Headers of each request, such as an API key.
    pub headers: std::collections::BTreeMap<String, String>,
    /// PEM file with the certificates that `https` is checked against; those of the system when empty.
    pub ca_file: PathBuf,
    /// Seconds until a request without an answer is repeated.
    #[schemars(range(min = 1, max = 300))]
    pub timeout_s: u64,
}

/// Where rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportKind {
    /// Over gRPC to `endpoint`, acknowledged batch by batch, through the spool.
    Wake,
    /// As OTLP/HTTP to `endpoint`, through the spool, at least once: log lines and process events as logs, spans as
    /// traces, the sums of each window as metrics of delta temporality under the names of `/metrics`; latency histograms are not sent.
    Otlp,
    /// Nowhere: only `/metrics` is served, nothing is written to disk, logs are not read.
    None,
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

/// What is captured from the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProbesConfig {
    /// TCP and UDP per workload and peer: bytes, retransmits, failures, drops.
    pub flows: FlowsConfig,
    /// Syscall counts, errors and latency per workload.
    pub syscalls: SyscallsConfig,
    /// Run-queue delay and context switches per workload.
    pub sched: ProbeConfig,
    /// Block I/O latency per workload and device.
    pub block: ProbeConfig,
    /// Processes: exec, exit, signals, OOM kills.
    pub process: ProbeConfig,
    /// Birth and death of cgroups, which name everything else; without it the cgroup tree is scanned each second.
    pub cgroups: ProbeConfig,
    /// CPU, memory, I/O and pressure from cgroup files.
    pub usage: ProbeConfig,
    /// Requests over plaintext connections, as spans: HTTP, gRPC, DNS, databases, queues.
    pub requests: RequestsConfig,
    /// Plaintext of TLS connections for the probe `requests`, without which it does nothing.
    pub tls: TlsProbeConfig,
}

/// Plaintext of TLS connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsProbeConfig {
    /// Whether the probe runs. Costs some microseconds at each read and write of a program that uses OpenSSL or Go's
    /// crypto/tls; nothing elsewhere.
    pub mode: TlsProbeMode,
}

/// Whether plaintext is read inside TLS libraries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsProbeMode {
    /// On kernels before 6.11: from then on programs at libraries have met faults of the kernel.
    #[default]
    Auto,
    /// On every kernel.
    Always,
    /// Not at all.
    Never,
}

/// One probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeConfig {
    /// Whether it runs.
    pub enabled: bool,
}

/// Flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FlowsConfig {
    /// Whether the probe runs.
    pub enabled: bool,
    /// Most connections that are told apart at one time; the kernel's memory for them is taken at start.
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub max_connections: u32,
    /// Watch only the sockets below this cgroup2 directory instead of the whole host.
    pub cgroup: Option<PathBuf>,
}

/// Requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RequestsConfig {
    /// Whether the probe runs. Costs time at each read and write of the host, a few microseconds at each end
    /// of a request, and some 15 MiB of kernel memory.
    pub enabled: bool,
    /// Most TCP connections of the host that are known at one time; those beyond are not looked at, and counted.
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub max_connections: u32,
    /// Most spans of one workload in one window; those beyond are counted, errors last.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub max_spans: u32,
    /// Memory that the decoders of all connections may hold, bytes. Beyond it those that hold most are forgotten, and begin
    /// anew at their next request; counted as `decoder_memory`.
    #[schemars(range(min = 1_048_576))]
    pub max_memory: u64,
}

/// Syscalls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SyscallsConfig {
    /// Whether the probe runs.
    pub enabled: bool,
    /// How often a call's latency is taken. Counts and errors are exact either way.
    pub latency: Latency,
}

/// How often a call's latency is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Latency {
    /// One call of 16 on each CPU.
    Sampled,
    /// Every call; costs two to three times as much per call.
    Full,
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

impl AgentConfig {
    fn otlp_endpoint_problem(&self) -> Option<ConfigError> {
        let endpoint = &self.export.endpoint;
        let is_http = endpoint.starts_with("http://") || endpoint.starts_with("https://");
        let message = format!("'{endpoint}' is not of the form http(s)://host:port");
        (endpoint.parse::<tonic::transport::Endpoint>().is_err() || !is_http)
            .then(|| ConfigError::new("export.endpoint", message))
    }
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
            ExportKind::Otlp => found.extend(self.otlp_endpoint_problem()),
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
