//! Metrics about workloads, for whoever scrapes only the agent: bounded in workloads and peers, gone when idle.
//!
//! In: the rows of each window. Labels: `namespace`, `workload` (at most `max_workloads`, then `other`), and for flows
//! `peer` (a workload or `external`, at most `max_peers` per workload, then `other`). Never pod, pid, address or port.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon::metrics::{Described, Registry};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::window::assemble::Named;
use crate::window::sample::Row;
use names::{Id, Kind, METRICS};

mod names;
#[cfg(test)]
mod tests;

/// A gauge without news for this long is of a workload that has ended; two of the longest windows.
const GAUGE_IDLE: Duration = Duration::from_secs(120);

type Labels = Vec<(&'static str, String)>;

#[derive(Debug, Default)]
struct Table {
    series: BTreeMap<Id, BTreeMap<Labels, f64>>,
    /// Workloads with series, and when a row of theirs came last.
    seen: BTreeMap<(String, String), Duration>,
    /// When a usage row of theirs came last.
    used: BTreeMap<(String, String), Duration>,
    peers: BTreeMap<(String, String), BTreeSet<String>>,
}

/// The series; clones share them.
#[derive(Clone, Debug)]
pub struct Workloads {
    table: Arc<Mutex<Table>>,
    max_workloads: usize,
    max_peers: usize,
    idle: Duration,
}

impl Workloads {
    /// No series yet.
    pub fn new(max_workloads: usize, max_peers: usize, idle: Duration) -> Self {
        Self { table: Arc::default(), max_workloads, max_peers, idle }
    }

    /// Lets this registry scrape them.
    pub fn register(&self, root: &Registry) {
        let describes = METRICS
            .iter()
            .map(|(_, metric)| {
                let unit = metric.unit.map(|unit| format!("_{unit}")).unwrap_or_default();
                let (kind, suffix) = match metric.kind {
                    Kind::Counter => ("counter", "_total"),
                    Kind::Gauge => ("gauge", ""),
                };
                let name = format!("{}{unit}{suffix}", metric.name);
                Described { name, kind: kind.to_owned(), help: metric.help.to_owned() }
            })
            .collect();
        root.register_collector(Box::new(self.clone()), describes);
    }

    /// Adds rows; `now` is monotonic.
    pub fn add(&self, rows: &[Named], now: Duration) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // spans are counted with their requests
        for Named { identity, row } in rows.iter().filter(|named| !matches!(named.row, Row::Spans(_))) {
            let (namespace, workload) = self.admit(&mut table, &identity.namespace, &identity.workload, now);
            if matches!(row, Row::Usage(_)) {
                table.used.insert((namespace.clone(), workload.clone()), now);
            }
            let owner = vec![("namespace", namespace), ("workload", workload)];
            self.add_row(&mut table, &owner, row);
        }
    }

    /// Forgets workloads of which nothing came for a while, and much sooner how much memory the ended ones have.
    pub fn expire(&self, now: Duration) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let Table { series, seen, used, peers } = &mut *table;
        let ended = late(used, now, GAUGE_IDLE.min(self.idle));
        let gone = late(seen, now, self.idle);
        for (id, series) in series.iter_mut() {
            let is_gauge = METRICS.iter().any(|(of, metric)| of == id && metric.kind == Kind::Gauge);
            series.retain(|labels, _| {
                let owner = owner_of(labels);
                !(gone.contains(&owner) || (is_gauge && ended.contains(&owner)))
            });
        }
        used.retain(|owner, _| !ended.contains(owner));
        seen.retain(|owner, _| !gone.contains(owner));
        peers.retain(|owner, _| !gone.contains(owner));
    }

    fn admit(&self, table: &mut Table, namespace: &str, workload: &str, now: Duration) -> (String, String) {
        let mut owner = (namespace.to_owned(), workload.to_owned());
        if !table.seen.contains_key(&owner) && table.seen.len() >= self.max_workloads {
            owner = (String::new(), String::from("other"));
        }
        table.seen.insert(owner.clone(), now);
        owner
    }

    fn peer(&self, table: &mut Table, owner: &Labels, name: &str) -> String {
        let peers = table.peers.entry(owner_of(owner)).or_default();
        if !peers.contains(name) && peers.len() >= self.max_peers {
            return String::from("other");
        }
        peers.insert(name.to_owned());
        name.to_owned()
    }

    fn add_row(&self, table: &mut Table, owner: &Labels, row: &Row) {
        let mut count = |id: Id, extra: &[(&'static str, &str)], value: f64| {
            if value > 0.0 {
                *table.slot(id, owner, extra) += value;
            }
        };
        match row {
            Row::Usage(usage) => table.add_usage(owner, usage),
            Row::Flow(flow) => {
                let known =
                    if flow.peer_workload.is_empty() { "external" } else { flow.peer_workload.as_str() };
                let peer = self.peer(table, owner, known);
                table.add_flow(owner, &peer, flow);
            }
            Row::Drop(drop) => count(Id::Drops, &[("reason", &drop.reason)], drop.packets as f64),
            Row::Syscall(row) => {
                count(Id::Syscalls, &[("class", &row.class)], row.count as f64);
                count(Id::SyscallErrors, &[("class", &row.class)], row.errors as f64);
            }
            Row::Block(row) => {
                count(Id::BlockOperations, &[("operation", &row.operation)], row.operations as f64)
            }
            Row::Process(row) if row.event == "exit" => {
                let is_killed = row.exit_signal.is_some_and(|signal| signal != 0);
                let outcome = match row.exit_code {
                    _ if is_killed => "signal",
                    Some(0) | None => "ok",
                    Some(_) => "error",
                };
                count(Id::Exits, &[("outcome", outcome)], row.count.max(1) as f64);
            }
            Row::Log(row) => count(Id::LogLines, &[("level", &row.level)], 1.0),
            Row::Request(row) => {
                let outcome = if row.status == "error" { "error" } else { "ok" };
                let labels = [("kind", row.kind.as_str()), ("protocol", &row.protocol), ("outcome", outcome)];
                count(Id::Requests, &labels, row.count as f64);
                count(Id::RequestSpans, &labels, row.spans as f64);
                count(Id::RequestSeconds, &labels, row.duration_ns_sum as f64 / 1e9);
            }
            Row::RunQueue(_) | Row::SyscallLatency(_) | Row::Process(_) | Row::Spans(_) => {}
        }
    }
}

