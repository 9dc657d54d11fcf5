//! `ScopeSpans` → spans.

use proto::v1;

use crate::ingest::otlp::resource::Origin;
use crate::ingest::otlp::rows::{Rows, TOO_LARGE};
use crate::ingest::otlp::scope::{self, Scope};
use crate::ingest::otlp::value::{Attributes, cut, pair, write_text};
use crate::ingest::otlp::wire::{Fields, WireError};

/// The longest name, bytes.
const MAX_NAME_BYTES: usize = 1 << 10;
const MAX_STATE_BYTES: usize = 512;
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// The most bytes of a whole row: the store takes 64 KiB.
const MAX_ROW_BYTES: usize = 60 << 10;
/// Bytes that a row takes beside its texts.
const ROW_BYTES: usize = 128;

/// Why one span is not taken.
enum Bad {
    Wire(WireError),
    Value(&'static str),
}

impl From<WireError> for Bad {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// Reads the spans of one scope. One that cannot be read is rejected alone.
///
/// # Errors
/// If what holds the spans cannot be read; none was taken.
pub(crate) fn read(
    message: &[u8],
    origin: &Origin,
    of_resource: &Attributes,
    rows: &mut Rows<'_>,
) -> Result<(), WireError> {
    let scope = scope::read(scope::last(message, 1)?)?;
    let base = scope.with_own(of_resource)?;
    for message in scope::each(message, 2) {
        if !rows.has_room() {
            rows.rejected.add(TOO_LARGE, 1);
            continue;
        }
        match span(message, origin, &scope, &base) {
            Ok(row) => rows.push_span(origin, row),
            Err(Bad::Value(reason)) => rows.rejected.add(reason, 1),
            Err(Bad::Wire(WireError::Depth)) => rows.rejected.add("too_deep", 1),
            Err(Bad::Wire(_)) => rows.rejected.add("malformed", 1),
        }
    }
    Ok(())
}

fn span(message: &[u8], origin: &Origin, scope: &Scope<'_>, base: &Attributes) -> Result<v1::SpanRow, Bad> {
    let mut row = v1::SpanRow {
        service: origin.service.clone(),
        scope_name: scope.name.to_owned(),
        scope_version: scope.version.to_owned(),
        source: String::from("otlp"),
        ..v1::SpanRow::default()
    };
    let mut end = 0;
    let mut attributes = base.clone();
    let (mut events, mut links) = (Vec::new(), Vec::new());
    let (mut dropped_events, mut dropped_links) = (0_u64, 0_u64);
    for field in Fields::new(message) {
        let (number, field) = field?;
        match number {
            1 => row.trace_id = scope::id(field.bytes(number)?, 16).unwrap_or_default(),
            2 => row.span_id = scope::id(field.bytes(number)?, 8).unwrap_or_default(),
            3 => row.trace_state = cut(field.text(number)?, MAX_STATE_BYTES).to_owned(),
            4 => row.parent_span_id = scope::id(field.bytes(number)?, 8).unwrap_or_default(),
            5 => row.name = cut(field.text(number)?, MAX_NAME_BYTES).to_owned(),
            6 => row.kind = kind(field.varint(number)?).to_owned(),
            7 => row.ts = field.fixed64(number)?,
            8 => end = field.fixed64(number)?,
            9 => {
                let (key, value) = pair(field.bytes(number)?)?;
                attributes.add(key, value)?;
            }
            10 => attributes.dropped = attributes.dropped.saturating_add(field.varint(number)?),
            11 => events.push(field.bytes(number)?),
            12 => dropped_events = dropped_events.saturating_add(field.varint(number)?),
            13 => links.push(field.bytes(number)?),
            14 => dropped_links = dropped_links.saturating_add(field.varint(number)?),
            15 => status(field.bytes(number)?, &mut row)?,
            _ => {}
        }
    }
    for (is_bad, reason) in [
        (row.trace_id.is_empty(), "invalid_trace_id"),
        (row.span_id.is_empty(), "invalid_span_id"),
        (row.ts == 0, "no_start"),
        (end < row.ts, "ends_before_start"),
    ] {
        if is_bad {
            return Err(Bad::Value(reason));
        }
    }
    row.duration_ns = end - row.ts;
    let mut room = MAX_ROW_BYTES
        .saturating_sub(ROW_BYTES + attributes.bytes + 8 * attributes.map.len())
        .saturating_sub(row.name.len() + row.trace_state.len() + row.status_message.len())
        .saturating_sub(row.service.len() + row.scope_name.len() + row.scope_version.len());
    row.events = list(&events, &mut room, &mut dropped_events, event)?;
    row.links = list(&links, &mut room, &mut dropped_links, link)?;
    for (key, dropped) in
        [("otel.dropped_events_count", dropped_events), ("otel.dropped_links_count", dropped_links)]
    {
        if dropped > 0 {
            attributes.insert(key, &dropped.to_string());
        }
    }
    row.attributes = attributes.finish();
    Ok(row)
}

fn kind(number: u64) -> &'static str {
    match number {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "",
    }
}

fn status(message: &[u8], row: &mut v1::SpanRow) -> Result<(), WireError> {
    for field in Fields::new(message) {
        let (number, field) = field?;
        match number {
            2 => row.status_message = cut(field.text(number)?, MAX_MESSAGE_BYTES).to_owned(),
            3 => {
                row.status = match field.varint(number)? {
                    1 => String::from("ok"),
                    2 => String::from("error"),
                    _ => String::new(),
                };
            }
            _ => {}
        }
    }
    Ok(())
}

/// Messages as a JSON array, as many as there is room for; '' without.
fn list(
    messages: &[&[u8]],
    room: &mut usize,
    dropped: &mut u64,
    write: fn(&[u8]) -> Result<String, WireError>,
) -> Result<String, WireError> {
    let mut out = String::new();
    for message in messages {
        // what is written is never much shorter than what was sent
        let text = if message.len() / 2 > *room { None } else { Some(write(message)?) };
        match text.filter(|text| text.len() + 2 <= *room) {
            Some(text) => {
                *room -= text.len() + 2;
                out.push(if out.is_empty() { '[' } else { ',' });
                out.push_str(&text);
            }
            None => *dropped = dropped.saturating_add(1),
        }
    }
    if !out.is_empty() {
        out.push(']');
    }
    Ok(out)
}

fn event(message: &[u8]) -> Result<String, WireError> {
    let (mut time, mut name, mut attributes) = (0, "", Attributes::default());
    for field in Fields::new(message) {
        let (number, field) = field?;
        match number {
            1 => time = field.fixed64(number)?,
            2 => name = field.text(number)?,
            3 => {
                let (key, value) = pair(field.bytes(number)?)?;
                attributes.add(key, value)?;
            }
            4 => attributes.dropped = attributes.dropped.saturating_add(field.varint(number)?),
            _ => {}
        }
    }
    let mut out = String::from("{");
    if time > 0 {
        let time = jiff::Timestamp::from_nanosecond(i128::from(time))
            .map_or_else(|_| time.to_string(), |time| format!("{time:.9}"));
        member(&mut out, "ts", &time);
    }
    member(&mut out, "name", cut(name, MAX_NAME_BYTES));
    Ok(with_attributes(out, attributes))
}

fn link(message: &[u8]) -> Result<String, WireError> {
    let mut out = String::from("{");
    let mut attributes = Attributes::default();
    for field in Fields::new(message) {
        let (number, field) = field?;
        match number {
            1 => member(&mut out, "trace_id", &scope::id(field.bytes(number)?, 16).unwrap_or_default()),
            2 => member(&mut out, "span_id", &scope::id(field.bytes(number)?, 8).unwrap_or_default()),
            3 => member(&mut out, "trace_state", cut(field.text(number)?, MAX_STATE_BYTES)),
            4 => {
                let (key, value) = pair(field.bytes(number)?)?;
                attributes.add(key, value)?;
            }
            5 => attributes.dropped = attributes.dropped.saturating_add(field.varint(number)?),
            _ => {}
        }
    }
    Ok(with_attributes(out, attributes))
}

fn member(out: &mut String, key: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    if out.len() > 1 {
        out.push(',');
    }
    write_text(out, key);
    out.push(':');
    write_text(out, text);
}

fn with_attributes(mut out: String, attributes: Attributes) -> String {
    let map = attributes.finish();
    if !map.is_empty() {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str("\"attributes\":{");
        let start = out.len();
        for (key, text) in &map {
            if out.len() > start {
                out.push(',');
            }
            write_text(&mut out, key);
            out.push(':');
            write_text(&mut out, text);
        }
        out.push('}');
    }
    out.push('}');
    out
}
