//! What is spoken on a connection, by the first bytes of a run.
//!
//! For programs: no loops, and no branches either, since a verifier walks every path: conditions are masks (all ones or
//! zero), combined by `&` and `|`. `hide` keeps the compiler from turning them into branches again.
//! What is told here by plausibility alone (a length that fits exactly) is checked again by the decoder in user space.

use super::{DNS, HEAD_LEN, HTTP1, HTTP2, KAFKA, MYSQL, POSTGRES, REDIS, TLS};

/// Set beside the protocol, which is the low byte.
const REQUEST: u64 = 1 << 8;
const RESPONSE: u64 = 1 << 9;

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess(u64);

impl Guess {
    /// Nothing.
    pub const NOTHING: Self = Self(0);

    /// `HTTP1`, ... or `UNKNOWN`.
    #[inline(always)]
    pub const fn protocol(self) -> u8 {
        self.0 as u8
    }

    /// Whether they are surely a request.
    #[inline(always)]
    pub const fn is_request(self) -> bool {
        self.0 & REQUEST != 0
    }

    /// Whether they are surely an answer.
    #[inline(always)]
    pub const fn is_response(self) -> bool {
        self.0 & RESPONSE != 0
    }
}

/// The first bytes of a run as two numbers, and what went by.
#[derive(Clone, Copy)]
struct Seen<H> {
    /// Bytes 0 to 7, the first one highest.
    first: u64,
    /// Bytes 8 to 15.
    second: u64,
    length: u64,
    total: u64,
    hide: H,
}

impl<H: Fn(u64) -> u64 + Copy> Seen<H> {
    #[inline(always)]
    fn new(head: &[u8; HEAD_LEN], length: u32, total: u64, hide: H) -> Self {
        let (first, second) = words(head);
        Self { first, second, length: length as u64, total, hide }
    }

    /// All ones where the highest bit is set.
    #[inline(always)]
    fn mask(&self, value: u64) -> u64 {
        (self.hide)(((self.hide)(value) as i64 >> 63) as u64)
    }

    #[inline(always)]
    fn same(&self, left: u64, right: u64) -> u64 {
        let differing = left ^ right;
        !self.mask(differing | differing.wrapping_neg())
    }

    /// Of numbers below 2^63.
    #[inline(always)]
    fn below(&self, left: u64, right: u64) -> u64 {
        self.mask(left.wrapping_sub(right))
    }

    /// Between these, both included.
    #[inline(always)]
    fn within(&self, value: u64, low: u64, high: u64) -> u64 {
        !self.below(value, low) & self.below(value, high + 1)
    }

    #[inline(always)]
    fn is_digit(&self, byte: u64) -> u64 {
        self.within(byte, b'0' as u64, b'9' as u64)
    }

    #[inline(always)]
    fn has(&self, length: u64) -> u64 {
        !self.below(self.length, length)
    }

    /// One of the first eight bytes.
    #[inline(always)]
    const fn byte(&self, index: u32) -> u64 {
        (self.first >> (56 - index * 8)) & 0xff
    }

    /// Bytes `from` to `from + bytes - 1` of the first eight.
    #[inline(always)]
    const fn part(&self, from: u32, bytes: u32) -> u64 {
        (self.first << (from * 8)) >> (64 - bytes * 8)
    }

    /// What was found before, else `value` where the mask holds.
    #[inline(always)]
    fn or(&self, found: u64, mask: u64, value: u64) -> u64 {
        found | (value & mask & self.same(found, 0))
    }

