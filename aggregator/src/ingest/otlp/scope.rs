//! What logs and spans have in common: the scope that wrote them, and ids.

use crate::ingest::otlp::value::{Attributes, cut, pair};
use crate::ingest::otlp::wire::{Fields, WireError};

/// The longest name or version of a scope, bytes.
const MAX_NAME_BYTES: usize = 512;

/// An `InstrumentationScope`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    message: &'a [u8],
}

/// Reads an `InstrumentationScope`.
pub(crate) fn read(message: &[u8]) -> Result<Scope<'_>, WireError> {
    let mut scope = Scope { message, ..Scope::default() };
    for field in Fields::new(message) {
        let (number, field) = field?;
        match number {
            1 => scope.name = cut(field.text(number)?, MAX_NAME_BYTES),
            2 => scope.version = cut(field.text(number)?, MAX_NAME_BYTES),
            _ => {}
        }
    }
    Ok(scope)
}

impl Scope<'_> {
    /// The resource's attributes and this scope's.
    pub(crate) fn with_own(&self, of_resource: &Attributes) -> Result<Attributes, WireError> {
        let mut attributes = of_resource.clone();
        for field in Fields::new(self.message) {
            if let (3, field) = field? {
                let (key, value) = pair(field.bytes(3)?)?;
                attributes.add(key, value)?;
            }
        }
        Ok(attributes)
    }

    /// The same, with the scope's name and version among them.
    pub(crate) fn attributes(&self, of_resource: &Attributes) -> Result<Attributes, WireError> {
        let mut attributes = self.with_own(of_resource)?;
        for (key, text) in [("otel.scope.name", self.name), ("otel.scope.version", self.version)] {
            if !text.is_empty() {
                attributes.insert(key, text);
            }
        }
        Ok(attributes)
    }
}

/// The message in this field: the last one, or nothing.
pub(crate) fn last(message: &[u8], number: u32) -> Result<&[u8], WireError> {
    let mut last: &[u8] = &[];
    for field in Fields::new(message) {
        let (found, field) = field?;
        if found == number {
            last = field.bytes(number)?;
        }
    }
    Ok(last)
}

/// The messages in this field, as far as they can be read: `convert` has looked at all of them before.
pub(crate) fn each(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).filter_map(move |field| match field {
        Ok((found, field)) if found == number => field.bytes(number).ok(),
        _ => None,
    })
}

/// An id of so many bytes as lower-case hex; `None` for another length and for zeros, which mean that there is none.
pub(crate) fn id(bytes: &[u8], len: usize) -> Option<String> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if bytes.len() != len || bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Some(digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect())
}
