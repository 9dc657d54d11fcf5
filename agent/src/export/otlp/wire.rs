//! Fields of a protobuf message, read where they lie.

use prost::encoding::decode_varint;

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) value: Value<'a>,
    /// All its bytes.
    pub(super) whole: &'a [u8],
}

/// What it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    /// A text, bytes or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message, in their order; `None` where it is damaged, and then no more.
pub(super) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { left: message }
}

/// What is left of a message.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    left: &'a [u8],
}

impl<'a> Fields<'a> {
    /// What is left of it.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.left
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<Field<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let found = next(&mut self.left);
        if found.is_none() {
            self.left = &[];
        }
        Some(found)
    }
}

/// The ways in which a value is written.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const DELIMITED: u64 = 2;
const SHORT: u8 = DELIMITED as u8;
const FIXED32: u64 = 5;

/// A field; nearly all are texts of less than 128 bytes, whose numbers are small.
#[inline]
fn next<'a>(left: &mut &'a [u8]) -> Option<Field<'a>> {
    let from = *left;
    let (number, length, before) = match from {
        [key @ 0x08..0x80, length @ ..0x80, ..] if key & 7 == SHORT => (u32::from(key >> 3), *length, 2),
        // the numbers from 16 to 31
        [key @ 0x80..=0xff, 0x01, length @ ..0x80, ..] if key & 7 == SHORT => {
            (u32::from(key >> 3), *length, 3)
        }
        _ => return any(left),
    };
    let (whole, behind) = from.split_at_checked(before + usize::from(length))?;
    *left = behind;
    Some(Field { number, value: Value::Bytes(whole.get(before..)?), whole })
}

/// The same of what is in any form.
#[inline(never)]
fn any<'a>(left: &mut &'a [u8]) -> Option<Field<'a>> {
    let from = *left;
    let key = varint(left)?;
    let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0)?;
    let value = match key & 7 {
        VARINT => Value::Number(varint(left)?),
        FIXED64 => Value::Number(u64::from_le_bytes(take(left, 8)?.try_into().ok()?)),
        FIXED32 => Value::Number(u64::from(u32::from_le_bytes(take(left, 4)?.try_into().ok()?))),
        DELIMITED => {
            let length = varint(left)?;
            Value::Bytes(take(left, usize::try_from(length).ok()?)?)
        }
        _ => return None,
    };
    Some(Field { number, value, whole: from.get(..from.len() - left.len())? })
}

/// A number; nearly all are of one byte.
#[inline]
fn varint(left: &mut &[u8]) -> Option<u64> {
    let (first, rest) = left.split_first()?;
    if *first < 0x80 {
        *left = rest;
        return Some(u64::from(*first));
    }
    decode_varint(left).ok()
}

#[inline]
fn take<'a>(left: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = left.split_at_checked(length)?;
    *left = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::{Field, Value, any, fields, next};

    #[test]
    fn a_short_form_is_read_as_any_other() {
        let lengths = [0, 1, 126, 127, 128, 300];
        for number in (1..=40_u32).chain([300, 5_000]) {
            for length in lengths {
                let mut bytes = Vec::new();
                super::super::put::message(&mut bytes, number, &vec![b'a'; length]);
                bytes.extend_from_slice(b"behind");
                for end in 0..=bytes.len() {
                    let (mut one, mut other) = (&bytes[..end], &bytes[..end]);
                    let found = next(&mut one);
                    assert_eq!(found, any(&mut other), "{number} {length} {end}");
                    assert!(found.is_none() || one == other);
                }
                assert_eq!(next(&mut bytes.as_slice()).unwrap().number, number);
            }
        }
        // no number
        assert_eq!(
            (next(&mut &[0x02, 0][..]), next(&mut &[0x80, 0x01, 0][..])),
            (None, any(&mut &[0x80, 0x01, 0][..]))
        );
    }

    #[test]
    fn what_is_damaged_ends_the_fields() {
        let whole = [0x08, 0x96, 0x01, 0x12, 1, b'a', 0x1d, 1, 0, 0, 0, 0x21, 2, 0, 0, 0, 0, 0, 0, 0];
        let found: Vec<_> = fields(&whole).map(|found| found.map(|one| (one.number, one.value))).collect();
        let numbers = [Value::Number(150), Value::Bytes(b"a"), Value::Number(1), Value::Number(2)];
        let expected: Vec<_> = (1..=4).zip(numbers).map(Some).collect();
        assert_eq!(found, expected);
        assert_eq!(
            fields(&whole[..6]).nth(1).unwrap(),
            Some(Field { number: 2, value: Value::Bytes(b"a"), whole: &whole[3..6] })
        );
        for end in [1, 2, 4, 5, 8, 15] {
            assert_eq!(fields(&whole[..end]).last().unwrap(), None, "{end}");
        }
    }
}
