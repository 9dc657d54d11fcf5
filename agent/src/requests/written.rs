//! What threads wrote elsewhere while they served requests, for lines of logs to find their span.
//!
//! In: writes, each with the span that its thread served (`Tracker::line`). Out: the span of a line that was read from a
//! log. A line of a file is found by its file and its place in it, and its text must be the same; a line that went through
//! a pipe or a UNIX socket (to a container's runtime, to the journal) by its text, its time and its owner.
//! Invariants: bounded in writes and in time; of several writes that could be a line's, none is taken; a write of several
//! lines belongs to a record of as many lines or to none, since it may be a buffer that others have filled.

mod shared;
mod texts;

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::context::Context;
pub use shared::Written;
use texts::Texts;

#[cfg(test)]
mod tests;

/// Most writes that are kept.
const MOST_WRITES: usize = 32_768;
/// For how long.
const KEPT_NS: u64 = 30_000_000_000;
/// How long a line may be on its way from a pipe to its file.
const ON_ITS_WAY_NS: u64 = 2_000_000_000;
/// How exact the stamps of runtimes and of the journal are.
const STAMP_NS: u64 = 1_000;
/// Bytes of a line that are compared.
const PRINT_LEN: usize = 256;
/// Most unfinished lines, and most bytes of one that are kept.
const MOST_PARTS: usize = 1_024;
const PART_LEN: usize = 1_024;
/// How much less sure a line is that was found by its text.
const BY_TEXT: f64 = 0.95;

/// What is left of a line to compare it by: its length, and a hash of how it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Print {
    hash: u64,
    length: u64,
}

impl Print {
    /// Of a line without its end.
    pub fn of(line: &[u8]) -> Self {
        Self::cut(line, line.len() as u64)
    }

    /// Of a line of this length that begins so.
    fn cut(line: &[u8], length: u64) -> Self {
        let (line, length) = match line.strip_suffix(b"\r") {
            Some(line) if length == line.len() as u64 + 1 => (line, length - 1),
            _ => (line, length),
        };
        let begin = &line[..line.len().min(PRINT_LEN)];
        Self { hash: hash(begin), length }
    }
}

/// Of every line of every log, so it is the cheapest one that tells lines apart.
fn hash(bytes: &[u8]) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(STEP);
    let mut words = bytes.chunks_exact(8);
    let mut hash =
        words.by_ref().fold(STEP, |hash, word| mix(hash, word.try_into().map_or(0, u64::from_le_bytes)));
    for byte in words.remainder() {
        hash = mix(hash, u64::from(*byte));
    }
    hash ^ (hash >> 32)
}

/// Where a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A file, by `st_dev` and `st_ino`, and where in it the write began.
    File {
        /// `st_dev`
        device: u64,
        /// `st_ino`
        inode: u64,
        /// Offset of its first byte.
        start: u64,
    },
    /// A pipe or a UNIX socket, by its inode.
    Stream {
        /// Its inode.
        inode: u64,
    },
}

impl Target {
    fn inode(self) -> u64 {
        match self {
            Self::File { inode, .. } | Self::Stream { inode } => inode,
        }
    }
}

/// The span that a line was written in, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Trace and span.
    pub context: Context,
    /// From 0 to 1
    pub confidence: f64,
}

/// A write by a thread that served.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Where to.
    pub target: Target,
    /// The thread.
    pub tid: u32,
    /// `WorkloadKey` of the thread.
    pub owner: u64,
    /// When it began, wall time.
    pub start_ns: u64,
    /// Its first bytes.
    pub bytes: &'a [u8],
    /// How many there are in all.
    pub total: u64,
    /// What was served.
    pub found: Found,
}

#[derive(Clone, Debug)]
struct Kept {
    target: Target,
    owner: u64,
    start_ns: u64,
    total: u64,
    /// Lines that end in it, or would if it ended with one.
    lines: u64,
    print: Print,
    found: Found,
    /// A line has it, or it cannot be told which.
    is_used: bool,
}

