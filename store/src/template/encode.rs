//! Writing a block: bodies become lines, lines templates and slots, slots columns.

use std::io;

use super::column::{Place, Sink};
use super::head::VERSION;
use super::integer::{push_bytes, push_varint};
use super::merge::{Merged, Piece, merge, rare};
use super::pack::{MAGIC, compressor, pack};
use super::split::{self, Slot};
use super::values::{Grouped, Interner};
use super::{MANY_LINES, MAX_LINES, MAX_SHAPES, MAX_TEMPLATE, MAX_TEMPLATE_TEXT, MAX_TEMPLATES, SLOT};
use crate::rows::Texts;
use crate::segment::Tokens;

/// Lines after which a stream of which every second line is a template of its own is given up.
const PATIENCE: usize = 4_096;

/// A block, as it goes to the file.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// The packed head, then the frames.
    pub(crate) bytes: Vec<u8>,
    /// Size of the packed head.
    pub(crate) head_bytes: usize,
    /// Size of the head unpacked.
    pub(crate) head_unpacked: usize,
    /// How many templates it has.
    pub(crate) templates: usize,
    /// Which of them the first line of each body has.
    pub(crate) patterns: Patterns,
}

/// Encodes blocks, keeping its buffers.
pub(crate) struct Encoder {
    sink: Sink,
    compressor: zstd::bulk::Compressor<'static>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { sink: Sink::default(), compressor: compressor()? })
    }

    /// Encodes bodies with their records' times; `None` if they do not template.
    pub(crate) fn encode(&mut self, bodies: &Texts, times: &[i64]) -> io::Result<Option<Encoded>> {
        let Self { sink, compressor } = self;
        sink.head.clear();
        sink.streams.clear();
        sink.tokens.clear();
        sink.head.push(VERSION);
        push_varint(&mut sink.head, bodies.len() as u64);
        push_varint(&mut sink.head, bodies.all().len() as u64);
        let lines = Lines::of(bodies, times);
        if lines.of_row.is_empty() {
            sink.head.push(0);
        } else {
            sink.head.push(1);
            push_varint(&mut sink.head, lines.ranges.len() as u64);
            sink.numbers(&lines.of_row, false);
        }
        let Some(split) = Split::lines(bodies.all(), &lines.ranges) else { return Ok(None) };
        let merged = merge(&split.templates.texts, &split.counts());
        let templates = split.write(bodies.all(), &lines.ranges, &merged, Some(&lines.times), sink);
        push_varint(&mut sink.head, sink.streams.lens.len() as u64);
        sink.streams.lens.iter().for_each(|len| push_varint(&mut sink.head, u64::from(*len)));
        let mut frames = Vec::new();
        for (len, crc) in pack(&sink.streams, compressor, &mut frames)? {
            push_varint(&mut sink.head, u64::from(len));
            sink.head.extend_from_slice(&crc.to_le_bytes());
        }
        let mut bytes = Vec::with_capacity(zstd::zstd_safe::compress_bound(sink.head.len()) + frames.len());
        compressor.compress_to_buffer(&sink.head, &mut bytes)?;
        bytes.drain(..MAGIC.len().min(bytes.len()));
        let head_bytes = bytes.len();
        bytes.extend_from_slice(&frames);
        let of = lines.firsts().map(|line| merged.of[split.ids[line] as usize]).collect();
        let patterns = Patterns { templates: merged.texts, of };
        Ok(Some(Encoded { bytes, head_bytes, head_unpacked: sink.head.len(), templates, patterns }))
    }

    /// The tokens of the last block, until they are given back.
    pub(crate) fn take_tokens(&mut self) -> Tokens {
        std::mem::take(&mut self.sink.tokens)
    }

    pub(crate) fn give_tokens(&mut self, tokens: Tokens) {
        self.sink.tokens = tokens;
    }
}

/// The lines of bodies: where they lie, and their records' times.
struct Lines {
    ranges: Vec<(u32, u32)>,
    times: Vec<i64>,
    /// Empty if each body is one line.
    of_row: Vec<i64>,
}

