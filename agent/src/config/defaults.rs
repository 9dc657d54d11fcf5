//! What holds for keys that the file does not have; each is explained at its key.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::tls::TlsConfig;
use super::{
    AdminConfig, AgentConfig, BudgetConfig, ExportConfig, ExportKind, FlowsConfig, Latency, MetricsConfig,
    NodeConfig, OtlpConfig, ProbeConfig, ProbesConfig, RequestsConfig, SpoolConfig, SyscallsConfig,
    WindowConfig,
};
use crate::logs::config::LogsConfig;

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            version: 1,
            node: NodeConfig::default(),
            state_dir: PathBuf::from("/var/lib/wake/agent"),
            window: WindowConfig::default(),
            export: ExportConfig::default(),
            tls: TlsConfig::default(),
            spool: SpoolConfig::default(),
            probes: ProbesConfig::default(),
            logs: LogsConfig::default(),
            admin: AdminConfig::default(),
            metrics: MetricsConfig::default(),
            budget: BudgetConfig::default(),
            ebpf_log: false,
        }
    }
}

impl Default for WindowConfig {
    fn default() -> Self {
        Self { seconds: 10, max_rows: 50_000 }
    }
}

impl Default for ExportConfig {
    fn default() -> Self {
        Self {
            kind: ExportKind::Wake,
            endpoint: String::from("http://127.0.0.1:9400"),
            otlp: OtlpConfig::default(),
            in_flight: 8,
        }
    }
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self { headers: BTreeMap::new(), ca_file: PathBuf::new(), timeout_s: 10 }
    }
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self { max_bytes: 1 << 30 }
    }
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Default for FlowsConfig {
    fn default() -> Self {
        Self { enabled: true, max_connections: 65_536, cgroup: None }
    }
}

impl Default for RequestsConfig {
    fn default() -> Self {
        Self { enabled: true, max_connections: 32_768, max_spans: 20_000, max_memory: 64 << 20 }
    }
}

impl Default for SyscallsConfig {
    fn default() -> Self {
        Self { enabled: true, latency: Latency::Sampled }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: String::from("127.0.0.1:9402") }
    }
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { max_workloads: 1000, max_peers: 256, idle_seconds: 900 }
    }
}
