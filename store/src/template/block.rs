//! Reading a block: its head at once, its columns only where they are asked for, its bodies by row.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use super::bits::Bits;
use super::column::is_dash;
use super::head::{Column, Head, Hex, Numbers, Shaped, Template};
use super::integer::from_planes;
use super::pack::{Layout, decompress, unpack};
use super::split::literals;
use super::values::{Grouped, Values};
use super::{MAX_TEXT, bad};
use crate::rows::Texts;

/// Values and bytes that one reading of a block may make: several times what the largest one needs.
const BUDGET: usize = 16 * MAX_TEXT;

/// Where a block lies.
pub(crate) trait ReadAt {
    /// Fills `bytes` from position `at`.
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for std::fs::File {
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, bytes, at)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let found = self.get(start..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(found.ok_or_else(|| bad("short block"))?);
        Ok(())
    }
}

/// Where a block and its head lie, and what it must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Location {
    pub(crate) at: u64,
    pub(crate) bytes: usize,
    pub(crate) head_bytes: usize,
    pub(crate) head_unpacked: usize,
    pub(crate) head_crc: u32,
}

/// Which template each line has, and which lines each template.
pub(super) struct Groups {
    pub(super) ids: Vec<u32>,
    pub(super) members: Grouped,
}

/// An open block.
pub(crate) struct Block<'a> {
    pub(super) head: Rc<Head>,
    source: &'a dyn ReadAt,
    /// Gives the records' times of all rows.
    records: &'a dyn Fn() -> io::Result<Vec<i64>>,
    line_times: RefCell<Option<Rc<Vec<i64>>>>,
    groups: RefCell<Option<Rc<Groups>>>,
    layout: Layout,
    /// Where each frame starts in the source.
    offsets: Vec<u64>,
    frames: RefCell<Vec<Option<Rc<Vec<u8>>>>>,
    budget: Cell<usize>,
}

impl std::fmt::Debug for Block<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block").field("head", &self.head).finish_non_exhaustive()
    }
}

impl<'a> Block<'a> {
    /// `records` gives the records' times of the block's rows; it is only called if they are needed.
    pub(crate) fn open(
        source: &'a dyn ReadAt,
        location: Location,
        records: &'a dyn Fn() -> io::Result<Vec<i64>>,
    ) -> io::Result<Self> {
        let Location { at, bytes, head_bytes, head_unpacked, head_crc } = location;
        if head_bytes > bytes || head_unpacked > MAX_TEXT {
            return Err(bad("impossible size of a head"));
        }
        let mut packed = vec![0; head_bytes];
        source.read_at(at, &mut packed)?;
        if crc32c::crc32c(&packed) != head_crc {
            return Err(bad("wrong checksum of a head"));
        }
        let head = Head::parse(&decompress(&packed, head_unpacked)?)?;
        let layout = Layout::new(&head.stream_lens);
        let mut offsets = Vec::with_capacity(head.frames.len());
        let mut end = at + head_bytes as u64;
        for (len, _) in &head.frames {
            offsets.push(end);
            end += u64::from(*len);
        }
        if end != at + bytes as u64 {
            return Err(bad("parts beyond the block"));
        }
        let frames = RefCell::new(vec![None; head.frames.len()]);
        Ok(Self {
            head: Rc::new(head),
            source,
            records,
            line_times: RefCell::new(None),
            groups: RefCell::new(None),
            layout,
            offsets,
            frames,
            budget: Cell::new(BUDGET),
        })
    }

    /// Reads all of it once, so that what is copied is whole.
    pub(crate) fn check(&self) -> io::Result<()> {
        (0..self.head.frames.len()).try_for_each(|frame| self.frame(frame).map(drop))
    }

    pub(crate) fn rows(&self) -> usize {
        self.head.rows
    }

    /// All templates, and which of them the first line of each body has.
    pub(crate) fn patterns(&self) -> io::Result<(Vec<&[u8]>, Vec<u32>)> {
        let templates = self.head.top.templates.iter().map(|template| &template.text[..]).collect();
        let groups = self.groups()?;
        let Some(lines) = self.lines_of_row()? else { return Ok((templates, groups.ids.clone())) };
        let mut line = 0;
        let mut of = Vec::with_capacity(lines.len());
        for lines in lines {
            of.push(groups.ids[line]);
            line += lines;
        }
        Ok((templates, of))
    }

