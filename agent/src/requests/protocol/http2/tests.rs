mod told;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::super::tests::{Calls, Request, Response, check, exchanges, tell, told};
use super::super::{Chunk, Direction, Exchange, Protocol, decoder};

const HTTP2: Protocol = Protocol::Http2;
const PREFACE: &[u8] = super::frame::PREFACE;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u32;
    [&len.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields without any table.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(1, 5, stream, &block(&[(":method", "GET"), (":path", path), (":authority", "a.example")]))
}

fn status(stream: u32, flags: u8, code: &str) -> Vec<u8> {
    frame(1, flags, stream, &block(&[(":status", code)]))
}

#[test]
fn streams_interleave() {
    let ask = [PREFACE, &frame(4, 0, 0, &[]), &get(1, "/a/1?x=y"), &get(3, "/b")].concat();
    let answers = [
        frame(4, 0, 0, &[0, 1, 0, 0, 0x10, 0]),
        status(3, 4, "103"),
        status(3, 4, "500"),
        status(1, 4, "200"),
        frame(0, 0, 3, b"some"),
        frame(0, 1, 1, &[b'x'; 300]),
        frame(0, 1, 3, b""),
    ]
    .concat();
    check(
        HTTP2,
        &[(Request, &ask), (Response, &answers)],
        &[
            "GET /a/{id} http.request.method=GET url.path=/a/{id} http.route=/a/{id} server.address=a.example http.response.status_code=200",
            "GET /b http.request.method=GET url.path=/b http.route=/b server.address=a.example http.response.status_code=500 !500",
        ],
    );
}

#[test]
fn what_came_of_streams_is_told_once() {
    let mut http2 = decoder(HTTP2);
    let mut moves = |direction, bytes: &[u8]| {
        let total = bytes.len() as u64;
        let mut into = Vec::new();
        http2.chunk(&Chunk { direction, ts_ns: 7, bytes, total, gap: false }, &mut Vec::new());
        http2.moves(&mut into);
        into.iter().map(|one| (one.number, one.begins.map(|(at, _)| at))).collect::<Vec<_>>()
    };
    let ask =
        [PREFACE, &frame(4, 0, 0, &[]), &get(1, "/a"), &get(3, "/b"), &frame(0, 1, 3, b"more")].concat();
    assert_eq!(moves(Request, &ask), [(1, Some(7)), (3, Some(7))]);
    assert_eq!(moves(Request, &frame(8, 0, 1, &[0, 0, 0, 9])), [], "a window is nobody's");
    assert_eq!(moves(Request, &frame(0, 1, 1, b"more")), [(1, None)]);
    let answers =
        [status(3, 4, "200"), frame(0, 0, 3, b"some"), status(1, 5, "204"), frame(0, 0, 9, b"x")].concat();
    assert_eq!(moves(Response, &answers), [(3, None), (1, None)]);
    assert_eq!(moves(Response, &[]), []);
}

#[test]
fn grpc_has_its_status_in_trailers() {
    let head = [(":method", "POST"), (":path", "/shop.Cart/Add"), ("content-type", "application/grpc+proto")];
    let long = block(&head);
    let ask = [
        frame(1, 0, 1, &long[..9]),
        frame(9, 0, 1, &long[9..20]),
        frame(9, 4, 1, &long[20..]),
        frame(0, 1, 1, b"secret"),
    ]
    .concat();
    let answer = [
        frame(1, 4, 1, &block(&[(":status", "200"), ("content-type", "application/grpc")])),
        frame(0, 0, 1, b"secret"),
        frame(
            1,
            0x0d,
            1,
            &[&[2][..], &block(&[("grpc-status", "14"), ("grpc-message", "secret")]), &[0, 0]].concat(),
        ),
    ]
    .concat();
    let calls: &Calls<'_> = &[(Request, &ask), (Response, &answer)];
    check(
        HTTP2,
        calls,
        &[
            "shop.Cart/Add http.request.method=POST rpc.system=grpc rpc.service=shop.Cart rpc.method=Add rpc.grpc.status_code=14 !UNAVAILABLE",
        ],
    );
    assert_eq!(exchanges(HTTP2, calls, usize::MAX)[0].protocol, Protocol::Grpc);
}

