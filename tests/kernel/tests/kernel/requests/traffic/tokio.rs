//! A server of tasks that wander between threads: asks the next service before it answers.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

type Idle = Arc<Mutex<Vec<TcpStream>>>;

/// Until it is killed.
pub(super) fn serve(next: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("\nport {}", listener.local_addr().unwrap().port());
        let idle = Idle::default();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(one(stream, next.to_owned(), Arc::clone(&idle)));
        }
    });
}

/// Reads to the end of a head, and of the body that it tells of; `None` where the connection has ended.
async fn message(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4_096];
        let count = stream.read(&mut part).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok();
        if body.len() >= head.lines().find_map(length).unwrap_or(0) {
            return Some(text);
        }
    }
}

async fn one(mut stream: TcpStream, next: String, idle: Idle) {
    while let Some(request) = message(&mut stream).await {
        let kept = idle.lock().unwrap().pop();
        let mut asked = match kept {
            Some(asked) => asked,
            None => TcpStream::connect(&next).await.unwrap(),
        };
        asked.set_nodelay(true).unwrap();
        let id = |line: &str| line.to_ascii_lowercase().strip_prefix("x-request-id: ").map(str::to_owned);
        let id = request.lines().find_map(id).unwrap();
        let text = format!("GET /ok HTTP/1.1\r\nHost: next\r\nX-Request-Id: {id}\r\n\r\n");
        asked.write_all(text.as_bytes()).await.unwrap();
        message(&mut asked).await.unwrap();
        idle.lock().unwrap().push(asked);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    }
}
