//! Every metric of the agent: its own (`wake_agent_...`), and what it says about workloads (`workloads`).

pub mod workloads;

use daemon::metrics::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;

use crate::export::ledger::Ledger;

/// A stage of the pipeline.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StageLabels {
    /// kernel | identity | window | spool | export
    pub stage: String,
    /// The table of the rows.
    pub signal: String,
}

/// A probe.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ProbeLabels {
    /// Its name.
    pub probe: String,
}

/// A probe's state.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ProbeStateLabels {
    /// Its name.
    pub probe: String,
    /// running | disabled | unsupported | failed
    pub state: String,
    /// The code of the reason, `''` while it runs.
    pub reason: String,
}

/// How true a window was to its length.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ExtentLabels {
    /// whole | partial | stretched
    pub extent: String,
}

/// What the budget can shed.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PartLabels {
    /// syscall_latency | run_queue | flow_peers
    pub part: String,
}

/// One label that is a signal.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SignalLabels {
    /// The ledger's name of it.
    pub signal: String,
}

/// One label that is an error code.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CodeLabels {
    /// The aggregator's `ErrorCode`.
    pub code: String,
}

/// One label that is a kind of name.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindLabels {
    /// cgroup | tombstone | executable
    pub kind: String,
}

/// Metrics of the driver and the stages before export.
#[derive(Clone, Debug)]
pub struct AgentMetrics {
    /// Rows that entered a stage.
    pub received: Family<StageLabels, Counter>,
    /// 1 for the state that each probe is in.
    pub probe_state: Family<ProbeStateLabels, Gauge>,
    /// Time that a drain took.
    pub drain_seconds: Family<ProbeLabels, Histogram>,
    /// Time from a window's end until its rows were handed over.
    pub window_seconds: Histogram,
    /// Windows closed, by how true they were to their length.
    pub windows: Family<ExtentLabels, Counter>,
    /// 1 for each part that is shed because the agent was over its budget.
    pub budget_shed: Family<PartLabels, Gauge>,
    /// CPU time per second, programs included.
    pub budget_used: Gauge<f64, std::sync::atomic::AtomicU64>,
    /// Panics of a probe that were caught.
    pub probe_panics: Family<ProbeLabels, Counter>,
    /// Names known.
    pub identities: Family<KindLabels, Gauge>,
    /// Open descriptors of the usage reader.
    pub usage_files: Gauge,
    /// Memory of all BPF maps.
    pub bpf_map_bytes: Gauge,
    /// Resident memory of the process.
    pub resident_bytes: Gauge,
    /// What was lost.
    pub ledger: Ledger,
}

fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 16))
}

impl AgentMetrics {
    /// Registers them under the root's prefix.
    pub fn register(root: &Registry) -> Self {
        let total = root.register(
            "lost",
            "Records lost, by signal, by the stage that lost them and by reason; the loss table holds the same counts",
            Family::default(),
        );
        let family =
            || Family::<ProbeLabels, Histogram>::new_with_constructor(durations as fn() -> Histogram);
        Self {
            received: root.register("received_rows", "Rows that a stage took in", Family::default()),
            probe_state: root.register(
                "probe_state",
                "1 for the state that a probe is in, with the code of its reason",
                Family::default(),
            ),
            drain_seconds: root.register_with_unit(
                "probe_drain",
                "Time to read a probe's maps at a window's end",
                Unit::Seconds,
                family(),
            ),
            window_seconds: root.register_with_unit(
                "window_close",
                "Time from a window's end until its rows were handed to the export",
                Unit::Seconds,
                durations(),
            ),
            windows: root.register(
                "windows",
                "Windows closed: whole ones, partial ones (the first, the last), and stretched ones (the agent stood still)",
                Family::default(),
            ),
            budget_shed: root.register(
                "budget_shed",
                "1 for each part that is shed because the agent was over its budget",
                Family::default(),
            ),
            budget_used: root.register_with_unit(
                "budget_used",
                "CPUs that the agent used in the last window, its programs in other processes included as estimated",
                Unit::Other("cpus".into()),
                Gauge::default(),
            ),
            probe_panics: root.register(
                "probe_panics",
                "Panics of a probe; each stops that probe",
                Family::default(),
            ),
            identities: root.register(
                "identities",
                "Names known, alive and kept after their end",
                Family::default(),
            ),
            usage_files: root.register(
                "usage_open_files",
                "Files that the usage reader keeps open",
                Gauge::default(),
            ),
            bpf_map_bytes: root.register_with_unit(
                "bpf_map",
                "Memory of the agent's BPF maps, as the kernel accounts it",
                Unit::Bytes,
                Gauge::default(),
            ),
            resident_bytes: root.register_with_unit(
                "resident_memory",
                "Resident memory of the process",
                Unit::Bytes,
                Gauge::default(),
            ),
            ledger: Ledger::new(total),
        }
    }

