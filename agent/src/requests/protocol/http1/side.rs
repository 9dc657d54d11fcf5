//! One direction of an HTTP/1 connection: where heads begin and bodies end.

use super::super::Chunk;
use super::plain::{self, Plain};

/// Bytes of one head; what is longer is read as far as this.
const MAX_HEAD: usize = 8 * 1024;
/// Bytes of the shortest message there is: `HTTP/1.1 200` and two ends of lines.
const MIN_MESSAGE: u64 = 16;
/// Bytes of one line in a chunked body.
const MAX_LINE: usize = 256;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// None: the next message begins.
    None,
    /// As many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`
    Chunked(Chunked),
    /// All until the connection is closed.
    UntilClose,
    /// Its end cannot be seen; it ends where a call begins with a new head.
    Unknown,
}

/// Where in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// In the line that says the size.
    Size,
    /// In data, with as many bytes to come, the line's end among them.
    Data(u64),
    /// Behind the last chunk.
    Trailer,
}

/// What was found.
#[expect(clippy::large_enum_variant, reason = "the large one is nearly every one, and none is kept")]
pub(super) enum Found<'a> {
    /// A head in the form that nearly all have. Its body is told by `Side::expect`.
    Plain(Plain<'a>),
    /// A head of as many bytes in `Side::head`; whole unless `cut`. Its body is told by `Side::expect`.
    Head { cut: bool },
    /// The body's end.
    End,
    /// What follows is no message.
    Broken,
    /// A message went by of which no byte was seen, or several.
    Passed,
}

pub(super) struct Side {
    /// The head that is being put together, or a line of a chunked body.
    pub(super) head: Vec<u8>,
    body: Body,
    /// Whether bytes of the message under way were not seen.
    cut: bool,
    /// When the head under way began, and when the last call was.
    pub(super) since: u64,
    now: u64,
    /// Whether bytes look like a message's first, or like a part of them.
    begins: fn(&[u8]) -> bool,
}

impl Side {
    pub(super) fn new(begins: fn(&[u8]) -> bool) -> Self {
        Self { head: Vec::new(), body: Body::Unknown, cut: false, since: 0, now: 0, begins }
    }

    /// Nothing is known of what comes.
    pub(super) fn lose(&mut self) {
        self.head.clear();
        self.body = Body::Unknown;
    }

