//! One agent's stream: its hello, then its batches, a bounded number at a time.

use std::sync::Arc;
use std::time::Duration;

use daemon::tls::accept::Peer;
use proto::error::ErrorCode;
use proto::v1::agent_message::Kind;
use proto::v1::{Ack, AgentMessage, AggregatorMessage, Batch, Hello, Refused, aggregator_message};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tonic::{Status, Streaming};

use crate::ingest::peer::{self, Certified};
use crate::ingest::places::Place;
use crate::ingest::{Context, status};

type Answers = Sender<Result<AggregatorMessage, Status>>;

/// The longest name of a node, cluster, boot or version.
const MOST_NAME_BYTES: usize = 253;
/// How long a new stream may stay silent.
const HELLO: Duration = Duration::from_secs(10);
/// How long an agent may take to read why its stream ends.
const LAST_WORD: Duration = Duration::from_secs(10);

/// Who opened a stream, as far as is known before its first message.
#[derive(Debug)]
pub(super) struct Opened {
    certified: Option<Certified>,
    /// Held while the stream lasts; plain text has none.
    _place: Option<Place>,
}

/// Whether a stream may be opened: decided before anything of it is read.
///
/// # Errors
/// When the peer has no certificate that names a node, or that node has too many streams.
pub(super) fn open(context: &Context, peer: Option<&Peer>) -> Result<Opened, Status> {
    let opened = peer::certified(peer).map_err(|stranger| {
        context.metrics.stranger(stranger.reason());
        stranger.status()
    });
    let opened = opened.and_then(|certified| {
        let place = certified.as_ref().map(|certified| context.places.take(&certified.node)).transpose()?;
        Ok(Opened { certified, _place: place })
    });
    opened.inspect_err(|status| refused(context, status))
}

fn refused(context: &Context, status: &Status) {
    context.metrics.stream_refused();
    if let Some(held_back) = context.metrics.refusal_line() {
        tracing::warn!(status = %status.message(), held_back, "agent refused");
    }
}

/// Reads the stream to its end, its first mistake or the shutdown; then waits for what is in flight.
pub(super) async fn run(
    context: Context,
    opened: Opened,
    mut messages: Streaming<AgentMessage>,
    answers: Answers,
) {
    let (hello, until_s) = match greet(&context, opened.certified.as_ref(), &mut messages).await {
        Ok(greeted) => greeted,
        Err(status) => {
            refused(&context, &status);
            // The agent may have gone already.
            drop(answers.send(Err(status)).await);
            return;
        }
    };
    tracing::info!(node = %hello.node, version = %hello.agent_version, "agent connected");
    let ended = tokio::select! {
        ended = read(&context, &hello, &mut messages, &answers) => ended,
        // what is in flight then is still stored and acknowledged
        () = peer::expired(&context.clock, until_s) => {
            context.metrics.stranger("expired");
            Err(status(ErrorCode::Unauthenticated, "the certificate of this connection has expired"))
        }
    };
    context.agents.disconnected(&hello);
    tracing::info!(node = %hello.node, "agent disconnected");
    if let Err(status) = ended {
        drop(tokio::time::timeout(LAST_WORD, answers.send(Err(status))).await);
    }
}

/// The hello, and until when its peer may speak (Unix seconds).
async fn greet(
    context: &Context,
    certified: Option<&Certified>,
    messages: &mut Streaming<AgentMessage>,
) -> Result<(Hello, Option<i64>), Status> {
    let first = tokio::select! {
        first = messages.message() => first?,
        () = context.token.stopped() => return Err(status(ErrorCode::Unavailable, "stopping")),
        () = tokio::time::sleep(HELLO) => return Err(status(ErrorCode::Invalid, "no hello came")),
    };
    let Some(Kind::Hello(hello)) = first.and_then(|message| message.kind) else {
        return Err(status(ErrorCode::Invalid, "the first message is not a hello"));
    };
    if hello.wire_version != proto::WIRE_VERSION {
        let message =
            format!("wire version {}; this aggregator speaks {}", hello.wire_version, proto::WIRE_VERSION);
        return Err(status(ErrorCode::UnsupportedVersion, message));
    }
    let Hello { node, boot_id, agent_version, wire_version: _, cluster } = &hello;
    if node.is_empty() {
        return Err(status(ErrorCode::Invalid, "hello without a node"));
    }
    for (name, text) in
        [("node", node), ("boot_id", boot_id), ("agent_version", agent_version), ("cluster", cluster)]
    {
        if text.len() > MOST_NAME_BYTES || text.chars().any(char::is_control) {
            return Err(status(ErrorCode::Invalid, format!("hello: {name} is no name")));
        }
    }
    let until_s = peer::check(certified, node).map_err(|stranger| {
        context.metrics.stranger(stranger.reason());
        stranger.status()
    })?;
    if !context.agents.connected(&hello, context.clock.now_unix_ns()) {
        return Err(status(ErrorCode::Busy, "as many agents are connected as may be"));
    }
    Ok((hello, until_s))
}