/// Who has been silent for longer than this.
fn late(
    seen: &BTreeMap<(String, String), Duration>,
    now: Duration,
    than: Duration,
) -> BTreeSet<(String, String)> {
    let silent = seen.iter().filter(|(_, at)| now.saturating_sub(**at) > than);
    silent.map(|(owner, _)| owner.clone()).collect()
}

/// The first two labels.
fn owner_of(labels: &Labels) -> (String, String) {
    let value = |at: usize| labels.get(at).map(|(_, value)| value.clone()).unwrap_or_default();
    (value(0), value(1))
}

impl Table {
    fn slot(&mut self, id: Id, owner: &Labels, extra: &[(&'static str, &str)]) -> &mut f64 {
        let mut labels = owner.clone();
        labels.extend(extra.iter().map(|(key, value)| (*key, (*value).to_owned())));
        self.series.entry(id).or_default().entry(labels).or_default()
    }

    fn count(&mut self, id: Id, owner: &Labels, extra: &[(&'static str, &str)], value: Option<f64>) {
        if let Some(value) = value {
            *self.slot(id, owner, extra) += value;
        }
    }

    fn set(&mut self, id: Id, owner: &Labels, value: Option<f64>) {
        match value {
            Some(value) => *self.slot(id, owner, &[]) = value,
            // absent is absent: a limit that was taken away does not stay
            None => {
                if let Some(series) = self.series.get_mut(&id) {
                    series.remove(owner);
                }
            }
        }
    }

    fn add_usage(&mut self, owner: &Labels, row: &proto::v1::UsageRow) {
        let seconds = |nanos: Option<u64>| nanos.map(|nanos| nanos as f64 / 1e9);
        let micros = |micros: Option<u64>| micros.map(|micros| micros as f64 / 1e6);
        let plain = |value: Option<u64>| value.map(|value| value as f64);
        if row.cpu_user_ns.is_some() || row.cpu_system_ns.is_some() {
            self.count(Id::CpuTime, owner, &[("mode", "user")], seconds(row.cpu_user_ns));
            self.count(Id::CpuTime, owner, &[("mode", "system")], seconds(row.cpu_system_ns));
        } else {
            self.count(Id::CpuTime, owner, &[("mode", "")], seconds(row.cpu_usage_ns));
        }
        self.count(Id::Throttled, owner, &[], seconds(row.cpu_throttled_ns));
        self.set(Id::CpuLimit, owner, row.cpu_limit_cores);
        self.set(Id::MemoryUsage, owner, plain(row.memory_current));
        self.set(Id::MemoryWorkingSet, owner, plain(row.memory_working_set));
        self.set(Id::MemoryLimit, owner, plain(row.memory_limit));
        self.set(Id::Processes, owner, plain(row.pids_current));
        self.count(Id::OomKills, owner, &[], plain(row.memory_events_oom_kill));
        self.count(Id::DiskIo, owner, &[("direction", "read")], plain(row.io_read_bytes));
        self.count(Id::DiskIo, owner, &[("direction", "write")], plain(row.io_write_bytes));
        let stalls = [
            ("cpu", "some", row.psi_cpu_some_us),
            ("memory", "some", row.psi_memory_some_us),
            ("memory", "full", row.psi_memory_full_us),
            ("io", "some", row.psi_io_some_us),
            ("io", "full", row.psi_io_full_us),
        ];
        for (resource, kind, total) in stalls {
            self.count(Id::Pressure, owner, &[("resource", resource), ("kind", kind)], micros(total));
        }
        self.count(Id::Switches, owner, &[("kind", "voluntary")], plain(row.switches_voluntary));
        self.count(Id::Switches, owner, &[("kind", "involuntary")], plain(row.switches_involuntary));
        if !row.run_queue_hist.is_empty() {
            self.count(Id::RunQueue, owner, &[], Some(sum_of(&row.run_queue_hist)));
        }
    }

    fn add_flow(&mut self, owner: &Labels, peer: &str, row: &proto::v1::FlowRow) {
        let edge = [("peer", peer), ("protocol", row.protocol.as_str()), ("role", row.role.as_str())];
        let with = |direction: &'static str| {
            let mut labels: Vec<(&'static str, &str)> = edge.to_vec();
            labels.push(("direction", direction));
            labels
        };
        let mut count = |id: Id, extra: &[(&'static str, &str)], value: u64| {
            if value > 0 {
                *self.slot(id, owner, extra) += value as f64;
            }
        };
        count(Id::FlowBytes, &with("sent"), row.bytes_sent);
        count(Id::FlowBytes, &with("received"), row.bytes_received);
        count(Id::FlowPackets, &with("sent"), row.packets_sent);
        count(Id::FlowPackets, &with("received"), row.packets_received);
        count(Id::Connects, &edge, row.connects + row.accepts);
        count(Id::Retransmits, &edge, row.retransmits);
        count(Id::Failures, &edge, row.failures);
        count(Id::Resets, &edge, row.resets);
    }
}

/// The sum of what a histogram counted, each value taken as the middle of its bucket; seconds.
fn sum_of(hist: &[u32]) -> f64 {
    let middle = |bucket: usize| {
        let low = proto::histogram::lower_bound_ns(bucket);
        let high = if bucket + 1 < proto::histogram::BUCKETS {
            proto::histogram::lower_bound_ns(bucket + 1)
        } else {
            low
        };
        (low + high) as f64 / 2e9
    };
    hist.iter().enumerate().map(|(bucket, count)| middle(bucket) * f64::from(*count)).sum()
}

impl Collector for Workloads {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, metric) in METRICS {
            let Some(series) = table.series.get(id).filter(|series| !series.is_empty()) else { continue };
            let unit = metric.unit.map(|unit| Unit::Other(unit.to_owned()));
            let kind = match metric.kind {
                Kind::Counter => prometheus_client::metrics::MetricType::Counter,
                Kind::Gauge => prometheus_client::metrics::MetricType::Gauge,
            };
            let mut family = encoder.encode_descriptor(metric.name, metric.help, unit.as_ref(), kind)?;
            for (labels, value) in series {
                let encoder = family.encode_family(labels)?;
                match metric.kind {
                    Kind::Counter => ConstCounter::new(*value).encode(encoder)?,
                    Kind::Gauge => ConstGauge::new(*value).encode(encoder)?,
                }
            }
        }
        Ok(())
    }
}