    /// The bodies of these rows, or of all.
    pub(crate) fn bodies(&self, rows: Option<&Bits>) -> io::Result<Texts> {
        let head = Rc::clone(&self.head);
        let lines_of_row = self.lines_of_row()?;
        let groups = self.groups()?;
        let ids = &groups.ids;
        let wants = |row: usize| rows.is_none_or(|rows| rows.has(row));
        let mut wanted = vec![rows.is_none(); head.top.templates.len()];
        if rows.is_some() {
            let mut line = 0;
            for row in 0..head.rows {
                let end = line + lines_of_row.as_ref().map_or(1, |lines| lines[row]);
                if wants(row) {
                    ids[line..end].iter().for_each(|id| wanted[*id as usize] = true);
                }
                line = end;
            }
        }
        let mut parts = Vec::with_capacity(head.top.templates.len());
        for (at, template) in head.top.templates.iter().enumerate() {
            parts.push(match wanted[at] {
                true => Some(Parts::read(self, template, self.times_for(template, Some(at))?.as_deref())?),
                false => None,
            });
        }
        let mut next = vec![0_usize; parts.len()];
        let count = rows.map_or(head.rows, Bits::count);
        let mut texts = Texts::with_capacity(count, if rows.is_none() { head.text } else { count * 128 });
        let (mut body, mut line) = (Vec::new(), 0);
        for row in 0..head.rows {
            let end = line + lines_of_row.as_ref().map_or(1, |lines| lines[row]);
            body.clear();
            for (at, id) in ids[line..end].iter().enumerate() {
                let place = next[*id as usize];
                next[*id as usize] += 1;
                if !wants(row) {
                    continue;
                }
                if at > 0 {
                    body.push(b'\n');
                }
                if let Some(parts) = &parts[*id as usize] {
                    parts.write(place, &mut body);
                }
                if texts.all().len() + body.len() > head.text {
                    return Err(bad("more text than the head says"));
                }
            }
            if wants(row) {
                texts.push(&body);
            }
            line = end;
        }
        if rows.is_none() && texts.all().len() != head.text {
            return Err(bad("less text than the head says"));
        }
        Ok(texts)
    }

    /// Lines of each body, if some have several.
    pub(super) fn lines_of_row(&self) -> io::Result<Option<Vec<usize>>> {
        let Some(numbers) = &self.head.lines_of_row else { return Ok(None) };
        let lines = self.numbers(numbers, self.head.rows)?;
        let mut counts = Vec::with_capacity(lines.len());
        let mut sum = 0_usize;
        for line in lines {
            let count = usize::try_from(line).ok().filter(|count| *count > 0 && *count <= self.head.lines);
            counts.push(count.ok_or_else(|| bad("impossible lines of a body"))?);
            sum = sum.saturating_add(count.unwrap_or(0));
        }
        if sum == self.head.lines { Ok(Some(counts)) } else { Err(bad("other lines than bodies")) }
    }

    /// Which template each line has.
    pub(super) fn groups(&self) -> io::Result<Rc<Groups>> {
        if let Some(known) = &*self.groups.borrow() {
            return Ok(Rc::clone(known));
        }
        let ids = self.ids(&self.head.top, self.head.lines)?;
        let members = Grouped::new(ids.iter().copied(), self.head.top.templates.len());
        let groups = Rc::new(Groups { ids, members });
        *self.groups.borrow_mut() = Some(Rc::clone(&groups));
        Ok(groups)
    }

    /// The records' times of the lines of a template.
    pub(super) fn times_of(&self, template: Option<usize>) -> io::Result<Option<Vec<i64>>> {
        let Some(template) = template else { return Ok(None) };
        let times = self.line_times()?;
        let groups = self.groups()?;
        Ok(Some(groups.members.of(template).iter().map(|line| times[*line as usize]).collect()))
    }

