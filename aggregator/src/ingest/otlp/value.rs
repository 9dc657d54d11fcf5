//! `AnyValue` and `KeyValue`: as text, as JSON, and as attributes with flat keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::base64;
use crate::ingest::otlp::wire::{Fields, MAX_DEPTH, WireError};

/// The most attributes of one record; further ones are dropped and counted.
const MAX_ATTRIBUTES: usize = 256;
/// The longest text of one attribute, bytes; what is longer is cut and counted.
const MAX_VALUE_BYTES: usize = 16 << 10;
/// The longest key, bytes; an attribute with a longer one is dropped and counted.
const MAX_KEY_BYTES: usize = 1 << 10;
/// All keys and values of one record, bytes; further ones are dropped and counted.
const MAX_BYTES: usize = 48 << 10;

/// What stands for attributes that were dropped or cut, by the sender or here.
pub(crate) const DROPPED: &str = "otel.dropped_attributes_count";

/// One value, not unpacked further than its kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Any<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// Bytes of `ArrayValue`.
    Array(&'a [u8]),
    /// Bytes of `KeyValueList`.
    Map(&'a [u8]),
    Bytes(&'a [u8]),
    /// No value.
    Nothing,
}

/// Reads an `AnyValue`.
pub(crate) fn any(message: &[u8]) -> Result<Any<'_>, WireError> {
    let mut value = Any::Nothing;
    for field in Fields::new(message) {
        let (number, field) = field?;
        value = match number {
            1 => Any::Text(field.text(number)?),
            2 => Any::Bool(field.varint(number)? != 0),
            3 => Any::Int(field.varint(number)?.cast_signed()),
            4 => Any::Double(f64::from_bits(field.fixed64(number)?)),
            5 => Any::Array(field.bytes(number)?),
            6 => Any::Map(field.bytes(number)?),
            7 => Any::Bytes(field.bytes(number)?),
            _ => value,
        };
    }
    Ok(value)
}

/// Reads a `KeyValue`.
pub(crate) fn pair(message: &[u8]) -> Result<(&str, Any<'_>), WireError> {
    let (mut key, mut value) = ("", Any::Nothing);
    for field in Fields::new(message) {
        let (number, field) = field?;
        match number {
            1 => key = field.text(number)?,
            2 => value = any(field.bytes(number)?)?,
            _ => {}
        }
    }
    Ok((key, value))
}

impl<'a> Any<'a> {
    /// The value as text: a text as it is, bytes as base64, what is structured as JSON.
    pub(crate) fn to_text(self) -> Result<Cow<'a, str>, WireError> {
        Ok(match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Bytes(bytes) => Cow::Owned(base64::encode(bytes)),
            Self::Nothing => Cow::Borrowed(""),
            Self::Bool(_) | Self::Int(_) | Self::Double(_) | Self::Array(_) | Self::Map(_) => {
                let mut text = String::new();
                self.write_json(&mut text, 0)?;
                Cow::Owned(text)
            }
        })
    }

    /// Writes the value as JSON.
    pub(crate) fn write_json(self, out: &mut String, depth: usize) -> Result<(), WireError> {
        if depth > MAX_DEPTH {
            return Err(WireError::Depth);
        }
        match self {
            Self::Text(text) => write_text(out, text),
            Self::Bytes(bytes) => write_text(out, &base64::encode(bytes)),
            Self::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Self::Nothing => out.push_str("null"),
            Self::Int(value) => out.push_str(&value.to_string()),
            Self::Double(value) if value.is_finite() => out.push_str(&format!("{value:?}")),
            // JSON has no NaN and no infinity
            Self::Double(value) => write_text(out, &value.to_string()),
            Self::Array(values) => {
                out.push('[');
                let start = out.len();
                for field in Fields::new(values) {
                    if let (1, field) = field? {
                        comma(out, start);
                        any(field.bytes(1)?)?.write_json(out, depth + 1)?;
                    }
                }
                out.push(']');
            }
            Self::Map(pairs) => {
                out.push('{');
                let start = out.len();
                for field in Fields::new(pairs) {
                    if let (1, field) = field? {
                        comma(out, start);
                        let (key, value) = pair(field.bytes(1)?)?;
                        write_text(out, key);
                        out.push(':');
                        value.write_json(out, depth + 1)?;
                    }
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

fn comma(out: &mut String, start: usize) {
    if out.len() > start {
        out.push(',');
    }
}

/// Writes a text as JSON has it.
pub(crate) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// Attributes of one record, bounded; nested maps become keys with dots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) map: BTreeMap<String, String>,
    /// All keys and values.
    pub(crate) bytes: usize,
    /// Dropped or cut.
    pub(crate) dropped: u64,
}

impl Attributes {
    /// Adds one attribute; a key that is there already is replaced.
    pub(crate) fn add(&mut self, key: &str, value: Any<'_>) -> Result<(), WireError> {
        self.add_nested(key, value, 0)
    }

    fn add_nested(&mut self, key: &str, value: Any<'_>, depth: usize) -> Result<(), WireError> {
        if depth > MAX_DEPTH {
            return Err(WireError::Depth);
        }
        match value {
            Any::Map(pairs) => {
                for field in Fields::new(pairs) {
                    if let (1, field) = field? {
                        let (inner, value) = pair(field.bytes(1)?)?;
                        if key.len() + inner.len() >= MAX_KEY_BYTES {
                            self.dropped = self.dropped.saturating_add(1);
                            continue;
                        }
                        self.add_nested(&format!("{key}.{inner}"), value, depth + 1)?;
                    }
                }
                Ok(())
            }
            Any::Nothing => Ok(()),
            value => {
                self.insert(key, &value.to_text()?);
                Ok(())
            }
        }
    }

    /// Adds one attribute that is text already.
    pub(crate) fn insert(&mut self, key: &str, text: &str) {
        let cut = cut(text, MAX_VALUE_BYTES);
        let bytes = key.len() + cut.len();
        let has_room = self.map.len() < MAX_ATTRIBUTES && self.bytes + bytes <= MAX_BYTES;
        if key.is_empty() || key.len() > MAX_KEY_BYTES || !has_room {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.dropped = self.dropped.saturating_add(u64::from(cut.len() < text.len()));
        self.bytes += bytes;
        self.map.insert(key.to_owned(), cut.to_owned());
    }

    /// The map, with how many attributes it lacks.
    pub(crate) fn finish(mut self) -> BTreeMap<String, String> {
        if self.dropped > 0 {
            self.map.insert(DROPPED.to_owned(), self.dropped.to_string());
        }
        self.map
    }
}

/// The text's first bytes, at most so many, without half a letter.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
