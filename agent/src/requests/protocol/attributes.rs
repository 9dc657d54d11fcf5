//! Attributes of an exchange, in the bytes that the row of its span will hold.
//!
//! A span has some ten of them. Kept as strings each is made, copied and given back by itself, which costs more than to find
//! out what it says; so they are written once, one behind the other, and the row takes them as they are.

use std::fmt;

use crate::window::span::{attribute_of, attribute_to, attributes_of};

/// Room for those that a request of HTTP has.
const USUAL_BYTES: usize = 256;

/// In the order in which they were put in; each key once.
#[derive(Default, PartialEq, Eq)]
pub struct Attributes {
    written: Vec<u8>,
}

impl Clone for Attributes {
    /// With room for what an answer adds.
    fn clone(&self) -> Self {
        let mut written = Vec::with_capacity(USUAL_BYTES.max(self.written.len() + USUAL_BYTES / 4));
        written.extend_from_slice(&self.written);
        Self { written }
    }
}

impl Attributes {
    /// Adds one whose key is not there yet.
    pub fn push(&mut self, key: &'static str, value: &str) {
        if self.written.capacity() == 0 {
            self.written.reserve(USUAL_BYTES);
        }
        attribute_to(&mut self.written, key, value);
    }

    /// Replaces one or adds it.
    pub fn set(&mut self, key: &'static str, value: &str) {
        match self.get(key) {
            Some(old) if old == value => {}
            Some(_) => {
                let before = std::mem::take(self);
                for (name, old) in before.iter() {
                    attribute_to(&mut self.written, name, if name == key { value } else { old });
                }
            }
            None => self.push(key, value),
        }
    }

    /// Takes some out.
    pub fn remove(&mut self, keys: &[&str]) {
        let before = std::mem::take(self);
        for (name, value) in before.iter().filter(|(name, _)| !keys.contains(name)) {
            attribute_to(&mut self.written, name, value);
        }
    }

    /// The value of one.
    pub fn get(&self, key: &str) -> Option<&str> {
        str::from_utf8(attribute_of(&self.written, key)?).ok()
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = |(key, value)| Some((str::from_utf8(key).ok()?, str::from_utf8(value).ok()?));
        attributes_of(&self.written).filter_map(texts)
    }

    /// As `Span::attributes` takes them.
    pub fn written(&self) -> &[u8] {
        &self.written
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Attributes;

    #[test]
    fn what_was_put_in_is_there_in_its_order() {
        let mut attributes = Attributes::default();
        let long = "x".repeat(1_024);
        let longest = "y".repeat(20_000);
        let all = [("url.path", "/a"), ("db.query.text", &*long), ("a", ""), ("b", &*longest), ("c", "ü")];
        for (key, value) in all {
            attributes.push(key, value);
        }
        assert_eq!(attributes.iter().collect::<Vec<_>>(), all);
        assert!(all.iter().all(|(key, value)| attributes.get(key) == Some(value)));
        attributes.set("url.path", "/b");
        attributes.set("a", "");
        attributes.set("d", "1");
        attributes.remove(&["b", "db.query.text", "nothing"]);
        let left: Vec<_> = attributes.iter().collect();
        assert_eq!(left, [("url.path", "/b"), ("a", ""), ("c", "ü"), ("d", "1")]);
        assert_eq!((attributes.get("b"), attributes.get("")), (None, None));
    }
}
