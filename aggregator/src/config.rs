//! `aggregator.yaml`: what the aggregator listens on, keeps and spends.
//!
//! Each field's doc is its reference: meaning, unit, consequence. Checked as a whole before anything starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use daemon::config::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Limits, Retention, Table};

pub use self::kubernetes::{Enabled, Kubernetes};
pub use self::otlp::Otlp;

mod defaults;
pub mod export;
mod kubernetes;
pub mod otlp;
pub mod security;
#[cfg(test)]
mod tests;

use security::{AdminConfig, AuditConfig, AuthConfig, AuthMode, TlsConfig};

use crate::audit::Place;

const DAY_S: u64 = 86_400;
const MIB: u64 = 1 << 20;

/// Configuration of wake-aggregator. Every key may be left out; an unknown one is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Version of this file's format.
    pub version: u32,
    /// Where the store keeps its files: write-ahead log, segments, spill files of queries. Made when missing.
    pub data_dir: PathBuf,
    /// What agents send.
    pub ingest: Ingest,
    /// What applications send over OTLP.
    pub otlp: Otlp,
    /// What people and tools ask.
    pub api: Api,
    /// Certificates of both, and of the agents.
    pub tls: TlsConfig,
    /// Who may ask.
    pub auth: AuthConfig,
    /// Metrics and health apart from the API.
    pub admin: AdminConfig,
    /// The record of who asked what.
    pub audit: AuditConfig,
    /// What is kept, and at what cost in memory and disk.
    pub store: StoreConfig,
    /// What a query may use.
    pub query: QueryConfig,
    /// What is watched of Kubernetes, for names of pods and peers.
    pub kubernetes: Kubernetes,
    /// What is sent on to others.
    pub export: export::Export,
}

/// What agents send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ingest {
    /// Address of the gRPC endpoint for agents, host:port.
    pub listen: String,
    /// Batches of one agent that are worked on at the same time; further ones wait in the connection.
    #[schemars(range(min = 1, max = 256))]
    pub in_flight_per_agent: u32,
    /// Agents that may be connected at the same time; further ones are refused as `busy`.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_agents: u32,
}

/// What people and tools ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Address of the HTTP endpoint, host:port: REST, SQL, /metrics, /healthz, /readyz. Who may ask is `auth`'s.
    pub listen: String,
    /// Requests that may follow the log at the same time; further ones are refused as `busy`.
    #[schemars(range(min = 0, max = 10_000))]
    pub max_followers: u32,
}

/// What is kept, and at what cost in memory and disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Memory that the whole process is built to stay under: `default` is 2 GiB, `small` 512 MiB.
    pub profile: Profile,
    /// Seconds after which rows that only the write-ahead log and memory hold are sealed into a segment.
    #[schemars(range(min = 1, max = 86_400))]
    pub seal_age_s: u64,
    /// MiB of write-ahead log above which tables are sealed early; the profile's own when 0.
    pub wal_soft_mib: u64,
    /// MiB of write-ahead log above which batches are refused (`wal_full`; agents spool); the profile's own when 0.
    pub wal_hard_mib: u64,
    /// MiB that all files may take together, 0 for no limit. Above 85 % of it the oldest segments go.
    pub max_disk_mib: u64,
    /// Percent of the file system in use from which the oldest segments go, all but the last GiB.
    #[schemars(range(min = 1, max = 100))]
    pub disk_drop_percent: u8,
    /// Percent of the file system in use from which batches are refused (`disk_full`; agents spool), and the last GiB of
    /// segments goes too, the oldest first.
    #[schemars(range(min = 1, max = 100))]
    pub disk_refuse_percent: u8,
    /// Days that each table's rows are kept.
    pub retention_days: RetentionDays,
    /// MiB that a table may take; its oldest segments go above it. By table name; a table not named has no limit.
    pub retention_mib: std::collections::BTreeMap<String, u64>,
}

/// How much memory the process is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// 2 GiB: head 384 MiB, queries 640 MiB, seals of 128 MiB.
    Default,
    /// 512 MiB: head 128 MiB, queries 128 MiB, seals of 32 MiB; segments are about a tenth larger.
    Small,
}

/// Days that each table's rows are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionDays {
    /// Log lines.
    pub log: u32,
    /// Flows between workloads and peers.
    pub flow: u32,
    /// Packets that the kernel dropped.
    pub drop: u32,
    /// CPU, memory, I/O and pressure.
    pub usage: u32,
    /// Syscall counts and errors.
    pub syscall: u32,
    /// Syscall latency.
    pub syscall_latency: u32,
    /// Block I/O.
    pub block: u32,
    /// Process events.
    pub process: u32,
    /// The loss ledger.
    pub loss: u32,
    /// Events of Kubernetes.
    pub kube_event: u32,
    /// Changes of objects of Kubernetes.
    pub object_change: u32,
    /// Spans.
    pub span: u32,
    /// Counts of requests.
    pub request: u32,
}

/// What a query may use. What is reached ends the query with a typed error or a stated partial answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueryConfig {
    /// Seconds a query may take, waiting included; then it ends with `timeout`.
    #[schemars(range(min = 1, max = 300))]
    pub timeout_s: u32,
    /// MiB that an SQL query's operators may hold before they spill to disk, and past that it ends with `memory`; the
    /// profile's own when 0. What its expressions make may take half as much beside it. Reading logs is bounded apart from
    /// it, to pieces of 32 MiB.
    pub memory_mib: u64,
    /// MiB of spill files of all queries together.
    pub spill_mib: u64,
    /// Rows of one answer; a longer one is cut and says so (`row_limit`).
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_rows: u32,
    /// Log lines of one answer unless the request asks for another number.
    #[schemars(range(min = 1, max = 100_000))]
    pub default_log_lines: u32,
    /// The most log lines that a request may ask for.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_log_lines: u32,
    /// Queries that run at the same time; as many as there are cores when 0. Four times as many may wait.
    #[schemars(range(min = 0, max = 1_024))]
    pub running: u32,
}

