//! The head of a block: its templates and what its columns are. Everything but the streams; read whole.

use std::io;
use std::sync::Arc;

use super::integer::Input;
use super::split::marks;
use super::time::{Format, Kind};
use super::{DIGITS, MAX_BLOCK_LINES, MAX_ROWS, MAX_TEXT, bad};
use crate::rows::Texts;

/// Version of the layout of blocks.
pub(super) const VERSION: u8 = 1;
/// Columns of a block that a reader believes in.
const MAX_COLUMNS: usize = 1 << 20;
/// A shape's columns are no shapes again.
const MAX_DEPTH: usize = 2;

/// Tags of columns.
pub(super) const ONE: u8 = 0;
pub(super) const OF: u8 = 1;
pub(super) const INTEGER: u8 = 2;
pub(super) const HEX: u8 = 3;
pub(super) const TEXT: u8 = 4;
pub(super) const SHAPED: u8 = 5;
pub(super) const TIME: u8 = 6;

/// Numbers in planes: `width` streams from `first` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) delta: bool,
    pub(super) base: i64,
    pub(super) low: i64,
    pub(super) width: usize,
    pub(super) first: usize,
}

impl Numbers {
    /// The least and the most that there may be.
    pub(super) fn bounds(&self) -> Option<(i64, i64)> {
        if self.delta || self.width >= 8 {
            return None;
        }
        let most = (1_i64 << (8 * self.width)) - 1;
        self.low.checked_add(most).map(|high| (self.low, high))
    }

    /// The most characters that one takes, written with no zeros before it.
    pub(super) fn longest(&self) -> usize {
        let Some((low, high)) = self.bounds() else { return 20 };
        let digits = |number: i64| number.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
        (digits(low) + usize::from(low < 0)).max(digits(high) + usize::from(high < 0))
    }
}

/// How hexadecimal values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hex {
    /// Digits of each.
    pub(super) len: usize,
    pub(super) upper: bool,
    /// With dashes: 8-4-4-4-12.
    pub(super) uuid: bool,
}

/// One column: the values of a slot.
#[derive(Clone, Debug)]
pub(super) enum Column {
    One(Vec<u8>),
    Of { entries: Arc<Texts>, ids: Numbers },
    Integer { prefix: Vec<u8>, suffix: Vec<u8>, digits: usize, numbers: Numbers },
    Hex { hex: Hex, stream: usize },
    Text { lens: Numbers, stream: usize },
    Shaped(Shaped),
    Time { format: Format, relative: bool, ticks: Numbers },
}

/// Texts as templates and the columns of their slots.
#[derive(Clone, Debug)]
pub(super) struct Shaped {
    pub(super) ids: Numbers,
    pub(super) templates: Vec<Template>,
}

/// A template, how many texts it stands for, and a column for each of its slots.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) text: Vec<u8>,
    pub(super) lines: usize,
    pub(super) columns: Vec<Column>,
}

impl Template {
    /// Whether a column of it is made of the records' times.
    pub(super) fn is_relative(&self) -> bool {
        self.columns.iter().any(|column| matches!(column, Column::Time { relative: true, .. }))
    }
}

/// What a block knows of itself.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) rows: usize,
    pub(super) text: usize,
    pub(super) lines: usize,
    /// Lines of each body; one each if absent.
    pub(super) lines_of_row: Option<Numbers>,
    pub(super) top: Shaped,
    pub(super) stream_lens: Vec<u32>,
    /// Packed size and checksum of each frame.
    pub(super) frames: Vec<(u32, u32)>,
}

impl Shaped {
    /// Memory, bytes: what its parts take and what each costs to have.
    fn memory(&self) -> usize {
        let templates = self.templates.iter().map(|template| {
            let columns = template.columns.iter().map(Column::memory).sum::<usize>();
            size_of::<Template>() + template.text.len() + columns + 32
        });
        templates.sum()
    }
}

impl Column {
    fn memory(&self) -> usize {
        let own = match self {
            Self::One(value) => value.len() + 16,
            Self::Of { entries, .. } => entries.memory() + size_of::<Texts>() + 48,
            Self::Integer { prefix, suffix, .. } => prefix.len() + suffix.len() + 32,
            Self::Hex { .. } | Self::Text { .. } => 0,
            Self::Shaped(shaped) => shaped.memory() + 16,
            Self::Time { format, .. } => format.suffix.len() + 16,
        };
        size_of::<Self>() + own
    }
}

