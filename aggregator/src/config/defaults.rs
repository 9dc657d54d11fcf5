//! What holds for a key that the file leaves out: the store's own limits wherever it has one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use daemon::config::Config as _;
use store::{Limits, Table};

use super::security::{AdminConfig, AuditConfig, AuthConfig, TlsConfig};
use super::store::DAY_S;
use super::{Api, Config, Ingest, Otlp, Profile, QueryConfig, RetentionDays, StoreConfig};

impl Default for Config {
    fn default() -> Self {
        Self {
            version: Self::VERSION,
            data_dir: PathBuf::from("/var/lib/wake/aggregator"),
            ingest: Ingest::default(),
            otlp: Otlp::default(),
            api: Api::default(),
            tls: TlsConfig::default(),
            auth: AuthConfig::default(),
            admin: AdminConfig::default(),
            audit: AuditConfig::default(),
            store: StoreConfig::default(),
            query: QueryConfig::default(),
            kubernetes: super::Kubernetes::default(),
            export: super::export::Export::default(),
        }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        Self { listen: String::from("127.0.0.1:9400"), in_flight_per_agent: 16, max_agents: 10_000 }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self { listen: String::from("127.0.0.1:9401"), max_followers: 64 }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        let Limits { seal_age_s, disk_drop_percent, disk_refuse_percent, .. } = Limits::default();
        Self {
            profile: Profile::Default,
            seal_age_s,
            wal_soft_mib: 0,
            wal_hard_mib: 0,
            max_disk_mib: 0,
            disk_drop_percent,
            disk_refuse_percent,
            retention_days: RetentionDays::default(),
            retention_mib: BTreeMap::new(),
        }
    }
}

impl Default for RetentionDays {
    fn default() -> Self {
        let limits = Limits::default();
        let days = |table| u32::try_from(limits.retention(table).age_s / DAY_S).unwrap_or(u32::MAX);
        Self {
            log: days(Table::Log),
            flow: days(Table::Flow),
            drop: days(Table::Drop),
            usage: days(Table::Usage),
            syscall: days(Table::Syscall),
            syscall_latency: days(Table::SyscallLatency),
            block: days(Table::Block),
            process: days(Table::Process),
            loss: days(Table::Loss),
            kube_event: days(Table::KubeEvent),
            object_change: days(Table::ObjectChange),
            span: days(Table::Span),
            request: days(Table::Request),
        }
    }
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            timeout_s: 30,
            memory_mib: 0,
            spill_mib: 4096,
            max_rows: 100_000,
            default_log_lines: 100,
            max_log_lines: 5_000,
            running: 0,
        }
    }
}
