//! The running kernel: what it can do, where its structs keep their fields, and how objects are loaded.
//!
//! The only place of this crate with `unsafe`.

/// What was found out about the kernel once, at start, and is passed along.
#[derive(Debug, Clone, Default)]
pub struct KernelFeatures {
    /// e.g. `6.12.0`
    pub release: String,
    /// Mount point of the cgroup2 hierarchy, e.g. `/sys/fs/cgroup` or `/sys/fs/cgroup/unified`.
    pub cgroup2: Option<std::path::PathBuf>,
    /// Inode of that mount's root: the id of the root cgroup.
    pub root_cgroup_id: u64,
    /// Whether `/sys/kernel/btf/vmlinux` can be read.
    pub has_btf: bool,
    /// Number of possible CPUs (per-CPU maps have this many values).
    pub possible_cpus: usize,
}

/// What the config says to every probe.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Seconds of a window.
    pub window_seconds: u32,
    /// Record every syscall's latency, not one of 16.
    pub syscall_latency_full: bool,
    /// Probe names that are switched off.
    pub disabled: Vec<String>,
    /// Attach cgroup programs here instead of at the root (tests).
    pub attach_cgroup: Option<std::path::PathBuf>,
    /// Largest number of live connections.
    pub max_connections: u32,
    /// Let the programs' own debug lines reach the log.
    pub ebpf_log: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window_seconds: 10,
            syscall_latency_full: false,
            disabled: Vec::new(),
            attach_cgroup: None,
            max_connections: 65_536,
            ebpf_log: false,
        }
    }
}
