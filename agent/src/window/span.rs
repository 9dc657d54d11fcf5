//! A span on its way to the batch: the protobuf of its row, written once.
//!
//! Spans are the rows that come most often, with some twenty attributes each; kept as a map of strings each attribute is two
//! allocations on every one of its stations. So the tracker writes the bytes that the batch will hold, but for what is not
//! known yet (whose it is), and nobody reads them again before they are sent.

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use proto::v1;

/// Fields of `SpanRow` and of an entry of its attributes, as `rows.proto` numbers them.
pub mod field {
    #![expect(missing_docs, reason = "the names are those of rows.proto")]
    pub const IDENTITY: u32 = 1;
    pub const TS: u32 = 2;
    pub const DURATION_NS: u32 = 3;
    pub const TRACE_ID: u32 = 4;
    pub const SPAN_ID: u32 = 5;
    pub const PARENT_SPAN_ID: u32 = 6;
    pub const TRACE_STATE: u32 = 7;
    pub const SERVICE: u32 = 8;
    pub const NAME: u32 = 9;
    pub const KIND: u32 = 10;
    pub const STATUS: u32 = 11;
    pub const STATUS_MESSAGE: u32 = 12;
    pub const SOURCE: u32 = 15;
    pub const ATTRIBUTES: u32 = 16;
    pub const KEY: u32 = 1;
    pub const VALUE: u32 = 2;
}

/// Field of `Payload` that has the spans.
pub const SPANS: u32 = 11;

/// A span's row without `identity` and `service`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    bytes: Vec<u8>,
}

impl Span {
    /// An empty one, with room for what a span usually is.
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(1_152) }
    }

    /// Puts a text in; an empty one is the default and needs no place.
    pub fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            text_to(&mut self.bytes, field, text);
        }
    }

    /// Puts an id in, in lower-case hex.
    pub fn hex(&mut self, field: u32, id: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        encode_key(field, WireType::LengthDelimited, &mut self.bytes);
        encode_varint(2 * id.len() as u64, &mut self.bytes);
        for byte in id {
            let digit = |four: u8| DIGITS.get(usize::from(four & 15)).copied().unwrap_or(b'0');
            self.bytes.extend_from_slice(&[digit(byte >> 4), digit(*byte)]);
        }
    }

    /// Puts the time in: when it began, and how long it took.
    pub fn time(&mut self, ts: u64, duration_ns: u64) {
        encode_key(field::TS, WireType::SixtyFourBit, &mut self.bytes);
        self.bytes.extend_from_slice(&ts.to_le_bytes());
        encode_key(field::DURATION_NS, WireType::Varint, &mut self.bytes);
        encode_varint(duration_ns, &mut self.bytes);
    }

    /// Puts an attribute in. Of two with the same key a reader takes the last, and a sender sends both: put each once.
    pub fn attribute(&mut self, key: &str, value: &str) {
        attribute_to(&mut self.bytes, key, value);
    }

    /// Puts attributes in that `attribute_to` wrote.
    pub fn attributes(&mut self, written: &[u8]) {
        self.bytes.extend_from_slice(written);
    }

    /// As a row, for those who want to read it.
    pub fn row(&self) -> v1::SpanRow {
        v1::SpanRow::decode(self.bytes.as_slice()).unwrap_or_default()
    }

    /// Appends it to a payload's bytes, as the span of a service.
    pub fn append_to(&self, payload: &mut Vec<u8>, identity: u32, service: &str) {
        let key = |field: u32| prost::encoding::key_len(field);
        let varint = |value: u64| prost::encoding::encoded_len_varint(value);
        let of_identity = if identity == 0 { 0 } else { key(field::IDENTITY) + varint(u64::from(identity)) };
        let length = service.len();
        let of_service = if length == 0 { 0 } else { key(field::SERVICE) + varint(length as u64) + length };
        encode_key(SPANS, WireType::LengthDelimited, payload);
        encode_varint((of_identity + of_service + self.bytes.len()) as u64, payload);
        if identity != 0 {
            encode_key(field::IDENTITY, WireType::Varint, payload);
            encode_varint(u64::from(identity), payload);
        }
        if length != 0 {
            text_to(payload, field::SERVICE, service);
        }
        payload.extend_from_slice(&self.bytes);
    }
}

fn text_to(bytes: &mut Vec<u8>, field: u32, text: &str) {
    encode_key(field, WireType::LengthDelimited, bytes);
    encode_varint(text.len() as u64, bytes);
    bytes.extend_from_slice(text.as_bytes());
}

/// Writes an attribute as `Span::attributes` takes it.
pub fn attribute_to(bytes: &mut Vec<u8>, key: &str, value: &str) {
    let of = |text: &str| 1 + prost::encoding::encoded_len_varint(text.len() as u64) + text.len();
    encode_key(field::ATTRIBUTES, WireType::LengthDelimited, bytes);
    encode_varint((of(key) + of(value)) as u64, bytes);
    text_to(bytes, field::KEY, key);
    text_to(bytes, field::VALUE, value);
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use proto::v1;

    use super::{Span, attribute_to, field};

    #[test]
    fn what_is_written_is_the_row() {
        let mut span = Span::new();
        span.time(5, 700_000);
        span.hex(field::TRACE_ID, &[0x4b; 16]);
        span.hex(field::SPAN_ID, &[0x0a; 8]);
        span.text(field::PARENT_SPAN_ID, "");
        span.text(field::NAME, "GET /a");
        span.attribute("url.path", &"/a".repeat(200));
        let mut kept = Vec::new();
        attribute_to(&mut kept, "network.type", "");
        span.attributes(&kept);
        let row = v1::SpanRow {
            ts: 5,
            duration_ns: 700_000,
            trace_id: "4b".repeat(16),
            span_id: "0a".repeat(8),
            name: "GET /a".into(),
            attributes: [("url.path".into(), "/a".repeat(200)), ("network.type".into(), String::new())]
                .into(),
            ..v1::SpanRow::default()
        };
        assert_eq!(span.row(), row);
        for (identity, service) in [(0, ""), (300, "cart")] {
            let mut bytes = v1::Payload { identities: vec![v1::Identity::default()], ..Default::default() }
                .encode_to_vec();
            span.append_to(&mut bytes, identity, service);
            span.append_to(&mut bytes, identity, service);
            let payload = v1::Payload::decode(bytes.as_slice()).unwrap();
            let named = v1::SpanRow { identity, service: service.into(), ..row.clone() };
            assert_eq!((payload.identities.len(), payload.spans), (1, vec![named.clone(), named]));
        }
    }
}
