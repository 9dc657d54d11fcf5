//! Window rows → points of metrics: the names of the agent's `/metrics` with dots, each point the window's own sum.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Gauge, Metric, NumberDataPoint, Sum};
use proto::v1;

use super::resource::text;

/// How a metric adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sum,
    Gauge,
}

/// Name, unit, kind.
type Name = (&'static str, &'static str, Kind);
type Labels = Vec<(&'static str, String)>;
/// Start and end, ns.
type Window = (u64, u64);

/// The points of one metric.
type Series = BTreeMap<(Labels, Window), f64>;

/// Points of one resource; rows with the same labels and window are one point.
#[derive(Debug, Default)]
pub(super) struct Points {
    metrics: BTreeMap<&'static str, (Name, Series)>,
}

impl Points {
    fn add(&mut self, name: Name, window: Window, labels: &[(&'static str, &str)], value: Option<f64>) {
        let Some(value) = value else { return };
        if name.2 == Kind::Sum && value == 0.0 {
            return;
        }
        let labels = labels.iter().filter(|(_, text)| !text.is_empty());
        let labels: Labels = labels.map(|(key, text)| (*key, (*text).to_owned())).collect();
        let (_, points) = self.metrics.entry(name.0).or_insert_with(|| (name, Series::new()));
        *points.entry((labels, window)).or_default() += value;
    }

    pub(super) fn usage(&mut self, row: &v1::UsageRow) {
        let window = window(row.ts, row.window_s);
        let seconds = |nanos: Option<u64>| nanos.map(|nanos| nanos as f64 / 1e9);
        let micros = |micros: Option<u64>| micros.map(|micros| micros as f64 / 1e6);
        let plain = |value: Option<u64>| value.map(|value| value as f64);
        let cpu: Name = ("container.cpu.time", "s", Kind::Sum);
        if row.cpu_user_ns.is_some() || row.cpu_system_ns.is_some() {
            self.add(cpu, window, &[("mode", "user")], seconds(row.cpu_user_ns));
            self.add(cpu, window, &[("mode", "system")], seconds(row.cpu_system_ns));
        } else {
            self.add(cpu, window, &[], seconds(row.cpu_usage_ns));
        }
        let throttled: Name = ("container.cpu.throttled_time", "s", Kind::Sum);
        self.add(throttled, window, &[], seconds(row.cpu_throttled_ns));
        self.add(("container.cpu.limit", "cores", Kind::Gauge), window, &[], row.cpu_limit_cores);
        for (name, value) in [
            ("container.memory.usage", row.memory_current),
            ("container.memory.working_set", row.memory_working_set),
            ("container.memory.limit", row.memory_limit),
        ] {
            self.add((name, "By", Kind::Gauge), window, &[], plain(value));
        }
        self.add(("container.processes", "", Kind::Gauge), window, &[], plain(row.pids_current));
        let kills: Name = ("container.memory.oom_kills", "", Kind::Sum);
        self.add(kills, window, &[], plain(row.memory_events_oom_kill));
        let disk: Name = ("container.disk.io", "By", Kind::Sum);
        self.add(disk, window, &[("direction", "read")], plain(row.io_read_bytes));
        self.add(disk, window, &[("direction", "write")], plain(row.io_write_bytes));
        for (resource, kind, total) in [
            ("cpu", "some", row.psi_cpu_some_us),
            ("memory", "some", row.psi_memory_some_us),
            ("memory", "full", row.psi_memory_full_us),
            ("io", "some", row.psi_io_some_us),
            ("io", "full", row.psi_io_full_us),
        ] {
            let labels = [("resource", resource), ("kind", kind)];
            self.add(("container.pressure.time", "s", Kind::Sum), window, &labels, micros(total));
        }
        for (kind, switches) in
            [("voluntary", row.switches_voluntary), ("involuntary", row.switches_involuntary)]
        {
            let name: Name = ("wake.context_switches", "", Kind::Sum);
            self.add(name, window, &[("kind", kind)], plain(switches));
        }
    }

    pub(super) fn flow(&mut self, row: &v1::FlowRow) {
        let window = window(row.ts, row.window_s);
        let peer = if row.peer_workload.is_empty() { "external" } else { row.peer_workload.as_str() };
        let edge = [("peer", peer), ("protocol", row.protocol.as_str()), ("role", row.role.as_str())];
        for (direction, bytes, packets) in [
            ("sent", row.bytes_sent, row.packets_sent),
            ("received", row.bytes_received, row.packets_received),
        ] {
            let labels = [edge[0], edge[1], edge[2], ("direction", direction)];
            self.add(("wake.flow", "By", Kind::Sum), window, &labels, Some(bytes as f64));
            self.add(("wake.flow.packets", "", Kind::Sum), window, &labels, Some(packets as f64));
        }
        for (name, count) in [
            ("wake.flow.connections", row.connects.saturating_add(row.accepts)),
            ("wake.flow.retransmits", row.retransmits),
            ("wake.flow.failures", row.failures),
            ("wake.flow.resets", row.resets),
        ] {
            self.add((name, "", Kind::Sum), window, &edge, Some(count as f64));
        }
    }

    pub(super) fn drop(&mut self, row: &v1::DropRow) {
        let name: Name = ("wake.flow.dropped_packets", "", Kind::Sum);
        let window = window(row.ts, row.window_s);
        self.add(name, window, &[("reason", &row.reason)], Some(row.packets as f64));
    }

    pub(super) fn syscall(&mut self, row: &v1::SyscallRow) {
        let window = window(row.ts, row.window_s);
        let class = [("class", row.class.as_str())];
        self.add(("wake.syscalls", "", Kind::Sum), window, &class, Some(row.count as f64));
        self.add(("wake.syscall_errors", "", Kind::Sum), window, &class, Some(row.errors as f64));
    }

    pub(super) fn block(&mut self, row: &v1::BlockRow) {
        let labels = [("operation", row.operation.as_str()), ("device", row.device.as_str())];
        let name: Name = ("wake.block_operations", "", Kind::Sum);
        self.add(name, window(row.ts, row.window_s), &labels, Some(row.operations as f64));
    }

    pub(super) fn request(&mut self, row: &v1::RequestRow) {
        let window = window(row.ts, row.window_s);
        let outcome = if row.status == "error" { "error" } else { "ok" };
        let labels = [("kind", row.kind.as_str()), ("protocol", &row.protocol), ("outcome", outcome)];
        self.add(("wake.requests", "", Kind::Sum), window, &labels, Some(row.count as f64));
        self.add(("wake.request.spans", "", Kind::Sum), window, &labels, Some(row.spans as f64));
        let seconds = row.duration_ns_sum as f64 / 1e9;
        self.add(("wake.request.duration", "s", Kind::Sum), window, &labels, Some(seconds));
    }

    pub(super) fn loss(&mut self, row: &v1::LossRow) {
        let labels = [("signal", &*row.signal), ("stage", &*row.stage), ("reason", &*row.reason)];
        let name: Name = ("wake.agent.lost", "", Kind::Sum);
        self.add(name, window(row.ts, row.window_s), &labels, Some(row.count as f64));
    }

    /// As OTLP has them.
    pub(super) fn metrics(self) -> Vec<Metric> {
        self.metrics.into_values().map(|(name, points)| metric(name, points)).collect()
    }
}

fn window(ts: u64, window_s: u32) -> Window {
    (ts, ts.saturating_add(u64::from(window_s) * 1_000_000_000))
}

fn metric((name, unit, kind): Name, points: Series) -> Metric {
    let data_points = points
        .into_iter()
        .map(|((labels, (start, end)), value)| NumberDataPoint {
            attributes: labels.iter().map(|(key, value)| text(key, value)).collect::<Vec<KeyValue>>(),
            start_time_unix_nano: start,
            time_unix_nano: end,
            value: Some(Value::AsDouble(value)),
            ..NumberDataPoint::default()
        })
        .collect();
    let data = match kind {
        Kind::Gauge => Data::Gauge(Gauge { data_points }),
        Kind::Sum => Data::Sum(Sum {
            data_points,
            aggregation_temporality: AggregationTemporality::Delta.into(),
            is_monotonic: true,
        }),
    };
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}
