//! Every metric of the aggregator about itself; the root gives the prefix `wake_aggregator_`.
//!
//! The store's own numbers are read at each scrape (`metrics/store.rs`).

mod export;
mod kube;
mod otlp;
mod store;
mod tls;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ::store::Appended;
use daemon::clock::Clock;
use daemon::log::Repeated;
use daemon::metrics::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use proto::error::ErrorCode;

pub(crate) use self::export::{ExportMetrics, ExportState};
pub(crate) use self::kube::KubeMetrics;
pub(crate) use self::otlp::OtlpMetrics;
pub(crate) use self::store::{described as described_store, register as register_store};
pub(crate) use self::tls::TlsMetrics;

/// What every name begins with.
pub(crate) const PREFIX: &str = "wake_aggregator";

/// Seconds: from half a millisecond to half a minute.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: &'static str,
}

/// What ingest counts.
#[derive(Clone, Debug)]
pub(crate) struct IngestMetrics {
    received_batches: Counter,
    received_bytes: Counter,
    processed_batches: Counter,
    processed_rows: Counter,
    repeated_batches: Counter,
    discarded_rows: Counter,
    refused: Family<CodeLabel, Counter>,
    streams_refused: Counter,
    strangers: Family<ReasonLabel, Counter>,
    seconds: Histogram,
    refusal_line: Arc<Repeated>,
}

impl IngestMetrics {
    pub(crate) fn register(root: &Registry, clock: &Clock) -> Self {
        let registry = root.with_prefix("ingest");
        let refused = Family::<CodeLabel, Counter>::default();
        for code in [ErrorCode::Invalid, ErrorCode::WalFull, ErrorCode::HeadFull, ErrorCode::DiskFull] {
            drop(refused.get_or_create(&CodeLabel { code: code.as_str() }));
        }
        Self {
            received_batches: registry.register("received_batches", "Batches received", Counter::default()),
            received_bytes: registry.register_with_unit(
                "received",
                "Bytes of batches received, as packed by the agent",
                Unit::Bytes,
                Counter::default(),
            ),
            processed_batches: registry.register("processed_batches", "Batches stored", Counter::default()),
            processed_rows: registry.register("processed_rows", "Rows stored", Counter::default()),
            repeated_batches: registry.register(
                "repeated_batches",
                "Batches acknowledged that were stored before",
                Counter::default(),
            ),
            discarded_rows: registry.register(
                "discarded_rows",
                "Rows left out of stored batches: too old, too new or malformed",
                Counter::default(),
            ),
            refused: registry.register("refused_batches", "Batches refused, by error code", refused),
            streams_refused: registry.register(
                "refused_streams",
                "Streams refused at their hello",
                Counter::default(),
            ),
            strangers: registry.register(
                "strangers",
                "Agents that may not speak for the node that they named, by reason",
                Family::<ReasonLabel, Counter>::default(),
            ),
            seconds: registry.register_with_unit(
                "batch_duration",
                "From a batch's receipt to its acknowledgement",
                Unit::Seconds,
                Histogram::new(SECONDS),
            ),
            refusal_line: Arc::new(Repeated::new(clock.clone(), Duration::from_secs(10))),
        }
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received_batches.inc();
        self.received_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn acknowledged(&self, appended: &Appended, took: Duration) {
        if appended.repeated {
            self.repeated_batches.inc();
        } else {
            self.processed_batches.inc();
        }
        self.processed_rows.inc_by(appended.rows);
        self.discarded_rows.inc_by(appended.rejected_rows);
        self.seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn refused(&self, code: ErrorCode) {
        self.refused.get_or_create(&CodeLabel { code: code.as_str() }).inc();
    }

    pub(crate) fn stranger(&self, reason: &'static str) {
        self.strangers.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn stream_refused(&self) {
        self.streams_refused.inc();
    }

    /// When a refusal may be logged: how many were held back since.
    pub(crate) fn refusal_line(&self) -> Option<u64> {
        self.refusal_line.permit()
    }
}

/// What queries count.
#[derive(Clone, Debug)]
pub(crate) struct QueryMetrics {
    seconds: Family<EndpointLabel, Histogram, fn() -> Histogram>,
    refused: Family<CodeLabel, Counter>,
    running: Gauge<i64>,
    waiting: Gauge<i64>,
    followers: Gauge<i64>,
}

impl QueryMetrics {
    pub(crate) fn register(root: &Registry) -> Self {
        let registry = root.with_prefix("query");
        let seconds = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        Self {
            seconds: registry.register_with_unit(
                "duration",
                "From a request's arrival to its answer, by endpoint",
                Unit::Seconds,
                seconds,
            ),
            refused: registry.register(
                "errors",
                "Requests not answered, by error code",
                Family::<CodeLabel, Counter>::default(),
            ),
            running: registry.register("running", "Queries that run", Gauge::default()),
            waiting: registry.register("waiting", "Queries that wait for a place", Gauge::default()),
            followers: registry.register("followers", "Requests that follow the log", Gauge::default()),
        }
    }

    pub(crate) fn answered(&self, endpoint: &'static str, took: Duration) {
        self.seconds.get_or_create(&EndpointLabel { endpoint }).observe(took.as_secs_f64());
    }

    pub(crate) fn failed(&self, code: ErrorCode) {
        self.refused.get_or_create(&CodeLabel { code: code.as_str() }).inc();
    }

    pub(crate) fn load(&self, running: usize, waiting: usize) {
        self.running.set(i64::try_from(running).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    pub(crate) fn followers(&self, followers: usize) {
        self.followers.set(i64::try_from(followers).unwrap_or(i64::MAX));
    }
}

/// What the schedule counts.
#[derive(Clone, Debug)]
pub(crate) struct ScheduleMetrics {
    runs: Counter,
    errors: Counter,
    seconds: Histogram,
    last_success: Gauge<f64, AtomicU64>,
}

impl ScheduleMetrics {
    pub(crate) fn register(root: &Registry) -> Self {
        let registry = root.with_prefix("maintain");
        Self {
            runs: registry.register(
                "runs",
                "Rounds of sealing, compaction and retention",
                Counter::default(),
            ),
            errors: registry.register("errors", "Rounds that ended with an error", Counter::default()),
            seconds: registry.register_with_unit(
                "duration",
                "Time of a round",
                Unit::Seconds,
                Histogram::new(SECONDS),
            ),
            last_success: registry.register_with_unit(
                "last_success_timestamp",
                "When the last round without an error ended, Unix time",
                Unit::Seconds,
                Gauge::default(),
            ),
        }
    }

    pub(crate) fn round(&self, took: Duration, ended_ns: Option<u64>) {
        self.runs.inc();
        self.seconds.observe(took.as_secs_f64());
        match ended_ns {
            Some(ended_ns) => drop(self.last_success.set(ended_ns as f64 / 1e9)),
            None => drop(self.errors.inc()),
        }
    }
}
