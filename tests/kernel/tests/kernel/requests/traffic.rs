//! HTTP/1 by hand: a server and a client on loopback, in one process, that know how much they said.

mod frames;
pub(crate) mod grpc;
mod messages;
mod relay;
mod tokio;

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What the first caller of a chain puts into `traceparent`.
pub(crate) const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub(crate) const SPAN_ID: &str = "00f067aa0ba902b7";

/// Bytes of a large body.
const LARGE: usize = 1 << 20;

/// What the child is told to do, so many times.
pub(crate) fn work(rest: &str) {
    let (kind, number) = rest.split_once(' ').unwrap();
    match kind {
        "tokio" => return tokio::serve(number),
        "tonic" => return relay::serve(number),
        "streams" => return relay::ask(number),
        _ => {}
    }
    let number: usize = number.parse().unwrap();
    match kind {
        "plain" => plain(number),
        "fragmented" => fragmented(number),
        "pipelined" => pipelined(number),
        "vectors" => vectors(number),
        "large" => large(number),
        "frames" => frames::many(number, frames::FEW),
        "all-frames" => frames::many(number, frames::MANY),
        "before" => before(number),
        "closed" => closed(number),
        "chain" => chain(number),
        "leaf" => leaf(number),
        "logs" => logs(number),
        "many" => many(number),
        "peeking" => peeking(number),
        "unread" => unread(number),
        "messages" => messages::stream(number),
        "datagrams" => messages::datagrams(number),
        "early" => early(number),
        "redis" => redis(number),
        other => panic!("unknown traffic {other}"),
    }
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads the head of a request; `None` where the connection has ended.
fn head(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if line == "\r\n" {
            return Some(head);
        }
        head.push_str(&line);
    }
}

fn answer(path: &str) -> String {
    let (status, body) = match path {
        "/missing" => ("404 Not Found", "no"),
        "/broken" => ("500 Internal Server Error", "oh"),
        _ => ("200 OK", "hello"),
    };
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

/// Serves one connection to its end, each answer by `write`.
fn serve(stream: TcpStream, write: impl Fn(&mut TcpStream, &str)) {
    stream.set_nodelay(true).unwrap();
    let mut output = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(head) = head(&mut reader) {
        write(&mut output, path(&head));
    }
}

fn whole(output: &mut TcpStream, path: &str) {
    output.write_all(answer(path).as_bytes()).unwrap();
}

/// Reads one answer with its body.
fn read_answer(reader: &mut BufReader<TcpStream>) -> usize {
    let head = head(reader).unwrap();
    let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned);
    let length = head.lines().find_map(length).unwrap();
    let mut body = vec![0; length.trim().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    body.len()
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

fn ask(reader: &mut BufReader<TcpStream>, path: &str) {
    reader.get_mut().write_all(request(path).as_bytes()).unwrap();
    read_answer(reader);
}

/// Two thirds fine, a sixth missing, a sixth broken; on three connections in turn.
fn plain(number: usize) {
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let serving: Vec<_> = (0..3)
            .map(|_| listener.accept().unwrap().0)
            .map(|stream| thread::spawn(move || serve(stream, whole)))
            .collect();
        serving.into_iter().for_each(|one| one.join().unwrap());
    });
    let mut clients: Vec<_> = (0..3).map(|_| BufReader::new(connect(address))).collect();
    for index in 0..number {
        let path = ["/ok", "/missing", "/ok", "/ok", "/broken", "/ok"][index % 6];
        ask(&mut clients[index / 6 % 3], path);
    }
    drop(clients);
    server.join().unwrap();
}

fn one_server(write: impl Fn(&mut TcpStream, &str) + Send + 'static) -> (SocketAddr, thread::JoinHandle<()>) {
    let (listener, address) = listen();
    (address, thread::spawn(move || serve(listener.accept().unwrap().0, write)))
}

/// Each request and each answer in several writes, cut somewhere else each time.
fn fragmented(number: usize) {
    let (address, server) = one_server(|output, path| {
        let answer = answer(path);
        for part in answer.as_bytes().chunks(answer.len() / 5) {
            output.write_all(part).unwrap();
        }
    });
    let mut client = BufReader::new(connect(address));
    for index in 0..number {
        let request = request("/ok");
        let (first, second) = request.as_bytes().split_at(1 + index % (request.len() - 1));
        for part in [first, second] {
            client.get_mut().write_all(part).unwrap();
        }
        read_answer(&mut client);
    }
    drop(client);
    server.join().unwrap();
}

/// Four requests in one write, then four answers.
fn pipelined(number: usize) {
    let (address, server) = one_server(whole);
    let mut client = BufReader::new(connect(address));
    for _ in 0..number {
        client.get_mut().write_all(request("/ok").repeat(4).as_bytes()).unwrap();
        for _ in 0..4 {
            read_answer(&mut client);
        }
    }
    drop(client);
    server.join().unwrap();
}