    #[inline(always)]
    fn text(self) -> u64 {
        const fn word(text: &[u8; 4]) -> u64 {
            u32::from_be_bytes(*text) as u64
        }
        let word_of = |text| self.same(self.part(0, 4), word(text)) & self.has(4);
        let method = word_of(b"GET ")
            | word_of(b"POST")
            | word_of(b"PUT ")
            | word_of(b"HEAD")
            | word_of(b"DELE")
            | word_of(b"OPTI")
            | word_of(b"PATC")
            | word_of(b"CONN");
        let found = self.or(0, method, HTTP1 as u64 | REQUEST);
        let status = word_of(b"HTTP") & self.has(7) & self.same(self.part(4, 3), 0x2f_312e);
        let found = self.or(found, status, HTTP1 as u64 | RESPONSE);
        let preface = word_of(b"PRI ") & self.has(6) & self.same(self.part(4, 2), 0x2a20);
        let found = self.or(found, preface, HTTP2 as u64 | REQUEST);
        let array = self.same(self.byte(0), b'*' as u64) & self.is_digit(self.byte(1)) & self.has(4);
        let second = self.is_digit(self.byte(2));
        // an array of bulk strings is what clients send: one, two or three digits, the end of the line, `$`
        let one = self.same(self.part(2, 2), 0x0d0a) & (self.same(self.byte(4), 0x24) | !self.has(5));
        let two = second & self.same(self.part(3, 3), 0x0d_0a24) & self.has(6);
        let three =
            second & self.is_digit(self.byte(3)) & self.same(self.part(4, 3), 0x0d_0a24) & self.has(7);
        let found = self.or(found, array & (one | two | three), REDIS as u64 | REQUEST);
        let short = word_of(b"+OK\r") | word_of(b"+PON") | word_of(b"-ERR");
        self.or(found, short, REDIS as u64 | RESPONSE)
    }

    /// The start of a session, a request for TLS, or later a message whose length fills the call.
    #[inline(always)]
    fn postgres(self) -> u64 {
        let size = self.part(0, 4);
        let code = self.first & 0xffff_ffff;
        let starts = self.has(8)
            & self.same(size, self.total)
            & self.within(size, 8, 10_000)
            & (self.same(code, 0x0003_0000) | self.within(code, 80_877_102, 80_877_104));
        let size = self.part(1, 4);
        let kind = self.byte(0);
        let query =
            self.same(kind, b'Q' as u64) & self.same(size + 1, self.total) & self.within(size, 5, 1 << 30);
        // Parse or Bind, and then more
        let extended = (self.same(kind, b'P' as u64) | self.same(kind, b'B' as u64))
            & self.within(size, 6, 1 << 20)
            & !self.below(self.total, size + 6);
        starts | (self.has(5) & (query | extended))
    }

    /// A greeting, or a command whose length fills the call.
    #[inline(always)]
    fn mysql(self) -> u64 {
        let size = self.byte(0) | self.byte(1) << 8 | self.byte(2) << 16;
        let is_whole = self.same(size + 4, self.total) & self.same(self.byte(3), 0) & self.has(5);
        let (kind, next) = (self.byte(4), self.byte(5));
        let greeting = self.same(kind, 10) & !self.below(size, 41) & self.is_digit(next);
        // query (which is text), prepare, execute, ping, a database
        let command = (self.same(kind, 3) & !self.below(size, 4) & self.within(next, 9, 0x7e))
            | (self.same(kind, 0x16) & !self.below(size, 6))
            | (self.same(kind, 0x17) & !self.below(size, 10))
            | (self.same(kind, 14) & self.same(size, 1))
            | (self.same(kind, 2) & self.within(size, 2, 69));
        let found = self.or(0, is_whole & greeting, MYSQL as u64 | RESPONSE);
        self.or(found, is_whole & command, MYSQL as u64 | REQUEST)
    }

    /// A frame of a connection that was open before: headers of a stream, settings, or a ping.
    #[inline(always)]
    fn http2(self) -> u64 {
        let size = self.part(0, 3);
        let (kind, flags) = (self.byte(3), self.byte(4));
        let stream = self.part(5, 3) << 8 | self.second >> 56;
        let headers = self.same(kind, 1)
            & self.same(flags & 0x04, 0x04)
            & self.same(flags & !0x2d, 0)
            & self.same(stream & 1, 1)
            & self.below(stream, 1 << 24)
            & self.within(size, 1, 16_383);
        let general = self.same(stream, 0) & self.below(flags, 2);
        // servers send theirs before they have read anything, often with a window update in the same call
        let settings =
            self.same(kind, 4) & self.below(size, 61) & !self.below(self.total, size + 9) & general;
        let ping = self.same(kind, 6) & self.same(size, 8) & self.same(size + 9, self.total) & general;
        self.has(9) & (headers | settings | ping)
    }

