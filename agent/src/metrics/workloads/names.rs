//! Every workload metric: its name, unit, kind and help.

/// What is known of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) unit: Option<&'static str>,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

macro_rules! metrics {
    ($($id:ident $name:literal $unit:expr, $kind:ident, $help:literal;)*) => {
        /// Index into `METRICS`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Id { $($id),* }
        pub(super) const METRICS: &[(Id, Metric)] = &[
            $((Id::$id, Metric { name: $name, unit: $unit, kind: Kind::$kind, help: $help })),*
        ];
    };
}

metrics! {
    CpuTime "container_cpu_time" Some("seconds"), Counter, "CPU time of a workload, by mode where the kernel tells it";
    Throttled "container_cpu_throttled_time" Some("seconds"), Counter, "Time that a workload was throttled by its CPU limit";
    CpuLimit "container_cpu_limit" Some("cores"), Gauge, "CPU limit of a workload";
    MemoryUsage "container_memory_usage" Some("bytes"), Gauge, "Memory of a workload, page cache included";
    MemoryWorkingSet "container_memory_working_set" Some("bytes"), Gauge, "Memory of a workload without inactive page cache";
    MemoryLimit "container_memory_limit" Some("bytes"), Gauge, "Memory limit of a workload";
    OomKills "container_memory_oom_kills" None, Counter, "Processes of a workload killed for lack of memory";
    Processes "container_processes" None, Gauge, "Processes and threads of a workload";
    DiskIo "container_disk_io" Some("bytes"), Counter, "Bytes that a workload read from and wrote to block devices";
    Pressure "container_pressure_time" Some("seconds"), Counter, "Time that some or all tasks of a workload stalled on a resource";
    RunQueue "wake_run_queue_delay" Some("seconds"), Counter, "Time that tasks of a workload were ready and waited for a CPU, from histogram middles";
    Switches "wake_context_switches" None, Counter, "Context switches of a workload";
    FlowBytes "wake_flow" Some("bytes"), Counter, "IP bytes at the sockets of a workload";
    FlowPackets "wake_flow_packets" None, Counter, "IP packets at the sockets of a workload";
    Retransmits "wake_flow_retransmits" None, Counter, "TCP segments that a workload sent again";
    Connects "wake_flow_connections" None, Counter, "Connections opened and accepted by a workload";
    Failures "wake_flow_failures" None, Counter, "Connections that a workload could not open";
    Resets "wake_flow_resets" None, Counter, "Connections of a workload that were reset";
    Drops "wake_flow_dropped_packets" None, Counter, "Packets of a workload dropped by the kernel, by the kernel's reason";
    Syscalls "wake_syscalls" None, Counter, "System calls of a workload, by class";
    SyscallErrors "wake_syscall_errors" None, Counter, "System calls of a workload that failed, by class";
    Requests "wake_requests" None, Counter, "Requests that a workload made or served, by kind, protocol and outcome";
    RequestSpans "wake_request_spans" None, Counter, "Requests of a workload that went out as spans too";
    RequestSeconds "wake_request_duration" Some("seconds"), Counter, "Time that the requests of a workload took, added up";
    BlockOperations "wake_block_operations" None, Counter, "Block I/O requests of a workload";
    Exits "wake_process_exits" None, Counter, "Processes of a workload that ended, by outcome";
    LogLines "wake_log_lines" None, Counter, "Log lines of a workload, by level";
}