/// A line as a log reader has it.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// `st_dev`, `st_ino` and the offset of the last line of the record, where it is a file's as its writer wrote it.
    pub place: Option<(u64, u64, u64)>,
    /// Of its first line.
    pub first: Print,
    /// Of its last line.
    pub last: Print,
    /// How many lines the record has.
    pub lines: u32,
    /// When it was written at the latest, wall time.
    pub by_ns: u64,
}

/// The writes of the last seconds.
#[derive(Debug, Default)]
pub struct Writes {
    kept: VecDeque<Kept>,
    /// Number of the first one.
    first: u64,
    files: HashMap<(u64, u64), BTreeMap<u64, u64>>,
    texts: Texts,
    /// Lines without an end so far, by thread and inode: their write, and their bytes.
    parts: HashMap<(u32, u64), (u64, Vec<u8>)>,
}

impl Writes {
    /// Takes a write.
    pub fn push(&mut self, write: &Write<'_>) {
        let before_ns = write.start_ns.saturating_sub(KEPT_NS);
        self.forget(before_ns);
        self.texts.settle(before_ns);
        let place = (write.tid, write.target.inode());
        if let Some((number, before)) = self.parts.remove(&place)
            && self.goes_on(number, write)
        {
            return self.extend(number, before, write);
        }
        let number = self.first + self.kept.len() as u64;
        let (lines, print) = read(write.bytes, write.total);
        let Write { target, owner, start_ns, total, found, .. } = *write;
        self.kept.push_back(Kept { target, owner, start_ns, total, lines, print, found, is_used: false });
        self.index(number);
        self.keep_part(number, write.bytes.to_vec(), write);
        while self.kept.len() > MOST_WRITES {
            self.forget_first();
        }
    }

    /// The span of a line. `is_owner` says whether a workload is the log's.
    pub fn find(&mut self, line: &Line, mut is_owner: impl FnMut(u64) -> bool) -> Option<Found> {
        match line.place {
            Some((device, inode, start)) => self.find_place((device, inode), start, line),
            None => self.find_text(line, &mut is_owner),
        }
    }

    fn find_place(&self, file: (u64, u64), start: u64, line: &Line) -> Option<Found> {
        let (_, number) = self.files.get(&file)?.range(..=start).next_back()?;
        let kept = self.get(*number)?;
        let Target::File { start: began, .. } = kept.target else { return None };
        let is_whole = began == start && kept.lines == 1 && kept.print == line.last;
        // several lines of one write are one record, of which the last one's place is known
        let is_record = kept.lines > 1 && kept.lines == u64::from(line.lines) && kept.print == line.first;
        (start < began.saturating_add(kept.total) && (is_whole || is_record)).then_some(kept.found)
    }

    fn find_text(&mut self, line: &Line, is_owner: &mut dyn FnMut(u64) -> bool) -> Option<Found> {
        let mut fits = |kept: &Kept| {
            kept.start_ns <= line.by_ns.saturating_add(STAMP_NS)
                && line.by_ns.saturating_sub(kept.start_ns) <= ON_ITS_WAY_NS
                && kept.lines == u64::from(line.lines)
                && is_owner(kept.owner)
        };
        let (numbers, doubtful_until_ns) = self.texts.get(line.first);
        let fitting: Vec<u64> = numbers.filter(|number| self.get(*number).is_some_and(&mut fits)).collect();
        let first = self.get(*fitting.first()?)?.found;
        let is_one = line.by_ns > doubtful_until_ns.saturating_add(STAMP_NS)
            && fitting.iter().all(|number| {
                self.get(*number).is_some_and(|kept| kept.found.context.span_id == first.context.span_id)
            });
        // the first of several writes of one span is this line; of several spans none can be told, now or later
        let used = if is_one { fitting.get(..1)? } else { &fitting };
        for number in used {
            let at = self.at(*number)?;
            if let Some(kept) = self.kept.get_mut(at) {
                kept.is_used = true;
                self.texts.remove(kept.print, *number);
            }
        }
        is_one.then_some(Found { confidence: first.confidence * BY_TEXT, ..first })
    }

