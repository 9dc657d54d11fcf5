//! Rows as the API's description has them; tests hold real answers against it.
#![expect(dead_code, reason = "these types only describe what is written row by row")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::api::answer::ReasonBody;

/// Rows, and whether they are all.
#[derive(ToSchema)]
pub(crate) struct Rows<T> {
    rows: Vec<T>,
    /// Whether this is the whole answer.
    complete: bool,
    /// Why it is not.
    reasons: Vec<ReasonBody>,
}

/// A log line.
#[derive(ToSchema)]
pub(crate) struct LogLine {
    /// The line's own time, else when it was read.
    ts: String,
    cluster: Option<String>,
    node: Option<String>,
    zone: Option<String>,
    namespace: String,
    /// Systemd unit, container, cgroup path, `host/<executable>` or `file/<path>`.
    workload: Option<String>,
    /// `systemd_unit`, `container`, `cgroup`, `host_process` or `file`.
    workload_kind: Option<String>,
    pod: Option<String>,
    pod_uid: Option<String>,
    container: Option<String>,
    cgroup_id: Option<i64>,
    boot_id: Option<String>,
    /// When the agent read it.
    observed_ts: String,
    /// `trace`, `debug`, `info`, `warn`, `error` or `fatal`, where one was recognised.
    level: Option<String>,
    /// The line; what is not UTF-8 as U+FFFD.
    body: String,
    /// The line's bytes in base64, when it is not UTF-8.
    body_raw: Option<String>,
    /// The file, or `journald:<unit>`.
    source: Option<String>,
    /// `stdout` or `stderr`.
    stream: Option<String>,
    /// Whether the line was longer than 1 MiB and was cut.
    truncated: bool,
    trace_id: Option<String>,
    span_id: Option<String>,
    attributes: BTreeMap<String, String>,
}

/// Lines of one bucket.
#[derive(ToSchema)]
pub(crate) struct LogCount {
    /// Where the bucket starts; absent when there is only one.
    ts: Option<String>,
    /// With `by=level`: the level, '' where none was recognised.
    level: Option<String>,
    /// With `by=workload`: the workload.
    workload: Option<String>,
    /// With `by=namespace`: the namespace.
    namespace: Option<String>,
    count: u64,
}

/// A kind of line that a workload writes.
#[derive(ToSchema)]
pub(crate) struct LogPattern {
    /// The same wherever the pattern occurs, 16 hex digits.
    id: String,
    namespace: String,
    workload: String,
    /// Lines in the range.
    lines: u64,
    /// With `show`: lines in the range before.
    lines_before: Option<u64>,
    first_ts: String,
    last_ts: String,
    /// The first line of this pattern and workload that the store remembers, kept or not.
    known_since: String,
    /// The line, `<*>` for each part that varies.
    pattern: String,
    /// One such line, cut at 1,000 bytes.
    example: String,
}

/// What one workload said to one peer.
#[derive(ToSchema)]
pub(crate) struct FlowEdge {
    cluster: Option<String>,
    node: Option<String>,
    zone: Option<String>,
    namespace: String,
    workload: Option<String>,
    workload_kind: Option<String>,
    pod: Option<String>,
    container: Option<String>,
    /// `client`, `server` or `unknown`.
    role: Option<String>,
    /// `tcp` or `udp`.
    protocol: Option<String>,
    peer_address: Option<String>,
    /// `pod`, `service`, `node`, `kube_apiserver`, `external`, `loopback` or `unknown`.
    peer_kind: Option<String>,
    peer_namespace: Option<String>,
    peer_workload: Option<String>,
    peer_workload_kind: Option<String>,
    peer_pod: Option<String>,
    peer_node: Option<String>,
    peer_zone: Option<String>,
    /// The service that was asked, or that stands before the peer.
    peer_service: Option<String>,
    /// What the client asked for, where `peer_address` is the backend behind it.
    asked_address: Option<String>,
    asked_port: Option<i32>,
    /// Who found the backend: `conntrack`, `conntrack_share` (shared as connections were), `endpoint` (the only one);
    /// `conntrack_none` where conntrack knew none.
    nat_source: Option<String>,
    server_port: i32,
    /// IP bytes at the socket.
    bytes_sent: i64,
    bytes_received: i64,
    packets_sent: i64,
    packets_received: i64,
    /// Connections that this side opened.
    connects: i64,
    /// Connections that the peer opened.
    accepts: i64,
    /// Connects that did not become established.
    failures: i64,
    resets: i64,
    retransmits: i64,
    closes: i64,
    /// Mean of the smoothed round trip times, µs.
    srtt_us: Option<i64>,
    /// Median round trip time, µs.
    rtt_p50_us: Option<f64>,
    rtt_p99_us: Option<f64>,
    /// The histogram behind both: `proto::histogram`'s 106 counts. Null in no answer, absent where nothing was measured.
    rtt: Option<Vec<i64>>,
    /// With `raw=true`: the window's start, and the columns of the table `flow` as `DESCRIBE flow` lists them.
    ts: Option<String>,
}