impl Lines {
    fn of(bodies: &Texts, times: &[i64]) -> Self {
        let all = bodies.all();
        let mut lines =
            Self { ranges: Vec::with_capacity(bodies.len()), times: Vec::new(), of_row: Vec::new() };
        let mut several = false;
        for row in 0..bodies.len() {
            let (range, before) = (bodies.range(row), lines.ranges.len());
            let mut start = range.start;
            let most = if before < MANY_LINES { MAX_LINES - 1 } else { 0 };
            for end in memchr::memchr_iter(b'\n', &all[range.clone()]).take(most) {
                let end = range.start + end;
                lines.ranges.push((start as u32, end as u32));
                start = end + 1;
            }
            lines.ranges.push((start as u32, range.end as u32));
            let count = lines.ranges.len() - before;
            if count > 1 && !several {
                several = true;
                lines.of_row = vec![1; row];
            }
            if several {
                lines.of_row.push(count as i64);
            }
        }
        lines.times = if several {
            let counts = lines.of_row.iter().zip(times);
            counts.flat_map(|(count, time)| std::iter::repeat_n(*time, *count as usize)).collect()
        } else {
            times.to_vec()
        };
        lines
    }
}

impl Lines {
    /// The first line of each body.
    fn firsts(&self) -> impl Iterator<Item = usize> {
        let bodies = if self.of_row.is_empty() { self.ranges.len() } else { self.of_row.len() };
        let mut next = 0;
        (0..bodies).map(move |body| {
            let lines = self.of_row.get(body).map_or(1, |lines| usize::try_from(*lines).unwrap_or(1));
            let first = next;
            next += lines;
            first
        })
    }
}

/// Texts split into templates and slots.
struct Split {
    templates: Interner,
    /// Each text's template.
    ids: Vec<u32>,
    /// The slots of all texts, and where each text's end.
    slots: Vec<Slot>,
    ends: Vec<u32>,
}

impl Split {
    fn new(texts: usize) -> Self {
        let (ids, ends) = (Vec::with_capacity(texts), Vec::with_capacity(texts));
        Self { templates: Interner::default(), ids, slots: Vec::with_capacity(texts * 4), ends }
    }

    /// Splits lines; `None` if they have no templates.
    fn lines(all: &[u8], ranges: &[(u32, u32)]) -> Option<Self> {
        let mut split = Self::new(ranges.len());
        let (mut slots, mut template) = (Vec::new(), Vec::new());
        for (at, (start, end)) in ranges.iter().enumerate() {
            let line = &all[*start as usize..*end as usize];
            split::line(line, &mut slots);
            split::mask(line, &slots, &mut template);
            let long = template.len() > MAX_TEMPLATE;
            let full = split.templates.texts.len() >= MAX_TEMPLATES
                || split.templates.texts.all().len() + MAX_TEMPLATE > MAX_TEMPLATE_TEXT;
            if full && at < PATIENCE * 4 {
                return None;
            }
            if full || long {
                template.clear();
                template.push(SLOT);
                slots.clear();
                slots.push(Slot { start: 0, end: end - start, mark: SLOT });
            }
            split.push(&template, &slots);
            if at == PATIENCE && split.templates.texts.len() * 2 > at {
                return None;
            }
        }
        Some(split)
    }

    /// Splits values; `None` if they have no shapes, or all the same one of one slot.
    fn values(values: &Texts) -> Option<Self> {
        let mut split = Self::new(values.len());
        let (mut slots, mut shape) = (Vec::new(), Vec::new());
        for (at, value) in values.iter().enumerate() {
            split::value(value, &mut slots);
            split::mask(value, &slots, &mut shape);
            split.push(&shape, &slots);
            let shapes = split.templates.texts.len();
            let hopeless = shapes > 64 && shapes * 2 > at;
            if hopeless || shapes > MAX_SHAPES * 16 || split.templates.texts.all().len() > MAX_TEMPLATE_TEXT {
                return None;
            }
        }
        let whole = split.templates.texts.len() == 1 && split.templates.texts.get(0).len() == 1;
        (!whole && !split.slots.is_empty()).then_some(split)
    }

    #[inline]
    fn push(&mut self, template: &[u8], slots: &[Slot]) {
        let (id, _) = self.templates.add(template);
        self.ids.push(id);
        self.slots.extend_from_slice(slots);
        self.ends.push(self.slots.len() as u32);
    }