    /// Whether this write continues the unfinished line of that one.
    fn goes_on(&self, number: u64, write: &Write<'_>) -> bool {
        let Some(kept) = self.get(number) else { return false };
        let is_next = match (kept.target, write.target) {
            (Target::File { start, .. }, Target::File { start: next, .. }) => {
                start.saturating_add(kept.total) == next
            }
            (Target::Stream { .. }, Target::Stream { .. }) => true,
            _ => false,
        };
        is_next && !kept.is_used && kept.found.context.span_id == write.found.context.span_id
    }

    fn extend(&mut self, number: u64, mut bytes: Vec<u8>, write: &Write<'_>) {
        let is_cut = self.get(number).is_some_and(|kept| (bytes.len() as u64) < kept.total);
        if !is_cut {
            let room = PART_LEN.saturating_sub(bytes.len());
            bytes.extend_from_slice(&write.bytes[..write.bytes.len().min(room)]);
        }
        let Some(before) = self.get(number).map(|kept| kept.print) else { return };
        self.texts.remove(before, number);
        let Some(at) = self.at(number) else { return };
        if let Some(kept) = self.kept.get_mut(at) {
            kept.total = kept.total.saturating_add(write.total);
            (kept.lines, kept.print) = read(&bytes, kept.total);
        }
        self.index_text(number);
        self.keep_part(number, bytes, write);
    }

    /// A line without an end may go on with the thread's next write.
    fn keep_part(&mut self, number: u64, bytes: Vec<u8>, write: &Write<'_>) {
        let is_open = write.bytes.last().is_some_and(|last| *last != b'\n');
        if is_open && write.bytes.len() as u64 == write.total && bytes.len() < PART_LEN {
            if self.parts.len() >= MOST_PARTS {
                self.parts.clear();
            }
            self.parts.insert((write.tid, write.target.inode()), (number, bytes));
        }
    }

    fn at(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    fn get(&self, number: u64) -> Option<&Kept> {
        self.kept.get(self.at(number)?)
    }

    fn index(&mut self, number: u64) {
        let Some(target) = self.get(number).map(|kept| kept.target) else { return };
        if let Target::File { device, inode, start } = target {
            self.files.entry((device, inode)).or_default().insert(start, number);
        }
        self.index_text(number);
    }

    fn index_text(&mut self, number: u64) {
        let Some(kept) = self.get(number) else { return };
        if let Target::Stream { .. } = kept.target {
            let (print, start_ns) = (kept.print, kept.start_ns);
            self.texts.insert(print, number, start_ns);
        }
    }

    /// Forgets what was written before this time.
    fn forget(&mut self, before_ns: u64) {
        while self.kept.front().is_some_and(|kept| kept.start_ns < before_ns) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some(kept) = self.kept.pop_front() else { return };
        let number = self.first;
        self.first += 1;
        self.texts.remove(kept.print, number);
        if let Target::File { device, inode, start } = kept.target
            && let Some(places) = self.files.get_mut(&(device, inode))
        {
            // another write may have its place by now
            if places.get(&start) == Some(&number) {
                places.remove(&start);
            }
            if places.is_empty() {
                self.files.remove(&(device, inode));
            }
        }
    }
}

/// How many lines the bytes are, and the print of the first one; `total` counts what is not there as well.
fn read(bytes: &[u8], total: u64) -> (u64, Print) {
    let is_cut = (bytes.len() as u64) < total;
    match memchr::memchr(b'\n', bytes) {
        // one line, whose end is not there
        None if is_cut => (1, Print::cut(bytes, total - 1)),
        None => (1, Print::of(bytes)),
        Some(end) => {
            let ends = memchr::memchr_iter(b'\n', bytes).count() as u64;
            let is_open = is_cut || bytes.last() != Some(&b'\n');
            (ends + u64::from(is_open), Print::of(&bytes[..end]))
        }
    }
}