async fn read(
    context: &Context,
    hello: &Hello,
    messages: &mut Streaming<AgentMessage>,
    answers: &Answers,
) -> Result<(), Status> {
    let places = Arc::new(Semaphore::new(context.in_flight));
    loop {
        let message = tokio::select! {
            message = messages.message() => message?,
            () = context.token.stopped() => return Err(status(ErrorCode::Unavailable, "stopping")),
            () = answers.closed() => return Ok(()),
        };
        let Some(message) = message else { return Ok(()) };
        match message.kind {
            Some(Kind::Batch(batch)) => {
                // Past this many in flight the connection's own flow control holds the agent back.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
                // What it unpacks to counts too, as far as the store would unpack it.
                let bytes =
                    (batch.zstd_payload.len() as u64).max(batch.unpacked_bytes.min(proto::MAX_PAYLOAD_BYTES));
                let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
                let Ok(bytes) = Arc::clone(&context.bytes).acquire_many_owned(kib).await else {
                    return Ok(());
                };
                let (context, hello, answers) = (context.clone(), hello.clone(), answers.clone());
                let tasks = context.tasks.clone();
                tasks.spawn(async move {
                    let answer = append(&context, &hello, &batch).await;
                    drop((place, bytes));
                    // An agent that has gone sends the batch again and gets `repeated`.
                    drop(answers.send(Ok(answer)).await);
                });
            }
            Some(Kind::Status(status)) => {
                context.agents.status(hello, status, context.clock.now_unix_ns());
            }
            Some(Kind::Hello(_)) => return Err(status(ErrorCode::Invalid, "a second hello")),
            None => return Err(status(ErrorCode::Invalid, "a message of no kind that this version knows")),
        }
    }
}

async fn append(context: &Context, hello: &Hello, batch: &Batch) -> AggregatorMessage {
    let (epoch, seq) = (batch.epoch, batch.seq);
    let started = context.clock.monotonic();
    context.metrics.received(batch.zstd_payload.len());
    let kind = match store(context, hello, batch).await {
        Ok(appended) => {
            context.agents.acknowledged(hello, context.clock.now_unix_ns());
            context.metrics.acknowledged(&appended, context.clock.monotonic().saturating_sub(started));
            let rejected = appended.rejected.into_iter().map(|row| proto::v1::RejectedRow {
                signal: row.table.name().to_owned(),
                index: row.index,
                reason: row.reason.to_owned(),
            });
            aggregator_message::Kind::Ack(Ack {
                epoch,
                seq,
                repeated: appended.repeated,
                rejected: rejected.collect(),
                rejected_rows: appended.rejected_rows,
            })
        }
        Err(refused) => {
            let store::Refused { code, detail, retry_after_ms } = refused;
            context.metrics.refused(code);
            if let Some(held_back) = context.metrics.refusal_line() {
                tracing::warn!(node = %hello.node, epoch, seq, code = code.as_str(), %detail, held_back, "batch refused");
            }
            let retryable = code.is_retryable();
            let code = code.as_str().to_owned();
            aggregator_message::Kind::Refused(Refused { epoch, seq, code, detail, retryable, retry_after_ms })
        }
    };
    AggregatorMessage { kind: Some(kind) }
}

async fn store(context: &Context, hello: &Hello, batch: &Batch) -> Result<store::Appended, store::Refused> {
    if batch.node != hello.node {
        let detail = format!("batch of node {:?} on the stream of {:?}", batch.node, hello.node);
        context.metrics.stranger("other_node");
        return Err(store::Refused { code: ErrorCode::Forbidden, detail, retry_after_ms: 0 });
    }
    let now_ns = i64::try_from(context.clock.now_unix_ns()).unwrap_or(i64::MAX);
    // who is known by a certificate speaks for one node; in plain text nobody is asked
    context.store.append_from(batch, now_ns, context.tls.is_some()).await
}
