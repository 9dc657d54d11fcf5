//! Spans on their way to the batch: the protobuf of their rows, written once.
//!
//! Spans are the rows that come most often, with some twenty attributes each; kept as a map of strings each attribute is two
//! allocations on every one of its stations. So the tracker writes the bytes that the batch will hold, but for what is not
//! known yet (whose it is), and nobody reads them again before they are sent.

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use proto::v1;

use super::hex;

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

/// What one owner's spans are gathered to.
const MOST_BYTES: usize = 64 << 10;
/// Room that they have from the begin. Where it is not enough there is room for all at once: what grows by halves is copied
/// again and again.
const USUAL_BYTES: usize = 8 << 10;
/// Bytes that nearly every row has room in.
const ROW_BYTES: usize = 2 << 10;
/// Bytes of what stands before each row: its length.
const LENGTH: usize = 4;

/// Rows of one owner's spans, one after the other, without `identity` and `service`. Together they take one way through the
/// agent, since a row by itself costs as much on its way as it does to write it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// Each behind its length.
    bytes: Vec<u8>,
    count: u64,
}

impl Spans {
    /// None so far.
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(USUAL_BYTES), count: 0 }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes that they take.
    pub fn memory(&self) -> usize {
        self.bytes.len()
    }

    /// Whether more of them go into others.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= MOST_BYTES
    }

    /// Begins one more.
    pub fn begin(&mut self) -> Span<'_> {
        let from = self.bytes.len() + LENGTH;
        if self.bytes.capacity() < from + ROW_BYTES {
            self.bytes.reserve(MOST_BYTES);
        }
        self.bytes.extend_from_slice(&[0; LENGTH]);
        self.count += 1;
        Span { bytes: &mut self.bytes, from }
    }

    fn each(&self) -> impl Iterator<Item = &[u8]> {
        let mut left = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (length, rest) = left.split_first_chunk::<LENGTH>()?;
            let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            left = rest;
            Some(row)
        })
    }

    /// As rows, for those who want to read them.
    pub fn rows(&self) -> Vec<v1::SpanRow> {
        self.each().map(|row| v1::SpanRow::decode(row).unwrap_or_default()).collect()
    }

    /// Appends them to a payload's bytes, as the spans of a service.
    pub fn append_to(&self, payload: &mut Vec<u8>, identity: u32, service: &str) {
        let mut whose = Vec::with_capacity(service.len() + 16);
        if identity != 0 {
            encode_key(field::IDENTITY, WireType::Varint, &mut whose);
            encode_varint(u64::from(identity), &mut whose);
        }
        if !service.is_empty() {
            text_to(&mut whose, field::SERVICE, service);
        }
        payload.reserve(self.bytes.len() + (whose.len() + LENGTH) * usize::try_from(self.count).unwrap_or(0));
        for row in self.each() {
            encode_key(SPANS, WireType::LengthDelimited, payload);
            encode_varint((whose.len() + row.len()) as u64, payload);
            payload.extend_from_slice(&whose);
            payload.extend_from_slice(row);
        }
    }
}

/// A span's row while it is written.
#[derive(Debug)]
pub struct Span<'a> {
    bytes: &'a mut Vec<u8>,
    from: usize,
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        let length = u32::try_from(self.bytes.len() - self.from).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(self.from - LENGTH..self.from) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
}

impl Span<'_> {
    /// Puts a text in; an empty one is the default and needs no place.
    pub fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            text_to(self.bytes, field, text);
        }
    }

    /// Puts an id in, in lower-case hex.
    pub fn hex(&mut self, field: u32, id: &[u8]) {
        begin_text(self.bytes, field, 2 * id.len());
        let (fours, rest) = id.as_chunks::<4>();
        for four in fours {
            self.bytes.extend_from_slice(&hex::digits(*four));
        }
        for byte in rest {
            let [.., high, low] = hex::digits([0, 0, 0, *byte]);
            self.bytes.extend_from_slice(&[high, low]);
        }
    }

    /// Puts the time in: when it began, and how long it took.
    pub fn time(&mut self, ts: u64, duration_ns: u64) {
        encode_key(field::TS, WireType::SixtyFourBit, self.bytes);
        self.bytes.extend_from_slice(&ts.to_le_bytes());
        encode_key(field::DURATION_NS, WireType::Varint, self.bytes);
        encode_varint(duration_ns, self.bytes);
    }

    /// Puts an attribute in. Of two with the same key a reader takes the last, and a sender sends both: put each once.
    pub fn attribute(&mut self, key: &str, value: &str) {
        attribute_to(self.bytes, key, value);
    }

    /// Puts attributes in that `attribute_to` wrote.
    pub fn attributes(&mut self, written: &[u8]) {
        self.bytes.extend_from_slice(written);
    }
}

