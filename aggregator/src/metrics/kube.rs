//! What the Kubernetes watch counts.

use std::time::Duration;

use daemon::metrics::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use proto::v1::Resolved;

use crate::kube::Kind;

/// Seconds: from ten microseconds to a tenth of a second.
const SECONDS: [f64; 9] = [0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    kind: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabel {
    peer_kind: String,
}

/// What the watch and the names made from it count.
#[derive(Clone, Debug)]
pub(crate) struct KubeMetrics {
    events: Family<KindLabel, Counter>,
    errors: Family<KindLabel, Counter>,
    refused: Family<RefusedLabels, Counter>,
    cut: Counter,
    objects: Family<KindLabel, Gauge>,
    /// Agents that are told of their node.
    pub(crate) agents: Gauge,
    completed: Counter,
    flows: Counter,
    peers: Family<PeerLabel, Counter>,
    seconds: Histogram,
}

impl KubeMetrics {
    pub(crate) fn register(root: &Registry) -> Self {
        let registry = root.with_prefix("kube");
        Self {
            events: registry.register("events", "Objects heard of, by kind", Family::default()),
            errors: registry.register("errors", "Watches interrupted, by kind", Family::default()),
            refused: registry.register(
                "refused_objects",
                "Objects that are not kept, by kind and reason: limit, name, uid, namespace",
                Family::default(),
            ),
            cut: registry.register(
                "cut_parts",
                "Labels, settings, containers, addresses and endpoints beyond the bounds of their object",
                Counter::default(),
            ),
            objects: registry.register("objects", "Objects kept, by kind", Family::default()),
            agents: registry.register(
                "agents",
                "Agents that are told of their node's pods",
                Gauge::default(),
            ),
            completed: registry.register(
                "completed_identities",
                "Identities of batches whose names were completed at ingest",
                Counter::default(),
            ),
            flows: registry.register("resolved_flows", "Flows whose peer was looked up", Counter::default()),
            peers: registry.register(
                "resolved_peers",
                "Peers found for flows, once per batch and peer, by kind",
                Family::default(),
            ),
            seconds: registry.register_with_unit(
                "resolve_duration",
                "Time to find all names of a batch",
                Unit::Seconds,
                Histogram::new(SECONDS),
            ),
        }
    }

    pub(crate) fn heard(&self, kind: Kind) {
        self.events.get_or_create(&KindLabel { kind: kind.as_str() }).inc();
    }

    pub(crate) fn error(&self, kind: Kind) {
        self.errors.get_or_create(&KindLabel { kind: kind.as_str() }).inc();
    }

    pub(crate) fn refused(&self, kind: Kind, reason: &'static str) {
        self.refused.get_or_create(&RefusedLabels { kind: kind.as_str(), reason }).inc();
    }

    pub(crate) fn cut(&self, parts: u64) {
        self.cut.inc_by(parts);
    }

    pub(crate) fn objects(&self, kind: Kind, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.objects.get_or_create(&KindLabel { kind: kind.as_str() }).set(count);
    }

    pub(crate) fn resolved(&self, resolved: &Resolved, flows: usize, took: Duration) {
        self.completed.inc_by(resolved.completions.len() as u64);
        self.flows.inc_by(flows as u64);
        for peer in &resolved.peers {
            self.peers.get_or_create(&PeerLabel { peer_kind: peer.kind.clone() }).inc();
        }
        self.seconds.observe(took.as_secs_f64());
    }
}
