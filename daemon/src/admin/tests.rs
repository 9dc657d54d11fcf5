use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Health, serve};
use crate::http::{Door, HttpMetrics};
use crate::metrics::Registry;
use crate::shutdown::{Phase, Shutdown};

async fn fetch(address: std::net::SocketAddr, path: &str, accept: &str) -> String {
    ask(address, "localhost", path, accept).await
}

async fn ask(address: std::net::SocketAddr, host: &str, path: &str, accept: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn endpoints_answer_and_stop_with_the_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let door = Door::plain(listener, HttpMetrics::register(&Registry::new()).of("admin"));
    let shutdown = Shutdown::new(Duration::from_secs(5));
    let health = Health::new();
    health.not_ready("store", "recovering");
    let extra = Router::new().route("/probes", get(async || "[]"));
    let token = shutdown.register(Phase::Servers, "admin");
    let server = tokio::spawn(serve(door, Registry::new(), extra, health.clone(), token));

    assert!(fetch(address, "/metrics", "*/*").await.contains("version=0.0.4"));
    let open = fetch(address, "/metrics", "application/openmetrics-text;version=1.0.0").await;
    assert!(open.contains("# EOF") && open.contains("application/openmetrics-text"), "{open}");
    assert!(fetch(address, "/healthz", "*/*").await.starts_with("HTTP/1.1 200"));
    let ready = fetch(address, "/readyz", "*/*").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("store: recovering"), "{ready}");
    health.ready("store");
    assert!(fetch(address, "/readyz", "*/*").await.starts_with("HTTP/1.1 200"));
    assert!(fetch(address, "/probes", "*/*").await.ends_with("[]"));
    // a page of the web that had its name point here
    assert!(ask(address, "evil.example", "/metrics", "*/*").await.starts_with("HTTP/1.1 421"));

    assert!(shutdown.run().await.is_empty());
    server.await.unwrap().unwrap();
}
