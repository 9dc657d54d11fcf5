//! OTLP/gRPC: the `Export` of the logs, trace and metrics services. A request stays bytes until `convert` walks it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};

use axum::body::Body;
use bytes::{Buf as _, BufMut as _, Bytes};
use daemon::shutdown::Token;
use daemon::tls::accept::{OnFailure, Room, WhenFull, accept};
use store::{Refused, Scope};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Code, Status};

use crate::ingest::otlp::arrive::{Arrived, arrive};
use crate::ingest::otlp::receive::{Format, Packing, Request, receive};
use crate::ingest::otlp::{Context, Signal, answer};
use crate::ingest::peer;
use crate::tls::Tls;

/// Connections that may be open; further ones wait.
const CONNECTIONS: usize = 512;
/// One address has at most this part of them; what is beyond is closed.
const SHARES: usize = 4;
/// Exports of one connection at a time; further ones wait in it.
const STREAMS: u32 = 32;

/// What precedes a message: whether it is packed, and its length.
const FRAME_BYTES: usize = 5;
/// How long one export may take, its arrival included.
const REQUEST: std::time::Duration = std::time::Duration::from_secs(60);

/// Serves until the token's phase begins; returns when what was in flight is answered.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    context: Context,
    token: Token,
) -> Result<(), tonic::transport::Error> {
    let crowded = context.metrics.crowded();
    let logs = Export::<0> { context: context.clone() };
    let traces = Export::<1> { context: context.clone() };
    let metrics = Export::<2> { context };
    let on_failure: OnFailure = match &tls {
        Some(tls) => tls.on_failure("otlp grpc"),
        None => Arc::new(|_, _| {}),
    };
    let room = Room { most: CONNECTIONS, each: CONNECTIONS / SHARES, when_full: WhenFull::Wait { crowded } };
    let connections = accept(listener, tls.map(|tls| tls.ingest.clone()), room, on_failure);
    let connections =
        ReceiverStream::new(connections).map(|connection| Ok::<_, Infallible>(peer::Incoming(connection)));
    Server::builder()
        .timeout(REQUEST)
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(30)))
        .max_concurrent_streams(STREAMS)
        // what a connection may have sent before anybody looks at it
        .initial_stream_window_size(1 << 19)
        .initial_connection_window_size(1 << 20)
        .add_service(logs)
        .add_service(traces)
        .add_service(metrics)
        .serve_with_incoming_shutdown(connections, token.stopped())
        .await
}

/// One of the three services, by its place in [`SERVICES`].
#[derive(Clone, Debug)]
struct Export<const SERVICE: usize> {
    context: Context,
}

const SERVICES: [(&str, &str, Signal); 3] = [
    (
        "opentelemetry.proto.collector.logs.v1.LogsService",
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Logs,
    ),
    (
        "opentelemetry.proto.collector.trace.v1.TraceService",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Traces,
    ),
    (
        "opentelemetry.proto.collector.metrics.v1.MetricsService",
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Metrics,
    ),
];

impl<const SERVICE: usize> NamedService for Export<SERVICE> {
    const NAME: &'static str = SERVICES[SERVICE].0;
}

impl<const SERVICE: usize> Service<http::Request<tonic::body::Body>> for Export<SERVICE> {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _poller: &mut Poller<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let (_, path, signal) = SERVICES[SERVICE];
        if request.uri().path() != path {
            let status = Status::new(Code::Unimplemented, "there is only Export");
            return Box::pin(async move { Ok(status.into_http()) });
        }
        let context = self.context.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let scope = match context.senders.scope(&head.headers).await {
                Ok(scope) => scope,
                Err(refused) => {
                    context.metrics.refused(refused.code);
                    return Ok(answer::grpc_status(&refused).into_http());
                }
            };
            let arrived = match arrive_whole(&context, body).await {
                Ok(arrived) => arrived,
                Err(refused) => {
                    context.metrics.refused(refused.code);
                    return Ok(answer::grpc_status(&refused).into_http());
                }
            };
            let (bytes, room) = arrived.into_parts();
            let request = http::Request::from_parts(head, Body::from(bytes));
            let most = context.max_request_bytes;
            let mut grpc = Grpc::new(Raw)
                .accept_compressed(CompressionEncoding::Gzip)
                .apply_max_message_size_config(Some(most), None);
            let response = grpc.unary(Method { context, signal, scope }, request).await;
            drop(room);
            Ok(response)
        })
    }
}

/// The message with its frame, and room for what it unpacks to.
async fn arrive_whole(context: &Context, body: tonic::body::Body) -> Result<Arrived, Refused> {
    let most = context.max_request_bytes;
    let mut body = Body::new(body).into_data_stream();
    let mut arrived = arrive(context, &mut body, most + FRAME_BYTES).await?;
    if arrived.bytes.first().is_some_and(|flag| *flag != 0) {
        arrived.reserve(context, most).await?;
    }
    Ok(arrived)
}

struct Method {
    context: Context,
    signal: Signal,
    scope: Scope,
}

impl UnaryService<Bytes> for Method {
    type Response = Bytes;
    type Future = BoxFuture<tonic::Response<Bytes>, Status>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (context, signal, scope) = (self.context.clone(), self.signal, self.scope.clone());
        let (format, packing) = (Format::Protobuf, Packing::Plain);
        let request = Request { signal, format, packing, bytes: request.into_inner(), scope };
        Box::pin(async move {
            match receive(&context, request).await {
                Ok(rejected) => Ok(tonic::Response::new(answer::success(&rejected))),
                Err(refused) => Err(answer::grpc_status(&refused)),
            }
        })
    }
}

/// Messages as bytes.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
