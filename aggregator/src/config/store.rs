//! What is kept, and at what cost in memory and disk.

use daemon::config::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Limits, Retention, Table};

use super::MIB;

/// One day, seconds.
pub(super) const DAY_S: u64 = 86_400;

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
    /// MiB that all files may take together, 0 for no limit. Above 85 % of it the oldest segments go. The write-ahead log
    /// has at most a quarter of it, unless `wal_hard_mib` says otherwise.
    pub max_disk_mib: u64,
    /// Percent of the file system in use from which the oldest segments go, all but the last GiB.
    #[schemars(range(min = 1, max = 100))]
    pub disk_drop_percent: u8,
    /// Percent of the file system in use from which batches are refused (`disk_full`; agents spool), and the last GiB of
    /// segments goes too, the oldest first.
    #[schemars(range(min = 1, max = 100))]
    pub disk_refuse_percent: u8,
    /// Days that each table's rows are kept. A clock that jumps ahead by more than two hours makes rows older only after it
    /// went on for an hour: one that is put right before costs none.
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

impl StoreConfig {
    /// Every mistake.
    pub(super) fn problems(&self) -> Vec<ConfigError> {
        let mut found = Vec::new();
        let StoreConfig { disk_drop_percent, disk_refuse_percent, retention_mib, .. } = self;
        if disk_drop_percent > disk_refuse_percent {
            found.push(ConfigError::new("store.disk_drop_percent", "is above store.disk_refuse_percent"));
        }
        let limits = self.limits();
        if limits.wal_soft_bytes > limits.wal_hard_bytes {
            found.push(ConfigError::new("store.wal_soft_mib", "is above store.wal_hard_mib"));
        }
        if limits.wal_hard_bytes > limits.max_disk_bytes / 2 {
            found.push(ConfigError::new("store.wal_hard_mib", "is above half of store.max_disk_mib"));
        }
        for name in retention_mib.keys().filter(|name| Table::from_name(name).is_none()) {
            found.push(ConfigError::new(format!("store.retention_mib.{name}"), "there is no such table"));
        }
        found
    }

    /// The store's bounds: the profile's, and what the file says otherwise.
    pub(super) fn limits(&self) -> Limits {
        let mut limits = match self.profile {
            Profile::Default => Limits::default(),
            Profile::Small => Limits::small(),
        };
        limits.seal_age_s = self.seal_age_s;
        limits.disk_drop_percent = self.disk_drop_percent;
        limits.disk_refuse_percent = self.disk_refuse_percent;
        if self.max_disk_mib > 0 {
            limits.max_disk_bytes = self.max_disk_mib.saturating_mul(MIB);
            // the log is no reason to drop segments
            limits.wal_soft_bytes = limits.wal_soft_bytes.min(limits.max_disk_bytes / 8);
            limits.wal_hard_bytes = limits.wal_hard_bytes.min(limits.max_disk_bytes / 4);
        }
        if self.wal_soft_mib > 0 {
            limits.wal_soft_bytes = self.wal_soft_mib.saturating_mul(MIB);
        }
        if self.wal_hard_mib > 0 {
            limits.wal_hard_bytes = self.wal_hard_mib.saturating_mul(MIB);
        }
        // Only whole files go, so several must fit below the limit.
        limits.wal_file_bytes = limits.wal_file_bytes.min(limits.wal_soft_bytes / 4);
        for (table, kept) in Table::ALL.into_iter().zip(&mut limits.retention) {
            let max_bytes =
                self.retention_mib.get(table.name()).map_or(u64::MAX, |mib| mib.saturating_mul(MIB));
            *kept = Retention { age_s: u64::from(self.retention_days.of(table)) * DAY_S, max_bytes };
        }
        limits
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