    fn counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.templates.texts.len()];
        self.ids.iter().for_each(|id| counts[*id as usize] += 1);
        counts
    }

    fn slots_of(&self, text: usize) -> &[Slot] {
        let start = text.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.slots[start..self.ends[text] as usize]
    }

    /// Writes templates and columns; returns how many templates there are.
    fn write(
        &self,
        all: &[u8],
        ranges: &[(u32, u32)],
        merged: &Merged,
        times: Option<&[i64]>,
        sink: &mut Sink,
    ) -> usize {
        let ids = self.ids.iter().map(|id| merged.of[*id as usize]);
        let ids_written: Vec<i64> = ids.clone().map(i64::from).collect();
        sink.numbers(&ids_written, false);
        let groups = Grouped::new(ids, merged.texts.len());
        push_varint(&mut sink.head, merged.texts.len() as u64);
        let mut columns: Vec<Texts> = Vec::new();
        for (group, template) in merged.texts.iter().enumerate() {
            let members = groups.of(group);
            push_bytes(&mut sink.head, template);
            push_varint(&mut sink.head, members.len() as u64);
            let marks: Vec<u8> = split::marks(template).collect();
            columns.clear();
            columns.resize_with(marks.len(), || Texts::with_capacity(members.len(), members.len() * 6));
            for member in members {
                let member = *member as usize;
                let (start, end) = ranges[member];
                let text = &all[start as usize..end as usize];
                self.values_of(member, text, merged, &mut columns);
            }
            let longest: Vec<usize> =
                columns.iter().map(|values| values.iter().map(<[u8]>::len).max().unwrap_or(0)).collect();
            sink.tokens.add_template(template, &longest);
            let own: Option<Vec<i64>> =
                times.map(|times| members.iter().map(|member| times[*member as usize]).collect());
            for (values, mark) in columns.iter().zip(marks) {
                let shapes = times.is_some() && mark == SLOT;
                sink.column(values, Place { times: own.as_deref(), shapes, mark });
            }
        }
        merged.texts.len()
    }

    /// Adds the values of one text to its template's columns.
    #[inline]
    fn values_of(&self, member: usize, text: &[u8], merged: &Merged, columns: &mut [Texts]) {
        let slots = self.slots_of(member);
        let of = |slot: &Slot| &text[slot.start as usize..slot.end as usize];
        let raw = self.ids[member] as usize;
        match &merged.pieces[raw] {
            None => slots.iter().zip(columns).for_each(|(slot, column)| column.push(of(slot))),
            Some(pieces) => {
                let template = self.templates.texts.get(raw);
                for (piece, column) in pieces.iter().zip(columns) {
                    match piece {
                        Piece::Slot(slot) => column.push(slots.get(*slot).map_or(b"", of)),
                        Piece::Word(range) => column.push(&template[range.clone()]),
                        Piece::Whole => column.push(text),
                    }
                }
            }
        }
    }
}

/// The templates of bodies, by their first lines.
#[derive(Debug)]
pub(crate) struct Patterns {
    pub(crate) templates: Texts,
    /// Which one each body has.
    pub(crate) of: Vec<u32>,
}

/// Splits bodies by their first lines; where they have no templates, all are one slot.
pub(crate) fn patterns(bodies: &Texts) -> Patterns {
    let all = bodies.all();
    let first = |row: usize| {
        let range = bodies.range(row);
        let end = memchr::memchr(b'\n', &all[range.clone()]).map_or(range.end, |end| range.start + end);
        (range.start as u32, end as u32)
    };
    let ranges: Vec<(u32, u32)> = (0..bodies.len()).map(first).collect();
    let Some(split) = Split::lines(all, &ranges) else {
        let mut templates = Texts::default();
        templates.push(&[SLOT]);
        return Patterns { templates, of: vec![0; bodies.len()] };
    };
    let merged = merge(&split.templates.texts, &split.counts());
    let of = split.ids.iter().map(|id| merged.of[*id as usize]).collect();
    Patterns { templates: merged.texts, of }
}

/// Writes values as shapes; false if they have none that pay.
pub(super) fn shaped_values(sink: &mut Sink, values: &Texts) -> bool {
    let Some(split) = Split::values(values) else { return false };
    let Some(merged) = rare(&split.templates.texts, &split.counts(), MAX_SHAPES) else { return false };
    let ranges: Vec<(u32, u32)> = (0..values.len())
        .map(|at| {
            let range = values.range(at);
            (range.start as u32, range.end as u32)
        })
        .collect();
    sink.shaped();
    split.write(values.all(), &ranges, &merged, None, sink);
    true
}
