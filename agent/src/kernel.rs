//! The running kernel: what it can do, where its structs keep their fields, and how objects are loaded.
//!
//! Flow: `KernelFeatures::probe` once at start → `Loader` per probe → `Object` (programs attached one by one, each
//! failure a `missing`) → maps read by `Dump` (hashes, in batches), `Losses` and `HostComms`.
//! The only place of this crate with `unsafe`.

pub mod batch;
pub mod btf;
pub mod clock;
mod elf;
pub mod features;
pub(crate) mod fuzz;
pub mod hosts;
mod info;
pub mod lent;
pub mod load;
pub mod losses;
pub mod memory;
pub mod mounts;
pub mod netlink;
pub mod node;
mod offsets;
pub mod priority;
pub mod table;
pub mod uprobe;
pub mod view;
pub mod wait;

use std::path::PathBuf;
use std::sync::Arc;

use crate::requests::written::Written;

/// What was found out about the kernel once, at start, and is passed along.
#[derive(Debug, Clone, Default)]
pub struct KernelFeatures {
    /// e.g. `6.12.0`
    pub release: String,
    /// The node's root in cgroup2, mostly the hierarchy's, e.g. `/sys/fs/cgroup` or `/sys/fs/cgroup/unified`.
    pub cgroup2: Option<PathBuf>,
    /// Its inode: the id of the cgroup.
    pub root_cgroup_id: u64,
    /// What belongs to the node.
    pub node: node::Node,
    /// Whose paths stand in `/proc`.
    pub view: view::NodeView,
    /// Whether `/sys/kernel/btf/vmlinux` can be read.
    pub has_btf: bool,
    /// Its types; dropped by the composition root once everything is attached (6 MiB).
    pub btf: Option<Arc<btf::Btf>>,
    /// Whether the self-check of offsets could be run.
    pub offsets_checked: bool,
    /// Why the self-check did not trust the offsets from BTF, if so: no probe may then use them.
    pub offset_mismatch: Option<String>,
    /// Number of possible CPUs (per-CPU maps have this many values).
    pub possible_cpus: usize,
    /// Bytes of a page.
    pub page_size: u64,
    /// Effective capabilities, bit by number.
    pub capabilities: u64,
    /// Whether a program may have the kernel call a function of it again and again (`bpf_loop`, 5.17).
    pub makes_loops: bool,
    /// Maps that probes lend to those that are attached after them.
    pub lent: lent::Lent,
}

impl KernelFeatures {
    /// Whether the process has a capability, by its number.
    pub fn capable(&self, number: u32) -> bool {
        self.capabilities >> number & 1 == 1
    }

    /// Major and minor version, (0, 0) where the release is not understood.
    pub fn version(&self) -> (u32, u32) {
        let mut numbers =
            self.release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
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
    /// The node's cgroups, where they are not the highest that are mounted.
    pub cgroup_root: Option<PathBuf>,
    /// Whether what belongs to no node is told by this agent; `None`: where the node has the kernel for itself.
    pub host_owner: Option<bool>,
    /// Attach cgroup programs here instead of at the root (tests).
    pub attach_cgroup: Option<PathBuf>,
    /// Largest number of live connections.
    pub max_connections: u32,
    /// Largest number of connections whose requests are looked at.
    pub max_requested: u32,
    /// Most spans of one workload in a window.
    pub max_spans: u32,
    /// Bytes that the decoders of requests may hold in sum.
    pub max_decoder_memory: u64,
    /// Cap on the entries of every hash map (tests of full maps).
    pub max_map_entries: Option<u32>,
    /// Whether plaintext is read inside TLS libraries.
    pub tls: TlsMode,
    /// Let the programs' own debug lines reach the log.
    pub ebpf_log: bool,
    /// Where writes of threads that serve requests go, for lines of logs to be joined with.
    pub written: Written,
}

/// Whether plaintext is read inside TLS libraries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Not at all.
    Off,
    /// On kernels before 6.11.
    #[default]
    Auto,
    /// On every kernel.
    On,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window_seconds: 10,
            syscall_latency_full: false,
            disabled: Vec::new(),
            cgroup_root: None,
            host_owner: None,
            attach_cgroup: None,
            max_connections: 65_536,
            max_requested: 32_768,
            max_spans: 20_000,
            max_decoder_memory: 64 << 20,
            max_map_entries: None,
            tls: TlsMode::Auto,
            ebpf_log: false,
            written: Written::default(),
        }
    }
}
