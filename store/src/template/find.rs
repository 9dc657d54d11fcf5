//! Which rows hold a needle, from templates, entries and columns alone: exact, or said not to be.
//!
//! A needle lies in a line within a literal, within one slot, or across their borders. For a template, each way in which
//! it can lie is a list of tests on slots (ends with, equals, starts with, contains); a column answers a test as a set
//! of its values, asking its own shapes the same way. What cannot be is ruled out before a stream is read.

use std::io;

use memchr::memmem::Finder;

use super::bits::Bits;
use super::block::Block;
use super::head::{Column, Shaped, Template};
use super::may::may;
use super::split::{literals, marks};
use super::values::{Grouped, Values};
use super::walk::{MAX_STEPS, MAX_WAYS, Walk};
use super::{DIGITS, bad};

/// A text to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needle {
    text: Vec<u8>,
    /// ASCII letters stand for both cases; `text` is in lower case then.
    fold: bool,
}

impl Needle {
    pub(crate) fn new(text: &[u8]) -> Self {
        Self { text: text.to_vec(), fold: false }
    }

    /// Looks for ASCII text whatever its case.
    pub(crate) fn folded(text: &[u8]) -> Self {
        Self { text: text.to_ascii_lowercase(), fold: true }
    }
}

/// Which values of a column pass.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hits {
    None,
    All,
    Some(Bits),
}

impl Hits {
    fn of(bits: Bits) -> Self {
        if bits.is_empty() {
            Self::None
        } else if bits.count() == bits.len() {
            Self::All
        } else {
            Self::Some(bits)
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::All, other) | (other, Self::All) => other,
            (Self::Some(mut one), Self::Some(other)) => {
                one.and(&other);
                Self::of(one)
            }
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::None, other) | (other, Self::None) => other,
            (Self::Some(mut one), Self::Some(other)) => {
                one.or(&other);
                Self::of(one)
            }
        }
    }
}

/// What a value must be like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test<'a> {
    pub(super) text: &'a [u8],
    /// The value begins with it.
    pub(super) start: bool,
    /// The value ends with it.
    pub(super) end: bool,
    pub(super) fold: bool,
    /// Finds the whole needle, which is the text of every test that is bound to no end.
    pub(super) finder: &'a Finder<'a>,
}

impl PartialEq for Test<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.text, self.start, self.end) == (other.text, other.start, other.end)
    }
}

impl Test<'_> {
    #[inline]
    pub(super) fn passes(&self, value: &[u8]) -> bool {
        let Some(room) = value.len().checked_sub(self.text.len()) else { return false };
        let same = |value: &[u8]| {
            if self.fold { value.eq_ignore_ascii_case(self.text) } else { value == self.text }
        };
        match (self.start, self.end) {
            (true, true) => room == 0 && same(value),
            (true, false) => same(&value[..self.text.len()]),
            (false, true) => same(&value[room..]),
            (false, false) if self.fold => self.finder.find(&value.to_ascii_lowercase()).is_some(),
            (false, false) => self.finder.find(value).is_some(),
        }
    }

    /// Whether the value is more than the text.
    pub(super) fn is_whole(&self) -> bool {
        self.start && self.end
    }
}

