//! A gRPC server of tonic that asks the next one before it answers, and clients that ask the first one.

use std::time::Duration;

use tokio::net::TcpListener;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::MetadataValue;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::grpc::Text;

const ID: &str = "x-request-id";
/// How long the last one takes.
const PAUSE: Duration = Duration::from_millis(40);
/// Connections that all clients share.
const CONNECTIONS: usize = 4;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn call(channel: Channel, id: &str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(Text::of("0"));
    request.metadata_mut().insert(ID, MetadataValue::try_from(id).unwrap());
    let codec = ProstCodec::<Text, Text>::default();
    grpc.unary(request, PathAndQuery::from_static("/shop.Cart/Add"), codec).await.map(drop)
}

#[derive(Clone, Debug)]
struct Relay {
    /// The next one; the last one has none.
    next: Option<Channel>,
}

impl NamedService for Relay {
    const NAME: &'static str = "shop.Cart";
}

impl UnaryService<Text> for Relay {
    type Response = Text;
    type Future = BoxFuture<Response<Text>, Status>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let next = self.next.clone();
        Box::pin(async move {
            let id = request.metadata().get(ID).unwrap().to_str().unwrap();
            match next {
                Some(next) => call(next, id).await?,
                None => tokio::time::sleep(PAUSE).await,
            }
            Ok(Response::new(Text::of("relayed")))
        })
    }
}

impl Service<http::Request<tonic::body::Body>> for Relay {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(
        &mut self,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let relay = self.clone();
        Box::pin(
            async move { Ok(Grpc::new(ProstCodec::<Text, Text>::default()).unary(relay, request).await) },
        )
    }
}

fn channel(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

/// Until it is killed; `-` is no next one.
pub(super) fn serve(next: &str) {
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("\nport {}", listener.local_addr().unwrap().port());
        let relay = Relay { next: (next != "-").then(|| channel(next)) };
        Server::builder().add_service(relay).serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
    });
}

/// Address, requests, and how many at once.
pub(super) fn ask(rest: &str) {
    let mut words = rest.split(' ');
    let address = words.next().unwrap();
    let [requests, clients] = [(); 2].map(|()| words.next().unwrap().parse::<usize>().unwrap());
    runtime().block_on(async {
        let channels: Vec<Channel> = (0..CONNECTIONS).map(|_| channel(address)).collect();
        let asking: Vec<_> = (0..clients)
            .map(|client| {
                let channel = channels[client % CONNECTIONS].clone();
                tokio::spawn(async move {
                    for number in 0..requests / clients {
                        call(channel.clone(), &format!("r-{client}-{number}")).await.unwrap();
                    }
                })
            })
            .collect();
        for one in asking {
            one.await.unwrap();
        }
    });
}
