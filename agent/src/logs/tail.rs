//! One open file: its bytes become lines, and a look at its first bytes tells whether it is still the same text.
//!
//! Invariants: a line is handed out once, whole; what was read of a file whose first bytes changed meanwhile is not
//! handed out. Does not: know names, rotation or what a line means.

pub(crate) mod content;

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::logs::checkpoint::Fingerprint;
use crate::logs::record::SourceKey;
use content::{HEAD_BYTES, TAIL_BYTES, born_ns, fingerprint, head_of, key_of, last_before, read_full};

/// Bytes read at once.
pub(crate) const READ_BYTES: usize = 64 << 10;
/// A line's bytes that are kept: the largest body, and some more so that a secret at the cut is still recognised.
pub(crate) const LINE_BYTES: usize = proto::MAX_LOG_BODY_BYTES + 1024;

/// One line, without its end.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// It was longer than `LINE_BYTES`.
    pub(crate) cut: bool,
}

/// What came of one look at the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// Something was read.
    Read,
    /// There is nothing behind `read_to`.
    AtEnd,
    /// It is shorter than what was read, or begins with other bytes: the text is another one.
    Replaced,
}

/// An open file and how far it was read.
#[derive(Debug)]
pub(crate) struct Tail {
    file: File,
    key: SourceKey,
    born_ns: u64,
    head: Fingerprint,
    /// The last bytes before `line_start`.
    last: Vec<u8>,
    /// Everything before was handed out.
    line_start: u64,
    /// The beginning of a line whose end was not yet seen.
    partial: Vec<u8>,
    /// Bytes of that line beyond `LINE_BYTES`.
    over: u64,
    /// NULs that it begins with: a writer that does not append leaves a hole when its file is truncated.
    hole: u64,
    /// What the line at offset 0 began with, in the file before.
    prefix: Vec<u8>,
}

/// The line without the NULs that it begins with.
fn behind_hole(line: &[u8]) -> &[u8] {
    let hole = line.iter().take_while(|&&byte| byte == 0).count();
    &line[hole..]
}

