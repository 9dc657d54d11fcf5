//! What was not sent and never will be, for the ledger of losses: the table `loss`, where a person looks for it.
//!
//! Its signals are `export_logs` and `export_spans`: the rows themselves are in the store, and its answers lack nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use daemon::clock::Clock;
use proto::v1;
use store::Store;

use crate::config::export::ExportSignal;

/// How long losses are summed up before they are written.
const WINDOW: Duration = Duration::from_secs(10);

/// Losses that are not in the store yet.
#[derive(Debug)]
pub(super) struct Losses {
    signal: &'static str,
    waiting: BTreeMap<&'static str, u64>,
    since: Duration,
}

impl Losses {
    pub(super) fn new(signal: ExportSignal) -> Self {
        let signal = match signal {
            ExportSignal::Logs => "export_logs",
            ExportSignal::Spans => "export_spans",
        };
        Self { signal, waiting: BTreeMap::new(), since: Duration::ZERO }
    }

    /// So many records are lost.
    pub(super) fn add(&mut self, reason: &'static str, count: u64, now: Duration) {
        if count == 0 {
            return;
        }
        if self.waiting.is_empty() {
            self.since = now;
        }
        *self.waiting.entry(reason).or_default() += count;
    }

    /// Writes what was summed up, if it is time. What the store does not take now waits. Who stops waiting for the answer
    /// has handed it over none the less: it is not written twice.
    pub(super) async fn write(&mut self, store: &Store, clock: &Clock, is_end: bool) {
        let is_due = is_end || clock.monotonic().saturating_sub(self.since) >= WINDOW;
        if self.waiting.is_empty() || !is_due {
            return;
        }
        let now_ns = clock.now_unix_ns();
        let row = |(reason, count): (&&'static str, &u64)| v1::LossRow {
            ts: now_ns,
            window_s: u32::try_from(WINDOW.as_secs()).unwrap_or(u32::MAX),
            signal: self.signal.to_owned(),
            stage: "export".to_owned(),
            reason: (*reason).to_owned(),
            count: *count,
        };
        let losses = self.waiting.iter().map(row).collect();
        let taken = std::mem::take(&mut self.waiting);
        let payload = v1::Payload { losses, ..v1::Payload::default() };
        match store.append_payload(payload, i64::try_from(now_ns).unwrap_or(i64::MAX)).await {
            Ok(_) => {}
            Err(refused) => {
                self.waiting = taken;
                self.since = clock.monotonic();
                tracing::debug!(detail = %refused.detail, "losses of the export wait for the store");
            }
        }
    }
}
