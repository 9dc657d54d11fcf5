//! Values of RESP2 and RESP3 in one direction: where each of the outermost ends, and what its first words are.
//!
//! Lengths are enough: what is inside is passed over. Bounded: a line, a few words, the depth of nesting.

use memchr::memchr;

use super::super::Chunk;

/// Bytes of a line; longer ones (an inline command, an error's message) are read as far as this.
const MAX_LINE: usize = 512;
/// Values within values.
const MAX_DEPTH: usize = 16;
/// Words of a command that are looked at, and how long they may be.
const WORDS: usize = 3;
const MAX_WORD: usize = 64;

/// One value, outermost.
pub(super) struct Value {
    /// Its sigil; none of a line without one, as in an inline command.
    pub(super) kind: Option<u8>,
    /// The first words of an array, or the line.
    pub(super) words: Vec<Vec<u8>>,
    /// When its first byte came.
    pub(super) began: u64,
}

pub(super) enum Event {
    Value(Value),
    /// One that was cut: it goes on as long as bytes come that begin no other.
    Cut(Value),
    /// Values may have passed unseen.
    Lost,
}

/// Reads one direction.
pub(super) struct Values {
    line: Vec<u8>,
    is_long: bool,
    /// Of each open aggregate, how many values are to come.
    open: Vec<u64>,
    value: Option<Value>,
    /// The bulk string under way: bytes to come with its line's end, and whether it is a word.
    bulk: Option<(u64, bool)>,
    /// It is not known where a value begins.
    unsure: bool,
    now: u64,
}

impl Values {
    pub(super) fn new() -> Self {
        Self {
            line: Vec::new(),
            is_long: false,
            open: Vec::new(),
            value: None,
            bulk: None,
            unsure: true,
            now: 0,
        }
    }

    /// Nothing is known of what comes.
    pub(super) fn lose(&mut self) {
        *self = Self { now: self.now, ..Self::new() };
    }

    /// Bytes that are kept.
    pub(super) fn memory(&self) -> usize {
        self.line.capacity() + if self.value.is_some() { WORDS * MAX_WORD } else { 0 }
    }

    /// When the value under way began.
    pub(super) fn began(&self) -> Option<u64> {
        self.value.as_ref().map(|value| value.began)
    }

    /// To be called at each call, before `next`.
    pub(super) fn begin(&mut self, chunk: &Chunk<'_>) {
        if chunk.gap {
            self.lose();
        }
        self.now = chunk.ts_ns;
    }

    /// Reads on; `bytes` is moved behind what was read, `behind` is what the call carried beyond them.
    pub(super) fn next(&mut self, bytes: &mut &[u8], behind: &mut u64, is_request: bool) -> Option<Event> {
        loop {
            if bytes.is_empty() && *behind == 0 {
                return None;
            }
            if let Some((left, is_word)) = self.bulk {
                if let Some(value) = self.pass_bulk(left, is_word, bytes, behind) {
                    return Some(Event::Value(value));
                }
                continue;
            }
            if bytes.is_empty() && !self.unsure {
                return Some(self.cut(behind, is_request));
            }
            if self.unsure && !begins(bytes, is_request) {
                (*bytes, *behind) = (&[], 0);
                return None;
            }
            self.unsure = false;
            let Some(end) = memchr(b'\n', bytes) else {
                self.add_line(bytes);
                *bytes = &[];
                continue;
            };
            self.add_line(&bytes[..end]);
            *bytes = &bytes[end + 1..];
            match self.take_line() {
                Ok(Some(value)) => return Some(Event::Value(value)),
                Ok(None) => {}
                Err(()) => {
                    self.lose();
                    (*bytes, *behind) = (&[], 0);
                    return Some(Event::Lost);
                }
            }
        }
    }

    /// Values behind the cut were not seen; an answer that has begun is given, and a command whose name was seen.
    fn cut(&mut self, behind: &mut u64, is_request: bool) -> Event {
        *behind = 0;
        let value = self.value.take();
        self.lose();
        match value.filter(|value| !is_request || !value.words.is_empty()) {
            Some(value) => Event::Cut(value),
            None => Event::Lost,
        }
    }

