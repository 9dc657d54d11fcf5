use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::{Door, Ended, HttpMetrics, Listener, Patience, serve};
use crate::metrics::Registry;
use crate::shutdown::{Phase, Shutdown};

const SOON: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_secs(20);

/// A server with little patience for few connections.
struct Server {
    address: SocketAddr,
    metrics: Listener,
    shutdown: Shutdown,
    /// Requests for `/slow` that have begun.
    slow: Arc<AtomicUsize>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(most: usize, patience: Patience) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = HttpMetrics::register(&Registry::new()).of("test");
        let door = Door { most, patience, ..Door::plain(listener, metrics.clone()) };
        let endless =
            || futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 65_536])));
        let slow = Arc::new(AtomicUsize::new(0));
        let (begun, begun_too) = (Arc::clone(&slow), Arc::clone(&slow));
        let app = Router::new()
            .route("/", get(async || "here\n"))
            .route("/take", post(async |body: Bytes| format!("{} bytes\n", body.len())))
            .route("/endless", get(async move || Body::from_stream(endless())))
            .route(
                "/slow",
                get(async move || {
                    begun.fetch_add(1, Ordering::AcqRel);
                    sleep(SOON).await;
                    "slow\n"
                }),
            )
            .route(
                "/brief",
                get(async move || {
                    begun_too.fetch_add(1, Ordering::AcqRel);
                    // a small part of what open requests get at the stop
                    sleep(Duration::from_millis(60)).await;
                    "slow\n"
                }),
            );
        let shutdown = Shutdown::new(LATE);
        let token = shutdown.register(Phase::Servers, "test");
        let served = tokio::spawn(serve(door, app, token, || {}));
        Self { address, metrics, shutdown, slow, served }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Polls until so many connections were let go for this reason.
    async fn counted(&self, reason: Ended, count: u64) {
        let all = async {
            while self.metrics.counter(reason).get() < count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LATE, all).await.unwrap_or_else(|_| panic!("{reason:?} was not counted"));
    }

    async fn stop(self) {
        assert!(self.shutdown.run().await.is_empty());
        self.served.await.unwrap().unwrap();
        assert_eq!(self.metrics.open().get(), 0);
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // a reset after the answer says no more than its end
    drop(timeout(LATE, stream.read_to_end(&mut answer)).await.expect("the connection ends"));
    String::from_utf8(answer).unwrap()
}

async fn ask(server: &Server) -> String {
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    read(&mut stream).await
}

#[tokio::test]
async fn who_sends_a_head_byte_by_byte_is_let_go_and_others_are_served() {
    let server = Server::start(8, Patience { head: SOON, ..Patience::default() }).await;
    let mut slow = server.connect().await;
    let started = Instant::now();
    let (mut reader, mut writer) = slow.split();
    let drip = async {
        // a header that never ends: each byte would start a timer anew that looks at bytes alone
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'a')) {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(2)).await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = drip => {}
        _ended = timeout(LATE, reader.read_to_end(&mut answer)) => {}
    }
    assert!(answer.is_empty(), "{answer:?}");
    assert!(started.elapsed() >= SOON, "it was let go before its time");
    server.counted(Ended::Head, 1).await;
    assert!(ask(&server).await.starts_with("HTTP/1.1 200"));
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_ends_and_one_in_use_does_not() {
    let server = Server::start(8, Patience { head: SOON, ..Patience::default() }).await;
    let (mut idle, mut used) = (server.connect().await, server.connect().await);
    // an answer that takes as long as a head may is no idle time
    used.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut idle).await, "");
    assert!(read(&mut used).await.ends_with("slow\n"));
    server.counted(Ended::Head, 2).await;
    server.stop().await;
}

#[tokio::test]
async fn who_sends_a_body_byte_by_byte_is_told_and_let_go() {
    let server = Server::start(8, Patience { body: SOON, ..Patience::default() }).await;
    let mut slow = server.connect().await;
    slow.write_all(b"POST /take HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        .await
        .unwrap();
    let (mut reader, mut writer) = slow.split();
    let drip = async {
        while writer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(2)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = drip => {}
        _ended = timeout(LATE, reader.read_to_end(&mut answer)) => {}
    }
    assert!(
        String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 4"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    server.counted(Ended::Body, 1).await;
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_read_the_answer_is_let_go() {
    let server = Server::start(8, Patience { answer: SOON, ..Patience::default() }).await;
    let mut deaf = server.connect().await;
    deaf.write_all(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    server.counted(Ended::Answer, 1).await;
    server.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_bound_are_told_and_counted() {
    let server = Server::start(2, Patience::default()).await;
    let held = [server.connect().await, server.connect().await];
    let mut third = server.connect().await;
    let answer = read(&mut third).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 503") && head.contains(&format!("Content-Length: {}", body.len())),
        "{answer}"
    );
    server.counted(Ended::Full, 1).await;
    drop(held);
    // a place is free once the server has seen the end
    let served = async {
        while !ask(&server).await.starts_with("HTTP/1.1 200") {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LATE, served).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_open_request_is_answered_at_the_stop_and_an_endless_one_is_cut() {
    let server = Server::start(8, Patience::default()).await;
    let (mut open, mut endless) = (server.connect().await, server.connect().await);
    open.write_all(b"GET /brief HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    endless.write_all(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 1];
    endless.read_exact(&mut first).await.unwrap();
    let reads = tokio::spawn(async move { read(&mut open).await });
    let begun = async {
        while server.slow.load(Ordering::Acquire) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LATE, begun).await.unwrap();
    server.stop().await;
    assert!(reads.await.unwrap().ends_with("slow\n"));
}
