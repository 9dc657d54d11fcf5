//! Values of columns: all of them, or those at some places, which costs little beside unpacking their streams.

use std::io;

use super::bad;
use super::block::{Block, Stream};
use super::column::is_dash;
use super::head::{Column, Hex, Numbers, Shaped, Template};
use super::split::literals;
use super::values::Values;
use crate::rows::Texts;

/// Places of values in a column, which ascend; all of them if `None`.
pub(super) type Places<'a> = Option<&'a [u32]>;

impl Block<'_> {
    /// The numbers at some places of a column of `len`.
    pub(super) fn numbers(&self, numbers: &Numbers, len: usize, places: Places<'_>) -> io::Result<Vec<i64>> {
        let count = places.map_or(len, <[u32]>::len);
        self.charge(if numbers.delta { len } else { count })?;
        let planes = self.planes(numbers, len)?;
        if places.is_some_and(|places| places.last().is_some_and(|last| *last as usize >= len)) {
            return Err(bad("no such value"));
        }
        let mut found = vec![0_i64; count];
        match places {
            Some(places) if !numbers.delta => {
                for (at, plane) in planes.iter().enumerate() {
                    for (number, place) in found.iter_mut().zip(places) {
                        *number |= byte(plane[*place as usize], at);
                    }
                }
                found.iter_mut().for_each(|number| *number = number.wrapping_add(numbers.low));
            }
            Some(places) => {
                let (mut before, mut next) = (numbers.base, 0);
                for (number, place) in found.iter_mut().zip(places) {
                    // a step each, and what was stored of them
                    let steps = next..*place as usize + 1;
                    before = before.wrapping_add(numbers.low.wrapping_mul(steps.len() as i64));
                    for (at, plane) in planes.iter().enumerate() {
                        let sum: u64 = plane[steps.clone()].iter().map(|byte| u64::from(*byte)).sum();
                        before = before.wrapping_add((sum << (8 * at)).cast_signed());
                    }
                    next = steps.end;
                    *number = before;
                }
            }
            None => {
                for (at, plane) in planes.iter().enumerate() {
                    found.iter_mut().zip(&**plane).for_each(|(number, stored)| *number |= byte(*stored, at));
                }
                let mut before = numbers.base;
                for number in &mut found {
                    *number = number.wrapping_add(numbers.low);
                    if numbers.delta {
                        before = before.wrapping_add(*number);
                        *number = before;
                    }
                }
            }
        }
        Ok(found)
    }

    /// The planes of a column of `len` numbers.
    pub(super) fn planes(&self, numbers: &Numbers, len: usize) -> io::Result<Vec<Stream>> {
        let mut planes = Vec::with_capacity(numbers.width);
        for plane in 0..numbers.width {
            let plane = self.stream(numbers.first + plane)?;
            if plane.len() != len {
                return Err(bad("planes of other lengths"));
            }
            planes.push(plane);
        }
        Ok(planes)
    }

    /// The values at some places of a column of `len`; `times` are the records' of the lines there.
    pub(super) fn values(
        &self,
        column: &Column,
        len: usize,
        times: Option<&[i64]>,
        places: Places<'_>,
    ) -> io::Result<Values> {
        let count = places.map_or(len, <[u32]>::len);
        match column {
            Column::One(value) => Ok(Values::One(value.clone())),
            Column::Of { entries, ids } => {
                let mut checked = Vec::with_capacity(count);
                for id in self.numbers(ids, len, places)? {
                    let id = u32::try_from(id).ok().filter(|id| (*id as usize) < entries.len());
                    checked.push(id.ok_or_else(|| bad("unknown entry"))?);
                }
                Ok(Values::Of { entries: std::sync::Arc::clone(entries), ids: checked })
            }
            Column::Integer { prefix, suffix, digits, numbers } => {
                let numbers = self.numbers(numbers, len, places)?;
                self.charge(count.saturating_mul(prefix.len() + suffix.len() + 8))?;
                let mut texts = Texts::with_capacity(count, count * (prefix.len() + suffix.len() + 6));
                let mut text = Vec::new();
                for number in numbers {
                    text.clear();
                    text.extend_from_slice(prefix);
                    push_number(number, *digits, &mut text);
                    text.extend_from_slice(suffix);
                    texts.push(&text);
                }
                Ok(Values::Each(texts))
            }
            Column::Hex { hex, stream } => self.hex(*hex, &self.stream(*stream)?, len, places),
            Column::Text { lens, stream } => {
                let lens = self.numbers(lens, len, None)?;
                self.texts(&lens, &self.stream(*stream)?, places)
            }
            Column::Shaped(shaped) => self.shaped(shaped, len, places),
            Column::Time { format, relative, ticks } => {
                let times = match (relative, times) {
                    (false, _) => None,
                    (true, Some(times)) if times.len() == count => Some(times),
                    (true, _) => return Err(bad("times of other lines")),
                };
                let ticks = self.numbers(ticks, len, places)?;
                self.charge(count * 32)?;
                let mut texts = Texts::with_capacity(count, count * 24);
                let mut text = Vec::new();
                for (at, ticks) in ticks.into_iter().enumerate() {
                    let ticks = times.map_or(ticks, |times| format.absolute(ticks, times[at]));
                    text.clear();
                    format.write(ticks, &mut text);
                    texts.push(&text);
                }
                Ok(Values::Each(texts))
            }
        }
    }

    fn texts(&self, lens: &[i64], bytes: &[u8], places: Places<'_>) -> io::Result<Values> {
        let mut ends = Vec::with_capacity(lens.len());
        let mut end = 0_usize;
        for len in lens {
            end = end.saturating_add(usize::try_from(*len).unwrap_or(usize::MAX));
            if end > bytes.len() {
                return Err(bad("texts beyond their stream"));
            }
            ends.push(end as u32);
        }
        if end != bytes.len() {
            return Err(bad("lengths and texts differ"));
        }
        let Some(places) = places else {
            self.charge(bytes.len())?;
            let texts = Texts::from_parts(ends, bytes.to_vec());
            return Ok(Values::Each(texts.ok_or_else(|| bad("lengths and texts differ"))?));
        };
        let mut texts = Texts::default();
        for place in places {
            let place = *place as usize;
            let start = place.checked_sub(1).map_or(0, |before| ends[before] as usize);
            let text = &bytes[start..ends[place] as usize];
            self.charge(text.len())?;
            texts.push(text);
        }
        Ok(Values::Each(texts))
    }

    fn hex(&self, hex: Hex, bytes: &[u8], len: usize, places: Places<'_>) -> io::Result<Values> {
        let each = hex.len.div_ceil(2);
        if each.checked_mul(len) != Some(bytes.len()) {
            return Err(bad("hex of another length"));
        }
        let count = places.map_or(len, <[u32]>::len);
        self.charge(count.saturating_mul(hex.len + 4))?;
        let mut texts = Texts::with_capacity(count, count * (hex.len + 4));
        let mut text = Vec::with_capacity(hex.len + 4);
        let mut push = |value: &[u8]| {
            text.clear();
            hex.write(value, &mut text);
            texts.push(&text);
        };
        match places {
            None => bytes.chunks_exact(each).for_each(&mut push),
            Some(places) => {
                for place in places {
                    let start = *place as usize * each;
                    push(bytes.get(start..start + each).ok_or_else(|| bad("no such value"))?);
                }
            }
        }
        Ok(Values::Each(texts))
    }

    fn shaped(&self, shaped: &Shaped, len: usize, places: Places<'_>) -> io::Result<Values> {
        let ids = self.ids(shaped, len)?;
        // of which shape each wanted text is, and which of its texts
        let mut wanted: Vec<u32> = Vec::new();
        let mut own: Vec<Vec<u32>> = vec![Vec::new(); shaped.templates.len()];
        if let Some(places) = places {
            let mut next = vec![0_u32; shaped.templates.len()];
            let mut at = 0;
            for place in places {
                let place = *place as usize;
                ids[at..place].iter().for_each(|id| next[*id as usize] += 1);
                let id = ids[place] as usize;
                own[id].push(next[id]);
                wanted.push(id as u32);
                next[id] += 1;
                at = place + 1;
            }
        }
        let some = places.is_some();
        let mut parts = Vec::with_capacity(shaped.templates.len());
        for (template, own) in shaped.templates.iter().zip(&own) {
            parts.push(match some && own.is_empty() {
                true => None,
                false => Some(Parts::read(self, template, None, some.then_some(&own[..]))?),
            });
        }
        let ids = if some { &wanted } else { &ids };
        let mut next = vec![0_usize; parts.len()];
        let mut texts = Texts::with_capacity(ids.len(), ids.len() * 16);
        let mut text = Vec::new();
        for id in ids {
            text.clear();
            if let Some(parts) = &parts[*id as usize] {
                parts.write(next[*id as usize], &mut text);
            }
            next[*id as usize] += 1;
            self.charge(text.len())?;
            texts.push(&text);
        }
        Ok(Values::Each(texts))
    }
}

