//! OTLP/JSON → OTLP/protobuf, so that there is one conversion: read in one pass, no tree in memory.
//!
//! As the OTLP specification has it: lowerCamelCase keys (snake_case is taken too), ids as hex, 64-bit numbers as strings or
//! numbers, enums as numbers (names are taken too), bytes as base64; unknown keys are ignored. Depth is bounded by serde_json (128).

mod schema;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::base64;
use crate::ingest::otlp::Signal;
use schema::{ANY, FieldOf, Kind, LOGS, METRICS, TRACES};

/// The request as protobuf.
///
/// # Errors
/// If it is not JSON of the shape that OTLP gives it; says where.
pub(crate) fn to_protobuf(signal: Signal, request: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let fields = match signal {
        Signal::Logs => LOGS,
        Signal::Traces => TRACES,
        Signal::Metrics => METRICS,
    };
    let mut out = Vec::with_capacity(request.len() / 2);
    let mut json = serde_json::Deserializer::from_slice(request);
    MessageSeed { fields, out: &mut out }.deserialize(&mut json)?;
    json.end()?;
    Ok(out)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

fn key(out: &mut Vec<u8>, number: u32, wire_type: u64) {
    varint(out, u64::from(number) << 3 | wire_type);
}

fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    key(out, number, 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads an object and writes its fields.
struct MessageSeed<'o> {
    fields: &'static [FieldOf],
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.fields.iter().find(|(known, _, _)| is_named(known, &name)) {
                Some((_, number, kind)) => {
                    map.next_value_seed(ValueSeed { number: *number, kind: *kind, out: &mut *self.out })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// `traceId` is also `trace_id`.
fn is_named(known: &str, name: &str) -> bool {
    known == name
        || name.contains('_') && {
            let letters = name.split('_').enumerate().flat_map(|(index, part)| {
                part.chars().enumerate().map(move |(at, letter)| {
                    if index > 0 && at == 0 { letter.to_ascii_uppercase() } else { letter }
                })
            });
            letters.eq(known.chars())
        }
}

/// Reads the value of a field and writes it; an array is the field repeated, null is no value.
struct ValueSeed<'o> {
    number: u32,
    kind: Kind,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl ValueSeed<'_> {
    fn whole(self, value: i128) -> Result<(), String> {
        let wrong = || format!("{value} is out of range");
        match self.kind {
            Kind::Int | Kind::Enum(_) => {
                let bits = match i64::try_from(value) {
                    Ok(signed) => signed.cast_unsigned(),
                    Err(_) => u64::try_from(value).map_err(|_large| wrong())?,
                };
                key(self.out, self.number, 0);
                varint(self.out, bits);
            }
            Kind::Fixed64 => {
                let value = u64::try_from(value).map_err(|_large| wrong())?;
                key(self.out, self.number, 1);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Kind::Fixed32 => {
                let value = u32::try_from(value).map_err(|_large| wrong())?;
                key(self.out, self.number, 5);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            // as JSON writes a double that is whole
            Kind::Double => return self.float(value as f64),
            kind => return Err(format!("a number where {} was expected", expected(kind))),
        }
        Ok(())
    }

    fn float(self, value: f64) -> Result<(), String> {
        let Kind::Double = self.kind else {
            return Err(format!("a fraction where {} was expected", expected(self.kind)));
        };
        key(self.out, self.number, 1);
        self.out.extend_from_slice(&value.to_bits().to_le_bytes());
        Ok(())
    }

    fn text(self, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Text => bytes(self.out, self.number, text.as_bytes()),
            Kind::Id => bytes(self.out, self.number, &hex(text).ok_or("an id that is not hex")?),
            Kind::Bytes => {
                bytes(self.out, self.number, &base64::decode(text).ok_or("bytes that are not base64")?);
            }
            Kind::Enum(names) => {
                let Some(value) = names.iter().position(|name| *name == text) else {
                    return self.number_in(text);
                };
                return self.whole(i128::try_from(value).unwrap_or_default());
            }
            Kind::Int | Kind::Fixed64 | Kind::Fixed32 => return self.number_in(text),
            Kind::Double => {
                let value = text.parse().map_err(|_no| format!("{text:?} is no number"))?;
                return self.float(value);
            }
            kind => return Err(format!("a text where {} was expected", expected(kind))),
        }
        Ok(())
    }

    fn number_in(self, text: &str) -> Result<(), String> {
        let value: i128 = text.parse().map_err(|_no| format!("{text:?} is no whole number"))?;
        self.whole(value)
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a text",
        Kind::Id => "an id in hex",
        Kind::Bytes => "bytes in base64",
        Kind::Bool => "true or false",
        Kind::Int | Kind::Fixed64 | Kind::Fixed32 => "a whole number",
        Kind::Double => "a number",
        Kind::Enum(_) => "a number or a name",
        Kind::Message(_) | Kind::Any | Kind::Opaque => "an object",
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(expected(self.kind))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        let Kind::Bool = self.kind else {
            return Err(E::custom(format!("true or false where {} was expected", expected(self.kind))));
        };
        key(self.out, self.number, 0);
        self.out.push(u8::from(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.whole(i128::from(value)).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.whole(i128::from(value)).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.float(value).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.text(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let Self { number, kind, out } = self;
        if !matches!(kind, Kind::Message(_) | Kind::Any | Kind::Opaque) {
            return Err(A::Error::custom(format!("an array where {} was expected", expected(kind))));
        }
        while values.next_element_seed(ValueSeed { number, kind, out: &mut *out })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let fields = match self.kind {
            Kind::Message(fields) => Some(fields),
            Kind::Any => Some(ANY),
            _ => None,
        };
        match (fields, self.kind) {
            (Some(fields), _) => {
                let mut inner = Vec::new();
                MessageSeed { fields, out: &mut inner }.visit_map(map)?;
                bytes(self.out, self.number, &inner);
            }
            (None, Kind::Opaque) => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                bytes(self.out, self.number, &[]);
            }
            (None, kind) => {
                return Err(A::Error::custom(format!("an object where {} was expected", expected(kind))));
            }
        }
        Ok(())
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests;
