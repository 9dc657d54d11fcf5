//! Sends spooled batches to the aggregator over one gRPC stream, and takes its acknowledgements.
//!
//! In: the spool. Out: `acked` batches. A refusal that may pass is repeated after the time it names; one that may not
//! drops the batch, counted by code. A broken stream sends everything unacknowledged again, after a growing pause with
//! jitter; the other side stores no batch twice.

use std::collections::BTreeSet;
use std::time::Duration;

use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::log::Repeated;
use daemon::shutdown::Token;
use proto::v1;
use proto::v1::agent_message::Kind as Sent;
use proto::v1::aggregator_message::Kind as Answer;
use proto::v1::ingest_client::IngestClient;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;

use crate::doctor::Doctor;
use crate::export::SharedSpool;
use crate::export::backoff::Backoff;
use crate::export::credentials::{Credentials, CredentialsError};
use crate::export::ledger::Ledger;
use crate::export::names::Names;
use crate::export::spool::BatchId;
use crate::metrics::export::ExportMetrics;
use crate::window::sample::Loss;

#[cfg(test)]
mod tests;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A batch in flight for longer than this means that the stream is dead.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the client goes on after the stop, to deliver what the last flush spooled.
const DRAIN: Duration = Duration::from_millis(700);
/// How often the status is repeated, for its spool figures.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// What the client works with.
#[derive(Debug)]
pub struct Client {
    /// Where to, and how both sides prove who they are.
    pub credentials: Credentials,
    /// Who we are.
    pub hello: v1::Hello,
    /// Probe states; sent at the start of a stream and whenever they change.
    pub probes: watch::Receiver<Vec<v1::ProbeState>>,
    /// What it says of this host.
    pub(crate) doctor: Doctor,
    /// Turns true once the writer has spooled its last batch.
    pub flushed: watch::Receiver<bool>,
    /// Most batches in flight.
    pub in_flight: usize,
    /// What is to be sent.
    pub spool: SharedSpool,
    /// What is lost.
    pub ledger: Ledger,
    /// `/readyz` says when the aggregator is away; the agent works without it.
    pub health: Health,
    /// Counters.
    pub metrics: ExportMetrics,
    /// Where names of pods go; `None`: nobody asks for them.
    pub names: Option<Names>,
    /// Time.
    pub clock: Clock,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("prove who we are")]
    Credentials(#[from] CredentialsError),
    /// Not an error: the next stream begins at once.
    #[error("there is a new certificate")]
    Renewed,
    #[error("connect")]
    Connect(#[source] tonic::transport::Error),
    #[error("open the ingest stream: {0}")]
    Open(String),
    #[error("receive: {0}")]
    Receive(String),
    #[error("the aggregator closed the stream")]
    Closed,
    #[error("no acknowledgement for {0:?}")]
    Silent(Duration),
}

struct Stream {
    outgoing: mpsc::Sender<v1::AgentMessage>,
    in_flight: BTreeSet<BatchId>,
    /// Nothing is sent before.
    paused_until: Duration,
    /// When the last acknowledgement came, or the first batch went out since.
    heard_at: Duration,
}

impl Client {
    /// Runs until the token's phase begins and what is spooled was delivered, or `DRAIN` has passed.
    pub async fn run(mut self, token: Token) {
        let mut backoff = Backoff::new(self.clock.now_unix_ns());
        let lines = Repeated::new(self.clock.clone(), Duration::from_secs(30));
        loop {
            let ended = tokio::select! {
                ended = self.stream(&mut backoff) => ended,
                () = stopped_for(&token, DRAIN) => Ok(()),
            };
            self.metrics.connected.set(0);
            self.spool.lock().disconnected();
            let error = match ended {
                Ok(()) => return,
                Err(StreamError::Renewed) => continue,
                Err(error) => error,
            };
            self.metrics.stream_errors.inc();
            let error = daemon::log::chain(&error);
            self.health.note(
                "export",
                format!("not connected to the aggregator: {error}; batches stay in the spool"),
            );
            if let Some(held_back) = lines.permit() {
                tracing::warn!(
                    error,
                    held_back,
                    "not connected to the aggregator, batches stay in the spool"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next()) => {}
                () = token.stopped() => return,
            }
        }
    }

    /// One stream from connect to its end; `Ok` once everything was delivered after the stop.
    async fn stream(&mut self, backoff: &mut Backoff) -> Result<(), StreamError> {
        let mut renewed = self.credentials.renewed();
        renewed.mark_unchanged();
        let endpoint = self.credentials.endpoint().await?;
        // whatever ends the stream before it is answered may be due to them
        self.credentials.doubt();
        let endpoint_uri = endpoint.uri().clone();
        let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await;
        let channel = channel.map_err(StreamError::Connect)?;
        let mut client = IngestClient::new(channel.clone())
            .max_encoding_message_size(16 << 20)
            .max_decoding_message_size(4 << 20);
        let (outgoing, queue) = mpsc::channel(self.in_flight + 4);
        send(&outgoing, Sent::Hello(self.hello.clone())).await?;
        send(&outgoing, Sent::Status(self.status())).await?;
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, client.stream(ReceiverStream::new(queue))).await;
        let mut answers = match opened {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Err(StreamError::Open(describe(&status))),
            Err(_) => return Err(StreamError::Open(format!("no answer within {CONNECT_TIMEOUT:?}"))),
        };
        tracing::info!(endpoint = %endpoint_uri, "connected to the aggregator");
        self.metrics.connected.set(1);
        self.health.forget("export");
        // ends with the connection
        let _names = self
            .names
            .clone()
            .map(|names| AbortOnDropHandle::new(tokio::spawn(names.follow(channel, self.hello.clone()))));
        let now = self.clock.monotonic();
        let mut stream = Stream { outgoing, in_flight: BTreeSet::new(), paused_until: now, heard_at: now };
        let mut status_at = now + STATUS_EVERY;
        self.probes.mark_unchanged();
        let mut is_renewed = false;
        loop {
            if is_renewed {
                // what is in flight is waited for, so that nothing is sent twice
                if stream.in_flight.is_empty() {
                    return Err(StreamError::Renewed);
                }
            } else {
                self.fill(&mut stream).await?;
            }
            // a writer that is gone flushes nothing any more
            let is_flushed = *self.flushed.borrow() || self.flushed.has_changed().is_err();
            if is_flushed && stream.in_flight.is_empty() && !self.spool.lock().has_next() {
                return Ok(());
            }
            let wait = self.wait(&stream, status_at);
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(v1::AggregatorMessage { kind: Some(kind) })) => {
                        backoff.reset();
                        self.credentials.trusted();
                        self.answered(&mut stream, kind);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return Err(StreamError::Closed),
                    Err(status) => return Err(StreamError::Receive(describe(&status))),
                },
                () = self.spool.ready.notified() => {}
                _ = renewed.changed(), if !is_renewed => is_renewed = true,
                _ = self.flushed.changed(), if !is_flushed => {}
                changed = self.probes.changed() => {
                    if changed.is_ok() {
                        send(&stream.outgoing, Sent::Status(self.status())).await?;
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
            let now = self.clock.monotonic();
            if now >= status_at {
                status_at = now + STATUS_EVERY;
                send(&stream.outgoing, Sent::Status(self.status())).await?;
            }
            if !stream.in_flight.is_empty() && now.saturating_sub(stream.heard_at) > ACK_TIMEOUT {
                return Err(StreamError::Silent(ACK_TIMEOUT));
            }
        }
    }

    fn wait(&self, stream: &Stream, status_at: Duration) -> Duration {
        let now = self.clock.monotonic();
        let mut next = status_at;
        if stream.paused_until > now {
            next = next.min(stream.paused_until);
        }
        next.saturating_sub(now).max(Duration::from_millis(1))
    }

    async fn fill(&self, stream: &mut Stream) -> Result<(), StreamError> {
        while stream.in_flight.len() < self.in_flight && self.clock.monotonic() >= stream.paused_until {
            let Some(batch) = self.spool.lock().next(&self.hello.node) else { return Ok(()) };
            if stream.in_flight.is_empty() {
                stream.heard_at = self.clock.monotonic();
            }
            stream.in_flight.insert((batch.epoch, batch.seq));
            self.metrics.sent_batches.inc();
            send(&stream.outgoing, Sent::Batch(batch)).await?;
        }
        Ok(())
    }

    fn answered(&self, stream: &mut Stream, answer: Answer) {
        stream.heard_at = self.clock.monotonic();
        match answer {
            Answer::Ack(ack) => {
                let id = (ack.epoch, ack.seq);
                stream.in_flight.remove(&id);
                self.metrics.acked_batches.inc();
                self.metrics.repeated_batches.inc_by(u64::from(ack.repeated));
                self.metrics.rejected_rows.inc_by(ack.rejected_rows);
                if let Some(first) = ack.rejected.first() {
                    let v1::RejectedRow { signal, index, reason } = first;
                    tracing::warn!(
                        rows = ack.rejected_rows,
                        signal,
                        index,
                        reason,
                        "rows rejected by the aggregator"
                    );
                }
                self.spool.lock().acked(id);
                self.spool.acked.notify_one();
            }
            Answer::Refused(refused) => self.refused(stream, refused),
        }
    }

    fn refused(&self, stream: &mut Stream, refused: v1::Refused) {
        let v1::Refused { epoch, seq, code, detail, retryable, retry_after_ms } = refused;
        let id = (epoch, seq);
        stream.in_flight.remove(&id);
        self.metrics.refused(&code).inc();
        if retryable {
            let pause = Duration::from_millis(retry_after_ms.clamp(50, 60_000));
            stream.paused_until = self.clock.monotonic() + pause;
            self.spool.lock().refused(id);
            return;
        }
        tracing::error!(epoch, seq, code, detail, "batch refused for good and dropped");
        let content = self.spool.lock().content(id);
        if let Some((rows, losses)) = content {
            for (signal, count) in rows {
                self.ledger.add(&Loss {
                    signal: crate::export::ledger::signal_named(&signal),
                    stage: "export",
                    reason: "refused",
                    count,
                });
            }
            self.ledger.put_back(&losses);
        }
        self.spool.lock().acked(id);
    }

    fn status(&self) -> v1::AgentStatus {
        let probes = self.probes.borrow().clone();
        let checks = self.doctor.checks().into_iter().map(|check| v1::Check {
            area: check.area,
            state: check.state.as_str().to_owned(),
            found: check.found,
            advice: check.advice,
        });
        let checks: Vec<v1::Check> = checks.collect();
        let spool = self.spool.lock();
        v1::AgentStatus {
            probes,
            spool_bytes: spool.bytes(),
            spool_batches: spool.batches(),
            now_ns: self.clock.now_unix_ns(),
            checks,
        }
    }
}

async fn stopped_for(token: &Token, time: Duration) {
    token.stopped().await;
    tokio::time::sleep(time).await;
}

async fn send(outgoing: &mpsc::Sender<v1::AgentMessage>, kind: Sent) -> Result<(), StreamError> {
    let message = v1::AgentMessage { kind: Some(kind) };
    outgoing.send(message).await.map_err(|_closed| StreamError::Closed)
}

fn describe(status: &tonic::Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}
