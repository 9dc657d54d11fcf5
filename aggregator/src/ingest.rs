//! Ingest: agents' streams in, the store's acknowledgements out.
//!
//! `Hello` first, then batches, several at a time; each is answered with an ack (durable and searchable) or a typed
//! refusal, in the order in which they end. A batch that cannot be stored refuses itself and nothing else.
//!
//! Does not: unpack a batch or judge its rows (`store`), nor drop one: what is not acknowledged the agent keeps.

pub mod agents;
pub(crate) mod enrol;
pub(crate) mod otlp;
pub(crate) mod peer;
pub(crate) mod places;
mod stream;

use std::pin::Pin;
use std::sync::Arc;

use daemon::clock::Clock;
use daemon::shutdown::Token;
use daemon::tls::accept::{OnFailure, Room, WhenFull, accept};
use futures::Stream;
use prometheus_client::metrics::counter::Counter;
use proto::error::ErrorCode;
use proto::v1::enrolment_server::EnrolmentServer;
use proto::v1::ingest_server::{Ingest, IngestServer};
use proto::v1::nodes_server::NodesServer;
use proto::v1::{AgentMessage, AggregatorMessage};
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::ingest::agents::Agents;
use crate::ingest::enrol::Enroller;
use crate::ingest::places::Places;
use crate::kube::NodesService;
use crate::metrics::IngestMetrics;
use crate::tls::Tls;

/// The largest message: a batch of `MAX_PAYLOAD_BYTES` that zstd could not shrink, and its frame.
const MAX_MESSAGE_BYTES: usize = proto::MAX_PAYLOAD_BYTES as usize + (64 << 10);

/// Streams of one connection: an agent has one, and another while it connects anew.
const STREAMS: u32 = 4;

/// What every stream needs.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) store: Arc<Store>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) clock: Clock,
    pub(crate) metrics: IngestMetrics,
    pub(crate) in_flight: usize,
    /// KiB of batches of all agents that may be in memory.
    pub(crate) bytes: Arc<Semaphore>,
    /// Appends go on when their stream ends: what was received whole is stored, and a repeat is recognised.
    pub(crate) tasks: TaskTracker,
    pub(crate) token: Arc<Token>,
    /// Streams of each node that is known by a certificate.
    pub(crate) places: Places,
    /// Names for the agents.
    pub(crate) nodes: NodesService,
    /// What is spoken; plain text without.
    pub(crate) tls: Option<Tls>,
    /// Where agents get certificates, if from here.
    pub(crate) enroller: Option<Enroller>,
    /// Connections that may be open.
    pub(crate) connections: usize,
}

/// Serves agents until the token's phase begins; returns when what was in flight is stored.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve(listener: TcpListener, context: Context) -> Result<(), tonic::transport::Error> {
    let service = IngestServer::new(Service(context.clone())).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let stopped = context.token.stopped();
    let nodes = NodesServer::new(context.nodes.clone()).max_decoding_message_size(4 << 10);
    let enrolment = context.enroller.clone().map(EnrolmentServer::new);
    let enrolment = enrolment.map(|service| service.max_decoding_message_size(64 << 10));
    let on_failure: OnFailure = match &context.tls {
        Some(tls) => tls.on_failure("ingest"),
        None => Arc::new(|_, _| {}),
    };
    let tls = context.tls.as_ref().map(|tls| tls.ingest.clone());
    // agents come back at the same time after a restart: those beyond wait
    // of agents no address has a share of its own
    let when_full = WhenFull::Wait { crowded: Counter::default() };
    let room = Room { most: context.connections, each: context.connections, when_full };
    let connections = accept(listener, tls, room, on_failure);
    let connections = ReceiverStream::new(connections).map(peer::Incoming);
    let served = Server::builder()
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(30)))
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .add_service(service)
        .add_service(nodes)
        .add_optional_service(enrolment)
        .serve_with_incoming_shutdown(connections.map(Ok::<_, std::io::Error>), stopped)
        .await;
    context.tasks.close();
    context.tasks.wait().await;
    served
}

#[derive(Debug)]
struct Service(Context);

#[tonic::async_trait]
impl Ingest for Service {
    type StreamStream = Pin<Box<dyn Stream<Item = Result<AggregatorMessage, Status>> + Send>>;

    async fn stream(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let context = self.0.clone();
        // a message may have 4 MiB: none is read from who may not send any
        let opened = stream::open(&context, peer::of(request.extensions()).as_deref())?;
        let (answers, receiver) = tokio::sync::mpsc::channel(context.in_flight * 2);
        let tasks = context.tasks.clone();
        tasks.spawn(stream::run(context, opened, request.into_inner(), answers));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// The status with which a stream ends, for what concerns all of it.
fn status(code: ErrorCode, message: impl Into<String>) -> Status {
    let message: String = message.into();
    Status::new(code.grpc_code(), format!("{}: {message}", code.as_str()))
}
