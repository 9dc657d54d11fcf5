//! Export without an aggregator: spooled batches to any OTLP/HTTP endpoint, as logs and metrics in protobuf.
//!
//! In: batches that wait, and the spool. Out: `acked` batches. One batch at a time, its logs, its metrics and its losses each in a request: what was
//! accepted is not sent again while the agent lives. OTLP has no sequence numbers, so that after an answer that got lost, or a
//! restart between the two requests, records come twice: at least once, never less.
//! A refusal that may pass (429, 502, 503, 504, no connection) is repeated after the time it names or a growing pause, and
//! so is what something else than an OTLP endpoint answers (404, 405, a redirect, 401, 403); but one that takes the other
//! signals and for a minute not this one holds nobody up: what it does not serve is counted as lost (`unserved`). What is too large (413)
//! is halved. Any other refusal drops that request, counted in the ledger, and so are records that a partial success rejects;
//! an endpoint that refuses one after the other is asked less and less often.

mod attributes;
mod convert;
mod halve;
mod next;
mod points;
mod put;
mod resource;
mod spans;
mod unserved;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::log::Repeated;
use daemon::otlp::{Http, Outcome};
use daemon::shutdown::Token;
use tokio::sync::watch;

use crate::export::SharedSpool;
use crate::export::backoff::Backoff;
use crate::export::ledger::Ledger;
use crate::export::spool::Kept;
use crate::metrics::export::ExportMetrics;
use crate::window::sample::Loss;
use convert::Request;
use next::Next;
use unserved::Unserved;

/// How long a signal that the endpoint does not know is waited for.
pub const PATIENCE: Duration = unserved::PATIENCE;

#[cfg(test)]
mod tests;

/// How long the sender goes on after the stop, to deliver what the last flush spooled.
const DRAIN: Duration = Duration::from_millis(700);
/// The longest pause that an endpoint may ask for.
const MOST_PAUSE: Duration = Duration::from_secs(60);

/// A larger request goes in halves, whatever the endpoint would take; collectors take 20 MiB by default.
const MOST_BYTES: usize = 4 << 20;

/// An endpoint that takes less than this is asked with larger requests first all the same.
const LEAST_BYTES: usize = 8 << 10;

/// The endpoint takes less at a time.
#[derive(Debug)]
struct TooLarge {
    why: String,
}

/// What the sender works with.
#[derive(Debug)]
pub struct Sender {
    /// Where to, and how.
    pub http: Http,
    /// Who we are.
    pub node: String,
    /// Turns true once the writer has spooled its last batch.
    pub flushed: watch::Receiver<bool>,
    /// What is to be sent.
    pub spool: SharedSpool,
    /// What is lost.
    pub ledger: Ledger,
    /// `/readyz` says when the endpoint is away; the agent works without it.
    pub health: Health,
    /// Counters.
    pub metrics: ExportMetrics,
    /// Time.
    pub clock: Clock,
    /// How long a signal that the endpoint does not know is waited for.
    pub patience: Duration,
}

impl Sender {
    /// Runs until the token's phase begins and what is spooled was delivered, or `DRAIN` has passed.
    pub async fn run(mut self, token: Token) {
        tokio::select! {
            () = self.deliver() => {}
            () = stopped_for(&token, DRAIN) => {}
        }
        self.metrics.connected.set(0);
    }