/// Packets that the kernel dropped.
#[derive(ToSchema)]
pub(crate) struct DropSum {
    cluster: Option<String>,
    node: Option<String>,
    namespace: String,
    workload: Option<String>,
    workload_kind: Option<String>,
    pod: Option<String>,
    container: Option<String>,
    /// The running kernel's own name for it, such as NETFILTER_DROP.
    reason: Option<String>,
    protocol: Option<String>,
    packets: i64,
    bytes: i64,
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

/// A process event.
#[derive(ToSchema)]
pub(crate) struct Event {
    ts: String,
    cluster: Option<String>,
    node: Option<String>,
    zone: Option<String>,
    namespace: String,
    workload: Option<String>,
    workload_kind: Option<String>,
    pod: Option<String>,
    pod_uid: Option<String>,
    container: Option<String>,
    cgroup_id: Option<i64>,
    boot_id: Option<String>,
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

/// An Event of Kubernetes.
#[derive(ToSchema)]
pub(crate) struct KubeEvent {
    /// When it was seen last.
    ts: String,
    cluster: Option<String>,
    node: Option<String>,
    zone: Option<String>,
    /// Of the object that it regards.
    namespace: String,
    workload: Option<String>,
    workload_kind: Option<String>,
    pod: Option<String>,
    pod_uid: Option<String>,
    container: Option<String>,
    cgroup_id: Option<i64>,
    boot_id: Option<String>,
    /// `Normal` or `Warning`.
    r#type: Option<String>,
    reason: Option<String>,
    /// For people.
    note: Option<String>,
    regarding_kind: Option<String>,
    regarding_name: Option<String>,
    regarding_uid: Option<String>,
    /// Who reports it.
    controller: Option<String>,
    action: Option<String>,
    /// How often it was seen so far.
    count: i64,
    first_ts: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
}

/// What became of an object of Kubernetes.
#[derive(ToSchema)]
pub(crate) struct ObjectChange {
    /// When it was heard; of a creation, when the object was made.
    ts: String,
    cluster: Option<String>,
    node: Option<String>,
    zone: Option<String>,
    namespace: String,
    workload: Option<String>,
    workload_kind: Option<String>,
    pod: Option<String>,
    pod_uid: Option<String>,
    container: Option<String>,
    cgroup_id: Option<i64>,
    boot_id: Option<String>,
    /// `created`, `updated` or `deleted`.
    change: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    /// 0 where the kind has none.
    generation: i64,
    resource_version: Option<String>,
    /// JSON: `{"field": [before, after]}`.
    diff: Option<String>,
    /// `watched`: as it happened; `listed`: found after a time without a watch.
    seen: Option<String>,
}

/// A trace in one row.
#[derive(ToSchema)]
pub(crate) struct Trace {
    /// 32 hex digits.
    trace_id: String,
    /// When its first span started.
    ts: String,
    /// From there to the end of its last span.
    duration_ns: i64,
    root_service: Option<String>,
    root_name: Option<String>,
    spans: i64,
    /// Spans whose status is `error`.
    errors: i64,
    services: Vec<String>,
}

/// A span.
#[derive(ToSchema)]
pub(crate) struct Span {
    /// When it started.
    ts: String,
    cluster: Option<String>,
    node: Option<String>,
    zone: Option<String>,
    namespace: String,
    workload: Option<String>,
    /// `service` where only the name of the service was said.
    workload_kind: Option<String>,
    pod: Option<String>,
    pod_uid: Option<String>,
    container: Option<String>,
    duration_ns: i64,
    trace_id: String,
    span_id: String,
    /// Absent of a root.
    parent_span_id: Option<String>,
    trace_state: Option<String>,
    /// `service.name`, else the workload.
    service: Option<String>,
    name: Option<String>,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    kind: Option<String>,
    /// `ok` or `error`; absent where it was not said.
    status: Option<String>,
    status_message: Option<String>,
    scope_name: Option<String>,
    scope_version: Option<String>,
    /// `otlp`.
    source: Option<String>,
    attributes: BTreeMap<String, String>,
    /// A JSON array of `{"ts", "name", "attributes"}`.
    events: Option<String>,
    /// A JSON array of `{"trace_id", "span_id", "trace_state", "attributes"}`.
    links: Option<String>,
}

/// One trace.
#[derive(ToSchema)]
pub(crate) struct TraceSpans {
    /// Oldest first.
    rows: Vec<Span>,
    /// Log lines that carry the trace's id, oldest first.
    logs: Vec<LogLine>,
    /// Whether nothing is missing.
    complete: bool,
    /// What is missing, and why.
    reasons: Vec<ReasonBody>,
}