    /// A request whose length fills the call, of a known call in a known version, with a client's name of sane length.
    #[inline(always)]
    fn kafka(self) -> u64 {
        let (key, version) = (self.part(4, 2), self.part(6, 2));
        let name = (self.second >> 16) & 0xffff;
        self.has(14)
            & self.same(self.part(0, 4) + 4, self.total)
            & self.below(key, 81)
            & self.below(version, 21)
            & self.below(self.second >> 56, 0x80)
            & (self.same(name, 0xffff) | self.below(name, 256))
    }

    /// A TLS record: a handshake, an alert, a change of cipher or data, of SSL 3 to TLS 1.3.
    #[inline(always)]
    fn tls(&self) -> u64 {
        self.has(3)
            & self.within(self.byte(0), 0x14, 0x17)
            & self.same(self.byte(1), 3)
            & self.below(self.byte(2), 5)
    }
}

#[inline(always)]
fn words(head: &[u8; HEAD_LEN]) -> (u64, u64) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *head;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p]))
}

/// A function of its own, and so with a stack of its own: a program's has 512 bytes.
macro_rules! framed {
    ($name:ident) => {
        #[inline(never)]
        fn $name<H: Fn(u64) -> u64 + Copy>(first: u64, second: u64, length: u64, total: u64, hide: H) -> u64 {
            Seen { first, second, length, total, hide }.$name()
        }
    };
}

framed!(text);
framed!(postgres);
framed!(mysql);
framed!(http2);
framed!(kafka);

/// The first bytes of a run: `length` of `head` are there, `total` went by.
#[inline(always)]
pub fn infer(head: &[u8; HEAD_LEN], length: u32, total: u64, hide: impl Fn(u64) -> u64 + Copy) -> Guess {
    let (first, second) = words(head);
    let length = length as u64;
    let found = text(first, second, length, total, hide);
    if found != 0 {
        return Guess(found);
    }
    if is_tls(head, length as u32, hide) {
        return Guess(TLS as u64);
    }
    if postgres(first, second, length, total, hide) != 0 {
        return Guess(POSTGRES as u64 | REQUEST);
    }
    let found = mysql(first, second, length, total, hide);
    if found != 0 {
        return Guess(found);
    }
    if http2(first, second, length, total, hide) != 0 {
        return Guess(HTTP2 as u64);
    }
    if kafka(first, second, length, total, hide) != 0 {
        return Guess(KAFKA as u64 | REQUEST);
    }
    Guess::NOTHING
}

/// Whether a TLS record begins: whatever was spoken before, it is over.
#[inline(always)]
pub fn is_tls(head: &[u8; HEAD_LEN], length: u32, hide: impl Fn(u64) -> u64 + Copy) -> bool {
    Seen::new(head, length, 0, hide).tls() != 0
}

/// A DNS message: one question, an operation that is in use, and no more than a sane number of records.
#[inline(always)]
pub fn dns(head: &[u8; HEAD_LEN], length: u32, total: u64, hide: impl Fn(u64) -> u64 + Copy) -> Guess {
    let seen = Seen::new(head, length, total, hide);
    let (flags, questions, answers) = (seen.part(2, 2), seen.part(4, 2), seen.part(6, 2));
    let (authority, additional) = (seen.second >> 48, (seen.second >> 32) & 0xffff);
    let is_sane = seen.has(12)
        & !seen.below(total, 17)
        & seen.same(questions, 1)
        & seen.same(flags & 0x7840, 0)
        & seen.below(additional, 256);
    let is_query = seen.same(flags & 0x8000, 0);
    let is_bare = seen.same(flags & 0x0f, 0) & seen.same(answers | authority, 0) & seen.below(additional, 3);
    let found = seen.or(0, is_sane & is_query & is_bare, DNS as u64 | REQUEST);
    Guess(seen.or(found, is_sane & !is_query, DNS as u64 | RESPONSE))
}