    async fn deliver(&mut self) {
        let mut backoff = Backoff::new(self.clock.now_unix_ns());
        let lines = Repeated::new(self.clock.clone(), Duration::from_secs(30));
        let mut most = MOST_BYTES;
        let mut unserved = Unserved::new(self.patience);
        let mut was_direct = false;
        loop {
            let Some(Next { batch, payload }) = next::of(&self.spool, &mut was_direct) else {
                // a writer that is gone flushes nothing any more
                let is_flushed = *self.flushed.borrow() || self.flushed.has_changed().is_err();
                if is_flushed && !self.spool.lock().has_next() && self.spool.direct.is_empty() {
                    return;
                }
                tokio::select! {
                    () = self.spool.ready.notified() => {}
                    _ = self.flushed.changed(), if !is_flushed => {}
                    // what could not be read from the disk is tried again
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
                continue;
            };
            let payload = match payload {
                Kept::Unpacked(payload) => Some(payload),
                Kept::Packed(payload, bytes) => {
                    crate::export::batch::unpacked(&payload, bytes).map(Bytes::from)
                }
            };
            match payload.and_then(|payload| convert::requests(&payload, &self.node)) {
                Some(requests) => {
                    for request in requests {
                        if unserved.holds(request.path, self.clock.monotonic()) {
                            self.unserved(&request);
                            continue;
                        }
                        self.send_in_parts(request, &mut most, &mut backoff, &mut unserved, &lines).await;
                    }
                }
                None => {
                    tracing::error!(?batch, "a batch cannot be read");
                    self.ledger.add(&Loss {
                        signal: "batch",
                        stage: "export",
                        reason: "unreadable",
                        count: 1,
                    });
                }
            }
            if let Some(rows) = next::done(&self.spool, batch) {
                self.metrics.direct(&rows);
            }
            self.metrics.acked_batches.inc();
            self.spool.acked.notify_one();
        }
    }

    /// Sends a request, in halves of halves where it is too large; `most` bytes were not yet too many.
    async fn send_in_parts(
        &self,
        request: Request,
        most: &mut usize,
        backoff: &mut Backoff,
        unserved: &mut Unserved,
        lines: &Repeated,
    ) {
        let mut waiting = vec![request];
        while let Some(request) = waiting.pop() {
            if request.body.len() > *most
                && let Some([first, second]) = halve::halve(&request)
            {
                waiting.extend([second, first]);
                continue;
            }
            let Err(TooLarge { why }) = self.send(&request, backoff, unserved, lines).await else { continue };
            match halve::halve(&request) {
                Some([first, second]) => {
                    *most = (request.body.len() / 2).clamp(LEAST_BYTES, *most);
                    waiting.extend([second, first]);
                }
                None => self.drop(&request, "too_large", &why, backoff).await,
            }
        }
    }

    /// Books a request that the endpoint refuses for good. The next one waits for a while.
    async fn drop(&self, request: &Request, reason: &'static str, why: &str, backoff: &mut Backoff) {
        self.metrics.refused("invalid").inc();
        self.lost(request, request.records(), reason);
        self.ledger.put_back(&request.losses);
        let (path, records) = (request.path, request.records());
        tracing::error!(path, records, reason, why, "request refused for good and dropped");
        self.health
            .note("export", format!("the OTLP endpoint refuses requests for good ({why}); they are dropped"));
        tokio::time::sleep(backoff.next()).await;
    }

    /// Repeats a request until it is accepted, or refused for good.
    ///
    /// # Errors
    /// When it is too large.
    async fn send(
        &self,
        request: &Request,
        backoff: &mut Backoff,
        unserved: &mut Unserved,
        lines: &Repeated,
    ) -> Result<(), TooLarge> {
        // others were taken since it was not
        let mut is_alone = false;
        loop {
            self.metrics.sent_batches.inc();
            let (after, why) = match self.http.post_shared(request.path, Bytes::clone(&request.body)).await {
                Outcome::Taken { rejected, why } => {
                    backoff.reset();
                    unserved.serves(request.path);
                    self.health.forget(unserved::part(request.path));
                    self.metrics.connected.set(1);
                    self.health.forget("export");
                    if rejected > 0 {
                        self.metrics.rejected_rows.inc_by(rejected);
                        self.rejected(request, rejected);
                        tracing::warn!(path = request.path, rejected, %why, "records rejected by the endpoint");
                    }
                    return Ok(());
                }
                Outcome::Refused { why } => {
                    self.drop(request, "refused", &why, backoff).await;
                    return Ok(());
                }
                Outcome::TooLarge { why } => return Err(TooLarge { why }),
                Outcome::Later { after, why } => {
                    unserved.is_away(request.path);
                    (after, why)
                }
                Outcome::Misplaced { why } => {
                    if is_alone {
                        unserved.is_not_served(request.path, self.clock.monotonic());
                        self.unserved(request);
                        self.health.note(
                            unserved::part(request.path),
                            format!("the OTLP endpoint takes no {} ({why}); they are dropped", request.path),
                        );
                        tracing::warn!(path = request.path, %why, "the OTLP endpoint takes other signals only");
                        return Ok(());
                    }
                    is_alone = unserved.misses(request.path, self.clock.monotonic())
                        && unserved::takes_others(&self.http, request.path).await;
                    if is_alone {
                        continue;
                    }
                    (None, format!("it is none, or not for us: {why}"))
                }
            };
            is_alone = false;
            self.metrics.connected.set(0);
            self.metrics.stream_errors.inc();
            self.health
                .note("export", format!("the OTLP endpoint takes nothing: {why}; batches stay in the spool"));
            if let Some(held_back) = lines.permit() {
                tracing::warn!(%why, held_back, "the OTLP endpoint takes nothing, batches stay in the spool");
            }
            let pause = after.map_or_else(|| backoff.next(), |after| after.min(MOST_PAUSE));
            tokio::time::sleep(pause).await;
        }
    }

    /// Books a request of a signal that the endpoint does not take.
    fn unserved(&self, request: &Request) {
        self.metrics.refused("unserved").inc();
        self.lost(request, request.records(), "unserved");
        self.ledger.put_back(&request.losses);
    }

    /// Books records of a request as lost: by signal, the first ones first where only some are.
    fn lost(&self, request: &Request, records: u64, reason: &'static str) {
        let mut left = records;
        for (signal, count) in &request.rows {
            let count = left.min(*count);
            left -= count;
            self.ledger.add(&Loss { signal, stage: "export", reason, count });
        }
    }

    /// Books what a partial success left out. Of metrics it counts points, which belong to no row; of losses nobody can say
    /// which ones it left out: rather reported twice than never.
    fn rejected(&self, request: &Request, rejected: u64) {
        if !request.losses.is_empty() {
            self.ledger.put_back(&request.losses);
        } else if request.points > 0 {
            let count = rejected.min(request.points);
            self.ledger.add(&Loss { signal: "metric_point", stage: "export", reason: "rejected", count });
        } else {
            self.lost(request, rejected.min(request.records()), "rejected");
        }
    }
}

/// The bodies of the requests that a payload makes: for `examples/span_cost.rs`, which counts what they take.
#[doc(hidden)]
pub fn bodies(payload: &[u8], node: &str) -> Option<Vec<Bytes>> {
    Some(convert::requests(payload, node)?.into_iter().map(|request| request.body).collect())
}

async fn stopped_for(token: &Token, time: Duration) {
    token.stopped().await;
    tokio::time::sleep(time).await;
}
