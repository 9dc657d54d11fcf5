//! Export without an aggregator: spooled batches to any OTLP/HTTP endpoint, as logs and metrics in protobuf.
//!
//! In: the spool. Out: `acked` batches. One batch at a time, its logs, its metrics and its losses each in a request: what was
//! accepted is not sent again while the agent lives. OTLP has no sequence numbers, so that after an answer that got lost, or a
//! restart between the two requests, records come twice: at least once, never less.
//! A refusal that may pass (429, 502, 503, 504, no connection) is repeated after the time it names or a growing pause; any
//! other drops that request, counted in the ledger, and so are records that a partial success rejects.

mod convert;
mod points;
mod resource;
mod spans;

use std::time::Duration;

use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::log::Repeated;
use daemon::otlp::{Http, Outcome};
use daemon::shutdown::Token;
use tokio::sync::watch;

use crate::export::SharedSpool;
use crate::export::backoff::Backoff;
use crate::export::ledger::Ledger;
use crate::metrics::export::ExportMetrics;
use crate::window::sample::Loss;
use convert::Request;

#[cfg(test)]
mod tests;

/// How long the sender goes on after the stop, to deliver what the last flush spooled.
const DRAIN: Duration = Duration::from_millis(700);
/// The longest pause that an endpoint may ask for.
const MOST_PAUSE: Duration = Duration::from_secs(60);

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
        loop {
            let next = self.spool.lock().next(&self.node);
            let Some(batch) = next else {
                // a writer that is gone flushes nothing any more
                let is_flushed = *self.flushed.borrow() || self.flushed.has_changed().is_err();
                if is_flushed && !self.spool.lock().has_next() {
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
            let id = (batch.epoch, batch.seq);
            match crate::export::batch::unpack(&batch.zstd_payload, batch.unpacked_bytes) {
                Some(payload) => {
                    for request in convert::requests(&payload, &self.node) {
                        self.send(&request, &mut backoff, &lines).await;
                    }
                }
                None => {
                    tracing::error!(
                        epoch = batch.epoch,
                        seq = batch.seq,
                        "a batch of the spool cannot be read"
                    );
                    self.ledger.add(&Loss {
                        signal: "batch",
                        stage: "export",
                        reason: "unreadable",
                        count: 1,
                    });
                }
            }
            self.spool.lock().acked(id);
            self.metrics.acked_batches.inc();
            self.spool.acked.notify_one();
        }
    }

    /// Repeats a request until it is accepted, or refused for good.
    async fn send(&self, request: &Request, backoff: &mut Backoff, lines: &Repeated) {
        loop {
            self.metrics.sent_batches.inc();
            let (after, why) = match self.http.post(request.path, &request.body).await {
                Outcome::Taken { rejected, why } => {
                    backoff.reset();
                    self.metrics.connected.set(1);
                    self.health.forget("export");
                    if rejected > 0 {
                        self.metrics.rejected_rows.inc_by(rejected);
                        self.rejected(request, rejected);
                        tracing::warn!(path = request.path, rejected, %why, "records rejected by the endpoint");
                    }
                    return;
                }
                Outcome::Refused { why } => {
                    self.metrics.refused("invalid").inc();
                    self.lost(request, request.records(), "refused");
                    self.ledger.put_back(&request.losses);
                    tracing::error!(path = request.path, records = request.records(), %why, "request refused for good and dropped");
                    return;
                }
                Outcome::Later { after, why } => (after, why),
            };
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

async fn stopped_for(token: &Token, time: Duration) {
    token.stopped().await;
    tokio::time::sleep(time).await;
}