impl Head {
    /// Memory, bytes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.top.memory() + self.stream_lens.len() * 4 + self.frames.len() * 8
    }

    pub(super) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let mut input = Input(bytes);
        if input.byte()? != VERSION {
            return Err(bad("block written by a newer release"));
        }
        let rows = input.count(MAX_ROWS)?;
        let text = input.count(MAX_TEXT)?;
        let mut parser = Parser { streams: 0, columns: 0 };
        let (lines_of_row, lines) = match input.byte()? {
            0 => (None, rows),
            1 => {
                let lines = input.count(MAX_BLOCK_LINES.min(text + rows))?;
                (Some(parser.numbers(&mut input)?), lines)
            }
            _ => return Err(bad("unknown kind of lines")),
        };
        let top = parser.shaped(&mut input, lines, 0)?;
        let count = input.count(input.0.len())?;
        if count != parser.streams {
            return Err(bad("another number of streams"));
        }
        let mut stream_lens = Vec::with_capacity(count);
        let mut total = 0;
        for _ in 0..count {
            let len = input.count(2 * MAX_TEXT)?;
            total += len;
            stream_lens.push(u32::try_from(len).unwrap_or(u32::MAX));
        }
        if total > 4 * MAX_TEXT {
            return Err(bad("impossible size of a block"));
        }
        let frames = super::pack::Layout::new(&stream_lens).frames.len();
        let mut directory = Vec::with_capacity(frames);
        for _ in 0..frames {
            let len = input.count(4 * MAX_TEXT)?;
            let (crc, rest) = input.0.split_first_chunk().ok_or_else(|| bad("short head"))?;
            input.0 = rest;
            directory.push((u32::try_from(len).unwrap_or(u32::MAX), u32::from_le_bytes(*crc)));
        }
        if !input.0.is_empty() {
            return Err(bad("long head"));
        }
        Ok(Self { rows, text, lines, lines_of_row, top, stream_lens, frames: directory })
    }
}

/// Counts what it meets, so that streams are numbered as they were written.
struct Parser {
    streams: usize,
    columns: usize,
}

impl Parser {
    fn numbers(&mut self, input: &mut Input<'_>) -> io::Result<Numbers> {
        let kind = input.byte()?;
        let (base, low) = (input.signed()?, input.signed()?);
        let (width, delta) = (usize::from(kind & 15), kind & 16 != 0);
        if width > 8 || kind > 31 {
            return Err(bad("unknown kind of numbers"));
        }
        let first = self.streams;
        self.streams += width;
        Ok(Numbers { delta, base, low, width, first })
    }

    fn stream(&mut self) -> usize {
        self.streams += 1;
        self.streams - 1
    }

    fn shaped(&mut self, input: &mut Input<'_>, lines: usize, depth: usize) -> io::Result<Shaped> {
        if depth >= MAX_DEPTH {
            return Err(bad("shapes within shapes"));
        }
        let ids = self.numbers(input)?;
        let count = input.count(input.0.len())?;
        let mut templates = Vec::new();
        let mut sum = 0;
        for _ in 0..count {
            let text = input.bytes()?.to_vec();
            let own = input.count(lines)?;
            sum += own;
            let mut columns = Vec::new();
            for mark in marks(&text) {
                let column = self.column(input, own, depth + 1)?;
                if mark == DIGITS && matches!(column, Column::Shaped(_)) {
                    return Err(bad("shapes of digits"));
                }
                columns.push(column);
            }
            templates.push(Template { text, lines: own, columns });
        }
        if sum != lines {
            return Err(bad("templates for another number of lines"));
        }
        Ok(Shaped { ids, templates })
    }

    fn column(&mut self, input: &mut Input<'_>, lines: usize, depth: usize) -> io::Result<Column> {
        self.columns += 1;
        if self.columns > MAX_COLUMNS {
            return Err(bad("too many columns"));
        }
        Ok(match input.byte()? {
            ONE => Column::One(input.bytes()?.to_vec()),
            OF => {
                let count = input.count(input.0.len())?;
                let mut entries = Texts::default();
                for _ in 0..count {
                    entries.push(input.bytes()?);
                }
                // heads are kept for long
                entries.shrink_to_fit();
                Column::Of { entries: Arc::new(entries), ids: self.numbers(input)? }
            }
            INTEGER => {
                let (prefix, suffix) = (input.bytes()?.to_vec(), input.bytes()?.to_vec());
                let digits = input.count(18)?;
                Column::Integer { prefix, suffix, digits, numbers: self.numbers(input)? }
            }
            HEX => {
                let (len, flags) = (input.count(MAX_TEXT)?, input.byte()?);
                let hex = Hex { len, upper: flags & 1 != 0, uuid: flags & 2 != 0 };
                if len == 0 || flags > 3 || (hex.uuid && len != 32) {
                    return Err(bad("unknown kind of hex"));
                }
                Column::Hex { hex, stream: self.stream() }
            }
            TEXT => Column::Text { lens: self.numbers(input)?, stream: self.stream() },
            SHAPED => Column::Shaped(self.shaped(input, lines, depth)?),
            TIME => self.time(input, depth)?,
            _ => return Err(bad("unknown kind of column")),
        })
    }

    fn time(&mut self, input: &mut Input<'_>, depth: usize) -> io::Result<Column> {
        let kind = match input.byte()? {
            0 => Kind::Date,
            1 => Kind::Clock,
            2 => Kind::Access,
            _ => return Err(bad("unknown kind of time")),
        };
        let (between, point, digits) = (input.byte()?, input.byte()?, input.byte()?);
        let suffix = input.bytes()?.to_vec();
        let relative = match input.byte()? {
            0 => false,
            1 if depth == 1 => true,
            _ => return Err(bad("unknown origin of times")),
        };
        if digits > 9 {
            return Err(bad("unknown fraction of times"));
        }
        let format = Format { kind, between, point, digits, suffix };
        Ok(Column::Time { format, relative, ticks: self.numbers(input)? })
    }
}
