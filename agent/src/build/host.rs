//! What the host gives: its name, its cgroup hierarchies, its usage files.

use std::path::Path;
use std::time::Duration;

use super::descriptors::Shares;
use crate::config::{AgentConfig, MetricsConfig, NodeConfig};
use crate::driver::budget::Budget;
use crate::driver::states::States;
use crate::driver::tree::Tree;
use crate::files::{Roots, Usage};
use crate::identity::NodeName;
use crate::kernel::features::{CAP_SYS_PTRACE, effective_capabilities};
use crate::kernel::mounts::Mounts;

/// Most file descriptors that the usage reader keeps open, where the process may hold so many.
pub(super) const USAGE_FILES: usize = 1_024;

pub(super) struct MetricsLimits {
    pub(super) max_workloads: usize,
    pub(super) max_peers: usize,
    pub(super) idle: Duration,
}

pub(super) fn limits(config: &AgentConfig) -> MetricsLimits {
    let MetricsConfig { max_workloads, max_peers, idle_seconds } = config.metrics;
    MetricsLimits { max_workloads, max_peers, idle: Duration::from_secs(idle_seconds) }
}

pub(super) fn node_name(config: &AgentConfig, proc: &Path) -> NodeName {
    let line = |path: &str| {
        let text = std::fs::read_to_string(proc.join(path)).unwrap_or_default();
        text.trim().to_owned()
    };
    let NodeConfig { name, cluster, zone, .. } = config.node.clone();
    let node = if name.is_empty() { line("sys/kernel/hostname") } else { name };
    NodeName { cluster, node, zone, boot_id: line("sys/kernel/random/boot_id") }
}

pub(super) fn budget(config: &AgentConfig) -> Budget {
    let of_host = || Budget::of_host(aya::util::online_cpus().map_or(1, |cpus| cpus.len()));
    Budget::new(config.budget.cpu_ms_per_second.map_or_else(of_host, Duration::from_millis))
}

pub(super) fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata))
}

pub(super) fn tree(mounts: &Mounts) -> Option<Tree> {
    let root =
        mounts.cgroup2.clone().or_else(|| mounts.v1.get("memory").or(mounts.v1.get("cpuacct")).cloned());
    root.map(Tree::new)
}

pub(super) fn usage(
    config: &AgentConfig,
    mounts: &Mounts,
    proc: &Path,
    files: Shares,
    states: &States,
) -> Option<Usage> {
    if !config.probes.usage.enabled {
        states.disabled("usage", "switched off in the config");
        return None;
    }
    if mounts.cgroup2.is_none() && mounts.v1.is_empty() {
        states.unsupported("usage", "no_cgroup", "no cgroup hierarchy is mounted");
    } else {
        let mut missing = missing(mounts);
        if effective_capabilities() >> CAP_SYS_PTRACE & 1 == 0 {
            missing.push(String::from("io of processes in the root cgroup: missing CAP_SYS_PTRACE"));
        }
        if files.usage < USAGE_FILES {
            let Shares { usage, limit, .. } = files;
            missing.push(format!("descriptors: {usage} files stay open, the limit of the process is {limit}; others are opened anew each window"));
        }
        states.running("usage", missing);
    }
    let roots = Roots {
        mounts: mounts.clone(),
        proc: proc.to_path_buf(),
        max_open: files.usage,
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