    /// Reads what the kernel says of this process: resident memory, and the memory of its BPF maps.
    pub fn measure_process(&self) {
        let resident = std::fs::read_to_string("/proc/self/status").ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().split(' ').next()?.parse::<i64>().ok()
        });
        if let Some(kibibytes) = resident {
            self.resident_bytes.set(kibibytes * 1024);
        }
        self.bpf_map_bytes.set(map_bytes());
    }

    /// Counts rows that a stage took in.
    pub fn count(&self, stage: &str, signal: &str, rows: u64) {
        let labels = StageLabels { stage: stage.to_owned(), signal: signal.to_owned() };
        self.received.get_or_create(&labels).inc_by(rows);
    }
}

/// Metrics of the log reader.
#[derive(Clone, Debug)]
pub struct LogMetrics {
    /// Lines read.
    pub lines: Counter,
    /// Bytes of their bodies.
    pub body_bytes: Counter,
    /// Lines that were cut.
    pub truncated: Counter,
    /// Lines not in their file's format.
    pub malformed: Counter,
    /// Files replaced under their name.
    pub replaced: Counter,
    /// Files rotated away.
    pub rotated: Counter,
    /// Files followed.
    pub open_files: Gauge,
    /// Files beyond the limit.
    pub unfollowed_files: Gauge,
    /// Bytes not yet read.
    pub lag_bytes: Gauge,
}

impl LogMetrics {
    /// Registers them under the root's prefix.
    pub fn register(root: &Registry) -> Self {
        let counter = |name, help| root.register(name, help, Counter::default());
        let gauge = |name, help| root.register(name, help, Gauge::default());
        Self {
            lines: counter("logs_lines", "Log lines read"),
            body_bytes: root.register_with_unit(
                "logs_body",
                "Bytes of log lines read",
                Unit::Bytes,
                Counter::default(),
            ),
            truncated: counter("logs_truncated_lines", "Log lines longer than 1 MiB, cut and marked"),
            malformed: counter(
                "logs_malformed_lines",
                "Lines of container logs that are not in their runtime's format",
            ),
            replaced: counter("logs_replaced_files", "Log files truncated or replaced under their name"),
            rotated: counter("logs_rotated_files", "Log files rotated away and read to their end"),
            open_files: gauge("logs_open_files", "Log files that are followed"),
            unfollowed_files: gauge(
                "logs_unfollowed_files",
                "Log files beyond logs.max_files, which are not read",
            ),
            lag_bytes: root.register_with_unit(
                "logs_lag",
                "Bytes of followed files that are not yet read",
                Unit::Bytes,
                Gauge::default(),
            ),
        }
    }
}

