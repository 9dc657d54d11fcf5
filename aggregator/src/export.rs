//! What the store has, sent on over OTLP/HTTP: log lines and spans.
//!
//! ```text
//! store ─ window of positions ─▶ rows (record batches → OTLP) ─▶ lane (requests of 512 KiB, retry) ─▶ daemon::otlp
//!   ▲                                                              │
//!   └──────────────────────── cursor (on disk) ◀───────────────────┘
//! ```
//! Each signal is a lane of its own: it reads the rows behind its cursor, window by window, sends them, and moves the
//! cursor on once everything of a window was taken or refused for good. What the endpoint does not take now waits in the
//! store: a lane holds one window of rows at most, and ingest knows nothing of it.
//! What an endpoint refuses for good is dropped, what is too large for it halved, and what is answered by something else
//! than an OTLP endpoint (a wrong URL, a token that is not taken) waits as if nobody answered.
//! Invariants: at least once; memory is bounded by a window, which shrinks when its rows are large; what was dropped, and
//! what retention took before it was sent (`Store::dropped_unread`), is counted and in the ledger of losses.
//!
//! Does not: send metrics, nor what came in over OTLP unless it is told to (else two aggregators could send in a circle).

mod client;
mod cursor;
mod lane;
mod losses;
mod resource;
mod rows;
mod window;

use std::path::Path;
use std::sync::Arc;

use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::shutdown::{Phase, Shutdown};
use store::{Store, Table};

use crate::config::export::{ExportFrom, ExportSignal, OtlpExport};
use crate::metrics::ExportMetrics;
use client::Client;
use cursor::Cursor;
use lane::Lane;
use losses::Losses;
use window::Size;

/// What export works with.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) config: &'a OtlpExport,
    pub(crate) data_dir: &'a Path,
    pub(crate) store: &'a Arc<Store>,
    pub(crate) metrics: ExportMetrics,
    pub(crate) health: &'a Health,
    pub(crate) clock: &'a Clock,
    pub(crate) shutdown: &'a Shutdown,
}

/// Export cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Headers or certificates cannot be used.
    #[error(transparent)]
    Client(#[from] client::ClientError),
    /// The place where it goes on cannot be read or written.
    #[error(transparent)]
    Cursor(#[from] cursor::CursorError),
}

/// Starts a lane for each signal; none without an endpoint.
///
/// # Errors
/// When headers, certificates or cursors cannot be used.
pub(crate) async fn start(parts: Parts<'_>) -> Result<(), StartError> {
    let Parts { config, data_dir, store, metrics, health, clock, shutdown } = parts;
    if config.endpoint.is_empty() {
        return Ok(());
    }
    for signal in [ExportSignal::Logs, ExportSignal::Spans] {
        if !config.signals.contains(&signal) {
            continue;
        }
        let last = store.snapshot().last_lsn();
        let first = match config.from {
            ExportFrom::Now => last,
            ExportFrom::Beginning => -1,
        };
        let cursor = Cursor::open(&data_dir.join("export"), signal.name(), first, last).await?;
        store.read_through(signal.table(), cursor.lsn());
        let lane = Lane {
            signal,
            client: Client::new(config)?,
            include_received: config.include_received,
            cursor,
            store: Arc::clone(store),
            metrics: metrics.clone(),
            health: health.clone(),
            clock: clock.clone(),
            losses: Losses::new(signal),
            size: Size::default(),
            drops: 0,
            missed: lane::Missed::default(),
        };
        let token = shutdown.register(Phase::Intake, signal.part());
        tokio::spawn(lane.run(token));
    }
    Ok(())
}

impl ExportSignal {
    /// Its name in metrics and on disk.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Spans => "spans",
        }
    }

    fn part(self) -> &'static str {
        match self {
            Self::Logs => "export of logs",
            Self::Spans => "export of spans",
        }
    }

    fn table(self) -> Table {
        match self {
            Self::Logs => Table::Log,
            Self::Spans => Table::Span,
        }
    }
}

#[cfg(test)]
mod tests;
