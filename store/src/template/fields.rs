//! How many lines of a block have which value of a field, from the slots of templates that show where it lies.
//!
//! A template's text is scanned as a line is. Where that says where the value lies, and no slot before it can have a byte
//! that would move it, all lines of the template have it there; the lines of other templates are read and scanned.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::ops::Range;

use super::bits::Bits;
use super::block::Block;
use super::head::{Column, Shaped, Template};
use super::split::literals;
use super::values::Values;
use super::{DIGITS, SLOT};
use crate::search::{FieldFormat, FieldPlace, field, field_value, is_inert, place};

/// Lines by value; `None` are those without one.
#[derive(Debug, Default)]
pub(crate) struct FieldCounts {
    lines: HashMap<Option<Vec<u8>>, u64>,
    bytes: usize,
}

impl FieldCounts {
    /// Adds lines of a value.
    pub(crate) fn add(&mut self, value: Option<Cow<'_, [u8]>>, lines: u64) {
        let value = value.map(Cow::into_owned);
        let bytes = value.as_ref().map_or(0, Vec::len);
        match self.lines.entry(value) {
            Entry::Occupied(mut known) => *known.get_mut() += lines,
            Entry::Vacant(free) => {
                free.insert(lines);
                self.bytes += bytes;
            }
        }
    }

    /// Values, and the bytes that they are made of.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.lines.len(), self.bytes)
    }

    /// What was counted; from here on it is counted anew.
    pub(crate) fn take(&mut self) -> Vec<(Option<Vec<u8>>, u64)> {
        self.bytes = 0;
        self.lines.drain().collect()
    }
}

