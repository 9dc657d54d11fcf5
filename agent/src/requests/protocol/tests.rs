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