fn text_to(bytes: &mut Vec<u8>, field: u32, text: &str) {
    bytes.reserve(text.len() + 12);
    begin_text(bytes, field, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// What stands before a text of this length.
fn begin_text(bytes: &mut Vec<u8>, field: u32, length: usize) {
    if let (Ok(key @ ..0x80), Ok(length @ ..0x80)) = (u8::try_from(field << 3 | 2), u8::try_from(length)) {
        // nearly all
        bytes.extend_from_slice(&[key, length]);
    } else {
        encode_key(field, WireType::LengthDelimited, bytes);
        encode_varint(length as u64, bytes);
    }
}

/// What an attribute begins with: the key of its field, of two bytes.
const ATTRIBUTE: [u8; 2] = [0x82, 0x01];
/// What its key and its value begin with.
const KEY: u8 = 0x0a;
const VALUE: u8 = 0x12;

/// Writes an attribute as `Span::attributes` takes it.
pub fn attribute_to(bytes: &mut Vec<u8>, key: &str, value: &str) {
    let short = key.len() + value.len() + 4;
    if let (Ok(inner @ ..0x80), Ok(key_length), Ok(value_length)) =
        (u8::try_from(short), u8::try_from(key.len()), u8::try_from(value.len()))
    {
        // all lengths are of one byte, as nearly always
        let [first, second] = ATTRIBUTE;
        bytes.reserve(short + 3);
        bytes.extend_from_slice(&[first, second, inner, KEY, key_length]);
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(&[VALUE, value_length]);
        bytes.extend_from_slice(value.as_bytes());
        return;
    }
    let of = |text: &str| 1 + prost::encoding::encoded_len_varint(text.len() as u64) + text.len();
    encode_key(field::ATTRIBUTES, WireType::LengthDelimited, bytes);
    encode_varint((of(key) + of(value)) as u64, bytes);
    text_to(bytes, field::KEY, key);
    text_to(bytes, field::VALUE, value);
}

/// The value of an attribute among what `attribute_to` wrote.
pub fn attribute_of<'a>(written: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let mut left = written;
    // as long as all lengths are of one byte, the others are stepped over without a look at them
    while let [0x82, 0x01, inner @ ..0x80, KEY, length, rest @ ..] = left {
        if usize::from(*length) == key.len()
            && let Some([VALUE, length, value @ ..]) = rest.strip_prefix(key.as_bytes())
        {
            return value.get(..usize::from(*length));
        }
        left = rest.get(usize::from(*inner).checked_sub(2)?..)?;
    }
    attributes_of(left).find(|(name, _)| *name == key.as_bytes()).map(|(_, value)| value)
}

/// Keys and values of what `attribute_to` wrote.
pub fn attributes_of(written: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut left = written;
    std::iter::from_fn(move || {
        left = left.strip_prefix(&ATTRIBUTE)?;
        length(&mut left)?;
        Some((text(&mut left, KEY)?, text(&mut left, VALUE)?))
    })
}

fn text<'a>(left: &mut &'a [u8], begin: u8) -> Option<&'a [u8]> {
    let (first, rest) = left.split_first()?;
    *left = rest;
    let length = length(left).filter(|_| *first == begin)?;
    let (text, rest) = left.split_at_checked(length)?;
    *left = rest;
    Some(text)
}

fn length(left: &mut &[u8]) -> Option<usize> {
    let (first, rest) = left.split_first()?;
    if *first < 0x80 {
        *left = rest;
        return Some(usize::from(*first));
    }
    prost::encoding::decode_varint(left).ok().and_then(|length| usize::try_from(length).ok())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use proto::v1;

    use super::{Spans, attribute_to, field};

    #[test]
    fn what_is_written_is_the_row() {
        let mut spans = Spans::new();
        let mut span = spans.begin();
        span.time(5, 700_000);
        span.hex(field::TRACE_ID, &[0x4b; 16]);
        span.hex(field::SPAN_ID, &[0x0a; 8]);
        span.text(field::PARENT_SPAN_ID, "");
        span.text(field::NAME, "GET /a");
        span.attribute("url.path", &"/a".repeat(200));
        let mut kept = Vec::new();
        attribute_to(&mut kept, "network.type", "");
        span.attributes(&kept);
        drop(span);
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
        assert_eq!((spans.rows(), spans.count(), spans.is_full()), (vec![row.clone()], 1, false));
        // one without anything
        drop(spans.begin());
        let nothing = v1::SpanRow::default();
        for (identity, service) in [(0, ""), (300, "cart")] {
            let mut bytes = v1::Payload { identities: vec![v1::Identity::default()], ..Default::default() }
                .encode_to_vec();
            spans.append_to(&mut bytes, identity, service);
            spans.append_to(&mut bytes, identity, service);
            let payload = v1::Payload::decode(bytes.as_slice()).unwrap();
            let named = |row: &v1::SpanRow| v1::SpanRow { identity, service: service.into(), ..row.clone() };
            let both = [named(&row), named(&nothing)];
            assert_eq!((payload.identities.len(), payload.spans), (1, [both.clone(), both].concat()));
        }
    }
}