    fn line_times(&self) -> io::Result<Rc<Vec<i64>>> {
        if let Some(known) = &*self.line_times.borrow() {
            return Ok(Rc::clone(known));
        }
        let mut times = (self.records)()?;
        if times.len() != self.head.rows {
            return Err(bad("times of another number of rows"));
        }
        if let Some(lines) = self.lines_of_row()? {
            let pairs = lines.iter().zip(times);
            times = pairs.flat_map(|(lines, time)| std::iter::repeat_n(time, *lines)).collect();
        }
        let times = Rc::new(times);
        *self.line_times.borrow_mut() = Some(Rc::clone(&times));
        Ok(times)
    }

    /// Which template each text has; all are there, each as often as its template says.
    pub(super) fn ids(&self, shaped: &Shaped, len: usize) -> io::Result<Vec<u32>> {
        let numbers = self.numbers(&shaped.ids, len)?;
        let mut counts = vec![0_usize; shaped.templates.len()];
        let mut ids = Vec::with_capacity(len);
        for number in numbers {
            let id = usize::try_from(number).ok().filter(|id| *id < counts.len());
            let id = id.ok_or_else(|| bad("unknown template"))?;
            counts[id] += 1;
            ids.push(id as u32);
        }
        let same = counts.iter().zip(&shaped.templates).all(|(count, template)| *count == template.lines);
        if same { Ok(ids) } else { Err(bad("templates for other lines")) }
    }

    fn charge(&self, units: usize) -> io::Result<()> {
        let left = self.budget.get().checked_sub(units).ok_or_else(|| bad("more values than a block has"))?;
        self.budget.set(left);
        Ok(())
    }

    fn frame(&self, frame: usize) -> io::Result<Rc<Vec<u8>>> {
        let (Some(slot), Some((len, crc))) =
            (self.frames.borrow().get(frame).cloned(), self.head.frames.get(frame).copied())
        else {
            return Err(bad("no such part"));
        };
        if let Some(known) = slot {
            return Ok(known);
        }
        let size = self.layout.frames[frame] as usize;
        if len as usize > size {
            return Err(bad("impossible size of a part"));
        }
        let mut packed = vec![0; len as usize];
        self.source.read_at(self.offsets[frame], &mut packed)?;
        let bytes = Rc::new(unpack(packed, crc, size)?);
        self.frames.borrow_mut()[frame] = Some(Rc::clone(&bytes));
        Ok(bytes)
    }

    /// Calls `take` with the bytes of a stream.
    fn stream<T>(&self, stream: usize, take: impl FnOnce(&[u8]) -> io::Result<T>) -> io::Result<T> {
        let place = *self.layout.places.get(stream).ok_or_else(|| bad("no such stream"))?;
        let frame = self.frame(place.frame as usize)?;
        let start = place.offset as usize;
        take(frame.get(start..start + place.len as usize).ok_or_else(|| bad("stream beyond its part"))?)
    }

    pub(super) fn numbers(&self, numbers: &Numbers, len: usize) -> io::Result<Vec<i64>> {
        self.charge(len)?;
        let mut planes = Vec::with_capacity(numbers.width);
        for plane in 0..numbers.width {
            planes.push(self.stream(numbers.first + plane, |bytes| Ok(bytes.to_vec()))?);
        }
        let planes: Vec<&[u8]> = planes.iter().map(Vec::as_slice).collect();
        let stored = from_planes(&planes, len)?;
        let mut before = numbers.base;
        Ok(stored
            .into_iter()
            .map(|number| {
                let number = number.cast_signed().wrapping_add(numbers.low);
                if numbers.delta {
                    before = before.wrapping_add(number);
                    return before;
                }
                number
            })
            .collect())
    }

