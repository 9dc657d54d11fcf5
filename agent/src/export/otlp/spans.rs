//! Spans of requests as OTLP traces, from the bytes of their rows to the bytes of a request.
//!
//! Nothing is decoded in between: a span has some twenty attributes, and as strings of their own they cost more than all else
//! that becomes of it. Attributes that the conventions have as numbers go out as such.

use std::collections::BTreeMap;

use prost::Message as _;
use prost::encoding::{WireType, decode_varint, encode_key};
use proto::v1;

use super::attributes::{CONNECTION, Shared, attribute};
use super::convert::{Request, TRACES, counted, scope};
use super::put::{fixed, hex, message, number, otlp};
use super::resource::resource;
use super::wire::{Value, fields};
use crate::window::span::{SPANS, field};

/// The bytes of a payload without its spans, and those of each span.
pub(super) fn split(payload: &[u8]) -> Option<(Vec<u8>, Vec<&[u8]>)> {
    let (mut rest, mut spans) = (Vec::new(), Vec::new());
    for found in fields(payload) {
        let found = found?;
        match found.value {
            Value::Bytes(bytes) if found.number == SPANS => spans.push(bytes),
            _ => rest.extend_from_slice(found.whole),
        }
    }
    Some((rest, spans))
}

/// The spans of a payload; `None` without any.
pub(super) fn traces(spans: &[&[u8]], identities: &[v1::Identity]) -> Option<Request> {
    // about as long as the rows are
    let mut body = Vec::with_capacity(spans.iter().map(|row| row.len()).sum());
    let mut scratch = Vec::new();
    let mut shared = Shared::default();
    let scope = scope().encode_to_vec();
    for (identity, rows) in by_owner(spans) {
        let whose = usize::try_from(identity).ok().and_then(|place| identities.get(place));
        let owner = Owner::begin(whose, &scope, &mut body);
        for row in rows {
            scratch.clear();
            span(row, &mut shared, &mut scratch);
            message(&mut body, otlp::SPANS, &scratch);
        }
        owner.end(&mut body);
    }
    (!spans.is_empty()).then(|| Request {
        path: TRACES,
        body: body.into(),
        rows: counted([("span", spans.len())]),
        points: 0,
        losses: Vec::new(),
    })
}

/// Rows by their owners' places in the table of identities; those of one mostly come one after the other.
fn by_owner<'a>(spans: &[&'a [u8]]) -> BTreeMap<u64, Vec<&'a [u8]>> {
    let mut owners: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
    let is_of = |row: &&[u8]| identity(row);
    for rows in spans.chunk_by(|one, other| is_of(one) == is_of(other)) {
        let Some(first) = rows.first() else { continue };
        owners.entry(identity(first)).or_default().extend_from_slice(rows);
    }
    owners
}

/// Whose a row is: that is its first field, as the batch writes it, unless it is 0.
fn identity(row: &[u8]) -> u64 {
    match row {
        [IDENTITY, identity @ ..0x80, ..] => u64::from(*identity),
        [IDENTITY, rest @ ..] => decode_varint(&mut &*rest).unwrap_or(0),
        _ => 0,
    }
}

/// What the place of the owner begins with.
const IDENTITY: u8 = (field::IDENTITY << 3) as u8;

/// Where the spans of one owner have their lengths, which are known when they are over.
struct Owner {
    outer: usize,
    inner: usize,
}

/// Bytes of such a length: a varint may have more of them than it needs.
const LENGTH: usize = 4;

impl Owner {
    fn begin(whose: Option<&v1::Identity>, scope: &[u8], body: &mut Vec<u8>) -> Self {
        let open = |field, body: &mut Vec<u8>| {
            encode_key(field, WireType::LengthDelimited, body);
            body.extend_from_slice(&[0; LENGTH]);
            body.len() - LENGTH
        };
        let outer = open(otlp::RESOURCE_SPANS, body);
        if let Some(whose) = whose {
            message(body, otlp::RESOURCE, &resource(whose).encode_to_vec());
        }
        let inner = open(otlp::SCOPE_SPANS, body);
        message(body, otlp::SCOPE, scope);
        Self { outer, inner }
    }

