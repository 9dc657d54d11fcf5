//! What the fuzz targets of the decoders of requests call.
//!
//! An input is a list of calls: a byte of flags (1: an answer, 2: after a gap, 4: cut; 8: frames that were told, 16: that
//! begin by their looks, 32: with others behind them that were not), two of length, two of what was
//! cut where it was, all little-endian, then the bytes. Captures of real programs in the corpus have the same form.

use super::sql::{Dialect, Statement};
use super::{Chunk, Direction, Exchange, Protocol, decoder, infer, path};

/// Attributes, and bytes of one, that an exchange may have.
const MAX_ATTRIBUTES: usize = 16;
const MAX_VALUE: usize = 2_048;

/// HTTP/1, and HTTP/2 where it goes on as that.
pub fn request_http1(data: &[u8]) {
    run(Protocol::Http1, data);
}

/// HTTP/2, gRPC and HPACK.
pub fn request_http2(data: &[u8]) {
    run(Protocol::Http2, data);
}

/// DNS, as datagrams or as a stream.
pub fn request_dns(data: &[u8]) {
    run(Protocol::Dns, data);
}

/// PostgreSQL.
pub fn request_postgres(data: &[u8]) {
    run(Protocol::Postgres, data);
}

/// MySQL and MariaDB.
pub fn request_mysql(data: &[u8]) {
    run(Protocol::Mysql, data);
}

/// Redis.
pub fn request_redis(data: &[u8]) {
    run(Protocol::Redis, data);
}

/// Kafka.
pub fn request_kafka(data: &[u8]) {
    run(Protocol::Kafka, data);
}

/// SQL; the first byte says whose, and whether it was cut.
pub fn request_statement(data: &[u8]) {
    let Some((kind, sql)) = data.split_first() else { return };
    let dialect = if kind & 1 == 0 { Dialect::Postgres } else { Dialect::Mysql };
    let statement = Statement::read(sql, dialect, kind & 2 != 0);
    assert!(statement.text.len() <= 1_024 && statement.summary.len() <= 255, "{statement:?}");
    assert!(!statement.text.contains(['\'', '"']), "no quoted text: {statement:?}");
}

/// Paths, and the guess by first bytes.
pub fn request_path(data: &[u8]) {
    let route = path::route(data);
    assert!(route.len() <= 340 && route.is_ascii() && !route.contains(['?', '#', '%', '@', '=']), "{route}");
    let Some((protocol, direction)) = infer(data) else { return };
    let mut out = Vec::new();
    let (bytes, total) = (data, data.len() as u64);
    decoder(protocol).chunk(&Chunk { direction, ts_ns: 0, bytes, total, gap: false }, &mut out);
    out.iter().for_each(check);
}

/// Every call of an input; calls that were cut say how much of them.
#[cfg(test)]
pub(super) fn calls(data: &[u8]) -> Vec<Chunk<'_>> {
    flagged_calls(data).into_iter().map(|(_, call)| call).collect()
}

fn flagged_calls(mut data: &[u8]) -> Vec<(u8, Chunk<'_>)> {
    let mut calls = Vec::new();
    while let [flags, low, high, rest @ ..] = data {
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        let (behind, rest) = match rest {
            [low, high, rest @ ..] if flags & 4 != 0 => (u64::from(u16::from_le_bytes([*low, *high])), rest),
            _ => (0, rest),
        };
        let (bytes, rest) = rest.split_at(len.min(rest.len()));
        let direction = if flags & 1 == 0 { Direction::Request } else { Direction::Response };
        let (ts_ns, total) = (calls.len() as u64, bytes.len() as u64 + behind);
        calls.push((*flags, Chunk { direction, ts_ns, bytes, total, gap: flags & 2 != 0 }));
        data = rest;
    }
    calls
}

fn run(protocol: Protocol, data: &[u8]) {
    let mut decoder = decoder(protocol);
    let mut out = Vec::new();
    let calls = flagged_calls(data);
    for (flags, call) in &calls {
        if flags & 8 != 0 {
            decoder.frames(call, flags & 16 != 0, flags & 32 != 0, &mut out);
        } else {
            decoder.chunk(call, &mut out);
        }
    }
    decoder.end(calls.len() as u64, &mut out);
    assert!(out.len() <= data.len(), "an exchange has bytes");
    out.iter().for_each(check);
    let again = out.len();
    decoder.end(calls.len() as u64, &mut out);
    assert_eq!(out.len(), again, "what has ended is not open");
}

fn check(exchange: &Exchange) {
    let Exchange { start_ns, first_byte_ns, end_ns, name, attributes, error_type, failed, .. } = exchange;
    assert!(start_ns <= end_ns && first_byte_ns.is_none_or(|first| first <= *end_ns), "{exchange:?}");
    assert!(!name.is_empty() && name.len() <= 512, "{exchange:?}");
    assert!(!failed || error_type.is_some(), "what failed says why: {exchange:?}");
    let attributes: Vec<_> = attributes.iter().collect();
    assert!(attributes.len() <= MAX_ATTRIBUTES, "{exchange:?}");
    for (at, (key, value)) in attributes.iter().enumerate() {
        assert!(value.len() <= MAX_VALUE, "{exchange:?}");
        assert!(attributes[..at].iter().all(|(other, _)| other != key), "{key} twice: {exchange:?}");
    }
}