    /// The values of a column of `len`; `times` are the records' of its lines.
    pub(super) fn values(&self, column: &Column, len: usize, times: Option<&[i64]>) -> io::Result<Values> {
        match column {
            Column::One(value) => Ok(Values::One(value.clone())),
            Column::Of { entries, ids } => {
                let mut checked = Vec::with_capacity(len);
                for id in self.numbers(ids, len)? {
                    let id = u32::try_from(id).ok().filter(|id| (*id as usize) < entries.len());
                    checked.push(id.ok_or_else(|| bad("unknown entry"))?);
                }
                self.charge(entries.all().len())?;
                Ok(Values::Of { entries: entries.clone(), ids: checked })
            }
            Column::Integer { prefix, suffix, digits, numbers } => {
                let numbers = self.numbers(numbers, len)?;
                self.charge(len.saturating_mul(prefix.len() + suffix.len() + 8))?;
                let mut texts = Texts::with_capacity(len, len * (prefix.len() + suffix.len() + 6));
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
            Column::Hex { hex, stream } => self.stream(*stream, |bytes| self.hex(*hex, bytes, len)),
            Column::Text { lens, stream } => {
                let lens = self.numbers(lens, len)?;
                self.stream(*stream, |bytes| {
                    self.charge(bytes.len())?;
                    let mut ends = Vec::with_capacity(lens.len());
                    let mut end = 0_usize;
                    for len in &lens {
                        let len = usize::try_from(*len).unwrap_or(usize::MAX);
                        end = end.saturating_add(len);
                        if end > bytes.len() {
                            return Err(bad("texts beyond their stream"));
                        }
                        ends.push(end as u32);
                    }
                    let texts = Texts::from_parts(ends, bytes.to_vec());
                    Ok(Values::Each(texts.ok_or_else(|| bad("lengths and texts differ"))?))
                })
            }
            Column::Shaped(shaped) => self.shaped(shaped, len),
            Column::Time { format, relative, ticks } => {
                let times = match (relative, times) {
                    (false, _) => None,
                    (true, Some(times)) if times.len() == len => Some(times),
                    (true, _) => return Err(bad("times of other lines")),
                };
                let ticks = self.numbers(ticks, len)?;
                self.charge(len * 32)?;
                let mut texts = Texts::with_capacity(len, len * 24);
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

    fn hex(&self, hex: Hex, bytes: &[u8], len: usize) -> io::Result<Values> {
        const LOWER: &[u8; 16] = b"0123456789abcdef";
        const UPPER: &[u8; 16] = b"0123456789ABCDEF";
        let each = hex.len.div_ceil(2);
        if each.checked_mul(len) != Some(bytes.len()) {
            return Err(bad("hex of another length"));
        }
        self.charge(len.saturating_mul(hex.len + 4))?;
        let alphabet = if hex.upper { UPPER } else { LOWER };
        let mut texts = Texts::with_capacity(len, len * (hex.len + 4));
        let mut text = Vec::with_capacity(hex.len + 4);
        for value in bytes.chunks_exact(each) {
            text.clear();
            for at in 0..hex.len {
                if hex.uuid && is_dash(text.len()) {
                    text.push(b'-');
                }
                let digit = if at % 2 == 0 { value[at / 2] >> 4 } else { value[at / 2] & 15 };
                text.push(alphabet[usize::from(digit)]);
            }
            texts.push(&text);
        }
        Ok(Values::Each(texts))
    }

    fn shaped(&self, shaped: &Shaped, len: usize) -> io::Result<Values> {
        let ids = self.ids(shaped, len)?;
        let mut parts = Vec::with_capacity(shaped.templates.len());
        for template in &shaped.templates {
            parts.push(Parts::read(self, template, None)?);
        }
        let mut next = vec![0_usize; parts.len()];
        let mut texts = Texts::with_capacity(len, len * 16);
        let mut text = Vec::new();
        for id in ids {
            text.clear();
            parts[id as usize].write(next[id as usize], &mut text);
            next[id as usize] += 1;
            self.charge(text.len())?;
            texts.push(&text);
        }
        Ok(Values::Each(texts))
    }
}

/// A template's texts and the values of its slots.
struct Parts<'a> {
    literals: Vec<&'a [u8]>,
    values: Vec<Values>,
}

impl<'a> Parts<'a> {
    fn read(block: &Block<'_>, template: &'a Template, times: Option<&[i64]>) -> io::Result<Self> {
        let mut values = Vec::with_capacity(template.columns.len());
        for column in &template.columns {
            values.push(block.values(column, template.lines, times)?);
        }
        Ok(Self { literals: literals(&template.text).collect(), values })
    }

    #[inline]
    fn write(&self, place: usize, out: &mut Vec<u8>) {
        for (at, literal) in self.literals.iter().enumerate() {
            out.extend_from_slice(literal);
            if let Some(values) = self.values.get(at) {
                out.extend_from_slice(values.get(place));
            }
        }
    }
}

/// Writes a number with at least so many digits.
fn push_number(number: i64, digits: usize, out: &mut Vec<u8>) {
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
