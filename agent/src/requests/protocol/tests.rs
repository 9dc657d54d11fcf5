//! What the tests of all decoders share: streams told as text, whole, in pieces and cut.

mod captured;

use super::{Chunk, Direction, Exchange, Protocol, decoder};

pub(super) use Direction::{Request, Response};

/// One side's bytes, in the order in which they came.
pub(super) type Calls<'a> = [(Direction, &'a [u8])];

/// Attributes that every exchange of a protocol has, left out of what is told.
const USUAL: [&str; 4] =
    ["network.protocol.name", "network.protocol.version", "db.system.name", "messaging.system"];

/// `name key=value … !error`, with `?` if it is truncated and `+` if there may have been more.
pub(super) fn tell(exchange: &Exchange) -> String {
    let mut told = exchange.name.clone();
    for (key, value) in exchange.attributes.iter().filter(|(key, _)| !USUAL.contains(key)) {
        told = format!("{told} {key}={value}");
    }
    if let Some(error) = &exchange.error_type {
        told = format!("{told} {}{error}", if exchange.failed { "!" } else { "~" });
    }
    let marks = [(exchange.truncated, " ?"), (exchange.at_least, " +")];
    marks.iter().filter(|(is, _)| *is).fold(told, |told, (_, mark)| told + mark)
}

/// Each call at its number, with at most `cut` bytes of it, then the end at 1000.
pub(super) fn exchanges(protocol: Protocol, calls: &Calls<'_>, cut: usize) -> Vec<Exchange> {
    let mut decoder = decoder(protocol);
    let mut out = Vec::new();
    for (ts_ns, (direction, bytes)) in (0..).zip(calls) {
        let total = bytes.len() as u64;
        let seen = &bytes[..bytes.len().min(cut)];
        decoder.chunk(&Chunk { direction: *direction, ts_ns, bytes: seen, total, gap: false }, &mut out);
    }
    decoder.end(1_000, &mut out);
    out
}

pub(super) fn told(protocol: Protocol, calls: &Calls<'_>, cut: usize) -> Vec<String> {
    exchanges(protocol, calls, cut).iter().map(tell).collect()
}

/// The same, whether calls are whole, of one byte each, or of three.
#[track_caller]
pub(super) fn check(protocol: Protocol, calls: &Calls<'_>, expect: &[&str]) {
    assert_eq!(told(protocol, calls, usize::MAX), expect);
    for size in [1, 3] {
        let pieces: Vec<_> = calls
            .iter()
            .flat_map(|(direction, bytes)| bytes.chunks(size).map(|piece| (*direction, piece)))
            .collect();
        assert_eq!(told(protocol, &pieces, usize::MAX), expect, "in pieces of {size}");
    }
}

/// As the capture gives a request and its answer: heads of so many bytes, then the length of the rest at a later time.
fn with_rests(protocol: Protocol, calls: &Calls<'_>, seen: usize) -> Vec<Exchange> {
    let mut decoder = decoder(protocol);
    let mut out = Vec::new();
    for (number, (direction, bytes)) in (0_u64..).zip(calls) {
        let head = &bytes[..bytes.len().min(seen)];
        let mut chunk = |bytes: &[u8], total: usize, ts_ns| {
            decoder.chunk(
                &Chunk { direction: *direction, ts_ns, bytes, total: total as u64, gap: false },
                &mut out,
            );
        };
        chunk(head, head.len(), number * 10);
        if bytes.len() > seen {
            chunk(&[], bytes.len() - seen, number * 10 + 5);
        }
    }
    decoder.end(1_000, &mut out);
    out
}

#[test]
fn an_answer_ends_with_its_rest_where_only_its_length_is_told() {
    let long = |head: &str, len: usize, end: &str| format!("{head}{}{end}", "x".repeat(len)).into_bytes();
    let sized = long("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", 9_000, "");
    let chunked = long(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1f40\r\n",
        8_000,
        "\r\n0\r\n\r\n",
    );
    let get = b"GET /a HTTP/1.1\r\n\r\n".as_slice();
    let rows =
        [b"T\0\0\0\x06\0\0D\0\0\x03\xe8".as_slice(), &[b'x'; 996], b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I"]
            .concat();
    let select = b"Q\0\0\0\x0dSELECT 1\0".as_slice();
    let columns = [
        b"\x01\0\0\x01\x01".as_slice(),
        &[30, 0, 0, 2],
        &[3; 30],
        &[90, 0, 0, 3],
        &[9; 90],
        b"\x05\0\0\x04\xfe\0\0\x02\0",
    ]
    .concat();
    let query = b"\x09\0\0\0\x03SELECT 1".as_slice();
    let array = long("*2\r\n$3\r\nabc\r\n$900\r\n", 900, "\r\n");
    let mget = b"*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n".as_slice();
    let cases: [(Protocol, &[u8], &[u8]); 5] = [
        (Protocol::Http1, get, &sized),
        (Protocol::Http1, get, &chunked),
        (Protocol::Postgres, select, &rows),
        (Protocol::Mysql, query, &columns),
        (Protocol::Redis, mget, &array),
    ];
    for (protocol, ask, answer) in cases {
        for seen in [20, 64, 100, 300] {
            let calls: &Calls<'_> = &[(Request, ask), (Response, answer), (Request, ask), (Response, answer)];
            let found = with_rests(protocol, calls, seen.max(ask.len()));
            let marks: Vec<_> =
                found.iter().map(|one| (one.start_ns, one.first_byte_ns, one.failed, one.at_least)).collect();
            assert_eq!(
                marks,
                [(0, Some(10), false, false), (20, Some(30), false, false)],
                "{protocol:?} {seen}: {found:?}"
            );
            let end = if answer.len() > seen.max(ask.len()) { 15 } else { 10 };
            assert_eq!(found[0].end_ns, end, "{protocol:?} {seen}");
        }
    }
}
