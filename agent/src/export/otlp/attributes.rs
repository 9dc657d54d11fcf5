//! Attributes of rows as OTLP has them: the value is a message of its own, and typed.
//!
//! The spans of a connection have most of them in common, and a span mostly has all that its predecessor had, up to what was
//! measured: that part is found by its bytes, and copied as it was written before.

use prost::encoding::encoded_len_varint;

use super::put::{begin, message, number, otlp};
use super::wire::{Fields, Value, fields};
use crate::requests::hash::Table;
use crate::window::span::field;

/// How the entry of an attribute begins that names a connection: what follows it is the same for all of its spans.
pub(super) const CONNECTION: &[u8] = b"\x0a\x0fwake.connection";
/// The names that may stand there.
const OF_CONNECTION: [&[u8]; 4] = [b"network.", b"process.", b"client.", b"tls."];
/// The names that end what a span may have of the one before.
const OF_SPAN: [&[u8]; 3] = [b"wake.", b"error.", b"http.request.header."];
/// Most connections of one request that are told apart.
const MOST_CONNECTIONS: usize = 1_024;

/// What spans of one connection have in common.
#[derive(Default)]
pub(super) struct Shared<'a>(Table<End<'a>, Seen<'a>>);

/// The name of a connection, and whether it is its server's end.
pub(super) type End<'a> = (&'a [u8], bool);

/// As it was read behind the name of the connection, and as it is written with that.
struct Seen<'a> {
    /// What all spans of the connection have.
    common: &'a [u8],
    /// And what the last one had behind it.
    last: &'a [u8],
    written: Vec<u8>,
    /// Bytes of it that are the connection's.
    common_written: usize,
}

impl<'a> Shared<'a> {
    /// Writes the attributes that are the connection's or were the last span's; `entry` names it, and the others are the
    /// first ones of `left`. What is left behind them.
    pub(super) fn write(
        &mut self,
        end: End<'a>,
        entry: &[u8],
        left: &Fields<'a>,
        out: &mut Vec<u8>,
    ) -> Fields<'a> {
        let rest = left.rest();
        let from = out.len();
        if let Some(seen) = self.0.get_mut(&end)
            && let Some(behind) = rest.strip_prefix(seen.common)
        {
            if let Some(behind) = behind.strip_prefix(seen.last) {
                out.extend_from_slice(&seen.written);
                return fields(behind);
            }
            out.extend_from_slice(seen.written.get(..seen.common_written).unwrap_or_default());
            let (last, behind) = run(behind, is_like_the_last, out);
            seen.last = last;
            seen.written.clear();
            seen.written.extend_from_slice(out.get(from..).unwrap_or_default());
            return fields(behind);
        }
        attribute(out, entry);
        let (common, behind) = run(rest, is_common, out);
        let common_written = out.len() - from;
        let (last, behind) = run(behind, is_like_the_last, out);
        if self.0.len() < MOST_CONNECTIONS {
            let written = out.get(from..).unwrap_or_default().to_vec();
            self.0.insert(end, Seen { common, last, written, common_written });
        }
        fields(behind)
    }
}

/// Writes attributes as long as they are such; what was read, and what is left.
fn run<'a>(bytes: &'a [u8], is_such: fn(&[u8]) -> bool, out: &mut Vec<u8>) -> (&'a [u8], &'a [u8]) {
    let (mut left, mut read) = (fields(bytes), 0);
    while let Some(Some(found)) = left.next() {
        let Value::Bytes(entry) = found.value else { break };
        if found.number != field::ATTRIBUTES || !entry.get(2..).is_some_and(is_such) {
            break;
        }
        attribute(out, entry);
        read += found.whole.len();
    }
    bytes.split_at_checked(read).unwrap_or_default()
}

fn is_common(name: &[u8]) -> bool {
    OF_CONNECTION.iter().any(|of| name.starts_with(of))
}

fn is_like_the_last(name: &[u8]) -> bool {
    !OF_SPAN.iter().any(|of| name.starts_with(of))
}

