//! What is captured from the kernel.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