/// The sum of `memlock` over the maps that this process holds.
fn map_bytes() -> i64 {
    let Ok(entries) = std::fs::read_dir("/proc/self/fdinfo") else { return 0 };
    let mut by_id = std::collections::BTreeMap::new();
    for entry in entries.flatten() {
        let is_map = std::fs::read_link(entry.path().to_string_lossy().replace("/fdinfo/", "/fd/"))
            .is_ok_and(|target| target.to_string_lossy() == "anon_inode:bpf-map");
        if !is_map {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().parse::<i64>().ok()
        };
        if let (Some(id), Some(bytes)) = (field("map_id"), field("memlock")) {
            by_id.insert(id, bytes);
        }
    }
    by_id.into_values().sum()
}

/// Metrics of spool and client.
#[derive(Clone, Debug)]
pub struct ExportMetrics {
    /// Batches spooled.
    pub batches: Counter,
    /// Their size before compression.
    pub batch_bytes: Counter,
    /// And after.
    pub compressed_bytes: Counter,
    /// Rows spooled.
    rows: Family<SignalLabels, Counter>,
    /// Time to pack, append and sync a batch.
    pub spool_seconds: Histogram,
    /// Bytes on disk.
    pub spool_bytes: Gauge,
    /// Batches not acknowledged.
    pub spool_batches: Gauge,
    /// 1 while the stream to the aggregator is open.
    pub connected: Gauge,
    /// Batches sent, repeats included.
    pub sent_batches: Counter,
    /// Batches acknowledged.
    pub acked_batches: Counter,
    /// Of these, such as were stored before.
    pub repeated_batches: Counter,
    /// Rows that the aggregator left out.
    pub rejected_rows: Counter,
    /// Refusals.
    refused: Family<CodeLabels, Counter>,
    /// Streams that broke, and attempts that failed.
    pub stream_errors: Counter,
}

impl ExportMetrics {
    /// Registers them under the root's prefix.
    pub fn register(root: &Registry) -> Self {
        let counter = |name, help| root.register(name, help, Counter::default());
        let bytes = |name, help| root.register_with_unit(name, help, Unit::Bytes, Counter::default());
        let gauge = |name, help| root.register(name, help, Gauge::default());
        Self {
            batches: counter("spool_batches_written", "Batches written to the spool"),
            batch_bytes: bytes("spool_unpacked", "Bytes of batches before compression"),
            compressed_bytes: bytes("spool_packed", "Bytes of batches after compression"),
            rows: root.register("spool_rows", "Rows written to the spool, by signal", Family::default()),
            spool_seconds: root.register_with_unit(
                "spool_write",
                "Time to pack a batch, append it and sync it to disk",
                Unit::Seconds,
                durations(),
            ),
            spool_bytes: root.register_with_unit(
                "spool",
                "Bytes of the spool on disk",
                Unit::Bytes,
                Gauge::default(),
            ),
            spool_batches: gauge("spool_batches", "Batches in the spool that are not acknowledged"),
            connected: gauge("export_connected", "1 while the stream to the aggregator is open"),
            sent_batches: counter("export_sent_batches", "Batches sent, repeats included"),
            acked_batches: counter("export_acked_batches", "Batches acknowledged by the aggregator"),
            repeated_batches: counter(
                "export_repeated_batches",
                "Acknowledged batches that were stored before",
            ),
            rejected_rows: counter("export_rejected_rows", "Rows that the aggregator left out of a batch"),
            refused: root.register(
                "export_refused_batches",
                "Batches refused, by error code",
                Family::default(),
            ),
            stream_errors: counter(
                "export_stream_errors",
                "Streams to the aggregator that broke or did not open",
            ),
        }
    }

    /// Rows of one signal.
    pub fn rows(&self, signal: &str) -> Counter {
        self.rows.get_or_create_owned(&SignalLabels { signal: signal.to_owned() })
    }

    /// Refusals with one code.
    pub fn refused(&self, code: &str) -> Counter {
        let known = proto::error::ErrorCode::from_name(code).map_or("other", proto::error::ErrorCode::as_str);
        self.refused.get_or_create_owned(&CodeLabels { code: known.to_owned() })
    }
}
