//! What is spoken on a connection, by the first bytes of a run. For programs: no loops, constant places only.
//!
//! What is told here by plausibility alone (a length that fits exactly) is checked again by the decoder in user space.

use super::{DNS, HEAD_LEN, HTTP1, HTTP2, KAFKA, MYSQL, POSTGRES, REDIS, TLS, UNKNOWN};

/// The protocol in the low byte.
const REQUEST: u32 = 1 << 8;
const RESPONSE: u32 = 1 << 9;

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess(u32);

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

    #[inline(always)]
    const fn request(protocol: u8) -> Self {
        Self(protocol as u32 | REQUEST)
    }

    #[inline(always)]
    const fn response(protocol: u8) -> Self {
        Self(protocol as u32 | RESPONSE)
    }
}

#[inline(always)]
const fn be32(b: &[u8; HEAD_LEN]) -> u32 {
    (b[0] as u32) << 24 | (b[1] as u32) << 16 | (b[2] as u32) << 8 | b[3] as u32
}

#[inline(always)]
const fn word(text: &[u8; 4]) -> u32 {
    (text[0] as u32) << 24 | (text[1] as u32) << 16 | (text[2] as u32) << 8 | text[3] as u32
}

/// The first bytes of a run: `length` of `head` are there, `total` went by.
#[inline(always)]
pub fn infer(head: &[u8; HEAD_LEN], length: u32, total: u64) -> Guess {
    if length < 4 {
        return Guess::NOTHING;
    }
    let text = text(head, length);
    if text.protocol() != UNKNOWN {
        return text;
    }
    if is_tls(head) {
        return Guess(TLS as u32);
    }
    if length < 5 {
        return Guess::NOTHING;
    }
    binary(head, length, total)
}

/// A TLS record: a handshake, an alert, a change of cipher or data, of SSL 3 to TLS 1.3.
#[inline(always)]
pub const fn is_tls(head: &[u8; HEAD_LEN]) -> bool {
    head[0] >= 0x14 && head[0] <= 0x17 && head[1] == 3 && head[2] <= 4
}

#[inline(always)]
fn text(head: &[u8; HEAD_LEN], length: u32) -> Guess {
    const METHODS: [u32; 8] = [
        word(b"GET "),
        word(b"POST"),
        word(b"PUT "),
        word(b"HEAD"),
        word(b"DELE"),
        word(b"OPTI"),
        word(b"PATC"),
        word(b"CONN"),
    ];
    let first = be32(head);
    if first == METHODS[0]
        || first == METHODS[1]
        || first == METHODS[2]
        || first == METHODS[3]
        || first == METHODS[4]
        || first == METHODS[5]
        || first == METHODS[6]
        || first == METHODS[7]
    {
        return Guess::request(HTTP1);
    }
    if first == word(b"HTTP") && length >= 7 && head[4] == b'/' && head[5] == b'1' && head[6] == b'.' {
        return Guess::response(HTTP1);
    }
    if first == word(b"PRI ") && length >= 6 && head[4] == b'*' && head[5] == b' ' {
        return Guess::request(HTTP2);
    }
    redis(head)
}

#[inline(always)]
const fn is_digit(byte: u8) -> bool {
    byte >= b'0' && byte <= b'9'
}

/// An array of bulk strings is what clients send; the short answers are told by their words.
#[inline(always)]
fn redis(head: &[u8; HEAD_LEN]) -> Guess {
    if head[0] == b'*' && is_digit(head[1]) {
        let one = head[2] == b'\r' && head[3] == b'\n' && head[4] == b'$';
        let two = is_digit(head[2]) && head[3] == b'\r' && head[4] == b'\n' && head[5] == b'$';
        let three = is_digit(head[2]) && is_digit(head[3]) && head[4] == b'\r' && head[5] == b'\n';
        if one || two || (three && head[6] == b'$') {
            return Guess::request(REDIS);
        }
    }
    let first = be32(head);
    if first == word(b"+OK\r") || first == word(b"+PON") || first == word(b"-ERR") {
        return Guess::response(REDIS);
    }
    Guess::NOTHING
}

#[inline(always)]
fn binary(head: &[u8; HEAD_LEN], length: u32, total: u64) -> Guess {
    let found = postgres(head, length, total);
    if found.protocol() != UNKNOWN {
        return found;
    }
    let found = mysql(head, total);
    if found.protocol() != UNKNOWN {
        return found;
    }
    let found = http2(head, length);
    if found.protocol() != UNKNOWN {
        return found;
    }
    kafka(head, length, total)
}

