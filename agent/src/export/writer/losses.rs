//! What is lost on the way to the spool and in it: booked, and spooled by itself while no rows are taken.

use proto::v1;

use super::{ChunkSource, Open, Writer};
use crate::export::batch::Unpacked;
use crate::export::ledger::signal_named;
use crate::export::spool::SpoolError;
use crate::window::Window;
use crate::window::sample::Loss;

/// Their window: they were lost within about a minute.
const LOSS_WINDOW_SECONDS: u32 = 60;

impl<S: ChunkSource> Writer<S> {
    /// What was lost in the log reader and on disk.
    pub(super) fn book_losses(&self) {
        self.logs.report(&self.ledger);
        for (signal, count) in self.spool.lock().take_lost() {
            let signal = signal_named(&signal);
            self.ledger.add(&Loss { signal, stage: "spool", reason: "damaged", count });
        }
    }

    /// Spools what was lost so far, in a batch of its own.
    pub(super) async fn write_losses(&self) {
        let losses = self.ledger.take(Window::containing(self.clock.now_unix_ns(), LOSS_WINDOW_SECONDS));
        if losses.is_empty() {
            return;
        }
        if let Err((error, batch)) = self.write(Unpacked::of_losses(losses)).await {
            tracing::debug!(error = daemon::log::chain(&error), "losses stay in memory");
            self.ledger.put_back(&batch.payload.losses);
        }
    }

    /// At the end: what was lost and finds no room on disk is said here at last.
    pub(super) fn say_untold(&self) {
        let losses = self.ledger.take(Window::containing(self.clock.now_unix_ns(), LOSS_WINDOW_SECONDS));
        for v1::LossRow { signal, stage, reason, count, .. } in &losses {
            tracing::warn!(signal, stage, reason, count, "lost, and told nowhere else");
        }
        self.ledger.put_back(&losses);
    }

    pub(super) fn drop_rows(
        &self,
        error: &SpoolError,
        rows: std::collections::BTreeMap<&'static str, u64>,
        losses: Vec<v1::LossRow>,
        open: &Open,
    ) {
        if let Some(held_back) = open.refusals.permit() {
            let error = daemon::log::chain(error);
            tracing::warn!(error, held_back, "rows dropped, the spool takes nothing");
        }
        let reason = match error {
            SpoolError::Full { .. } => "spool_full",
            SpoolError::Append { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                "disk_full"
            }
            SpoolError::Open { .. } | SpoolError::Append { .. } => "spool_error",
        };
        for (signal, count) in rows {
            self.ledger.add(&Loss { signal, stage: "spool", reason, count });
        }
        self.ledger.put_back(&losses);
    }
}
