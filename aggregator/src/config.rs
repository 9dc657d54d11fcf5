//! `aggregator.yaml`: what the aggregator listens on, keeps and spends.
//!
//! Each field's doc is its reference: meaning, unit, consequence. Checked as a whole before anything starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use ::store::Limits;
use daemon::config::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::kubernetes::{Enabled, Kubernetes};
pub use self::otlp::Otlp;
pub use self::query::QueryConfig;
pub use self::store::{Profile, RetentionDays, StoreConfig};

mod defaults;
pub mod export;
mod kubernetes;
pub mod otlp;
mod query;
pub mod security;
mod store;
#[cfg(test)]
mod tests;

use security::{AdminConfig, AuditConfig, AuthConfig, AuthMode, TlsConfig};

use crate::audit::Place;

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
        problems.extend(self.store.problems());
        if self.query.default_log_lines > self.query.max_log_lines {
            problems.push(ConfigError::new("query.default_log_lines", "is above query.max_log_lines"));
        }
        problems
    }
}

impl Config {
    /// The store's bounds: the profile's, and what this file says otherwise.
    pub fn limits(&self) -> Limits {
        self.store.limits()
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
