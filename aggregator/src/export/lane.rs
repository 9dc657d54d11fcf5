//! One signal on its way out: window by window, each request repeated until the endpoint takes it or refuses it for good.

use std::sync::Arc;
use std::time::Duration;

use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::log::Repeated;
use daemon::otlp::Outcome;
use daemon::shutdown::Token;
use futures::StreamExt as _;
use store::{ScanRequest, Snapshot, Store};

use super::client::Client;
use super::cursor::Cursor;
use super::rows::{self, Request, Rows};
use crate::config::export::ExportSignal;
use crate::metrics::ExportMetrics;

/// How often it is looked whether there is something new; what came meanwhile goes together.
const POLL: Duration = Duration::from_secs(1);
/// Positions of a window: at most so many rows are read at a time, fewer when they are large.
const STEPS: (i64, i64) = (256, 65_536);
const FIRST_STEP: i64 = 4_096;
/// A window with more bytes makes the next one smaller, with less than a quarter of it larger.
const WINDOW_BYTES: usize = 16 << 20;
/// Pauses while the endpoint takes nothing.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// The longest pause that an endpoint may ask for.
const MOST_PAUSE: Duration = Duration::from_secs(120);

/// One signal on its way out.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) signal: ExportSignal,
    pub(super) client: Client,
    pub(super) include_received: bool,
    pub(super) cursor: Cursor,
    pub(super) store: Arc<Store>,
    pub(super) metrics: ExportMetrics,
    pub(super) health: Health,
    pub(super) clock: Clock,
}

/// Positions that are being sent: which of them are done, so that a window which is read again sends none twice.
#[derive(Debug)]
struct Window {
    after: i64,
    upto: i64,
    done: Vec<bool>,
    bytes: usize,
}

/// The window did not get through.
#[derive(Debug)]
enum Stuck {
    /// The endpoint takes nothing now.
    Endpoint { after: Option<Duration>, why: String },
    /// Rows cannot be read.
    Store(store::ScanError),
}

impl Window {
    fn new(after: i64, upto: i64) -> Self {
        let positions = usize::try_from(upto.saturating_sub(after)).unwrap_or(0);
        Self { after, upto, done: vec![false; positions], bytes: 0 }
    }

    fn is_done(&self, lsn: i64) -> bool {
        self.place(lsn).is_none_or(|place| self.done[place])
    }

    fn finish(&mut self, lsns: &[i64]) {
        for lsn in lsns {
            if let Some(place) = self.place(*lsn) {
                self.done[place] = true;
            }
        }
    }

    fn place(&self, lsn: i64) -> Option<usize> {
        let place = usize::try_from(lsn.checked_sub(self.after)?.checked_sub(1)?).ok()?;
        (place < self.done.len()).then_some(place)
    }
}

impl Lane {
    /// Runs until the token's phase begins. What was sent is on disk then.
    pub(super) async fn run(mut self, token: Token) {
        tokio::select! {
            () = self.work() => {}
            () = token.stopped() => {}
        }
        self.save().await;
        drop(token);
    }

    async fn work(&mut self) {
        let lines = Repeated::new(self.clock.clone(), Duration::from_secs(30));
        let (mut step, mut pause) = (FIRST_STEP, PAUSES.0);
        let mut open: Option<Window> = None;
        let mut saved_at = self.clock.monotonic();
        loop {
            let snapshot = self.store.snapshot();
            let last = snapshot.last_lsn();
            self.measure(last);
            let mut window = match open.take() {
                Some(window) => window,
                None if self.cursor.lsn() >= last => {
                    self.save().await;
                    drop(snapshot);
                    tokio::time::sleep(POLL).await;
                    continue;
                }
                None => Window::new(self.cursor.lsn(), self.cursor.lsn().saturating_add(step).min(last)),
            };
            match self.send_window(&snapshot, &mut window).await {
                Ok(()) => {
                    self.cursor.advance(window.upto);
                    self.store.read_through(self.signal.table(), window.upto);
                    pause = PAUSES.0;
                    step = match window.bytes {
                        bytes if bytes > WINDOW_BYTES => step / 2,
                        bytes if bytes < WINDOW_BYTES / 4 => step * 2,
                        _ => step,
                    }
                    .clamp(STEPS.0, STEPS.1);
                    let now = self.clock.monotonic();
                    if now.saturating_sub(saved_at) >= POLL {
                        saved_at = now;
                        self.save().await;
                    }
                }
                Err(stuck) => {
                    // what it would read is not held meanwhile
                    drop(snapshot);
                    let wait = self.stuck(stuck, pause, &lines);
                    pause = (pause * 2).min(PAUSES.1);
                    open = Some(window);
                    self.save().await;
                    tokio::time::sleep(wait).await;
                    self.refresh();
                }
            }
        }
    }