    fn end(self, body: &mut [u8]) {
        for at in [self.outer, self.inner] {
            let mut length = body.len() - at - LENGTH;
            for (place, byte) in body.iter_mut().skip(at).take(LENGTH).enumerate() {
                let more = if place + 1 < LENGTH { 0x80 } else { 0 };
                *byte = (length & 0x7f) as u8 | more;
                length >>= 7;
            }
        }
    }
}

/// Writes a row as OTLP has it. What is damaged is left out.
fn span<'a>(row: &'a [u8], shared: &mut Shared<'a>, out: &mut Vec<u8>) {
    let (mut ts, mut duration, mut code, mut why) = (0, 0, 0, &[][..]);
    let (mut left, mut is_server) = (fields(row), false);
    while let Some(Some(found)) = left.next() {
        match (found.number, found.value) {
            (field::TS, Value::Number(number)) => ts = number,
            (field::DURATION_NS, Value::Number(number)) => duration = number,
            (field::TRACE_ID, Value::Bytes(id)) => hex(out, otlp::TRACE_ID, id),
            (field::SPAN_ID, Value::Bytes(id)) => hex(out, otlp::SPAN_ID, id),
            (field::PARENT_SPAN_ID, Value::Bytes(id)) => hex(out, otlp::PARENT_SPAN_ID, id),
            (field::TRACE_STATE, Value::Bytes(state)) => message(out, otlp::TRACE_STATE, state),
            (field::NAME, Value::Bytes(name)) => message(out, otlp::NAME, name),
            (field::KIND, Value::Bytes(b"server")) => {
                is_server = true;
                number(out, otlp::KIND, otlp::KIND_SERVER);
            }
            (field::KIND, Value::Bytes(b"client")) => number(out, otlp::KIND, otlp::KIND_CLIENT),
            (field::STATUS, Value::Bytes(b"error")) => code = otlp::CODE_ERROR,
            (field::STATUS_MESSAGE, Value::Bytes(text)) => why = text,
            (field::ATTRIBUTES, Value::Bytes(entry)) if entry.starts_with(CONNECTION) => {
                left = shared.write((found.whole, is_server), entry, &left, out);
            }
            (field::ATTRIBUTES, Value::Bytes(entry)) => attribute(out, entry),
            _ => {}
        }
    }
    fixed(out, otlp::START, ts);
    fixed(out, otlp::END, ts.saturating_add(duration));
    if code != 0 {
        let mut status = Vec::new();
        if !why.is_empty() {
            message(&mut status, otlp::STATUS_MESSAGE, why);
        }
        number(&mut status, otlp::STATUS_CODE, code);
        message(out, otlp::STATUS, &status);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use prost::Message as _;
    use proto::v1;

    use super::{split, traces};
    use crate::window::span::Spans;

    #[test]
    fn a_span_keeps_its_ids_times_and_status() {
        let attributes = [
            ("url.path", "/a".repeat(90)),
            ("server.port", "80".to_owned()),
            ("client.port", "none".to_owned()),
            ("tls.established", "true".to_owned()),
        ];
        let row = |identity| v1::SpanRow {
            identity,
            ts: 5,
            duration_ns: 7,
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
            span_id: "00f067aa0ba902b7".into(),
            parent_span_id: "no".into(),
            name: "GET /a".into(),
            kind: "server".into(),
            status: "error".into(),
            attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            ..v1::SpanRow::default()
        };
        let identity = |workload: &str| v1::Identity { workload: workload.into(), ..Default::default() };
        let payload = v1::Payload {
            identities: vec![identity("cart"), identity("till")],
            spans: vec![row(0), row(1), row(0)],
            logs: vec![v1::LogRow { ts: 9, ..Default::default() }],
            ..Default::default()
        };
        let bytes = payload.encode_to_vec();
        let (rest, spans) = split(&bytes).unwrap();
        let rest = v1::Payload::decode(rest.as_slice()).unwrap();
        assert_eq!(rest, v1::Payload { spans: Vec::new(), ..payload });
        let request = traces(&spans, &rest.identities).unwrap();
        assert_eq!((request.path, request.records()), ("/v1/traces", 3));
        let sent = ExportTraceServiceRequest::decode(&*request.body).unwrap();
        let counts: Vec<usize> = sent.resource_spans.iter().map(|of| of.scope_spans[0].spans.len()).collect();
        assert_eq!(counts, [2, 1]);
        let second = &sent.resource_spans[1];
        let name = second.resource.as_ref().unwrap().attributes[0].value.clone().unwrap().value.unwrap();
        assert_eq!(name, Value::StringValue("till".into()));
        assert_eq!(second.scope_spans[0].scope.as_ref().unwrap().name, "wake-agent");
        let span = &second.scope_spans[0].spans[0];
        assert_eq!((span.trace_id.len(), span.span_id[1], span.parent_span_id.len()), (16, 0xf0, 0));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano, span.kind), (5, 12, 2));
        assert_eq!((span.name.as_str(), span.status.as_ref().unwrap().code), ("GET /a", 2));
        let said = |key: &str| {
            let of_key = span.attributes.iter().find(|attribute| attribute.key == key).unwrap();
            of_key.value.clone().unwrap().value.unwrap()
        };
        assert_eq!(said("url.path"), Value::StringValue("/a".repeat(90)));
        assert_eq!(said("server.port"), Value::IntValue(80));
        assert_eq!(said("client.port"), Value::StringValue("none".into()));
        assert_eq!(said("tls.established"), Value::BoolValue(true));
        assert!(traces(&[], &[]).is_none());
        assert!(split(b"\x5a\x05ab").is_none());
    }

    /// What is common to a connection is converted once, and no span gets another one's.
    #[test]
    fn spans_of_a_connection_share_what_they_have_in_common() {
        let all = [
            ("a>b", &[("network.peer.port", "80"), ("process.pid", "7")][..], "/1"),
            ("a>b", &[("network.peer.port", "80"), ("process.pid", "7")], "/2"),
            ("a>b", &[("network.peer.port", "80"), ("process.pid", "7"), ("tls.established", "true")], "/3"),
            ("a>b", &[], "/4"),
            ("a>c", &[("network.peer.port", "81")], "/5"),
            ("a>b", &[("network.peer.port", "80"), ("process.pid", "8")], "/6"),
        ];
        let mut spans = Spans::new();
        for (connection, common, path) in all {
            let mut span = spans.begin();
            span.attribute("wake.connection", connection);
            common.iter().for_each(|(key, value)| span.attribute(key, value));
            span.attribute("url.path", path);
            span.attribute("network.protocol.name", "http");
        }
        let mut payload = Vec::new();
        spans.append_to(&mut payload, 0, "cart");
        let (_, rows) = split(&payload).unwrap();
        let request = traces(&rows, &[v1::Identity::default()]).unwrap();
        let sent = ExportTraceServiceRequest::decode(&*request.body).unwrap();
        let told = sent.resource_spans[0].scope_spans[0].spans.iter().map(|span| {
            let pairs = span.attributes.iter().map(|pair| {
                let value = match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
                    Value::StringValue(text) => text.clone(),
                    Value::IntValue(number) => number.to_string(),
                    Value::BoolValue(is_true) => is_true.to_string(),
                    _ => String::new(),
                };
                (pair.key.clone(), value)
            });
            pairs.collect::<Vec<_>>()
        });
        let expected = all.map(|(connection, common, path)| {
            let first = [("wake.connection", connection)];
            let last = [("url.path", path), ("network.protocol.name", "http")];
            let pairs = first.iter().chain(common).chain(&last);
            pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
        });
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}
