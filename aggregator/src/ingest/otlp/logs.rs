//! `ScopeLogs` → log rows.

use proto::v1;

use crate::ingest::otlp::resource::Origin;
use crate::ingest::otlp::rows::{Rows, TOO_LARGE};
use crate::ingest::otlp::scope;
use crate::ingest::otlp::value::{Any, Attributes, any, cut, pair};
use crate::ingest::otlp::wire::{Fields, WireError};

/// The longest name of a level, stream or source, bytes.
const MAX_WORD_BYTES: usize = 64;

/// Reads the records of one scope. One that cannot be read is rejected alone.
///
/// # Errors
/// If what holds the records cannot be read; none was taken.
pub(crate) fn read(
    message: &[u8],
    origin: &Origin,
    of_resource: &Attributes,
    rows: &mut Rows<'_>,
) -> Result<(), WireError> {
    let base = scope::read(scope::last(message, 1)?)?.attributes(of_resource)?;
    for record in scope::each(message, 2) {
        if !rows.has_room() {
            rows.rejected.add(TOO_LARGE, 1);
            continue;
        }
        match self::record(record, &base, rows) {
            Ok(row) => rows.push_log(origin, row),
            Err(WireError::Depth) => rows.rejected.add("too_deep", 1),
            Err(_) => rows.rejected.add("malformed", 1),
        }
    }
    Ok(())
}

fn record(message: &[u8], base: &Attributes, rows: &Rows<'_>) -> Result<v1::LogRow, WireError> {
    let mut row = v1::LogRow { source: String::from("otlp"), ..v1::LogRow::default() };
    let (mut severity, mut word, mut body) = (0, "", Any::Nothing);
    let mut own: Option<Attributes> = None;
    for field in Fields::new(message) {
        let (number, field) = field?;
        match number {
            1 => row.ts = field.fixed64(number)?,
            2 => severity = field.varint(number)?,
            3 => word = field.text(number)?,
            5 => body = any(field.bytes(number)?)?,
            6 => {
                let (key, value) = pair(field.bytes(number)?)?;
                match (key, value) {
                    ("log.file.path", Any::Text(path)) => row.source = cut(path, 4_096).to_owned(),
                    ("log.iostream", Any::Text(stream)) => {
                        row.stream = cut(stream, MAX_WORD_BYTES).to_owned();
                    }
                    (key, value) => own.get_or_insert_with(|| base.clone()).add(key, value)?,
                }
            }
            7 => {
                let dropped = field.varint(number)?;
                let attributes = own.get_or_insert_with(|| base.clone());
                attributes.dropped = attributes.dropped.saturating_add(dropped);
            }
            9 => row.trace_id = scope::id(field.bytes(number)?, 16).unwrap_or_default(),
            10 => row.span_id = scope::id(field.bytes(number)?, 8).unwrap_or_default(),
            11 => row.observed_ts = field.fixed64(number)?,
            12 => {
                let name = field.text(number)?;
                if !name.is_empty() {
                    own.get_or_insert_with(|| base.clone()).insert("event.name", name);
                }
            }
            _ => {}
        }
    }
    if row.observed_ts == 0 {
        row.observed_ts = rows.now_ns;
    }
    if row.ts == 0 {
        row.ts = row.observed_ts;
    }
    row.level = level(severity, word);
    row.body = match body {
        Any::Text(text) => rows.slice(text.as_bytes()),
        Any::Bytes(bytes) => rows.slice(bytes),
        Any::Nothing => bytes::Bytes::new(),
        structured => structured.to_text()?.into_owned().into(),
    };
    if row.body.len() > proto::MAX_LOG_BODY_BYTES {
        row.body.truncate(proto::MAX_LOG_BODY_BYTES);
        row.truncated = true;
    }
    if own.is_some() || !base.map.is_empty() || base.dropped > 0 {
        row.attributes = own.unwrap_or_else(|| base.clone()).finish();
    }
    Ok(row)
}

/// The level of a severity: its number's, where it has one, else what its text says.
fn level(number: u64, word: &str) -> String {
    let name = match number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => "",
    };
    if !name.is_empty() {
        return name.to_owned();
    }
    let word = cut(word, MAX_WORD_BYTES).to_ascii_lowercase();
    match word.as_str() {
        "warning" => String::from("warn"),
        "err" => String::from("error"),
        "critical" | "emergency" | "alert" | "panic" => String::from("fatal"),
        "information" | "informational" | "notice" => String::from("info"),
        _ => word,
    }
}
