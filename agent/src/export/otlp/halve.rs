//! A request that is too large for its endpoint, as two.
//!
//! Records are halved in their order; of metrics the metrics, then the points of the last one. Rows of the ledger go with
//! the records that they are, and with points, which sum rows up, in equal parts.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, ResourceMetrics};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;

use super::convert::{LOGS, METRICS, Request, TRACES, counted, points_in};

/// Both halves; `None` for what has one record alone, and for losses, which go back to the ledger as they are.
pub(super) fn halve(request: &Request) -> Option<[Request; 2]> {
    if !request.losses.is_empty() {
        return None;
    }
    match request.path {
        LOGS => {
            let whole = ExportLogsServiceRequest::decode(&*request.body).ok()?;
            let halves = split(whole.resource_logs, log_records)?;
            Some(halves.map(|mut resource_logs| {
                let is_process = |log: &&LogRecord| !log.event_name.is_empty();
                let records: Vec<&LogRecord> =
                    resource_logs.iter_mut().filter_map(log_records).flat_map(|logs| &*logs).collect();
                let processes = records.iter().copied().filter(is_process).count();
                let rows = counted([("log", records.len() - processes), ("process", processes)]);
                let body = ExportLogsServiceRequest { resource_logs }.encode_to_vec().into();
                Request { path: LOGS, body, rows, points: 0, losses: Vec::new() }
            }))
        }
        TRACES => {
            let whole = ExportTraceServiceRequest::decode(&*request.body).ok()?;
            let halves = split(whole.resource_spans, spans)?;
            Some(halves.map(|mut resource_spans| {
                let count = resource_spans.iter_mut().filter_map(spans).map(|spans| spans.len()).sum();
                let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
                Request {
                    path: TRACES,
                    body,
                    rows: counted([("span", count)]),
                    points: 0,
                    losses: Vec::new(),
                }
            }))
        }
        METRICS => {
            let mut whole = ExportMetricsServiceRequest::decode(&*request.body).ok()?;
            let mut all = whole.resource_metrics.iter_mut().filter_map(metrics).flatten();
            let halves = match (all.next(), all.next()) {
                (Some(lone), None) => {
                    let points = split_points(lone)?;
                    points.map(|metric| alone(&whole.resource_metrics, metric))
                }
                _ => split(whole.resource_metrics, metrics)?,
            };
            let [first, second] = parts(&request.rows);
            let made = |resource_metrics: Vec<ResourceMetrics>, rows| {
                let points = points_in(&resource_metrics);
                let body = ExportMetricsServiceRequest { resource_metrics }.encode_to_vec().into();
                Request { path: METRICS, body, rows, points, losses: Vec::new() }
            };
            let [one, other] = halves;
            Some([made(one, first), made(other, second)])
        }
        _ => None,
    }
}

fn log_records(of: &mut ResourceLogs) -> Option<&mut Vec<LogRecord>> {
    of.scope_logs.first_mut().map(|scope| &mut scope.log_records)
}

fn spans(of: &mut ResourceSpans) -> Option<&mut Vec<Span>> {
    of.scope_spans.first_mut().map(|scope| &mut scope.spans)
}

fn metrics(of: &mut ResourceMetrics) -> Option<&mut Vec<Metric>> {
    of.scope_metrics.first_mut().map(|scope| &mut scope.metrics)
}

/// The resources with the first half of all records, and those with the second; each resource has one scope.
fn split<G: Clone, R>(
    mut groups: Vec<G>,
    records: impl Fn(&mut G) -> Option<&mut Vec<R>>,
) -> Option<[Vec<G>; 2]> {
    let total: usize = groups.iter_mut().filter_map(&records).map(|records| records.len()).sum();
    if total < 2 {
        return None;
    }
    let (mut left, mut halves) = (total / 2, [Vec::new(), Vec::new()]);
    for mut group in groups {
        let mut first = records(&mut group).map(std::mem::take).unwrap_or_default();
        let second = first.split_off(left.min(first.len()));
        left -= first.len();
        for (half, part) in halves.iter_mut().zip([first, second]) {
            if !part.is_empty() {
                let mut group = group.clone();
                if let Some(records) = records(&mut group) {
                    *records = part;
                }
                half.push(group);
            }
        }
    }
    Some(halves)
}