    fn add_line(&mut self, bytes: &[u8]) {
        if self.value.is_none() && self.line.is_empty() {
            self.value = Some(Value { kind: None, words: Vec::new(), began: self.now });
        }
        let room = MAX_LINE.saturating_sub(self.line.len());
        self.is_long |= bytes.len() > room;
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// A line is whole; the value, if that was all of it.
    fn take_line(&mut self) -> Result<Option<Value>, ()> {
        let line = std::mem::take(&mut self.line);
        let is_long = std::mem::take(&mut self.is_long);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let (sigil, rest) = match line.split_first() {
            Some((sigil, rest)) => (*sigil, rest),
            None if self.open.is_empty() => {
                self.value = None;
                return Ok(None);
            }
            None => return Err(()),
        };
        let outermost = self.open.is_empty();
        match sigil {
            b'$' | b'=' | b'!' => {
                let len = if is_long { None } else { length(rest) };
                self.kind(outermost, sigil);
                match len.ok_or(())? {
                    -1 => return Ok(self.end_value()),
                    len => {
                        let counts = (self.open.len() == 1 || outermost && sigil == b'!') && self.has_room();
                        if counts {
                            self.word(Vec::new());
                        }
                        let is_word = counts && (1..=MAX_WORD as i64).contains(&len);
                        self.bulk = Some((u64::try_from(len).map_err(drop)? + 2, is_word));
                    }
                }
                Ok(None)
            }
            b'*' | b'%' | b'~' | b'>' | b'|' => {
                let count = if is_long { None } else { length(rest) };
                self.kind(outermost, sigil);
                let count = count.ok_or(())?;
                if count <= 0 {
                    return Ok(self.end_value());
                }
                let count = u64::try_from(count).map_err(drop)?;
                let count = if matches!(sigil, b'%' | b'|') { count.saturating_mul(2) } else { count };
                // Attributes come before the value that they belong to.
                let count = if sigil == b'|' { count.saturating_add(1) } else { count };
                if self.open.len() >= MAX_DEPTH {
                    return Err(());
                }
                self.open.push(count);
                Ok(None)
            }
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {
                self.kind(outermost, sigil);
                if outermost && sigil == b'-' {
                    self.word(rest[..rest.len().min(MAX_WORD)].to_vec());
                }
                Ok(self.end_value())
            }
            _ if outermost => {
                for word in line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).take(WORDS) {
                    self.word(word[..word.len().min(MAX_WORD)].to_vec());
                }
                Ok(self.end_value())
            }
            _ => Err(()),
        }
    }

    fn pass_bulk(&mut self, left: u64, is_word: bool, bytes: &mut &[u8], behind: &mut u64) -> Option<Value> {
        let seen = left.min(bytes.len() as u64);
        let (now, rest) = bytes.split_at(seen as usize);
        // The last two bytes are the line's end.
        let text = left.saturating_sub(2).min(seen) as usize;
        if is_word && let Some(words) = self.value.as_mut().map(|value| &mut value.words) {
            if let Some(word) = words.last_mut() {
                word.extend_from_slice(&now[..text]);
            }
            if rest.is_empty() && *behind > 0 && (text as u64) < left.saturating_sub(2) {
                // A part of a word is none.
                words.pop();
            }
        }
        *bytes = rest;
        let unseen = if rest.is_empty() { (left - seen).min(*behind) } else { 0 };
        *behind -= unseen;
        let left = left - seen - unseen;
        if left > 0 {
            self.bulk = Some((left, is_word));
            return None;
        }
        self.bulk = None;
        self.end_value()
    }

    /// A value ended, and with it perhaps those around it; the outermost, if that was the last.
    fn end_value(&mut self) -> Option<Value> {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return None;
            }
            self.open.pop();
        }
        self.value.take()
    }

    fn kind(&mut self, outermost: bool, sigil: u8) {
        if outermost && let Some(value) = &mut self.value {
            value.kind = Some(sigil);
        }
    }

    fn has_room(&self) -> bool {
        self.value.as_ref().is_some_and(|value| value.words.len() < WORDS)
    }

    fn word(&mut self, word: Vec<u8>) {
        if let Some(value) = &mut self.value
            && value.words.len() < WORDS
        {
            value.words.push(word);
        }
    }
}

/// Whether a value may begin here, where nothing says so.
fn begins(bytes: &[u8], is_request: bool) -> bool {
    let first = bytes.first().copied().unwrap_or(0);
    let number = |bytes: &[u8]| {
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count();
        digits <= 12 && (digits > 0 || bytes.is_empty()) && matches!(bytes.get(digits), None | Some(b'\r'))
    };
    match first {
        b'*' | b'$' | b'>' | b'%' | b'~' | b'|' => number(&bytes[1..]),
        _ if is_request => first.is_ascii_alphabetic() || first == b'\r' || first == b'\n',
        _ => b"+-:_,#(!=".contains(&first),
    }
}

/// -1 to 2^40
fn length(digits: &[u8]) -> Option<i64> {
    let value: i64 = str::from_utf8(digits).ok()?.parse().ok()?;
    (-1..=1 << 40).contains(&value).then_some(value)
}
