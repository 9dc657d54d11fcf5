//! Protobuf fields of a message, borrowed one by one: nothing is allocated for what a message claims to hold.

/// A message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("a number is cut off or too long")]
    Number,
    #[error("a field ends after its message")]
    Length,
    #[error("field {0} is of a kind that OTLP does not use")]
    Kind(u32),
    #[error("field {0} is not of its declared type")]
    Type(u32),
    #[error("a text is not UTF-8")]
    Text,
    #[error("values are nested more than 32 deep")]
    Depth,
}

/// Nested arrays and maps of one value.
pub(crate) const MAX_DEPTH: usize = 32;

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(self, number: u32) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::Type(number)),
        }
    }

    pub(crate) fn text(self, number: u32) -> Result<&'a str, WireError> {
        str::from_utf8(self.bytes(number)?).map_err(|_utf8| WireError::Text)
    }

    pub(crate) fn varint(self, number: u32) -> Result<u64, WireError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(WireError::Type(number)),
        }
    }

    pub(crate) fn fixed64(self, number: u32) -> Result<u64, WireError> {
        match self {
            Self::Fixed64(value) => Ok(value),
            _ => Err(WireError::Type(number)),
        }
    }
}

/// The fields of a message, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(WireError::Number)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(WireError::Length)?;
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u32, Field<'a>), WireError> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_large| WireError::Number)?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_large| WireError::Length)?;
                Field::Bytes(self.take(len)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(WireError::Kind(number)),
        };
        Ok((number, field))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Length)?;
        self.rest = rest;
        Ok(*taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Field<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, Fields, WireError};

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Field<'_>)>, WireError> {
        Fields::new(bytes).collect()
    }

    #[test]
    fn fields_are_read_in_order() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 1, 0, 0, 0];
        let fields = [(1, Field::Varint(150)), (2, Field::Bytes(b"hi")), (3, Field::Fixed32(1))];
        assert_eq!(all(&bytes).unwrap(), fields);
    }

    #[test]
    fn what_is_cut_off_or_lies_about_its_length_is_an_error() {
        assert_eq!(all(&[0x12, 0x05, b'h']), Err(WireError::Length));
        assert_eq!(
            all(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            Err(WireError::Length)
        );
        assert_eq!(all(&[0x80; 11]), Err(WireError::Number));
        assert_eq!(all(&[0x0b]), Err(WireError::Kind(1)));
    }
}