/// Head and body in a vector.
fn vectors(number: usize) {
    let (address, server) = one_server(|output, path| {
        let answer = answer(path);
        let (first, rest) = answer.as_bytes().split_at(12);
        let (second, third) = rest.split_at(9);
        let parts = [IoSlice::new(first), IoSlice::new(second), IoSlice::new(third)];
        assert_eq!(output.write_vectored(&parts).unwrap(), answer.len());
    });
    let mut client = BufReader::new(connect(address));
    for _ in 0..number {
        ask(&mut client, "/ok");
    }
    drop(client);
    server.join().unwrap();
}

fn large(number: usize) {
    let (address, server) = one_server(|output, _| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
        output.write_all(head.as_bytes()).unwrap();
        for part in vec![b'x'; LARGE].chunks(16 * 1024) {
            output.write_all(part).unwrap();
        }
    });
    let mut client = BufReader::new(connect(address));
    for _ in 0..number {
        client.get_mut().write_all(request("/ok").as_bytes()).unwrap();
        assert_eq!(read_answer(&mut client), LARGE);
    }
    drop(client);
    server.join().unwrap();
}

/// Opens its connection, says so, and goes on when it is told to.
fn before(number: usize) {
    let (address, server) = one_server(whole);
    let mut client = BufReader::new(connect(address));
    ask(&mut client, "/early");
    println!("\nready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    for _ in 0..number {
        ask(&mut client, "/ok");
    }
    drop(client);
    server.join().unwrap();
}

/// Requests that nobody answers.
fn closed(number: usize) {
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        for _ in 0..number {
            let mut reader = BufReader::new(listener.accept().unwrap().0);
            head(&mut reader).unwrap();
        }
    });
    for _ in 0..number {
        let mut client = connect(address);
        client.write_all(request("/closed").as_bytes()).unwrap();
        let mut rest = Vec::new();
        assert_eq!(client.read_to_end(&mut rest).unwrap(), 0);
    }
    server.join().unwrap();
}

/// Answers whoever asks, after so many milliseconds, until it is killed.
#[expect(clippy::disallowed_methods, reason = "the service takes real time")]
fn leaf(milliseconds: usize) {
    let (listener, address) = listen();
    let pause = Duration::from_millis(milliseconds as u64);
    println!("\nport {}", address.port());
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        let answer = move |output: &mut TcpStream, path: &str| {
            thread::sleep(pause);
            whole(output, path);
        };
        thread::spawn(move || serve(stream, answer));
    }
}

/// Requests with these numbers, on one connection.
pub(crate) fn ask_numbered(address: SocketAddr, numbers: Range<usize>) {
    let mut reader = BufReader::new(connect(address));
    for number in numbers {
        let request = format!("GET /ok HTTP/1.1\r\nHost: test\r\nX-Request-Id: r-{number}\r\n\r\n");
        reader.get_mut().write_all(request.as_bytes()).unwrap();
        read_answer(&mut reader);
    }
}

/// A server that asks another one before it answers.
fn chain(number: usize) {
    let (behind, last) = one_server(whole);
    let (listener, address) = listen();
    let front = thread::spawn(move || {
        let mut next = BufReader::new(connect(behind));
        let stream = listener.accept().unwrap().0;
        let mut output = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        while let Some(head) = head(&mut reader) {
            ask(&mut next, "/behind");
            whole(&mut output, path(&head));
        }
    });
    let mut client = BufReader::new(connect(address));
    for _ in 0..number {
        let request =
            format!("GET /front HTTP/1.1\r\nHost: test\r\ntraceparent: 00-{TRACE_ID}-{SPAN_ID}-01\r\n\r\n");
        client.get_mut().write_all(request.as_bytes()).unwrap();
        read_answer(&mut client);
    }
    client.get_mut().shutdown(Shutdown::Write).unwrap();
    front.join().unwrap();
    last.join().unwrap();
}

/// So many connections at once, with one request each.
fn many(number: usize) {
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let streams: Vec<_> = (0..number).map(|_| listener.accept().unwrap().0).collect();
        streams.into_iter().for_each(|stream| serve(stream, whole));
    });
    let mut clients: Vec<_> = (0..number).map(|_| BufReader::new(connect(address))).collect();
    for client in &mut clients {
        client.get_mut().write_all(request("/ok").as_bytes()).unwrap();
        client.get_mut().shutdown(Shutdown::Write).unwrap();
    }
    clients.iter_mut().for_each(|client| assert!(read_answer(client) > 0));
    server.join().unwrap();
}

/// Where the child of `logs` puts its lines.
pub(crate) const LOG_PATH: &str = "WAKE_TEST_LOG";
/// Clients of `logs`, each on a connection of its own.
const LOGGED: usize = 8;