impl Tail {
    /// Reads on at this offset, which must lie behind a line's end.
    pub(crate) fn new(file: File, offset: u64) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let (key, born_ns) = (key_of(&metadata), born_ns(&metadata));
        let head = if offset == 0 { Fingerprint::default() } else { fingerprint(&head_of(&file)?) };
        let last = last_before(&file, offset, TAIL_BYTES as u64)?;
        Ok(Self {
            file,
            key,
            born_ns,
            head,
            last,
            line_start: offset,
            partial: Vec::new(),
            over: 0,
            hole: 0,
            prefix: Vec::new(),
        })
    }

    /// Starts at the file's end; in the middle of a line, at its beginning.
    pub(crate) fn at_end(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Self::at(file, size)
    }

    /// Starts at this offset; in the middle of a line, at its beginning.
    pub(crate) fn at(file: File, size: u64) -> io::Result<Self> {
        let window = size.min(LINE_BYTES as u64);
        let mut buffer = vec![0; usize::try_from(window).unwrap_or(0)];
        let filled = read_full(&file, &mut buffer, size - window)?;
        let after_newline = memchr::memrchr(b'\n', &buffer[..filled]).map_or(0, |at| at as u64 + 1);
        // the unfinished last line is read whole once it ends, so that no half line is ever shown
        Self::new(file, size - window + after_newline)
    }

    pub(crate) fn key(&self) -> SourceKey {
        self.key
    }

    pub(crate) fn born_ns(&self) -> u64 {
        self.born_ns
    }

    pub(crate) fn head(&self) -> Fingerprint {
        self.head
    }

    pub(crate) fn tail(&self) -> Fingerprint {
        fingerprint(&self.last)
    }

    /// Everything before was handed out.
    pub(crate) fn line_start(&self) -> u64 {
        self.line_start
    }

    /// Bytes before were read.
    pub(crate) fn read_to(&self) -> u64 {
        self.line_start + self.hole + self.partial.len() as u64 + self.over
    }

    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Memory held for an unfinished line.
    pub(crate) fn held(&self) -> usize {
        self.partial.capacity() + self.prefix.len()
    }

    /// Gives that memory back; the unfinished line is read again.
    pub(crate) fn forget_partial(&mut self) {
        self.partial = Vec::new();
        (self.over, self.hole) = (0, 0);
    }

    /// Nothing was handed out: the file may have got another text meanwhile, so it is read from its beginning.
    pub(crate) fn begin_again(&mut self) {
        if self.line_start == 0 {
            self.forget_partial();
            self.head = Fingerprint::default();
        }
    }

    /// The unfinished last line: the caller hands it on, and it counts as handed out.
    pub(crate) fn take_partial(&mut self) -> Option<(Vec<u8>, u64, u64, bool)> {
        let (start, end) = (self.line_start, self.read_to());
        if start == end {
            return None;
        }
        let mut bytes = std::mem::take(&mut self.prefix);
        bytes.append(&mut self.partial);
        let cut = self.over > 0;
        (self.over, self.hole) = (0, 0);
        self.line_start = end;
        Some((bytes, start, end, cut))
    }

    /// Whether the last line has no end yet.
    pub(crate) fn has_partial(&self) -> bool {
        !self.prefix.is_empty() || self.read_to() > self.line_start
    }

    /// A copy of the unfinished last line.
    pub(crate) fn partial(&self) -> Vec<u8> {
        [self.prefix.as_slice(), self.partial.as_slice()].concat()
    }

    /// What the first line began with in the file before, for another file to go on with.
    pub(crate) fn take_prefix(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.prefix)
    }

    /// The first line began in the file before with these bytes.
    pub(crate) fn set_prefix(&mut self, prefix: Vec<u8>) {
        self.prefix = prefix;
    }

    /// Whether the file still begins with what was read, and is at least as long.
    pub(crate) fn is_same(&self) -> io::Result<bool> {
        Ok(self.metadata()?.len() >= self.read_to()
            && head_of(&self.file)?
                .get(..self.head.length as usize)
                .is_some_and(|head| fingerprint(head) == self.head))
    }

    /// Reads once and hands out the lines that end in it.
    pub(crate) fn round(&mut self, buffer: &mut [u8], mut each: impl FnMut(Line<'_>)) -> io::Result<Round> {
        let read_to = self.read_to();
        let filled = self.file.read_at(buffer, read_to)?;
        let bytes = &buffer[..filled];
        if filled == 0 {
            return Ok(if self.metadata()?.len() < read_to { Round::Replaced } else { Round::AtEnd });
        }
        // after the read: had the text been replaced before it, this would show
        if !self.verify_head(bytes, read_to)? {
            return Ok(Round::Replaced);
        }
        let mut done = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            let end = read_to + newline as u64 + 1;
            if self.partial.is_empty() && self.prefix.is_empty() {
                let line = behind_hole(&bytes[done..newline]);
                let cut = line.len() > LINE_BYTES;
                let line = &line[..line.len().min(LINE_BYTES)];
                each(Line { bytes: line, start: self.line_start, end, cut });
            } else {
                self.keep(&bytes[done..newline]);
                let cut = self.over > 0 || self.prefix.len() + self.partial.len() > LINE_BYTES;
                if self.prefix.is_empty() {
                    each(Line { bytes: &self.partial, start: self.line_start, end, cut });
                } else {
                    let mut whole = std::mem::take(&mut self.prefix);
                    whole.extend_from_slice(&self.partial);
                    whole.truncate(LINE_BYTES);
                    each(Line { bytes: &whole, start: self.line_start, end, cut });
                }
                self.partial.clear();
            }
            (self.over, self.hole) = (0, 0);
            self.line_start = end;
            done = newline + 1;
        }
        if done > 0 {
            self.remember_last(&bytes[..done]);
        }
        if self.partial.capacity() > READ_BYTES && done > 0 {
            self.partial = Vec::new();
        }
        self.keep(&bytes[done..]);
        Ok(Round::Read)
    }

    /// Adds to the unfinished line, as far as it is kept.
    fn keep(&mut self, mut bytes: &[u8]) {
        if self.partial.is_empty() {
            let text = behind_hole(bytes);
            self.hole += (bytes.len() - text.len()) as u64;
            bytes = text;
        }
        let room = LINE_BYTES.saturating_sub(self.partial.len());
        let kept = bytes.len().min(room);
        self.partial.extend_from_slice(&bytes[..kept]);
        self.over += (bytes.len() - kept) as u64;
    }

    fn remember_last(&mut self, handed_out: &[u8]) {
        if handed_out.len() >= TAIL_BYTES {
            self.last.clear();
            self.last.extend_from_slice(&handed_out[handed_out.len() - TAIL_BYTES..]);
        } else {
            self.extend_last(handed_out);
        }
    }

    fn extend_last(&mut self, handed_out: &[u8]) {
        // an unfinished line read in an earlier round lies between: look it up
        match last_before(&self.file, self.line_start, TAIL_BYTES as u64) {
            Ok(last) if last.ends_with(handed_out) => self.last = last,
            Ok(_) | Err(_) => self.last = handed_out.to_vec(),
        }
    }

    /// Whether the file begins as before; a longer beginning is taken over.
    fn verify_head(&mut self, read: &[u8], offset: u64) -> io::Result<bool> {
        let head = head_of(&self.file)?;
        let Some(known) = head.get(..self.head.length as usize) else { return Ok(false) };
        if fingerprint(known) != self.head {
            return Ok(false);
        }
        if (self.head.length as usize) < HEAD_BYTES {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(head.len());
            let overlap = (head.len() - from).min(read.len());
            if head[from..from + overlap] != read[..overlap] {
                return Ok(false);
            }
            // only what was read is known to be the same text
            let same = (from + overlap).max(self.head.length as usize);
            self.head = fingerprint(&head[..same]);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
