//! What OTLP out counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::metrics::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use crate::config::export::ExportSignal;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignalLabel {
    signal: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LostLabel {
    signal: &'static str,
    reason: &'static str,
}

fn label(signal: ExportSignal) -> SignalLabel {
    SignalLabel { signal: signal.name() }
}

/// What OTLP out counts.
#[derive(Clone, Debug)]
pub(crate) struct ExportMetrics {
    requests: Family<SignalLabel, Counter>,
    failed_requests: Family<SignalLabel, Counter>,
    sent_records: Family<SignalLabel, Counter>,
    lost_records: Family<LostLabel, Counter>,
    unreadable_segments: Family<SignalLabel, Counter>,
    lag_rows: Family<SignalLabel, Gauge>,
    lag_seconds: Family<SignalLabel, Gauge>,
    /// Of each signal.
    lanes: Arc<Mutex<[LaneState; 2]>>,
}

#[derive(Clone, Debug, Default)]
struct LaneState {
    /// When there was nothing more to send.
    at_end: Option<Duration>,
    /// What keeps it from sending.
    waits: Option<String>,
}

/// How a signal's export stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExportState {
    pub(crate) signal: &'static str,
    /// How long there has been something to send.
    pub(crate) behind_s: i64,
    pub(crate) behind_rows: i64,
    /// Records since the start.
    pub(crate) lost: u64,
    /// What keeps it from sending, or has it drop records.
    pub(crate) waits: Option<String>,
}

/// Why records are not at the endpoint.
const REASONS: [&str; 4] = ["rejected", "refused", "too_large", "retention"];

impl ExportMetrics {
    pub(crate) fn register(root: &Registry) -> Self {
        let registry = root.with_prefix("otlp_export");
        Self {
            requests: registry.register("requests", "Requests sent to the OTLP endpoint", Family::default()),
            failed_requests: registry.register(
                "failed_requests",
                "Requests that the OTLP endpoint did not take then; they are repeated",
                Family::default(),
            ),
            sent_records: registry.register(
                "sent_records",
                "Log records and spans that the OTLP endpoint took",
                Family::default(),
            ),
            lost_records: registry.register(
                "lost_records",
                "Records that are not at the OTLP endpoint, by reason: rejected one by one, refused with their request, \
                 too large by themselves, or dropped by retention before they were sent; the table loss has them too",
                Family::default(),
            ),
            unreadable_segments: registry.register(
                "unreadable_segments",
                "Segments whose rows could not be read and so were not exported",
                Family::default(),
            ),
            lag_rows: registry.register(
                "lag_rows",
                "Rows of all tables stored since the last one that was sent: at most so many wait",
                Family::default(),
            ),
            lag_seconds: registry.register_with_unit(
                "lag",
                "How long there has been something to send, without interruption",
                Unit::Seconds,
                Family::default(),
            ),
            lanes: Arc::default(),
        }
    }

    pub(crate) fn request(&self, signal: ExportSignal) {
        self.requests.get_or_create(&label(signal)).inc();
    }

    pub(crate) fn failed(&self, signal: ExportSignal) {
        self.failed_requests.get_or_create(&label(signal)).inc();
    }

    pub(crate) fn sent(&self, signal: ExportSignal, taken: u64) {
        self.sent_records.get_or_create(&label(signal)).inc_by(taken);
    }

    /// So many records will not be sent.
    pub(crate) fn lost(&self, signal: ExportSignal, reason: &'static str, records: u64) {
        self.lost_counter(signal, reason).inc_by(records);
    }

    /// What keeps it from sending, if something does.
    pub(crate) fn waits(&self, signal: ExportSignal, why: Option<String>) {
        self.lanes()[place(signal)].waits = why;
    }

    pub(crate) fn unreadable(&self, signal: ExportSignal) {
        self.unreadable_segments.get_or_create(&label(signal)).inc();
    }

    fn lost_counter(&self, signal: ExportSignal, reason: &'static str) -> Counter {
        self.lost_records.get_or_create_owned(&LostLabel { signal: signal.name(), reason })
    }

    fn lanes(&self) -> MutexGuard<'_, [LaneState; 2]> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far behind the end it is, and how many rows were dropped before they were sent: so many more than before.
    pub(crate) fn lag(&self, signal: ExportSignal, behind: i64, dropped: u64, now: Duration) -> u64 {
        self.lag_rows.get_or_create(&label(signal)).set(behind.max(0));
        let retention = self.lost_counter(signal, "retention");
        let news = dropped.saturating_sub(retention.get());
        retention.inc_by(news);
        let since = {
            let slot = &mut self.lanes()[place(signal)].at_end;
            if behind <= 0 {
                *slot = Some(now);
            }
            *slot.get_or_insert(now)
        };
        let seconds = i64::try_from(now.saturating_sub(since).as_secs()).unwrap_or(i64::MAX);
        self.lag_seconds.get_or_create(&label(signal)).set(seconds);
        news
    }

    /// How each signal that is exported stands.
    pub(crate) fn state(&self) -> Vec<ExportState> {
        let lanes = self.lanes().clone();
        let signals = [ExportSignal::Logs, ExportSignal::Spans].into_iter().zip(lanes);
        signals
            .filter(|(_, lane)| lane.at_end.is_some())
            .map(|(signal, lane)| {
                let lost = REASONS.iter().map(|reason| self.lost_counter(signal, reason).get());
                ExportState {
                    signal: signal.name(),
                    behind_s: self.lag_seconds.get_or_create(&label(signal)).get(),
                    behind_rows: self.lag_rows.get_or_create(&label(signal)).get(),
                    lost: lost.sum(),
                    waits: lane.waits,
                }
            })
            .collect()
    }
}

fn place(signal: ExportSignal) -> usize {
    usize::from(signal == ExportSignal::Spans)
}
