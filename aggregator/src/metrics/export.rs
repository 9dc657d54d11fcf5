//! What OTLP out counts.

use std::sync::{Arc, Mutex, PoisonError};
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
    /// When each signal had nothing more to send.
    at_end: Arc<Mutex<[Option<Duration>; 2]>>,
}

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
                 or dropped by retention before they were sent",
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
            at_end: Arc::default(),
        }
    }

    pub(crate) fn request(&self, signal: ExportSignal) {
        self.requests.get_or_create(&label(signal)).inc();
    }

    pub(crate) fn failed(&self, signal: ExportSignal) {
        self.failed_requests.get_or_create(&label(signal)).inc();
    }

    pub(crate) fn sent(&self, signal: ExportSignal, taken: u64, rejected: u64) {
        self.sent_records.get_or_create(&label(signal)).inc_by(taken);
        if rejected > 0 {
            self.lost(signal, "rejected").inc_by(rejected);
        }
    }

    pub(crate) fn refused(&self, signal: ExportSignal, records: u64) {
        self.lost(signal, "refused").inc_by(records);
    }

    pub(crate) fn unreadable(&self, signal: ExportSignal) {
        self.unreadable_segments.get_or_create(&label(signal)).inc();
    }

    fn lost(&self, signal: ExportSignal, reason: &'static str) -> Counter {
        self.lost_records.get_or_create_owned(&LostLabel { signal: signal.name(), reason })
    }

    /// How far behind the end it is, and how many rows were dropped before they were sent.
    pub(crate) fn lag(&self, signal: ExportSignal, behind: i64, dropped: u64, now: Duration) {
        self.lag_rows.get_or_create(&label(signal)).set(behind.max(0));
        let retention = self.lost(signal, "retention");
        retention.inc_by(dropped.saturating_sub(retention.get()));
        let since = {
            let mut at_end = self.at_end.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = &mut at_end[usize::from(signal == ExportSignal::Spans)];
            if behind <= 0 {
                *slot = Some(now);
            }
            *slot.get_or_insert(now)
        };
        let seconds = i64::try_from(now.saturating_sub(since).as_secs()).unwrap_or(i64::MAX);
        self.lag_seconds.get_or_create(&label(signal)).set(seconds);
    }

    /// Each signal that is exported, for how many seconds it has had something to send, and how many records are lost.
    pub(crate) fn state(&self) -> Vec<(&'static str, i64, u64)> {
        let at_end = *self.at_end.lock().unwrap_or_else(PoisonError::into_inner);
        let signals = [ExportSignal::Logs, ExportSignal::Spans].into_iter().zip(at_end);
        let signals = signals.filter(|(_, at_end)| at_end.is_some()).map(|(signal, _)| signal);
        signals
            .map(|signal| {
                let lag = self.lag_seconds.get_or_create(&label(signal)).get();
                let lost = ["rejected", "refused", "retention"];
                (signal.name(), lag, lost.iter().map(|reason| self.lost(signal, reason).get()).sum())
            })
            .collect()
    }
}