/// The start of a session, a request for TLS, or later a message whose length fills the call.
#[inline(always)]
fn postgres(head: &[u8; HEAD_LEN], length: u32, total: u64) -> Guess {
    let size = be32(head);
    if length >= 8 && size as u64 == total && size >= 8 && size < 10_000 {
        let code = (head[4] as u32) << 24 | (head[5] as u32) << 16 | (head[6] as u32) << 8 | head[7] as u32;
        if code == 0x0003_0000 || (code >= 80_877_102 && code <= 80_877_104) {
            return Guess::request(POSTGRES);
        }
    }
    let size = (head[1] as u64) << 24 | (head[2] as u64) << 16 | (head[3] as u64) << 8 | head[4] as u64;
    if head[0] == b'Q' && size + 1 == total && size > 4 {
        return Guess::request(POSTGRES);
    }
    // Parse or Bind, and then more
    if (head[0] == b'P' || head[0] == b'B') && size > 5 && size + 6 <= total && size < 1 << 20 {
        return Guess::request(POSTGRES);
    }
    Guess::NOTHING
}

/// A greeting, or a command whose length fills the call.
#[inline(always)]
fn mysql(head: &[u8; HEAD_LEN], total: u64) -> Guess {
    let size = head[0] as u64 | (head[1] as u64) << 8 | (head[2] as u64) << 16;
    if size + 4 != total || size == 0 || head[3] != 0 {
        return Guess::NOTHING;
    }
    if head[4] == 10 && size > 40 && is_digit(head[5]) {
        return Guess::response(MYSQL);
    }
    // query, prepare, execute, ping, a database; a query is text
    let is_command = (head[4] == 3 && size > 3 && head[5] >= b'\t' && head[5] < 0x7f)
        || (head[4] == 0x16 && size > 5)
        || (head[4] == 0x17 && size >= 10)
        || (head[4] == 14 && size == 1)
        || (head[4] == 2 && size > 1 && size < 70);
    if is_command { Guess::request(MYSQL) } else { Guess::NOTHING }
}

/// A frame of a connection that was open before: settings, a ping, or headers of a stream.
#[inline(always)]
fn http2(head: &[u8; HEAD_LEN], length: u32) -> Guess {
    if length < 9 {
        return Guess::NOTHING;
    }
    let size = (head[0] as u32) << 16 | (head[1] as u32) << 8 | head[2] as u32;
    let (kind, flags) = (head[3], head[4]);
    let stream = (head[5] as u32) << 24 | (head[6] as u32) << 16 | (head[7] as u32) << 8 | head[8] as u32;
    let is_headers =
        kind == 1 && flags & 0x04 != 0 && flags & !0x2d == 0 && stream & 1 == 1 && stream < 1 << 24;
    let is_settings = kind == 4 && stream == 0 && flags <= 1 && size % 6 == 0 && (flags == 0 || size == 0);
    let is_ping = kind == 6 && stream == 0 && size == 8 && flags <= 1;
    if (is_headers && size > 0 && size < 16_384) || (is_settings && size <= 60) || is_ping {
        return Guess(HTTP2 as u32);
    }
    Guess::NOTHING
}

/// A request whose length fills the call, of a known call in a known version, with a client's name of sane length.
#[inline(always)]
fn kafka(head: &[u8; HEAD_LEN], length: u32, total: u64) -> Guess {
    if length < 14 || be32(head) as u64 + 4 != total {
        return Guess::NOTHING;
    }
    let key = (head[4] as u32) << 8 | head[5] as u32;
    let version = (head[6] as u32) << 8 | head[7] as u32;
    let name = (head[12] as u32) << 8 | head[13] as u32;
    if key <= 80 && version <= 20 && head[8] < 0x80 && (name == 0xffff || name < 256) {
        return Guess::request(KAFKA);
    }
    Guess::NOTHING
}

/// A DNS message: one question, an operation that is in use, and no more than a sane number of records.
#[inline(always)]
pub fn dns(head: &[u8; HEAD_LEN], length: u32, total: u64) -> Guess {
    if length < 12 || total < 17 {
        return Guess::NOTHING;
    }
    let one_question = head[4] == 0 && head[5] == 1;
    let is_query = head[2] & 0x80 == 0;
    let (answers, authority, additional) = (head[6] | head[7], head[8] | head[9], head[10]);
    if !one_question || head[2] & 0x78 != 0 || head[3] & 0x40 != 0 || additional != 0 {
        return Guess::NOTHING;
    }
    if is_query {
        if head[3] & 0x0f == 0 && answers == 0 && authority == 0 && head[11] <= 2 {
            return Guess::request(DNS);
        }
        return Guess::NOTHING;
    }
    Guess::response(DNS)
}
