//! Every metric of the agent: its own (`wake_agent_...`), and what it says about workloads (`workloads`).

pub mod export;
pub mod labels;
pub mod logs;
mod process;
pub mod workloads;

use daemon::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;

use crate::export::ledger::Ledger;
use labels::{ExtentLabels, KindLabels, PartLabels, ProbeLabels, ProbeStateLabels, StageLabels};

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
    /// CPU time per second, programs included, log readers not.
    pub budget_used: Gauge<f64, std::sync::atomic::AtomicU64>,
    /// Panics of a probe that were caught.
    pub probe_panics: Family<ProbeLabels, Counter>,
    /// Names known.
    pub identities: Family<KindLabels, Gauge>,
    /// What the aggregator told and was not believed.
    pub names_refused: Gauge,
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
            "Records lost, by signal, by the stage that lost them and by reason; the loss table holds the same counts, and what the store left out",
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
                "CPUs that the agent used in the last window without its log readers, its programs in other processes included as estimated",
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
            names_refused: root.register(
                "refused_names",
                "Pods that the aggregator told of and that broke a bound, since the start",
                Gauge::default(),
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

    /// Counts rows that a stage took in.
    pub fn count(&self, stage: &str, signal: &str, rows: u64) {
        let labels = StageLabels { stage: stage.to_owned(), signal: signal.to_owned() };
        self.received.get_or_create(&labels).inc_by(rows);
    }
}