    /// Whether the body has no end that can be seen.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.body, Body::Unknown | Body::UntilClose)
    }

    /// Whether no message begins with this call.
    pub(super) fn goes_on(&self, bytes: &[u8], total: u64) -> bool {
        match self.body {
            Body::None => !self.head.is_empty(),
            Body::Length(left) => total <= left,
            Body::Chunked(_) => true,
            Body::UntilClose | Body::Unknown => !(self.begins)(bytes),
        }
    }

    /// Whether what comes next is a head, from its first byte on.
    pub(super) fn is_between(&self) -> bool {
        self.body == Body::None && self.head.is_empty()
    }

    /// A head was read elsewhere.
    pub(super) fn pass(&mut self) {
        self.since = self.now;
    }

    /// What follows the head that was just found.
    pub(super) fn expect(&mut self, body: Body) {
        self.head = Vec::new();
        self.body = if self.cut && body != Body::UntilClose { Body::Unknown } else { body };
    }

    /// To be called at each new call, before `next`.
    pub(super) fn begin(&mut self, chunk: &Chunk<'_>) {
        if chunk.gap {
            self.lose();
        }
        self.cut = false;
        self.now = chunk.ts_ns;
        if self.body == Body::Unknown && (self.begins)(chunk.bytes) {
            self.body = Body::None;
        }
    }

    /// Reads on; `bytes` is moved behind what was read, `behind` is what the call carried beyond them.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8], behind: &mut u64) -> Option<Found<'a>> {
        loop {
            if bytes.is_empty() && *behind == 0 {
                return None;
            }
            match self.body {
                Body::None if bytes.is_empty() && self.head.is_empty() => {
                    let passed = std::mem::take(behind);
                    self.since = self.now;
                    self.lose();
                    return Some(if passed < MIN_MESSAGE { Found::Broken } else { Found::Passed });
                }
                Body::None => return self.read_head(bytes, behind),
                Body::Length(left) => {
                    let left = pass(left, bytes, behind);
                    if left == 0 {
                        self.body = Body::None;
                        return Some(Found::End);
                    }
                    self.body = Body::Length(left);
                }
                Body::Chunked(Chunked::Data(left)) => {
                    let left = pass(left, bytes, behind);
                    self.body = Body::Chunked(if left == 0 { Chunked::Size } else { Chunked::Data(left) });
                }
                Body::Chunked(at) => {
                    if self.read_line(at, bytes, behind) {
                        self.body = Body::None;
                        return Some(Found::End);
                    }
                }
                Body::UntilClose | Body::Unknown => (*bytes, *behind) = (&[], 0),
            }
        }
    }

    fn read_head<'a>(&mut self, bytes: &mut &'a [u8], behind: &mut u64) -> Option<Found<'a>> {
        if self.head.is_empty() {
            // Some clients end a body with a line's end that belongs to nothing.
            let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            *bytes = &bytes[blank..];
            self.since = self.now;
            let room = bytes.len().min(MAX_HEAD);
            if let Some((plain, _)) = plain::read(&bytes[..room]) {
                *bytes = &bytes[plain.head.len()..];
                return Some(Found::Plain(plain));
            }
        }
        let searched = self.head.len().saturating_sub(3);
        let room = MAX_HEAD.saturating_sub(self.head.len()).min(bytes.len());
        let before = self.head.len();
        self.head.extend_from_slice(&bytes[..room]);
        if let Some(end) = head_end(&self.head, searched) {
            *bytes = &bytes[end.saturating_sub(before)..];
            self.head.truncate(end);
            return Some(Found::Head { cut: false });
        }
        if !self.head.is_empty() && !(self.begins)(&self.head) {
            self.lose();
            (*bytes, *behind) = (&[], 0);
            return Some(Found::Broken);
        }
        let full = self.head.len() >= MAX_HEAD;
        if !full && *behind == 0 {
            *bytes = &[];
            return None;
        }
        (*bytes, *behind) = (&[], 0);
        self.cut = true;
        if self.head.is_empty() {
            self.lose();
            return None;
        }
        Some(Found::Head { cut: true })
    }

    /// True at the body's end.
    fn read_line(&mut self, at: Chunked, bytes: &mut &[u8], behind: &mut u64) -> bool {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.head.extend_from_slice(&bytes[..bytes.len().min(MAX_LINE)]);
            if *behind > 0 || self.head.len() > MAX_LINE {
                self.lose();
            }
            (*bytes, *behind) = (&[], 0);
            return false;
        };
        self.head.extend_from_slice(&bytes[..end.min(MAX_LINE)]);
        *bytes = &bytes[end + 1..];
        let line = std::mem::take(&mut self.head);
        let line = line.trim_ascii_end();
        if at == Chunked::Trailer {
            return line.is_empty();
        }
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = str::from_utf8(digits).ok().filter(|digits| digits.len() <= 15);
        match size.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            Some(0) => self.body = Body::Chunked(Chunked::Trailer),
            Some(size) => self.body = Body::Chunked(Chunked::Data(size + 2)),
            None => self.lose(),
        }
        false
    }
}

/// Passes over as many bytes, seen or not; what is left.
fn pass(left: u64, bytes: &mut &[u8], behind: &mut u64) -> u64 {
    let seen = left.min(bytes.len() as u64);
    *bytes = &bytes[seen as usize..];
    let unseen = if bytes.is_empty() { (left - seen).min(*behind) } else { 0 };
    *behind -= unseen;
    left - seen - unseen
}

/// Where the empty line ends.
fn head_end(head: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = memchr::memchr(b'\n', &head[at..]) {
        at += found + 1;
        match &head[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}