/// Writes an attribute from its entry in a row.
pub(super) fn attribute(out: &mut Vec<u8>, entry: &[u8]) {
    if let Some((key, value)) = short(entry)
        && !is_typed(key)
        && let Some(begun) = entry.get(..entry.len() - value.len() - 1)
        && let (Ok(outer @ ..0x80), Ok(inner), Ok(length)) =
            (u8::try_from(entry.len() + 2), u8::try_from(value.len() + 2), u8::try_from(value.len()))
    {
        // the key and the begin of the value are the same in both
        out.reserve(entry.len() + 4);
        out.extend_from_slice(&[ATTRIBUTE, outer]);
        out.extend_from_slice(begun);
        out.extend_from_slice(&[inner, TEXT, length]);
        out.extend_from_slice(value);
        return;
    }
    let (mut key, mut value) = (&[][..], &[][..]);
    for found in fields(entry).map_while(|found| found) {
        match (found.number, found.value) {
            (field::KEY, Value::Bytes(bytes)) => key = bytes,
            (field::VALUE, Value::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    let typed = if is_number(key) {
        whole(value).map(|value| (otlp::INT, value.cast_unsigned()))
    } else if key == BOOL {
        Some((otlp::BOOL, u64::from(value == b"true")))
    } else {
        None
    };
    let length = |bytes: &[u8]| 1 + encoded_len_varint(bytes.len() as u64) + bytes.len();
    let inner = typed.map_or_else(|| length(value), |(_, number)| 1 + encoded_len_varint(number));
    let outer = length(key) + 1 + encoded_len_varint(inner as u64) + inner;
    out.reserve(outer + 16);
    begin(out, otlp::ATTRIBUTES, outer as u64);
    message(out, otlp::KEY, key);
    begin(out, otlp::VALUE, inner as u64);
    match typed {
        Some((field, value)) => number(out, field, value),
        None => message(out, otlp::STRING, value),
    }
}

/// What a text and an attribute begin with, in OTLP; and in an entry what its key and its value begin with.
const TEXT: u8 = 0x0a;
const ATTRIBUTE: u8 = 0x4a;
const KEY: u8 = 0x0a;
const VALUE: u8 = 0x12;
/// The attribute whose value is true or false.
const BOOL: &[u8] = b"tls.established";

/// Key and value of an entry as the tracker writes it, where their lengths take a byte each.
fn short(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let [KEY, length @ ..0x80, rest @ ..] = entry else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*length))?;
    let [VALUE, length @ ..0x80, value @ ..] = rest else { return None };
    (value.len() == usize::from(*length)).then_some((key, value))
}

fn is_typed(key: &[u8]) -> bool {
    is_number(key) || key == BOOL
}

/// A whole number; nearly all are of a few digits.
fn whole(text: &[u8]) -> Option<i64> {
    if matches!(text.len(), 1..=18) && text.iter().all(u8::is_ascii_digit) {
        return Some(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')));
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// Attributes whose values the conventions have as integers.
fn is_number(key: &[u8]) -> bool {
    matches!(
        key,
        b"server.port"
            | b"client.port"
            | b"network.local.port"
            | b"network.peer.port"
            | b"process.pid"
            | b"thread.id"
            | b"http.response.status_code"
            | b"rpc.grpc.status_code"
            | b"messaging.kafka.error_code"
            | b"wake.first_byte_us"
    )
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use prost::Message as _;

    use super::{CONNECTION, Shared, attribute};
    use crate::export::otlp::wire;
    use crate::window::span::{attribute_to, attributes_of};

    fn written(of: &[(&str, &str)]) -> Vec<u8> {
        let mut row = Vec::new();
        of.iter().for_each(|(key, value)| attribute_to(&mut row, key, value));
        row
    }

    /// As they are without anything in common.
    fn alone(row: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for found in wire::fields(row).map(Option::unwrap) {
            let wire::Value::Bytes(entry) = found.value else { continue };
            attribute(&mut out, entry);
        }
        out
    }

    #[test]
    fn what_was_the_last_ones_is_written_as_each_by_itself() {
        let long = "x".repeat(300);
        let row = |connection, route, status, first| {
            written(&[
                ("wake.connection", connection),
                ("network.peer.port", "80"),
                ("tls.established", "true"),
                ("server.address", "a"),
                ("http.route", route),
                ("db.query.text", &long),
                ("http.response.status_code", status),
                ("wake.first_byte_us", first),
                ("error.type", "no_response"),
            ])
        };
        let rows = [
            row("a", "/a", "200", "7"),
            row("a", "/a", "200", "8"),
            row("b", "/a", "200", "8"),
            row("a", "/b", "404", "-9"),
            row("a", "/b", "404", "10"),
            row("a", "/a", "x", "200000"),
            // something of the connection differs
            written(&[("wake.connection", "a"), ("network.peer.port", "81"), ("http.route", "/a")]),
            written(&[("wake.connection", "a")]),
            row("a", "/a", "200", "7"),
        ];
        let mut shared = Shared::default();
        for (number, row) in rows.iter().chain(&rows).enumerate() {
            let mut out = Vec::new();
            let mut left = wire::fields(row);
            while let Some(Some(found)) = left.next() {
                let wire::Value::Bytes(entry) = found.value else { continue };
                if entry.starts_with(CONNECTION) {
                    left = shared.write((found.whole, number % 2 == 0), entry, &left, &mut out);
                } else {
                    attribute(&mut out, entry);
                }
            }
            assert_eq!(out, alone(row));
            let span = Span::decode(&*out).unwrap();
            let read: Vec<_> = attributes_of(row).collect();
            assert_eq!(span.attributes.len(), read.len());
            for (sent, (key, value)) in span.attributes.iter().zip(read) {
                let text = match sent.value.clone().unwrap().value.unwrap() {
                    Value::StringValue(text) => text,
                    Value::IntValue(number) => number.to_string(),
                    Value::BoolValue(is) => is.to_string(),
                    other => panic!("{other:?}"),
                };
                assert_eq!((sent.key.as_bytes(), text.as_bytes()), (key, value));
            }
        }
    }
}
