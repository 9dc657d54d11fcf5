//! What is counted of handshakes, certificates and enrolments.

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use daemon::log::Repeated;
use daemon::metrics::Registry;
use daemon::tls::accept::FAILURES;
use daemon::tls::certificate::Described;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct TlsMetrics {
    handshakes: Family<Reason, Counter>,
    enrolments: Family<Reason, Counter>,
    not_after: Gauge,
    not_before: Gauge,
    line: Arc<Repeated>,
}

impl TlsMetrics {
    pub(crate) fn register(root: &Registry, clock: &Clock) -> Self {
        let registry = root.with_prefix("tls");
        let handshakes = Family::<Reason, Counter>::default();
        for reason in FAILURES {
            drop(handshakes.get_or_create(&Reason { reason }));
        }
        Self {
            handshakes: registry.register(
                "failed_handshakes",
                "TLS handshakes that failed, by reason",
                handshakes,
            ),
            enrolments: registry.register(
                "enrolments",
                "Certificates asked for by agents, by outcome",
                Family::<Reason, Counter>::default(),
            ),
            not_after: registry.register_with_unit(
                "certificate_not_after_timestamp",
                "Until when the aggregator's own certificate is valid, Unix time",
                Unit::Seconds,
                Gauge::default(),
            ),
            not_before: registry.register_with_unit(
                "certificate_not_before_timestamp",
                "From when on the aggregator's own certificate is valid, Unix time",
                Unit::Seconds,
                Gauge::default(),
            ),
            line: Arc::new(Repeated::new(clock.clone(), Duration::from_secs(10))),
        }
    }

    /// When it may be logged: how many were held back since.
    pub(crate) fn handshake_failed(&self, reason: &'static str) -> Option<u64> {
        self.handshakes.get_or_create(&Reason { reason }).inc();
        self.line.permit()
    }

    /// When it may be logged: how many were held back since.
    pub(crate) fn enrolled(&self, outcome: &'static str) -> Option<u64> {
        self.enrolments.get_or_create(&Reason { reason: outcome }).inc();
        if outcome == "ok" { None } else { self.line.permit() }
    }

    /// From when until when the own certificate is valid.
    pub(crate) fn valid_s(&self) -> (i64, i64) {
        (self.not_before.get(), self.not_after.get())
    }

    pub(crate) fn serves_with(&self, described: &Described) {
        self.not_before.set(described.not_before_s);
        self.not_after.set(described.not_after_s);
    }
}