    /// Reads and sends what of the window is not done.
    async fn send_window(&mut self, snapshot: &Snapshot, window: &mut Window) -> Result<(), Stuck> {
        let request = ScanRequest {
            after_lsn: Some(window.after),
            upto_lsn: Some(window.upto),
            columns: Some(rows::columns(self.signal)),
            ..ScanRequest::default()
        };
        let mut stream = snapshot.scan(self.signal.table(), request).map_err(Stuck::Store)?;
        let mut open = Request::new(self.signal);
        while let Some(batch) = stream.next().await {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) if error.is_partial() => {
                    self.metrics.unreadable(self.signal);
                    tracing::error!(error = %crate::chain(&error), "a segment is not exported");
                    continue;
                }
                Err(error) => return Err(Stuck::Store(error)),
            };
            let Some(rows) = Rows::new(self.signal, &batch) else { continue };
            for row in 0..rows.len() {
                if window.is_done(rows.lsn(row)) || !(self.include_received || rows.is_own(row)) {
                    continue;
                }
                open.push(&rows, row);
                if open.is_full() {
                    let full = std::mem::replace(&mut open, Request::new(self.signal));
                    self.send(full, window).await?;
                }
            }
        }
        if open.is_empty() { Ok(()) } else { self.send(open, window).await }
    }

    async fn send(&mut self, request: Request, window: &mut Window) -> Result<(), Stuck> {
        let lsns = request.lsns().to_vec();
        window.bytes += request.bytes();
        let (path, body) = request.encode();
        if self.client.is_stale() {
            self.refresh();
        }
        self.metrics.request(self.signal);
        let count = lsns.len() as u64;
        match self.client.post(path, &body).await {
            Outcome::Taken { rejected, why } => {
                self.metrics.sent(self.signal, count.saturating_sub(rejected), rejected);
                if rejected > 0 {
                    tracing::warn!(path, rejected, %why, "records rejected by the OTLP endpoint");
                }
                self.health.forget(self.signal.part());
            }
            Outcome::Refused { why } => {
                self.metrics.refused(self.signal, count);
                tracing::error!(path, records = count, %why, "the OTLP endpoint refuses a request for good; it is dropped");
            }
            Outcome::Later { after, why } => return Err(Stuck::Endpoint { after, why }),
        }
        window.finish(&lsns);
        Ok(())
    }

    /// Says why it is stuck, and for how long to wait.
    fn stuck(&self, stuck: Stuck, pause: Duration, lines: &Repeated) -> Duration {
        let (wait, why) = match stuck {
            Stuck::Endpoint { after, why } => (
                after.map_or(pause, |after| after.min(MOST_PAUSE)),
                format!("the endpoint takes nothing: {why}"),
            ),
            Stuck::Store(error) => (pause, format!("rows cannot be read: {}", crate::chain(&error))),
        };
        self.metrics.failed(self.signal);
        self.health.note(self.signal.part(), format!("{why}; what is to be sent waits in the store"));
        if let Some(held_back) = lines.permit() {
            let signal = self.signal.name();
            tracing::warn!(signal, %why, held_back, "export over OTLP waits");
        }
        wait
    }

    /// Headers and certificates may have been mended.
    fn refresh(&mut self) {
        if let Err(error) = self.client.refresh() {
            tracing::warn!(error = %crate::chain(&error), "headers and certificates stay as they were");
        }
    }

    fn measure(&self, last: i64) {
        let behind = last.saturating_sub(self.cursor.lsn());
        let dropped = self.store.dropped_unread(self.signal.table());
        self.metrics.lag(self.signal, behind, dropped, self.clock.monotonic());
    }

    async fn save(&mut self) {
        if let Err(error) = self.cursor.save().await {
            tracing::warn!(error = %crate::chain(&error), "where the export goes on is not on disk");
        }
    }
}