impl Block<'_> {
    /// Counts the values of a field in these rows, or in all.
    pub(crate) fn count_field(
        &self,
        format: FieldFormat,
        name: &str,
        rows: Option<&Bits>,
        counts: &mut FieldCounts,
    ) -> io::Result<()> {
        if self.lines_of_row()?.is_some() {
            return self.count_bodies(format, name, rows, counts);
        }
        let templates = &self.head().top.templates;
        let places = match rows {
            Some(rows) => Some(self.places_of(rows)?),
            None => None,
        };
        let mut unknown: Option<Bits> = None;
        for (at, template) in templates.iter().enumerate() {
            let own = places.as_ref().map(|places| &places[at][..]);
            let lines = own.map_or(template.lines, <[u32]>::len);
            if lines == 0 {
                continue;
            }
            match self.placed(format, name, template)? {
                FieldPlace::Absent => counts.add(None, lines as u64),
                FieldPlace::Found { range, quoted } => {
                    self.count_slots(format, template, range, quoted, own, counts)?;
                }
                FieldPlace::Unknown => {
                    let groups = self.groups()?;
                    let bits = unknown.get_or_insert_with(|| Bits::new(self.rows()));
                    groups.of(at).iter().for_each(|row| bits.set(*row as usize));
                }
            }
        }
        if let Some(mut unknown) = unknown {
            if let Some(rows) = rows {
                unknown.and(rows);
            }
            self.count_bodies(format, name, Some(&unknown), counts)?;
        }
        Ok(())
    }

    fn count_bodies(
        &self,
        format: FieldFormat,
        name: &str,
        rows: Option<&Bits>,
        counts: &mut FieldCounts,
    ) -> io::Result<()> {
        for body in self.bodies(rows)?.iter() {
            counts.add(field(format, body, name), 1);
        }
        Ok(())
    }

    /// Which of each template's lines are among these rows.
    fn places_of(&self, rows: &Bits) -> io::Result<Vec<Vec<u32>>> {
        let mut places: Vec<Vec<u32>> = vec![Vec::new(); self.head().top.templates.len()];
        let mut next = vec![0_u32; places.len()];
        for (row, id) in self.line_ids()?.iter().enumerate() {
            let id = *id as usize;
            if rows.has(row) {
                places[id].push(next[id]);
            }
            next[id] += 1;
        }
        Ok(places)
    }

    /// Where the field lies in every line of a template.
    fn placed(&self, format: FieldFormat, name: &str, template: &Template) -> io::Result<FieldPlace> {
        let found = place(format, &template.text, name.as_bytes(), true);
        let end = match &found {
            FieldPlace::Found { range, .. } => range.end,
            FieldPlace::Absent => template.text.len(),
            FieldPlace::Unknown => return Ok(found),
        };
        let mut slot = 0;
        let (mut in_string, mut escaped) = (false, false);
        // of words: whether this one's key has ended, and whether it did with the byte before
        let (mut in_value, mut begins_value) = (false, false);
        for byte in &template.text[..end] {
            if *byte == b'"' && !in_string && format == FieldFormat::Logfmt && !begins_value {
                // no quote of a value: what follows is in no string
                return Ok(FieldPlace::Unknown);
            }
            begins_value = *byte == b'=' && !in_value && !in_string;
            in_value = match byte {
                // the string that begins here ends the word, wherever it ends
                b'"' => false,
                _ => (in_value || begins_value) && !byte.is_ascii_whitespace(),
            };
            if matches!(*byte, SLOT | DIGITS) {
                let Some(column) = template.columns.get(slot) else { return Ok(FieldPlace::Unknown) };
                if !self.holds_only(column, template.lines, &|byte| is_inert(format, byte, in_string))? {
                    return Ok(FieldPlace::Unknown);
                }
                slot += 1;
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether all values of a column are made of such bytes alone; false may be said of one that is.
    fn holds_only(&self, column: &Column, len: usize, ok: &dyn Fn(u8) -> bool) -> io::Result<bool> {
        let all = |bytes: &[u8]| bytes.iter().all(|byte| ok(*byte));
        let shaped = |shaped: &Shaped| -> io::Result<bool> {
            for template in &shaped.templates {
                if !literals(&template.text).all(all) {
                    return Ok(false);
                }
                for column in &template.columns {
                    if !self.holds_only(column, template.lines, ok)? {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        };
        match column {
            Column::One(value) => Ok(all(value)),
            Column::Of { entries, .. } => Ok(all(entries.all())),
            Column::Integer { prefix, suffix, .. } => Ok(all(prefix) && all(suffix) && all(b"-0123456789")),
            Column::Hex { .. } => Ok(all(b"-0123456789abcdefABCDEF")),
            Column::Text { stream, .. } => Ok(len == 0 || all(&self.stream(*stream)?)),
            Column::Shaped(inner) => shaped(inner),
            Column::Time { format, .. } => {
                Ok(all(&format.suffix) && all(&[format.between, format.point]) && all(b"-:/0123456789"))
            }
        }
    }

    /// Counts what lies in a template's lines where this range of its text is.
    fn count_slots(
        &self,
        format: FieldFormat,
        template: &Template,
        range: Range<usize>,
        quoted: bool,
        places: Option<&[u32]>,
        counts: &mut FieldCounts,
    ) -> io::Result<()> {
        let lines = places.map_or(template.lines, <[u32]>::len);
        let written = &template.text[range.clone()];
        let is_mark = |byte: &&u8| matches!(**byte, SLOT | DIGITS);
        let first = template.text[..range.start].iter().filter(is_mark).count();
        let mut add = |value: &[u8], lines: u64| counts.add(field_value(format, value, quoted), lines);
        let slots = written.iter().filter(is_mark).count();
        if slots == 0 {
            add(written, lines as u64);
            return Ok(());
        }
        let columns = template.columns.get(first..first + slots).unwrap_or_default();
        if let ([column], 1) = (columns, written.len()) {
            match column {
                Column::Integer { prefix, suffix, digits, numbers } => {
                    let mut text = Vec::new();
                    for (number, lines) in counted(self.numbers(numbers, template.lines, places)?) {
                        text.clear();
                        text.extend_from_slice(prefix);
                        super::decode::push_number(number, *digits, &mut text);
                        text.extend_from_slice(suffix);
                        add(&text, lines);
                    }
                    return Ok(());
                }
                Column::Of { entries, .. } => {
                    if let Values::Of { ids, .. } = self.values(column, template.lines, None, places)? {
                        let mut by_entry = vec![0_u64; entries.len()];
                        ids.iter().for_each(|id| by_entry[*id as usize] += 1);
                        let used = by_entry.iter().enumerate().filter(|(_, lines)| **lines > 0);
                        used.for_each(|(entry, lines)| add(entries.get(entry), *lines));
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        let times = match template.is_relative() {
            true => Some(self.times_of_lines(template, places)?),
            false => None,
        };
        let mut values = Vec::with_capacity(columns.len());
        for column in columns {
            values.push(self.values(column, template.lines, times.as_deref(), places)?);
        }
        let mut text = Vec::new();
        for at in 0..lines {
            text.clear();
            let mut next = values.iter();
            for literal in literals(written) {
                text.extend_from_slice(literal);
                if let Some(values) = next.next() {
                    text.extend_from_slice(values.get(at));
                }
            }
            add(&text, 1);
        }
        Ok(())
    }

    /// The records' times of a template's lines, at some places or all.
    fn times_of_lines(&self, template: &Template, places: Option<&[u32]>) -> io::Result<Vec<i64>> {
        let at = self.head().top.templates.iter().position(|other| std::ptr::eq(other, template));
        let times = self.times_of(at)?.unwrap_or_default();
        Ok(super::chosen(&times, places))
    }
}

/// Different numbers, and how often each comes.
fn counted(mut numbers: Vec<i64>) -> Vec<(i64, u64)> {
    let (Some(low), Some(high)) = (numbers.iter().min().copied(), numbers.iter().max().copied()) else {
        return Vec::new();
    };
    let span = usize::try_from(high.abs_diff(low)).unwrap_or(usize::MAX);
    if span < numbers.len().saturating_mul(4) {
        let mut by_number = vec![0_u64; span + 1];
        numbers.iter().for_each(|number| by_number[number.abs_diff(low) as usize] += 1);
        let used = by_number.into_iter().enumerate().filter(|(_, lines)| *lines > 0);
        return used.map(|(at, lines)| (low.wrapping_add(at as i64), lines)).collect();
    }
    numbers.sort_unstable();
    numbers.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64)).collect()
}