/// A thread per connection that logs each request with its number, to a file and to standard output, before it answers;
/// and one that serves nobody and logs the same texts.
fn logs(number: usize) {
    let path = std::env::var(LOG_PATH).unwrap();
    let file = Arc::new(OpenOptions::new().create(true).append(true).open(path).unwrap());
    let is_over = Arc::new(AtomicBool::new(false));
    let idle = {
        let (file, is_over) = (Arc::clone(&file), Arc::clone(&is_over));
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                log(&file, b"the same\n");
                log(&file, b"of nobody\n");
                thread::yield_now();
            }
        })
    };
    let (listener, address) = listen();
    let server = {
        let file = Arc::clone(&file);
        thread::spawn(move || {
            let serving: Vec<_> = (0..LOGGED)
                .map(|_| listener.accept().unwrap().0)
                .map(|stream| (stream, Arc::clone(&file)))
                .map(|(stream, file)| thread::spawn(move || serve_logged(stream, &file)))
                .collect();
            serving.into_iter().for_each(|one| one.join().unwrap());
        })
    };
    let clients: Vec<_> = (0..LOGGED)
        .map(|client| thread::spawn(move || ask_numbered(address, client * number..(client + 1) * number)))
        .collect();
    clients.into_iter().for_each(|one| one.join().unwrap());
    is_over.store(true, Ordering::Relaxed);
    idle.join().unwrap();
    server.join().unwrap();
}

fn log(mut file: &File, line: &[u8]) {
    file.write_all(line).unwrap();
    rustix::io::write(std::io::stdout(), line).unwrap();
}

fn serve_logged(stream: TcpStream, file: &File) {
    stream.set_nodelay(true).unwrap();
    let mut output = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(head) = head(&mut reader) {
        let id = head.lines().find_map(|line| line.strip_prefix("X-Request-Id: ")).unwrap();
        log(file, format!("serving {id}\n").as_bytes());
        log(file, b"the same\n");
        log(file, format!("error in {id}\n  at one\n  at two\n").as_bytes());
        whole(&mut output, path(&head));
        log(file, format!("answered {id}\n").as_bytes());
    }
}

/// A server that looks at each request before it reads it, as proxies do to find out what is spoken; each has its own path.
fn peeking(number: usize) {
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.set_nodelay(true).unwrap();
        let mut first = [0; 16];
        while stream.peek(&mut first).unwrap() > 0 {
            let mut request = [0; 256];
            let length = stream.read(&mut request).unwrap();
            let head = str::from_utf8(&request[..length]).unwrap();
            stream.write_all(answer(path(head)).as_bytes()).unwrap();
        }
    });
    let mut client = BufReader::new(connect(address));
    for index in 0..number {
        ask(&mut client, ["/ok", "/missing"][index % 2]);
    }
    drop(client);
    server.join().unwrap();
}

/// Bodies of 20,000 bytes, which the server reads once it has answered, in calls that end with the body: one in three of
/// all requests is broken. The head comes with the first 1,024 bytes, as nginx reads it.
fn early(number: usize) {
    const BODY: usize = 20_000;
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.set_nodelay(true).unwrap();
        let mut bytes = [0; 4_096];
        loop {
            let length = stream.read(&mut bytes[..1_024]).unwrap();
            if length == 0 {
                return;
            }
            let text = str::from_utf8(&bytes[..length]).unwrap();
            let head = text.find("\r\n\r\n").unwrap() + 4;
            stream.write_all(answer(path(text)).as_bytes()).unwrap();
            let mut left = BODY - (length - head);
            while left > 0 {
                left -= stream.read(&mut bytes[..left.min(4_096)]).unwrap();
            }
        }
    });
    let mut client = BufReader::new(connect(address));
    for index in 0..number {
        let path = ["/ok", "/broken", "/ok"][index % 3];
        let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {BODY}\r\n\r\n");
        client.get_mut().write_all((head + &"a body ".repeat(BODY)[..BODY]).as_bytes()).unwrap();
        read_answer(&mut client);
    }
    drop(client);
    server.join().unwrap();
}

/// Pipelines of twenty commands of Redis in one write, and their answers in one, of which the last is an error.
fn redis(number: usize) {
    let command = "*2\r\n$3\r\nGET\r\n$8\r\nkey:0001\r\n".repeat(20);
    let (listener, address) = listen();
    let length = command.len();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.set_nodelay(true).unwrap();
        let answers = format!("$100\r\n{}\r\n", "v".repeat(100)).repeat(19) + "-ERR no\r\n";
        let mut bytes = vec![0; length];
        while stream.read_exact(&mut bytes).is_ok() {
            stream.write_all(answers.as_bytes()).unwrap();
        }
    });
    let mut client = connect(address);
    let mut bytes = vec![0; 108 * 19 + 9];
    for _ in 0..number {
        client.write_all(command.as_bytes()).unwrap();
        client.read_exact(&mut bytes).unwrap();
    }
    drop(client);
    server.join().unwrap();
}

/// Clients that hang up although their answer has come.
fn unread(number: usize) {
    let (address, server) = several(number);
    for _ in 0..number {
        let mut client = connect(address);
        client.write_all(request("/ok").as_bytes()).unwrap();
        assert!(client.peek(&mut [0; 4]).unwrap() > 0);
    }
    server.join().unwrap();
}

/// Serves so many connections, one after the other; who hangs up early is no matter.
fn several(number: usize) -> (SocketAddr, thread::JoinHandle<()>) {
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        for _ in 0..number {
            let mut stream = listener.accept().unwrap().0;
            let mut request = [0; 256];
            while let Ok(length) = stream.read(&mut request)
                && length > 0
            {
                stream.write_all(answer("/ok").as_bytes()).unwrap();
            }
        }
    });
    (address, server)
}
