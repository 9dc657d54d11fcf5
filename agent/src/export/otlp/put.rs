//! Fields of OTLP's messages, put into the bytes of a request.

use prost::encoding::{WireType, encode_key, encode_varint};

/// Fields of OTLP's messages, by their numbers in `trace.proto`, `common.proto` and `resource.proto`.
pub(super) mod otlp {
    pub(in super::super) const RESOURCE_SPANS: u32 = 1;
    pub(in super::super) const RESOURCE: u32 = 1;
    pub(in super::super) const SCOPE_SPANS: u32 = 2;
    pub(in super::super) const SCOPE: u32 = 1;
    pub(in super::super) const SPANS: u32 = 2;
    pub(in super::super) const TRACE_ID: u32 = 1;
    pub(in super::super) const SPAN_ID: u32 = 2;
    pub(in super::super) const TRACE_STATE: u32 = 3;
    pub(in super::super) const PARENT_SPAN_ID: u32 = 4;
    pub(in super::super) const NAME: u32 = 5;
    pub(in super::super) const KIND: u32 = 6;
    pub(in super::super) const START: u32 = 7;
    pub(in super::super) const END: u32 = 8;
    pub(in super::super) const ATTRIBUTES: u32 = 9;
    pub(in super::super) const STATUS: u32 = 15;
    pub(in super::super) const STATUS_MESSAGE: u32 = 2;
    pub(in super::super) const STATUS_CODE: u32 = 3;
    pub(in super::super) const KEY: u32 = 1;
    pub(in super::super) const VALUE: u32 = 2;
    pub(in super::super) const STRING: u32 = 1;
    pub(in super::super) const BOOL: u32 = 2;
    pub(in super::super) const INT: u32 = 3;
    pub(in super::super) const KIND_SERVER: u64 = 2;
    pub(in super::super) const KIND_CLIENT: u64 = 3;
    pub(in super::super) const CODE_ERROR: u64 = 2;
}

/// Puts a text, bytes or a message in.
#[inline]
pub(super) fn message(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    out.reserve(bytes.len() + 16);
    begin(out, field, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What stands before a text, bytes or a message of this length.
#[inline]
pub(super) fn begin(out: &mut Vec<u8>, field: u32, length: u64) {
    match (u8::try_from(field << 3 | 2), u8::try_from(length)) {
        // nearly all
        (Ok(key @ ..0x80), Ok(length @ ..0x80)) => out.extend_from_slice(&[key, length]),
        _ => {
            encode_key(field, WireType::LengthDelimited, out);
            encode_varint(length, out);
        }
    }
}

pub(super) fn number(out: &mut Vec<u8>, field: u32, number: u64) {
    encode_key(field, WireType::Varint, out);
    encode_varint(number, out);
}

pub(super) fn fixed(out: &mut Vec<u8>, field: u32, number: u64) {
    encode_key(field, WireType::SixtyFourBit, out);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Puts an id in as bytes; what is not hex is left out.
pub(super) fn hex(out: &mut Vec<u8>, field: u32, id: &[u8]) {
    let before = out.len();
    begin(out, field, id.len() as u64 / 2);
    let (eights, rest) = id.as_chunks::<8>();
    let are_digits = eights.iter().all(|eight| match crate::window::hex::bytes(*eight) {
        Some(four) => {
            out.extend_from_slice(&four);
            true
        }
        None => pairs(out, eight),
    });
    if !(are_digits && pairs(out, rest)) {
        out.truncate(before);
    }
}

/// The same of any number of digits, of either case; whether they were.
fn pairs(out: &mut Vec<u8>, digits: &[u8]) -> bool {
    let digit = |one: u8| char::from(one).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks(2).all(|pair| match pair {
        [high, low] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => {
                out.push(high << 4 | low);
                true
            }
            _ => false,
        },
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::hex;

    #[test]
    fn an_id_is_its_bytes_and_what_is_none_is_left_out() {
        let of = |text: &str| {
            let mut out = vec![1];
            hex(&mut out, 1, text.as_bytes());
            out
        };
        assert_eq!(of("4bf92f35"), [1, 0x0a, 4, 0x4b, 0xf9, 0x2f, 0x35]);
        assert_eq!(of("4BF92f3577"), [1, 0x0a, 5, 0x4b, 0xf9, 0x2f, 0x35, 0x77]);
        for none in ["4bf92f3", "4bf92f3g", "no", "4bf92f35a", "4bf92f35zz"] {
            assert_eq!(of(none), [1], "{none}");
        }
    }
}
