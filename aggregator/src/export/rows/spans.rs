//! Rows of `span` → spans.

use arrow::array::RecordBatch;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::{Map, Value};

use super::cells::{Maps, Texts, Times, ints};
use crate::export::resource::text;

pub(super) const COLUMNS: [&str; 15] = [
    "duration_ns",
    "trace_id",
    "span_id",
    "parent_span_id",
    "trace_state",
    "service",
    "name",
    "kind",
    "status",
    "status_message",
    "scope_name",
    "scope_version",
    "attributes",
    "events",
    "links",
];

/// The columns of a batch.
#[derive(Debug)]
pub(super) struct Spans<'a> {
    ts: Times<'a>,
    duration_ns: &'a [i64],
    ids: [Texts<'a>; 3],
    trace_state: Texts<'a>,
    name: Texts<'a>,
    kind: Texts<'a>,
    status: [Texts<'a>; 2],
    attributes: Maps<'a>,
    events: Texts<'a>,
    links: Texts<'a>,
}

impl<'a> Spans<'a> {
    pub(super) fn new(batch: &'a RecordBatch) -> Option<Self> {
        let texts = |name| Texts::new(batch, name);
        Some(Self {
            ts: Times::new(batch, "ts")?,
            duration_ns: ints(batch, "duration_ns")?,
            ids: ["trace_id", "span_id", "parent_span_id"].map(texts),
            trace_state: texts("trace_state"),
            name: texts("name"),
            kind: texts("kind"),
            status: ["status", "status_message"].map(texts),
            attributes: Maps::new(batch, "attributes")?,
            events: texts("events"),
            links: texts("links"),
        })
    }

    pub(super) fn span(&self, row: usize) -> Span {
        let start = self.ts.get(row);
        let [trace_id, span_id, parent_span_id] = self.ids.map(|texts| bytes_of(texts.get(row)));
        let [status, message] = self.status.map(|texts| texts.get(row));
        Span {
            trace_id,
            span_id,
            parent_span_id,
            trace_state: self.trace_state.get(row).to_owned(),
            name: self.name.get(row).to_owned(),
            kind: kind(self.kind.get(row)),
            start_time_unix_nano: start,
            end_time_unix_nano: start.saturating_add(u64::try_from(self.duration_ns[row]).unwrap_or(0)),
            attributes: self.attributes.get(row).map(|(key, value)| text(key, value)).collect(),
            events: objects(self.events.get(row)).iter().map(event).collect(),
            links: objects(self.links.get(row)).iter().map(link).collect(),
            status: Some(Status { code: code(status), message: message.to_owned() }),
            ..Span::default()
        }
    }
}

fn kind(kind: &str) -> i32 {
    match kind {
        "internal" => 1,
        "server" => 2,
        "client" => 3,
        "producer" => 4,
        "consumer" => 5,
        _ => 0,
    }
}

fn code(status: &str) -> i32 {
    match status {
        "ok" => 1,
        "error" => 2,
        _ => 0,
    }
}

/// The JSON array that a column of events or links has; none of what is not one.
fn objects(json: &str) -> Vec<Map<String, Value>> {
    if json.is_empty() { Vec::new() } else { serde_json::from_str(json).unwrap_or_default() }
}

fn event(event: &Map<String, Value>) -> Event {
    let time = member(event, "ts").parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_nanosecond);
    Event {
        time_unix_nano: u64::try_from(time).unwrap_or(0),
        name: member(event, "name").to_owned(),
        attributes: attributes(event),
        ..Event::default()
    }
}

fn link(link: &Map<String, Value>) -> Link {
    Link {
        trace_id: bytes_of(member(link, "trace_id")),
        span_id: bytes_of(member(link, "span_id")),
        trace_state: member(link, "trace_state").to_owned(),
        attributes: attributes(link),
        ..Link::default()
    }
}

fn member<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn attributes(object: &Map<String, Value>) -> Vec<KeyValue> {
    let pairs = object.get("attributes").and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(key, value)| Some(text(key, value.as_str()?))).collect()
}

/// Hex as bytes; nothing if it is none.
pub(super) fn bytes_of(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks_exact(2).map(|pair| Some((digit(pair[0])? << 4) | digit(pair[1])?));
    pairs.collect::<Option<Vec<u8>>>().unwrap_or_default()
}
