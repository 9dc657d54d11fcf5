//! Tests on columns of numbers and of hex, answered without making a text of each value.

use std::io;

use super::bad;
use super::bits::Bits;
use super::block::Block;
use super::column::is_dash;
use super::decode::push_number;
use super::find::Test;
use super::head::{Hex, Numbers};

impl Block<'_> {
    /// Which values of a column of hex pass a test that they may pass.
    pub(super) fn hex_hits(&self, hex: Hex, stream: usize, len: usize, test: Test<'_>) -> io::Result<Bits> {
        let bytes = self.stream(stream)?;
        let each = hex.len.div_ceil(2);
        if each.checked_mul(len) != Some(bytes.len()) {
            return Err(bad("hex of another length"));
        }
        self.charge(bytes.len())?;
        let mut bits = Bits::new(len);
        let shown = if hex.uuid { 36 } else { hex.len };
        if test.text.len() == shown {
            // all of a value: compared as it is stored
            let Some(wanted) = packed(hex, test) else { return Ok(bits) };
            let values = bytes.chunks_exact(each).enumerate();
            values.filter(|(_, value)| *value == wanted).for_each(|(at, _)| bits.set(at));
            return Ok(bits);
        }
        let mut text = Vec::with_capacity(shown);
        for (at, value) in bytes.chunks_exact(each).enumerate() {
            text.clear();
            hex.write(value, &mut text);
            if test.passes(&text) {
                bits.set(at);
            }
        }
        Ok(bits)
    }

    /// Which values of a column of numbers pass.
    pub(super) fn integer_hits(
        &self,
        affixes: (&[u8], &[u8]),
        digits: usize,
        numbers: &Numbers,
        len: usize,
        test: Test<'_>,
    ) -> io::Result<Bits> {
        let mut bits = Bits::new(len);
        let number = Written { affixes, digits, test };
        let mut text = Vec::new();
        if !numbers.delta && numbers.width <= 2 {
            // few different ones: each is asked once
            let planes = self.planes(numbers, len)?;
            self.charge(len)?;
            let mut known = vec![Known::Unasked; 1 << (8 * numbers.width)];
            for at in 0..len {
                let stored = planes.iter().rev().fold(0, |high, plane| high << 8 | usize::from(plane[at]));
                if known[stored] == Known::Unasked {
                    let value = (stored as i64).wrapping_add(numbers.low);
                    known[stored] = if number.passes(value, &mut text) { Known::Yes } else { Known::No };
                }
                if known[stored] == Known::Yes {
                    bits.set(at);
                }
            }
            return Ok(bits);
        }
        for (at, value) in self.numbers(numbers, len, None)?.into_iter().enumerate() {
            if number.passes(value, &mut text) {
                bits.set(at);
            }
        }
        Ok(bits)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Unasked,
    No,
    Yes,
}

/// How a column writes its numbers, and what they are asked.
struct Written<'a> {
    affixes: (&'a [u8], &'a [u8]),
    digits: usize,
    test: Test<'a>,
}

impl Written<'_> {
    #[inline]
    fn passes(&self, number: i64, text: &mut Vec<u8>) -> bool {
        let (prefix, suffix) = self.affixes;
        text.clear();
        text.extend_from_slice(prefix);
        push_number(number, self.digits, text);
        text.extend_from_slice(suffix);
        if self.test.start || self.test.end || self.test.fold {
            return self.test.passes(text);
        }
        // a number is short: a search that prepares itself for long texts costs more than it saves
        let wanted = self.test.text;
        match wanted.split_first() {
            None => true,
            Some((first, _)) => {
                let last = (text.len() + 1).saturating_sub(wanted.len());
                (0..last).any(|at| text[at] == *first && text[at..].starts_with(wanted))
            }
        }
    }
}

/// A text that stands for a whole value, as it is stored; `None` if no value is written so.
fn packed(hex: Hex, test: Test<'_>) -> Option<Vec<u8>> {
    let mut digits = Vec::with_capacity(hex.len);
    for (at, byte) in test.text.iter().enumerate() {
        if hex.uuid && is_dash(at) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        digits.push(match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' if test.fold || !hex.upper => byte - b'a' + 10,
            b'A'..=b'F' if test.fold || hex.upper => byte - b'A' + 10,
            _ => return None,
        });
    }
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(0)).collect())
}
