//! A gRPC server and client of tonic on three connections: calls of known statuses.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::{self, Iter};
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Text {
    #[prost(string, tag = "1")]
    value: String,
}

impl Text {
    pub(super) fn of(value: &str) -> Self {
        Self { value: value.to_owned() }
    }
}

/// What is asked for is what is answered.
fn answer(asked: &Text) -> Result<(), Status> {
    match asked.value.parse::<i32>().unwrap() {
        0 => Ok(()),
        code => Err(Status::new(Code::from_i32(code), "as asked")),
    }
}

#[derive(Clone, Debug)]
struct Cart;

impl NamedService for Cart {
    const NAME: &'static str = "shop.Cart";
}

struct Add;

impl UnaryService<Text> for Add {
    type Response = Text;
    type Future = BoxFuture<Response<Text>, Status>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let answer = answer(request.get_ref()).map(|()| Response::new(Text::of("added")));
        Box::pin(async move { answer })
    }
}

struct List;

impl ServerStreamingService<Text> for List {
    type Response = Text;
    type ResponseStream = Iter<std::vec::IntoIter<Result<Text, Status>>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let mut items = vec![Ok(Text::of("one more")); 3];
        items.extend(answer(request.get_ref()).err().map(Err));
        Box::pin(async move { Ok(Response::new(tokio_stream::iter(items))) })
    }
}

/// 1 MiB, and what was asked for behind it.
struct Heavy;

impl ServerStreamingService<Text> for Heavy {
    type Response = Text;
    type ResponseStream = Iter<std::vec::IntoIter<Result<Text, Status>>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let mut items = vec![Ok(Text::of(&"x".repeat(256 * 1024))); 4];
        items.extend(answer(request.get_ref()).err().map(Err));
        Box::pin(async move { Ok(Response::new(tokio_stream::iter(items))) })
    }
}

impl Service<http::Request<tonic::body::Body>> for Cart {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Text, Text>::default());
            Ok(match request.uri().path() {
                "/shop.Cart/Add" => grpc.unary(Add, request).await,
                "/shop.Cart/List" => grpc.server_streaming(List, request).await,
                "/shop.Cart/Heavy" => grpc.server_streaming(Heavy, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

async fn ask(channel: &Channel, index: usize) {
    let wanted = [0, 5, 0, 13, 0, 14][index % 6];
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let request = Request::new(Text::of(&wanted.to_string()));
    let codec = ProstCodec::<Text, Text>::default();
    if index % 6 == 4 {
        let path = PathAndQuery::from_static("/shop.Cart/List");
        let answer = grpc.server_streaming(request, path, codec).await.unwrap();
        let mut stream = answer.into_inner();
        let mut count = 0;
        while stream.message().await.unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 3);
        return;
    }
    let found = grpc.unary(request, PathAndQuery::from_static("/shop.Cart/Add"), codec).await;
    assert_eq!(found.err().map_or(Code::Ok, |status| status.code()), Code::from_i32(wanted));
}

/// Answers of 1 MiB, every other one of which ends with an error.
async fn ask_heavy(channel: &Channel, index: usize) {
    let wanted = [0, 13][index % 2];
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let request = Request::new(Text::of(&wanted.to_string()));
    let path = PathAndQuery::from_static("/shop.Cart/Heavy");
    let answer = grpc.server_streaming(request, path, ProstCodec::<Text, Text>::default()).await.unwrap();
    let mut stream = answer.into_inner();
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => break Code::Ok,
            Err(status) => break status.code(),
        }
    };
    assert_eq!(ended, Code::from_i32(wanted));
}

/// So many calls, on three connections with four at a time each.
pub(crate) fn work(number: usize) {
    serve_and_ask(number, false);
}

/// The same of answers with bodies.
pub(crate) fn heavy_work(number: usize) {
    serve_and_ask(number, true);
}

fn serve_and_ask(number: usize, is_heavy: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let serving = tokio::spawn(
            Server::builder().add_service(Cart).serve_with_incoming(TcpIncoming::from(listener)),
        );
        let mut asking = Vec::new();
        for _ in 0..3 {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            let channel = endpoint.connect().await.unwrap();
            for _ in 0..4 {
                let channel = channel.clone();
                asking.push(tokio::spawn(async move {
                    for index in 0..number / 12 {
                        if is_heavy {
                            ask_heavy(&channel, index).await;
                        } else {
                            ask(&channel, index).await;
                        }
                    }
                }));
            }
        }
        for one in asking {
            one.await.unwrap();
        }
        serving.abort();
    });
}