#[test]
fn streams_that_were_reset() {
    let ask = [get(1, "/a"), get(3, "/b"), frame(3, 0, 1, &[0, 0, 0, 8])].concat();
    check(
        HTTP2,
        &[(Request, &ask), (Response, &frame(3, 0, 3, &[0, 0, 0, 7]))],
        &[
            "GET /a http.request.method=GET url.path=/a http.route=/a server.address=a.example ~CANCEL",
            "GET /b http.request.method=GET url.path=/b http.route=/b server.address=a.example !REFUSED_STREAM",
        ],
    );
}

#[test]
fn headers_behind_a_cut_or_a_gap_are_unknown_and_marked() {
    let mut decoder = decoder(HTTP2);
    let mut out = Vec::new();
    let mut chunk = |direction, bytes: &[u8], total: usize, gap| {
        decoder.chunk(&Chunk { direction, ts_ns: 1, bytes, total: total as u64, gap }, &mut out);
    };
    // ":path: /known" goes into the table, and is then 62.
    let known = [&[0x82, 0x44, 6][..], b"/known"].concat();
    let again = frame(1, 5, 3, &[0x82, 0xbe]);
    chunk(Request, &frame(1, 5, 1, &known), 18, false);
    chunk(Request, &again, again.len(), false);
    chunk(Response, &frame(1, 5, 1, &[0x88]), 10, false);
    chunk(Response, &frame(1, 5, 3, &[0x88]), 10, false);
    let lost = frame(1, 5, 5, &[0x82, 0xbe]);
    chunk(Request, &lost, lost.len(), true);
    chunk(Response, &frame(1, 5, 5, &[0x88]), 10, false);
    // A block that is cut, then frames that nobody saw.
    let cut = frame(1, 5, 7, &[&[0x82, 0x84][..], &[0; 100]].concat());
    chunk(Request, &cut[..11], 500, false);
    chunk(Response, &frame(1, 5, 7, &[0x8d]), 10, false);
    // Data passed over by its length, and what follows is known again.
    let data = frame(0, 0, 9, &[7; 1_000]);
    chunk(Request, &data[..20], data.len(), false);
    let new = frame(1, 5, 9, &[&[0x82, 0x44, 4][..], b"/new"].concat());
    chunk(Request, &new, new.len(), false);
    chunk(Response, &frame(1, 5, 9, &[0x89]), 10, false);
    let told: Vec<_> = out.iter().map(tell).collect();
    assert_eq!(
        told,
        [
            "GET /known http.request.method=GET url.path=/known http.route=/known http.response.status_code=200",
            "GET /known http.request.method=GET url.path=/known http.route=/known http.response.status_code=200",
            "GET http.request.method=GET http.response.status_code=200 ? +",
            "GET / http.request.method=GET url.path=/ http.route=/ http.response.status_code=404 ? +",
            "GET /new http.request.method=GET url.path=/new http.route=/new http.response.status_code=204",
        ]
    );
}

#[test]
fn more_streams_than_are_followed() {
    let ask: Vec<u8> = (0..600).flat_map(|count| get(count * 2 + 1, "/a")).collect();
    let answers: Vec<u8> = (0..600).flat_map(|count| status(count * 2 + 1, 5, "200")).collect();
    let found = exchanges(HTTP2, &[(Request, &ask), (Response, &answers)], usize::MAX);
    let given_up = found.iter().filter(|one| one.truncated && one.at_least && !one.failed).count();
    assert_eq!((found.len(), given_up), (600, 600 - super::MAX_STREAMS));
}

#[test]
fn an_upgrade_to_h2c_keeps_its_request() {
    let ask = b"GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n";
    let answer = [
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n".as_slice(),
        &frame(4, 0, 0, &[]),
        &status(1, 5, "200"),
    ]
    .concat();
    let then = [PREFACE, &frame(4, 0, 0, &[]), &get(3, "/next")].concat();
    let expect = [
        "GET /up http.request.method=GET url.path=/up http.route=/up server.address=a http.response.status_code=200",
        "GET /next http.request.method=GET url.path=/next http.route=/next server.address=a.example http.response.status_code=404",
    ];
    check(
        Protocol::Http1,
        &[(Request, ask), (Response, &answer), (Request, &then), (Response, &status(3, 5, "404"))],
        &expect,
    );
    let prior = [PREFACE, &frame(4, 0, 0, &[]), &get(1, "/next")].concat();
    check(Protocol::Http1, &[(Request, &prior), (Response, &status(1, 5, "404"))], &expect[1..]);
}