fn split_points(metric: &mut Metric) -> Option<[Metric; 2]> {
    let points: &mut Vec<NumberDataPoint> = match metric.data.as_mut()? {
        Data::Sum(sum) => &mut sum.data_points,
        Data::Gauge(gauge) => &mut gauge.data_points,
        _ => return None,
    };
    if points.len() < 2 {
        return None;
    }
    let all = std::mem::take(points);
    let (first, second) = all.split_at(all.len() / 2);
    let with = |part: &[NumberDataPoint]| {
        let mut metric = metric.clone();
        match &mut metric.data {
            Some(Data::Sum(sum)) => sum.data_points = part.to_vec(),
            Some(Data::Gauge(gauge)) => gauge.data_points = part.to_vec(),
            _ => {}
        }
        metric
    };
    Some([with(first), with(second)])
}

/// The resource that has a metric, with this one instead.
fn alone(resources: &[ResourceMetrics], metric: Metric) -> Vec<ResourceMetrics> {
    let mut of: Vec<ResourceMetrics> = resources.to_vec();
    of.retain_mut(|of| metrics(of).is_some_and(|metrics| !metrics.is_empty()));
    of.truncate(1);
    if let Some(metrics) = of.first_mut().and_then(metrics) {
        *metrics = vec![metric];
    }
    of
}

/// Counts in two parts that add up.
fn parts(rows: &BTreeMap<&'static str, u64>) -> [BTreeMap<&'static str, u64>; 2] {
    let half = |share: &dyn Fn(u64) -> u64| {
        let part = rows.iter().map(|(signal, count)| (*signal, share(*count)));
        part.filter(|(_, count)| *count > 0).collect()
    };
    [half(&|count| count / 2), half(&|count| count - count / 2)]
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use proto::v1;

    use super::super::convert::{Request, requests};
    use super::halve;

    /// Every piece that halving ends with.
    fn pieces(request: Request) -> Vec<Request> {
        match halve(&request) {
            None => vec![request],
            Some(halves) => halves.into_iter().flat_map(pieces).collect(),
        }
    }

    #[test]
    fn halves_add_up_and_end_with_single_records() {
        let identity = |node: &str| v1::Identity { node: node.to_owned(), ..v1::Identity::default() };
        let log =
            |at: u32| v1::LogRow { identity: at % 2, body: format!("{at}").into(), ..Default::default() };
        let process = v1::ProcessRow { event: "exit".into(), ..Default::default() };
        let span = |at: u32| v1::SpanRow { identity: at % 2, name: format!("{at}"), ..Default::default() };
        let flow = |at: u32| v1::FlowRow {
            identity: at % 2,
            peer_address: format!("10.0.0.{at}"),
            bytes_sent: 1,
            ts: u64::from(at),
            ..Default::default()
        };
        let usage = v1::UsageRow { cpu_usage_ns: Some(1), ..Default::default() };
        let payload = v1::Payload {
            identities: vec![identity("a"), identity("b")],
            logs: (0..7).map(log).collect(),
            processes: vec![process],
            spans: (0..5).map(span).collect(),
            flows: (0..6).map(flow).collect(),
            usage: vec![usage],
            losses: vec![v1::LossRow { signal: "log".into(), count: 1, ..Default::default() }],
            ..v1::Payload::default()
        };
        for request in requests(&payload.encode_to_vec(), "n").unwrap() {
            let (rows, points, path) = (request.records(), request.points, request.path);
            let is_loss = !request.losses.is_empty();
            let pieces = pieces(request);
            assert_eq!(pieces.iter().map(Request::records).sum::<u64>(), rows, "{path}");
            assert_eq!(pieces.iter().map(|piece| piece.points).sum::<u64>(), points, "{path}");
            assert!(is_loss || pieces.iter().all(|piece| piece.points <= 1), "{path}");
            if path != super::METRICS {
                assert!(pieces.iter().all(|piece| piece.records() == 1), "{path}");
            }
        }
    }
}