impl daemon::config::Config for Config {
    const ENV_PREFIX: &'static str = "WAKE_AGGREGATOR";

    fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        for (path, text) in [("ingest.listen", &self.ingest.listen), ("api.listen", &self.api.listen)] {
            if let Err(error) = text.parse::<SocketAddr>() {
                problems.push(ConfigError::new(path, format!("{text:?} is no address and port: {error}")));
            }
        }
        let listens = (self.ingest.listen.as_str(), self.api.listen.as_str());
        problems.extend(security::problems(listens, &self.tls, &self.auth, &self.admin));
        problems.extend(self.otlp.problems(self.tls.mode));
        if self.data_dir.as_os_str().is_empty() {
            problems.push(ConfigError::new("data_dir", "is empty"));
        }
        problems.extend(self.kubernetes.problems());
        problems.extend(self.export.problems());
        let StoreConfig { disk_drop_percent, disk_refuse_percent, retention_mib, .. } = &self.store;
        if disk_drop_percent > disk_refuse_percent {
            problems.push(ConfigError::new("store.disk_drop_percent", "is above store.disk_refuse_percent"));
        }
        let limits = self.limits();
        if limits.wal_soft_bytes > limits.wal_hard_bytes {
            problems.push(ConfigError::new("store.wal_soft_mib", "is above store.wal_hard_mib"));
        }
        for name in retention_mib.keys().filter(|name| Table::from_name(name).is_none()) {
            problems.push(ConfigError::new(format!("store.retention_mib.{name}"), "there is no such table"));
        }
        if self.query.default_log_lines > self.query.max_log_lines {
            problems.push(ConfigError::new("query.default_log_lines", "is above query.max_log_lines"));
        }
        problems
    }
}

impl RetentionDays {
    fn of(&self, table: Table) -> u32 {
        match table {
            Table::Log => self.log,
            Table::Flow => self.flow,
            Table::Drop => self.drop,
            Table::Usage => self.usage,
            Table::Syscall => self.syscall,
            Table::SyscallLatency => self.syscall_latency,
            Table::Block => self.block,
            Table::Process => self.process,
            Table::Loss => self.loss,
            Table::KubeEvent => self.kube_event,
            Table::ObjectChange => self.object_change,
            Table::Span => self.span,
            Table::Request => self.request,
        }
    }
}

impl Config {
    /// The store's bounds: the profile's, and what this file says otherwise.
    pub fn limits(&self) -> Limits {
        let store = &self.store;
        let mut limits = match store.profile {
            Profile::Default => Limits::default(),
            Profile::Small => Limits::small(),
        };
        limits.seal_age_s = store.seal_age_s;
        limits.disk_drop_percent = store.disk_drop_percent;
        limits.disk_refuse_percent = store.disk_refuse_percent;
        if store.wal_soft_mib > 0 {
            limits.wal_soft_bytes = store.wal_soft_mib.saturating_mul(MIB);
        }
        if store.wal_hard_mib > 0 {
            limits.wal_hard_bytes = store.wal_hard_mib.saturating_mul(MIB);
        }
        // Only whole files go, so several must fit below the limit.
        limits.wal_file_bytes = limits.wal_file_bytes.min(limits.wal_soft_bytes / 4);
        if store.max_disk_mib > 0 {
            limits.max_disk_bytes = store.max_disk_mib.saturating_mul(MIB);
        }
        for (table, kept) in Table::ALL.into_iter().zip(&mut limits.retention) {
            let max_bytes =
                store.retention_mib.get(table.name()).map_or(u64::MAX, |mib| mib.saturating_mul(MIB));
            *kept = Retention { age_s: u64::from(store.retention_days.of(table)) * DAY_S, max_bytes };
        }
        limits
    }

    /// Memory that one query may hold, bytes: its share of the profile's query pool unless the file says otherwise.
    pub fn query_memory_bytes(&self, running: usize) -> usize {
        let (pool, most) = match self.store.profile {
            Profile::Default => (640 * MIB, 256 * MIB),
            Profile::Small => (128 * MIB, 64 * MIB),
        };
        let share = (pool / (running.max(1) as u64)).min(most);
        let bytes = if self.query.memory_mib > 0 { self.query.memory_mib.saturating_mul(MIB) } else { share };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Received batches that may be in memory until they are stored, KiB; further ones wait in their connections.
    pub fn ingest_kib(&self) -> usize {
        match self.store.profile {
            Profile::Default => 64 << 10,
            Profile::Small => 32 << 10,
        }
    }

    /// Where the audit log is written, if it is.
    pub(crate) fn audit_place(&self) -> Option<Place> {
        let AuditConfig { enabled, file, max_mib, keep } = &self.audit;
        let is_on = enabled.unwrap_or(self.auth.mode != AuthMode::None);
        let path = if file.as_os_str().is_empty() { self.data_dir.join("audit.log") } else { file.clone() };
        is_on.then(|| Place { path, max_bytes: max_mib.saturating_mul(MIB), keep: *keep })
    }

    /// OTLP requests that may be in memory until they are stored, KiB; further ones wait, then are refused (`busy`).
    pub fn otlp_kib(&self) -> usize {
        let most = (self.otlp.max_request_mib as usize) << 10;
        self.ingest_kib().max(most)
    }

    /// Queries that run at the same time.
    pub fn queries_running(&self) -> usize {
        match self.query.running {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            running => running as usize,
        }
    }
}