#[test]
fn what_is_no_http2_is_passed_over() {
    check(HTTP2, &[(Request, &[0xff; 100]), (Response, b"HTTP/1.1 400 Bad Request\r\n\r\n")], &[]);
}

/// What was said, in order.
type Spoken = Vec<(Direction, Vec<u8>)>;

/// Bytes of a stream as the `h2` crate's client and server write them.
struct Recorded {
    stream: DuplexStream,
    calls: Arc<Mutex<Spoken>>,
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = buf.filled()[before..].to_vec();
        if !read.is_empty() {
            self.calls.lock().unwrap().push((Request, read));
        }
        polled
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = &polled {
            self.calls.lock().unwrap().push((Response, buf[..*written].to_vec()));
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const REQUESTS: usize = 300;

/// What a real client and server say to each other, with tables that fill up and Huffman's code.
async fn conversation() -> Spoken {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let stream = Recorded { stream: server, calls: Arc::clone(&calls) };
    let serving = tokio::spawn(async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(asked) = connection.accept().await {
            let (request, mut respond) = asked.unwrap();
            let grpc = request.uri().path().starts_with("/pkg.");
            let number: usize = request.headers()["x-number"].to_str().unwrap().parse().unwrap();
            let code = if grpc { 200 } else { 200 + (number % 4) as u16 * 100 };
            let mut answer = http::Response::builder().status(code).header("x-answer", number);
            if grpc {
                answer = answer.header("content-type", "application/grpc");
            }
            let mut body = respond.send_response(answer.body(()).unwrap(), false).unwrap();
            body.send_data(vec![b'x'; number * 7 % 900].into(), !grpc).unwrap();
            if grpc {
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", (number % 17).into());
                body.send_trailers(trailers).unwrap();
            }
        }
    });
    let (sender, connection) = h2::client::handshake(client).await.unwrap();
    let driving = tokio::spawn(connection);
    let mut sender = sender;
    let mut answers = Vec::new();
    for number in 0..REQUESTS {
        sender = sender.ready().await.unwrap();
        let path = if number.is_multiple_of(3) {
            format!("/pkg.Svc/Call{}", number % 5)
        } else {
            format!("/items/{number}/x?q=s")
        };
        let mut request = http::Request::builder().method("POST").uri(format!("http://a.example{path}"));
        request = request.header("x-number", number).header("authorization", format!("secret {number}"));
        if number.is_multiple_of(3) {
            request = request.header("content-type", "application/grpc");
        }
        let (answer, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(vec![b'y'; number % 100].into(), true).unwrap();
        answers.push(answer);
        if number % 8 == 7 {
            for answer in answers.drain(..) {
                let mut body = answer.await.unwrap().into_body();
                while let Some(data) = body.data().await {
                    let len = data.unwrap().len();
                    body.flow_control().release_capacity(len).unwrap();
                }
                body.trailers().await.unwrap();
            }
        }
    }
    for answer in answers {
        answer.await.unwrap();
    }
    drop(sender);
    driving.abort();
    serving.abort();
    Arc::clone(&calls).lock().unwrap().clone()
}

fn is_right(number: usize, found: &Exchange) -> bool {
    if number.is_multiple_of(3) {
        let code = (number % 17).to_string();
        let name = format!("pkg.Svc/Call{}", number % 5);
        return found.name == name && found.attribute("rpc.grpc.status_code") == Some(&code);
    }
    let code = (200 + number % 4 * 100).to_string();
    found.name == "POST /items/{id}/x" && found.attribute("http.response.status_code") == Some(&code)
}

#[tokio::test]
async fn what_a_real_client_and_server_say() {
    let calls = conversation().await;
    let borrowed: Vec<_> = calls.iter().map(|(direction, bytes)| (*direction, bytes.as_slice())).collect();
    let mut whole = exchanges(HTTP2, &borrowed, usize::MAX);
    whole.sort_by_key(|exchange| exchange.start_ns);
    assert_eq!(whole.len(), REQUESTS);
    // Streams of one call begin at one time: each is found among those of its call.
    let mut left = whole.clone();
    for number in 0..REQUESTS {
        let at = left.iter().position(|found| is_right(number, found));
        let found = left.remove(at.unwrap_or_else(|| panic!("{number} is missing")));
        assert!(!found.truncated && !found.at_least, "{found:?}");
    }
    let mut told_whole = told(HTTP2, &borrowed, usize::MAX);
    let pieces: Vec<_> =
        borrowed.iter().flat_map(|(way, bytes)| bytes.chunks(1).map(|piece| (*way, piece))).collect();
    let mut told_pieces = told(HTTP2, &pieces, usize::MAX);
    told_whole.sort();
    told_pieces.sort();
    assert_eq!(told_whole, told_pieces);
    // Met in its middle: none is told wrongly, and those whose headers were known before are marked.
    let late = exchanges(HTTP2, &borrowed[borrowed.len() / 2..], usize::MAX);
    assert!(late.len() > REQUESTS / 3, "{}", late.len());
    for found in &late {
        let named = found.name.starts_with("pkg.Svc/Call") || found.name == "POST /items/{id}/x";
        assert!(named || found.truncated, "{found:?}");
    }
}

#[test]
fn a_gap_leaves_the_header_table_of_neither_side() {
    let mut decoder = decoder(HTTP2);
    let mut out = Vec::new();
    let mut chunk = |direction, bytes: &[u8], ts_ns, gap| {
        decoder.chunk(&Chunk { direction, ts_ns, bytes, total: bytes.len() as u64, gap }, &mut out);
    };
    // `:path /secret` goes into the table, as entry 62
    let path = [&[0x44, 7][..], b"/before"].concat();
    let first = [&[0x82][..], &path].concat();
    chunk(Request, &[PREFACE, &frame(4, 0, 0, &[]), &frame(1, 5, 1, &first)].concat(), 1, false);
    chunk(Response, &status(1, 5, "200"), 2, false);
    // what was lost shows in an answer, and was a request that put something else there
    chunk(Response, &status(3, 5, "200"), 3, true);
    chunk(Request, &frame(1, 5, 5, &[0x82, 0xbe]), 4, false);
    chunk(Response, &status(5, 5, "200"), 5, false);
    let found: Vec<String> = out.iter().map(tell).collect();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("/before") && !found[1].contains("/before"), "{found:#?}");
    assert!(out[1].truncated && out[1].at_least);
}

#[test]
fn a_stream_whose_end_was_cut_off_ends_soon_after() {
    let mut decoder = decoder(HTTP2);
    let mut out = Vec::new();
    let mut chunk = |direction, bytes: &[u8], total: u64, ts_ns| {
        decoder.chunk(&Chunk { direction, ts_ns, bytes, total, gap: false }, &mut out);
        out.len()
    };
    let ask = [PREFACE, &frame(4, 0, 0, &[]), &get(1, "/a")].concat();
    chunk(Request, &ask, ask.len() as u64, 1);
    let answer = [status(1, 4, "200"), frame(0, 0, 1, &[b'x'; 40])].concat();
    // two more frames are in the call, the second of which ends the stream
    chunk(Response, &answer, answer.len() as u64 + 500, 2);
    let ask = get(3, "/b");
    assert_eq!(chunk(Request, &ask, ask.len() as u64, 1_000_000_000), 0);
    assert_eq!(chunk(Response, &frame(6, 0, 0, &[0; 8]), 17, 4_000_000_000), 1);
    assert_eq!((out[0].end_ns, out[0].truncated, out[0].failed), (2, true, false));
}

/// A read inside a library that waits while the programs come is not seen when it returns.
#[test]
fn an_answer_before_the_first_that_was_heard_on_an_older_connection_is_unseen() {
    let told = |calls: &Calls<'_>| -> Vec<_> {
        let found = exchanges(HTTP2, calls, usize::MAX);
        found.iter().map(|one| (one.number, one.failed, one.truncated, one.first_byte_ns)).collect()
    };
    let (first, second, third) = (get(1, "/a"), get(3, "/b"), get(5, "/c"));
    let answer = status(3, 5, "204");
    let calls: &Calls<'_> = &[
        (Request, &first),
        (Request, &second),
        (Response, &answer),
        (Request, &third),
        (Response, &frame(6, 1, 0, &[0; 8])),
    ];
    // the last was asked when the server was heard already
    let older = [(3, false, false, Some(2)), (1, false, true, None), (5, true, false, None)];
    assert_eq!(told(calls), older);
    // one that was seen from its begin has no such read
    let whole: Vec<_> = [(Request, PREFACE)].into_iter().chain(calls.iter().copied()).collect();
    assert_eq!(told(&whole), [(3, false, false, Some(3)), (1, true, false, None), (5, true, false, None)]);
    assert_eq!(told(&[(Request, &first)]), [(1, false, true, None)]);
}