#[inline]
fn byte(stored: u8, plane: usize) -> i64 {
    (u64::from(stored) << (8 * plane)).cast_signed()
}

impl Hex {
    /// Writes a value as its digits.
    #[inline]
    pub(super) fn write(self, value: &[u8], text: &mut Vec<u8>) {
        const LOWER: &[u8; 16] = b"0123456789abcdef";
        const UPPER: &[u8; 16] = b"0123456789ABCDEF";
        let alphabet = if self.upper { UPPER } else { LOWER };
        let start = text.len();
        for at in 0..self.len {
            if self.uuid && is_dash(text.len() - start) {
                text.push(b'-');
            }
            let digit = if at % 2 == 0 { value[at / 2] >> 4 } else { value[at / 2] & 15 };
            text.push(alphabet[usize::from(digit)]);
        }
    }
}

/// A template's texts and the values of its slots.
pub(super) struct Parts<'a> {
    literals: Vec<&'a [u8]>,
    values: Vec<Values>,
}

impl<'a> Parts<'a> {
    pub(super) fn read(
        block: &Block<'_>,
        template: &'a Template,
        times: Option<&[i64]>,
        places: Places<'_>,
    ) -> io::Result<Self> {
        let mut values = Vec::with_capacity(template.columns.len());
        for column in &template.columns {
            values.push(block.values(column, template.lines, times, places)?);
        }
        Ok(Self { literals: literals(&template.text).collect(), values })
    }

    /// Writes the text at a place among those that were read.
    #[inline]
    pub(super) fn write(&self, place: usize, out: &mut Vec<u8>) {
        for (at, literal) in self.literals.iter().enumerate() {
            out.extend_from_slice(literal);
            if let Some(values) = self.values.get(at) {
                out.extend_from_slice(values.get(place));
            }
        }
    }
}

/// Writes a number with at least so many digits.
pub(super) fn push_number(number: i64, digits: usize, out: &mut Vec<u8>) {
    let mut buffer = [b'0'; 24];
    let (mut rest, mut at) = (number.unsigned_abs(), buffer.len());
    while rest > 0 && at > 0 {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    at = at.min(buffer.len() - digits.clamp(1, 20));
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&buffer[at..]);
}