impl Block<'_> {
    /// The rows that hold the needle; exact unless the needle spans lines, when they are a superset.
    pub(crate) fn rows_with(&self, needle: &Needle) -> io::Result<(Bits, bool)> {
        let part = needle.text.split(|byte| *byte == b'\n').max_by_key(|part| part.len()).unwrap_or(b"");
        let exact = part.len() == needle.text.len();
        if part.is_empty() {
            return Ok((Bits::full(self.rows()), needle.text.is_empty()));
        }
        let finder = Finder::new(part);
        let test = Test { text: part, start: false, end: false, fold: needle.fold, finder: &finder };
        let hits = match self.shaped_hits(&self.head().top, self.head().lines, test, true)? {
            Hits::None => return Ok((Bits::new(self.rows()), exact)),
            Hits::All => return Ok((Bits::full(self.rows()), exact)),
            Hits::Some(hits) => hits,
        };
        let Some(lines) = self.lines_of_row()? else { return Ok((hits, exact)) };
        let mut rows = Bits::new(self.rows());
        let (mut row, mut end) = (0, lines.first().copied().unwrap_or(0));
        for line in hits.iter() {
            while line >= end && row + 1 < lines.len() {
                row += 1;
                end += lines[row];
            }
            rows.set(row);
        }
        Ok((rows, exact))
    }

    fn shaped_hits(&self, shaped: &Shaped, len: usize, test: Test<'_>, top: bool) -> io::Result<Hits> {
        let mut by_template = Vec::with_capacity(shaped.templates.len());
        for (at, template) in shaped.templates.iter().enumerate() {
            by_template.push(self.template_hits(template, test, top.then_some(at))?);
        }
        if by_template.iter().all(|hits| *hits == Hits::None) {
            return Ok(Hits::None);
        }
        if by_template.iter().all(|hits| *hits == Hits::All) {
            return Ok(Hits::All);
        }
        let known;
        let own;
        let groups = if top {
            known = self.groups()?;
            &*known
        } else {
            own = Grouped::new(self.ids(shaped, len)?.into_iter(), shaped.templates.len());
            &own
        };
        let mut bits = Bits::new(len);
        for (at, hits) in by_template.iter().enumerate() {
            let members = groups.of(at);
            match hits {
                Hits::None => {}
                Hits::All => members.iter().for_each(|member| bits.set(*member as usize)),
                Hits::Some(hits) => {
                    hits.iter().filter_map(|at| members.get(at)).for_each(|at| bits.set(*at as usize));
                }
            }
        }
        Ok(Hits::of(bits))
    }

    fn template_hits(&self, template: &Template, test: Test<'_>, top: Option<usize>) -> io::Result<Hits> {
        if template.lines == 0 {
            return Ok(Hits::None);
        }
        let folded;
        let text = if test.fold {
            folded = template.text.to_ascii_lowercase();
            &folded
        } else {
            &template.text
        };
        let marked = test.text.iter().any(|byte| *byte <= DIGITS);
        if !test.start && !test.end && !marked && test.finder.find(text).is_some() {
            return Ok(Hits::All);
        }
        let literals: Vec<&[u8]> = literals(text).collect();
        let marks: Vec<u8> = marks(text).collect();
        let mut walk = Walk {
            literals: &literals,
            marks: &marks,
            template,
            test,
            ways: Vec::new(),
            steps: 0,
            tests: Vec::new(),
        };
        walk.start();
        if walk.steps > MAX_STEPS || walk.ways.len() > MAX_WAYS {
            return self.naive_hits(template, test, top);
        }
        let ways = std::mem::take(&mut walk.ways);
        let mut hits = Hits::None;
        for way in ways {
            let mut both = Hits::All;
            for (slot, test) in way {
                let column = template.columns.get(slot).ok_or_else(|| bad("no such slot"))?;
                both = both.and(self.column_hits(column, template.lines, test, top)?);
                if both == Hits::None {
                    break;
                }
            }
            hits = hits.or(both);
            if hits == Hits::All {
                break;
            }
        }
        Ok(hits)
    }

    /// The records' times of a template's lines, if a column of it needs them.
    pub(super) fn times_for(&self, template: &Template, top: Option<usize>) -> io::Result<Option<Vec<i64>>> {
        if template.is_relative() { self.times_of(top) } else { Ok(None) }
    }

    /// Too many ways: what the template stands for is looked at one by one.
    fn naive_hits(&self, template: &Template, test: Test<'_>, top: Option<usize>) -> io::Result<Hits> {
        let times = self.times_for(template, top)?;
        let literals: Vec<&[u8]> = literals(&template.text).collect();
        let mut values = Vec::with_capacity(template.columns.len());
        for column in &template.columns {
            values.push(self.values(column, template.lines, times.as_deref(), None)?);
        }
        let mut bits = Bits::new(template.lines);
        let mut text = Vec::new();
        for at in 0..template.lines {
            text.clear();
            for (place, literal) in literals.iter().enumerate() {
                text.extend_from_slice(literal);
                text.extend_from_slice(values.get(place).map_or(b"", |values| values.get(at)));
            }
            if test.passes(&text) {
                bits.set(at);
            }
        }
        Ok(Hits::of(bits))
    }

    fn column_hits(
        &self,
        column: &Column,
        len: usize,
        test: Test<'_>,
        top: Option<usize>,
    ) -> io::Result<Hits> {
        match column {
            Column::One(value) if test.passes(value) => Ok(Hits::All),
            Column::One(_) => Ok(Hits::None),
            Column::Of { .. } if !may(column, test) => Ok(Hits::None),
            Column::Of { entries, .. } => {
                let passing: Vec<bool> = entries.iter().map(|entry| test.passes(entry)).collect();
                if !passing.contains(&true) {
                    return Ok(Hits::None);
                }
                if !passing.contains(&false) {
                    return Ok(Hits::All);
                }
                let Values::Of { ids, .. } = self.values(column, len, None, None)? else {
                    return Err(bad("entries without numbers"));
                };
                let mut bits = Bits::new(len);
                for (at, id) in ids.iter().enumerate() {
                    if passing.get(*id as usize) == Some(&true) {
                        bits.set(at);
                    }
                }
                Ok(Hits::of(bits))
            }
            Column::Shaped(shaped) => self.shaped_hits(shaped, len, test, false),
            _ if !may(column, test) => Ok(Hits::None),
            Column::Hex { hex, stream } => self.hex_hits(*hex, *stream, len, test).map(Hits::of),
            Column::Integer { prefix, suffix, digits, numbers } => {
                let affixes = (prefix.as_slice(), suffix.as_slice());
                self.integer_hits(affixes, *digits, numbers, len, test).map(Hits::of)
            }
            _ => {
                let relative = matches!(column, Column::Time { relative: true, .. });
                let times = if relative { self.times_of(top)? } else { None };
                let values = self.values(column, len, times.as_deref(), None)?;
                let mut bits = Bits::new(len);
                (0..len).filter(|at| test.passes(values.get(*at))).for_each(|at| bits.set(at));
                Ok(Hits::of(bits))
            }
        }
    }
}
