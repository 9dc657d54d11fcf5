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
use super::losses::Losses;
use super::rows::{self, Request, Rows};
use super::window::{Size, Stuck, Window};
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

/// Rows that retention took before they were sent. Whose they were nobody knows any more: where what was received does not go
/// out, as large a part of them counts as of the rows that were read.
#[derive(Debug, Default)]
pub(super) struct Missed {
    all: u64,
    own: u64,
    /// What the store said last, and what of it counts.
    said: u64,
    counts: u64,
}

impl Missed {
    fn read(&mut self, is_own: bool) {
        self.all += 1;
        self.own += u64::from(is_own);
    }

    /// How many were to be sent, of so many in all.
    fn dropped(&mut self, said: u64, include_received: bool) -> u64 {
        let more = said.saturating_sub(self.said);
        self.said = said;
        self.counts += match self.all {
            all if all > 0 && !include_received => {
                u64::try_from(u128::from(more) * u128::from(self.own) / u128::from(all)).unwrap_or(more)
            }
            _ => more,
        };
        self.counts
    }
}

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
    pub(super) losses: Losses,
    pub(super) size: Size,
    /// Requests in a row that were dropped.
    pub(super) drops: u32,
    pub(super) missed: Missed,
}

impl Lane {
    /// Runs until the token's phase begins. What was sent is on disk then.
    pub(super) async fn run(mut self, token: Token) {
        tokio::select! {
            () = self.work() => {}
            () = token.stopped() => {}
        }
        self.save().await;
        self.losses.write(&self.store, &self.clock, true).await;
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
            self.losses.write(&self.store, &self.clock, false).await;
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
                Err(Stuck::TooLarge) => open = Some(window),
                Err(stuck) => {
                    // what it would read is not held meanwhile
                    drop(snapshot);
                    let wait = self.stuck(stuck, &mut pause, &lines);
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
                self.missed.read(rows.is_own(row));
                if window.is_done(rows.lsn(row)) || !(self.include_received || rows.is_own(row)) {
                    continue;
                }
                let record = rows.record(row);
                if self.size.is_over(open.lsns().len() + 1, open.bytes_with(&rows, row, &record), window) {
                    let full = std::mem::replace(&mut open, Request::new(self.signal));
                    self.send(full, window).await?;
                }
                open.push(&rows, row, record);
            }
        }
        if open.is_empty() { Ok(()) } else { self.send(open, window).await }
    }

    async fn send(&mut self, request: Request, window: &mut Window) -> Result<(), Stuck> {
        let (lsns, bytes) = (request.lsns().to_vec(), request.bytes());
        let (path, body) = request.encode();
        if self.client.is_stale() {
            self.refresh();
        }
        self.metrics.request(self.signal);
        let count = lsns.len() as u64;
        match self.client.post(path, &body).await {
            Outcome::Taken { rejected, why } => {
                let rejected = rejected.min(count);
                self.metrics.sent(self.signal, count - rejected);
                if rejected > 0 {
                    self.lost("rejected", rejected);
                    tracing::warn!(path, rejected, %why, "records rejected by the OTLP endpoint");
                }
                self.drops = 0;
                self.size.taken();
                self.health.forget(self.signal.part());
                self.metrics.waits(self.signal, None);
            }
            Outcome::TooLarge { why } if count > 1 => {
                self.metrics.failed(self.signal);
                self.size.refused(bytes, window);
                tracing::info!(path, bytes, %why, "the OTLP endpoint takes smaller requests");
                return Err(Stuck::TooLarge);
            }
            Outcome::TooLarge { why } => {
                window.bytes += bytes;
                window.finish(&lsns);
                return self.dropped("too_large", count, &why);
            }
            Outcome::Refused { why } => {
                window.bytes += bytes;
                window.finish(&lsns);
                return self.dropped("refused", count, &why);
            }
            Outcome::Later { after, why } => return Err(Stuck::Endpoint { after, why }),
            Outcome::Misplaced { why } => return Err(Stuck::Misplaced { why }),
        }
        window.bytes += bytes;
        window.finish(&lsns);
        Ok(())
    }

    /// Records that the endpoint refused for good. One that refuses everything is asked less and less often, so that what
    /// is lost before somebody looks is little; nothing of the store is held meanwhile.
    fn dropped(&mut self, reason: &'static str, records: u64, why: &str) -> Result<(), Stuck> {
        self.lost(reason, records);
        tracing::error!(records, reason, why, "the OTLP endpoint refuses a request for good; it is dropped");
        let sentence = format!("the endpoint refuses requests for good ({why}); their records are lost");
        self.metrics.waits(self.signal, Some(sentence.clone()));
        self.health.note(self.signal.part(), sentence);
        self.drops = self.drops.saturating_add(1);
        if self.drops <= 1 {
            return Ok(());
        }
        let factor = 1_u32.checked_shl(self.drops - 2).unwrap_or(u32::MAX);
        Err(Stuck::Dropped { wait: PAUSES.0.saturating_mul(factor).min(PAUSES.1) })
    }

    fn lost(&mut self, reason: &'static str, records: u64) {
        self.metrics.lost(self.signal, reason, records);
        self.losses.add(reason, records, self.clock.monotonic());
    }

    /// Says why it is stuck, and for how long to wait; the next pause is longer.
    fn stuck(&self, stuck: Stuck, pause: &mut Duration, lines: &Repeated) -> Duration {
        let now = *pause;
        let (wait, why) = match stuck {
            // it is told and counted already, as lost and not as waiting
            Stuck::Dropped { wait } => return wait,
            Stuck::Endpoint { after, why } => (
                after.map_or(now, |after| after.min(MOST_PAUSE)),
                format!("the endpoint takes nothing: {why}"),
            ),
            Stuck::Misplaced { why } => (now, format!("the endpoint is not one, or not for us: {why}")),
            Stuck::TooLarge => (now, String::from("the endpoint takes smaller requests")),
            Stuck::Store(error) => (now, format!("rows cannot be read: {}", crate::chain(&error))),
        };
        *pause = (now * 2).min(PAUSES.1);
        self.metrics.failed(self.signal);
        let sentence = format!("{why}; what is to be sent waits in the store");
        self.metrics.waits(self.signal, Some(sentence.clone()));
        self.health.note(self.signal.part(), sentence);
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

    fn measure(&mut self, last: i64) {
        let (behind, now) = (last.saturating_sub(self.cursor.lsn()), self.clock.monotonic());
        let dropped = self.store.dropped_unread(self.signal.table());
        let dropped = self.missed.dropped(dropped, self.include_received);
        let news = self.metrics.lag(self.signal, behind, dropped, now);
        self.losses.add("retention", news, now);
    }

    async fn save(&mut self) {
        if let Err(error) = self.cursor.save().await {
            tracing::warn!(error = %crate::chain(&error), "where the export goes on is not on disk");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Missed;

    #[test]
    fn of_what_was_dropped_only_what_would_have_gone_out_counts() {
        let mut missed = Missed::default();
        assert_eq!(missed.dropped(10, false), 10, "of what was never read all may have been");
        (0..100).for_each(|row| missed.read(row < 25));
        assert_eq!((missed.dropped(10, false), missed.dropped(50, false)), (10, 20));
        assert_eq!(missed.dropped(60, true), 30);
    }
}
