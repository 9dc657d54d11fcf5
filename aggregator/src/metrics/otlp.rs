//! What OTLP in counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use daemon::log::Repeated;
use daemon::metrics::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Unit;
use proto::error::ErrorCode;

use super::CodeLabel;
use crate::ingest::otlp::Signal;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignalLabel {
    signal: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectedLabel {
    signal: &'static str,
    reason: &'static str,
}

/// What OTLP in counts.
#[derive(Clone, Debug)]
pub(crate) struct OtlpMetrics {
    received_requests: Family<SignalLabel, Counter>,
    received_bytes: Family<SignalLabel, Counter>,
    processed_records: Family<SignalLabel, Counter>,
    discarded_records: Family<RejectedLabel, Counter>,
    refused: Family<CodeLabel, Counter>,
    crowded: Counter,
    refusal_line: Arc<Repeated>,
}

impl OtlpMetrics {
    pub(crate) fn register(root: &Registry, clock: &Clock) -> Self {
        let registry = root.with_prefix("otlp");
        let refused = Family::<CodeLabel, Counter>::default();
        for code in [ErrorCode::Invalid, ErrorCode::TooLarge, ErrorCode::Busy, ErrorCode::WalFull] {
            drop(refused.get_or_create(&CodeLabel { code: code.as_str() }));
        }
        let (requests, bytes, records) =
            (Family::<SignalLabel, Counter>::default(), Family::default(), Family::default());
        for signal in [Signal::Logs, Signal::Traces, Signal::Metrics] {
            let label = SignalLabel { signal: signal.name() };
            drop(requests.get_or_create(&label));
        }
        Self {
            received_requests: registry.register(
                "received_requests",
                "Requests received, by signal",
                requests,
            ),
            received_bytes: registry.register_with_unit(
                "received",
                "Bytes of requests received, as packed by the sender, by signal",
                Unit::Bytes,
                bytes,
            ),
            processed_records: registry.register(
                "processed_records",
                "Log records and spans stored, by signal",
                records,
            ),
            discarded_records: registry.register(
                "discarded_records",
                "Records left out of requests that were taken, by signal and reason; the sender was told",
                Family::<RejectedLabel, Counter>::default(),
            ),
            refused: registry.register("refused_requests", "Requests refused, by error code", refused),
            crowded: registry.register(
                "crowded_connections",
                "Connections over gRPC that were closed because their address had a quarter of all places",
                Counter::default(),
            ),
            refusal_line: Arc::new(Repeated::new(clock.clone(), Duration::from_secs(10))),
        }
    }

    pub(crate) fn received(&self, signal: Signal, bytes: usize) {
        let label = SignalLabel { signal: signal.name() };
        self.received_requests.get_or_create(&label).inc();
        self.received_bytes.get_or_create(&label).inc_by(bytes as u64);
    }

    pub(crate) fn processed(&self, signal: Signal, rows: u64, rejected: &BTreeMap<&'static str, u64>) {
        let signal = signal.name();
        self.processed_records.get_or_create(&SignalLabel { signal }).inc_by(rows);
        for (reason, count) in rejected {
            self.discarded_records.get_or_create(&RejectedLabel { signal, reason }).inc_by(*count);
        }
    }

    pub(crate) fn refused(&self, code: ErrorCode) {
        self.refused.get_or_create(&CodeLabel { code: code.as_str() }).inc();
    }

    /// Where connections beyond an address' share are counted.
    pub(crate) fn crowded(&self) -> Counter {
        self.crowded.clone()
    }

    /// When a refusal may be logged: how many were held back since.
    pub(crate) fn refusal_line(&self) -> Option<u64> {
        self.refusal_line.permit()
    }
}
