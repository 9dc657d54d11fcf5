//! The series as a scrape reads them.

use std::fmt;

use daemon::metrics::Described;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::Red;
use super::calls::{Kind, Service};
use super::graph::{Edge, Requests};
use super::seconds::Seconds;

const CALLS: (&str, &str) = ("traces_spanmetrics_calls", "Spans, by service, name, kind and status");
const LATENCY: (&str, &str) = ("traces_spanmetrics_latency", "Duration of spans, seconds");
const TOTAL: (&str, &str) =
    ("traces_service_graph_request", "Requests between two services, each counted once");
const FAILED: (&str, &str) = ("traces_service_graph_request_failed", "Those that failed at either end");
const SERVER: (&str, &str) =
    ("traces_service_graph_request_server_seconds", "Duration of requests as their servers saw it");
const CLIENT: (&str, &str) =
    ("traces_service_graph_request_client_seconds", "Duration of requests as their clients saw it");

/// What is scraped, for the reference.
pub(crate) fn described() -> Vec<Described> {
    let describe = |kind: &str, suffix: &str, (name, help): (&str, &str)| Described {
        name: format!("{name}{suffix}"),
        kind: kind.to_owned(),
        help: help.to_owned(),
    };
    let mut all: Vec<Described> =
        [CALLS, TOTAL, FAILED].map(|of| describe("counter", "_total", of)).into_iter().collect();
    all.extend([LATENCY, SERVER, CLIENT].map(|of| describe("histogram", "", of)));
    all
}

/// Reads the series at each scrape.
#[derive(Debug)]
pub(super) struct RedCollector(pub(super) Red);

type Written = Result<(), fmt::Error>;

impl Collector for RedCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Written {
        let state = self.0.lock();
        let (calls, edges) = (&state.calls, &state.graph);
        if calls.series() > 0 {
            let mut metric = family(&mut encoder, CALLS, MetricType::Counter)?;
            for (service, name, kind, seconds) in calls.iter() {
                count(&mut metric, &call_labels(service, name, kind), seconds.count())?;
            }
            let mut metric = family(&mut encoder, LATENCY, MetricType::Histogram)?;
            for (service, name, kind, seconds) in calls.iter() {
                histogram(&mut metric, &call_labels(service, name, kind), seconds)?;
            }
        }
        if edges.len() > 0 {
            for (of, value) in [(TOTAL, total as fn(&Requests) -> u64), (FAILED, failed)] {
                let mut metric = family(&mut encoder, of, MetricType::Counter)?;
                // of some edges servers' durations alone are known so far
                for (edge, requests) in edges.iter().filter(|(_, requests)| requests.count > 0) {
                    count(&mut metric, &edge_labels(edge), value(requests))?;
                }
            }
            for (of, value) in [(SERVER, server as fn(&Requests) -> &Seconds), (CLIENT, client)] {
                // nothing is said of an end that was not seen
                let seen = edges.iter().filter(|(_, requests)| value(requests).count() > 0);
                let mut metric = family(&mut encoder, of, MetricType::Histogram)?;
                for (edge, requests) in seen {
                    histogram(&mut metric, &edge_labels(edge), value(requests))?;
                }
            }
        }
        Ok(())
    }
}

fn total(requests: &Requests) -> u64 {
    requests.count
}

fn failed(requests: &Requests) -> u64 {
    requests.failed
}

fn server(requests: &Requests) -> &Seconds {
    &requests.server
}

fn client(requests: &Requests) -> &Seconds {
    &requests.client
}

fn family<'s>(
    encoder: &'s mut DescriptorEncoder<'_>,
    (name, help): (&'s str, &str),
    kind: MetricType,
) -> Result<MetricEncoder<'s>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, kind)
}

fn count<const N: usize>(
    metric: &mut MetricEncoder<'_>,
    labels: &[(&'static str, &str); N],
    value: u64,
) -> Written {
    ConstCounter::new(value).encode(metric.encode_family(labels)?)
}

fn histogram<const N: usize>(
    metric: &mut MetricEncoder<'_>,
    labels: &[(&'static str, &str); N],
    seconds: &Seconds,
) -> Written {
    let mut metric = metric.encode_family(labels)?;
    metric.encode_histogram::<NoLabelSet>(seconds.sum(), seconds.count(), &seconds.buckets(), None)
}

fn source(is_wake: bool) -> &'static str {
    if is_wake { "wake" } else { "otlp" }
}

fn call_labels<'a>(service: &'a Service, name: &'a str, kind: Kind) -> [(&'static str, &'a str); 6] {
    [
        ("service", &service.name),
        ("service_namespace", &service.namespace),
        ("span_name", name),
        ("span_kind", kind.kind),
        ("status_code", kind.status),
        ("source", source(service.is_wake)),
    ]
}

fn edge_labels(edge: &Edge) -> [(&'static str, &str); 6] {
    [
        ("client", &edge.client),
        ("client_service_namespace", &edge.client_namespace),
        ("server", &edge.server),
        ("server_service_namespace", &edge.server_namespace),
        ("connection_type", edge.connection),
        ("source", source(edge.is_wake)),
    ]
}
