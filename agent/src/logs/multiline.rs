//! Lines that belong together become one record: traces, and lines that are indented below another.
//!
//! In: the whole lines of one stream, in order. Out: records, whose lines are joined by `\n` again. The rules are one
//! set for all languages (`rules`), or a container's own pattern of first lines.
//! Invariants: every line is in exactly one record, in order, as it was (but for a `\r` at its end); a record is
//! bounded in lines and bytes, and the caller bounds its time with `is_quiet`; what a record is depends on nothing but
//! its own lines and their times, so that a reader that begins again at its first line makes the same record of it.

mod rules;

use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

use crate::logs::record::Origin;
use rules::Shape;

/// Most lines of a record.
pub(crate) const MAX_LINES: u32 = 4096;
/// Most bytes of a record; a longer line is a record of its own.
pub(crate) const MAX_BYTES: usize = proto::MAX_LOG_BODY_BYTES;
/// Lines that are so far apart do not belong together.
const MAX_GAP_NS: u64 = 1_000_000_000;
/// A record goes out when nothing was added to it for so long.
pub(crate) const QUIET: Duration = Duration::from_millis(500);
/// A record goes out so long after its first line, even while lines are added.
const MAX_AGE: Duration = Duration::from_secs(5);
/// Memory that is kept from one record to the next.
const KEPT_BYTES: usize = 64 << 10;

/// How the lines of a log are put together.
#[derive(Clone, Debug, Default)]
pub(crate) enum Multiline {
    /// Every line is a record.
    #[default]
    Off,
    /// By the built-in rules.
    Rules,
    /// A line that matches begins a record; every other one continues it.
    FirstLine(Arc<Regex>),
}

/// A line to be put into a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) bytes: &'a [u8],
    /// The time that the runtime gives it.
    pub(crate) ts: Option<u64>,
    pub(crate) is_cut: bool,
    pub(crate) is_bad: bool,
    pub(crate) origin: Origin,
}

/// What is the same for all lines of a record, or its first line's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) ts: Option<u64>,
    pub(crate) is_cut: bool,
    pub(crate) is_bad: bool,
    /// Where its last line was read.
    pub(crate) origin: Origin,
    pub(crate) lines: u32,
}

/// The record that lines are being added to.
#[derive(Debug, Default)]
pub(crate) struct Group {
    bytes: Vec<u8>,
    /// `None`: there is no record.
    head: Option<Head>,
    first_line: usize,
    shape: Shape,
    last_ts: Option<u64>,
    began_at: Duration,
    grew_at: Duration,
}

impl Group {
    /// Adds the line; the record before is handed to `done` if the line does not belong to it. Whether it was.
    pub(crate) fn push(
        &mut self,
        mode: &Multiline,
        part: Part<'_>,
        now: Duration,
        done: impl FnOnce(&[u8], Head),
    ) -> bool {
        let line = part.bytes.strip_suffix(b"\r").unwrap_or(part.bytes);
        if let Some(shape) = self.takes(mode, line, part.ts)
            && let Some(head) = &mut self.head
        {
            self.bytes.push(b'\n');
            self.bytes.extend_from_slice(line);
            (head.origin, head.is_cut) = (part.origin, head.is_cut | part.is_cut);
            head.lines += 1;
            (self.shape, self.last_ts, self.grew_at) = (shape, part.ts, now);
            return false;
        }
        let was_there = self.finish(done);
        self.bytes.extend_from_slice(line);
        self.first_line = line.len();
        let Part { bytes: _, ts, is_cut, is_bad, origin } = part;
        self.head = Some(Head { ts, is_cut, is_bad, origin, lines: 1 });
        self.shape = if matches!(mode, Multiline::Rules) { Shape::of_first(line) } else { Shape::default() };
        (self.last_ts, self.began_at, self.grew_at) = (ts, now, now);
        was_there
    }

    /// Whether the line continues the record, and what the record looks like then.
    fn takes(&self, mode: &Multiline, line: &[u8], ts: Option<u64>) -> Option<Shape> {
        let head = self.head.as_ref()?;
        if head.lines >= MAX_LINES || self.bytes.len() + 1 + line.len() > MAX_BYTES {
            return None;
        }
        if let (Some(before), Some(ts)) = (self.last_ts, ts)
            && before.abs_diff(ts) > MAX_GAP_NS
        {
            return None;
        }
        match mode {
            Multiline::Off => None,
            Multiline::Rules => self.shape.next(&self.bytes[..self.first_line], line),
            Multiline::FirstLine(first) => (!first.is_match(line)).then_some(self.shape),
        }
    }

    /// Hands on the record, if there is one. Whether there was.
    pub(crate) fn finish(&mut self, done: impl FnOnce(&[u8], Head)) -> bool {
        let Some(head) = self.head.take() else { return false };
        done(&self.bytes, head);
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        true
    }

    /// Whether there is a record.
    pub(crate) fn is_open(&self) -> bool {
        self.head.is_some()
    }

    /// Whether nothing was added for a while, or it has been there for long.
    pub(crate) fn is_quiet(&self, now: Duration) -> bool {
        self.is_open()
            && (now.saturating_sub(self.grew_at) >= QUIET || now.saturating_sub(self.began_at) >= MAX_AGE)
    }

    /// Whether it waits although it should long be gone: what comes after it cannot be read.
    pub(crate) fn is_stuck(&self, now: Duration) -> bool {
        self.is_open() && now.saturating_sub(self.grew_at) >= MAX_AGE * 12
    }

    /// Memory held for it.
    pub(crate) fn held(&self) -> usize {
        if self.is_open() { self.bytes.capacity() } else { 0 }
    }
}

#[cfg(test)]
mod tests;
