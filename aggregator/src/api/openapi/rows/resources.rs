//! Rows of the API: what is used, what runs, and what was lost of it.
#![expect(dead_code, reason = "these types only describe what is written row by row")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// What one workload uses.
#[derive(ToSchema)]
pub(crate) struct UsageRate {
    namespace: String,
    workload: String,
    workload_kind: Option<String>,
    /// CPU seconds per second.
    cpu_cores: Option<f64>,
    cpu_limit_cores: Option<f64>,
    /// Share of its CPU periods in which it was held back.
    throttled_ratio: Option<f64>,
    /// Bytes that cannot be reclaimed at once, mean.
    memory_working_set: Option<i64>,
    memory_current: Option<i64>,
    /// Absent when unlimited.
    memory_limit: Option<i64>,
    oom_kills: Option<i64>,
    pids_current: Option<i64>,
    io_read_bytes_per_s: Option<f64>,
    io_write_bytes_per_s: Option<f64>,
    net_sent_bytes_per_s: Option<f64>,
    net_received_bytes_per_s: Option<f64>,
    /// Time from runnable to running, µs, median.
    run_queue_p50_us: Option<f64>,
    run_queue_p99_us: Option<f64>,
    switches_voluntary_per_s: Option<f64>,
    switches_involuntary_per_s: Option<f64>,
    /// Share of the time that some task waited for CPU.
    psi_cpu_some_ratio: Option<f64>,
    psi_memory_some_ratio: Option<f64>,
    psi_memory_full_ratio: Option<f64>,
    psi_io_some_ratio: Option<f64>,
    psi_io_full_ratio: Option<f64>,
}

/// Block I/O.
#[derive(ToSchema)]
pub(crate) struct BlockSum {
    cluster: Option<String>,
    node: Option<String>,
    namespace: String,
    workload: Option<String>,
    workload_kind: Option<String>,
    pod: Option<String>,
    container: Option<String>,
    /// The device's name, else major:minor.
    device: Option<String>,
    /// `read`, `write`, `discard` or `flush`.
    operation: Option<String>,
    operations: i64,
    bytes: i64,
    /// Median latency, µs.
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

/// Calls of one syscall by one workload.
#[derive(ToSchema)]
pub(crate) struct SyscallSum {
    namespace: String,
    workload: Option<String>,
    workload_kind: Option<String>,
    syscall: String,
    /// Its class; latency is measured per class.
    class: Option<String>,
    /// `native` or `compat`.
    abi: Option<String>,
    /// Exact.
    count: i64,
    /// Exact; restarts, EAGAIN and EINTR are none.
    errors: i64,
    /// Errors by name.
    errnos: BTreeMap<String, i64>,
    /// Median latency of the class, µs.
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

row! {
    /// A process event.
    Event {
        ts: String,
        /// `exec`, `exit`, `oom_kill`, `signal` or `fork`.
        event: String,
        pid: i64,
        parent_pid: i64,
        started_ts: Option<String>,
        executable: Option<String>,
        /// Bounded and redacted.
        arguments: Vec<String>,
        exit_code: Option<i32>,
        exit_signal: Option<i32>,
        lifetime_ns: Option<i64>,
        cpu_ns: Option<i64>,
        memory_peak: Option<i64>,
        sender_pid: Option<i64>,
        sender_executable: Option<String>,
        /// 1, or how many were folded into this row beyond the event budget.
        count: i64,
    }
}

/// A workload.
#[derive(ToSchema)]
pub(crate) struct Workload {
    cluster: Option<String>,
    namespace: String,
    workload: String,
    workload_kind: Option<String>,
    first_ts: String,
    last_ts: String,
    /// The tables with rows about it.
    signals: Vec<String>,
    nodes: Vec<String>,
}

/// What was lost.
#[derive(ToSchema)]
pub(crate) struct LossSum {
    node: Option<String>,
    /// `flow`, `log`, `usage`, `syscall`, `process`, `block` or `identity`.
    signal: String,
    /// `kernel`, `decode`, `window`, `spool`, `export` or `ingest`.
    stage: String,
    reason: String,
    count: i64,
    /// The first window with such a loss.
    first_ts: String,
    /// The last.
    last_ts: String,
}
