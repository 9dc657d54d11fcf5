//! Messages of PostgreSQL's protocol, version 3: their heads, and the few fields that are read.

use super::super::frames::Head;
use super::super::sql::MAX_SQL;

/// Bytes of a typed message's head.
pub(super) const HEAD: usize = 5;

/// What a client may send, by its type.
const REQUESTS: &[u8] = b"BCDEFHPQSXcdfp";
/// What a server may send.
const RESPONSES: &[u8] = b"123ACDEGHIKNRSTVWZcdnstv";

/// Codes of messages without a type.
const VERSION_3: u32 = 196_608;
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

/// The first message of a connection, or what asks for encryption.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Startup<'a> {
    /// Which database.
    Hello {
        database: Option<&'a str>,
    },
    /// TLS or GSSAPI; the server answers by one byte.
    Encrypt,
    Cancel,
}

pub(super) fn request_head(bytes: &[u8], unsure: bool) -> Head {
    match bytes {
        [] => Head::Short,
        [0, ..] => startup_head(bytes),
        _ => typed_head(bytes, REQUESTS, unsure),
    }
}

pub(super) fn response_head(bytes: &[u8], unsure: bool) -> Head {
    if bytes.is_empty() { Head::Short } else { typed_head(bytes, RESPONSES, unsure) }
}

fn startup_head(bytes: &[u8]) -> Head {
    let Some(code) = number(bytes, 4) else { return Head::Short };
    let len = number(bytes, 0).unwrap_or(0);
    let fits = match code {
        SSL | GSS => len == 8,
        CANCEL => (16..=272).contains(&len),
        _ => code >> 16 == VERSION_3 >> 16 && (9..=10_000).contains(&len),
    };
    if fits { Head::Frame { len: u64::from(len), want: (len as usize).min(1_024) } } else { Head::Wrong }
}

fn typed_head(bytes: &[u8], kinds: &[u8], unsure: bool) -> Head {
    if !kinds.contains(&bytes[0]) {
        return Head::Wrong;
    }
    let Some(len) = number(bytes, 1) else { return Head::Short };
    let most = if unsure { 1 << 20 } else { 1 << 30 };
    if !(4..=most).contains(&len) {
        return Head::Wrong;
    }
    let is_response = std::ptr::eq(kinds, RESPONSES);
    let want = match bytes[0] {
        b'Q' | b'P' if !is_response => MAX_SQL,
        b'B' if !is_response => 256,
        b'E' | b'C' => 512,
        b'Z' | b'R' => 8,
        // The rest is rows, passwords, data: passed over by its length.
        _ => 0,
    };
    let len = u64::from(len) + 1;
    Head::Frame { len, want: HEAD + want.min(len as usize - HEAD) }
}

/// Reads a message without a type.
pub(super) fn startup(bytes: &[u8]) -> Option<Startup<'_>> {
    match number(bytes, 4)? {
        SSL | GSS => Some(Startup::Encrypt),
        CANCEL => Some(Startup::Cancel),
        _ => {
            let (mut database, mut user) = (None, None);
            let mut texts = bytes.get(8..)?.split(|byte| *byte == 0);
            while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
                match key {
                    b"database" => database = str::from_utf8(value).ok(),
                    b"user" => user = str::from_utf8(value).ok(),
                    b"" => break,
                    _ => {}
                }
            }
            // Without a database it is the one with the user's name.
            let database = database.or(user).filter(|name| !name.is_empty() && name.len() <= 64);
            Some(Startup::Hello { database })
        }
    }
}

/// A text that ends in zero, and what is behind it; none if its end was cut.
pub(super) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The SQLSTATE of an error.
pub(super) fn sqlstate(bytes: &[u8]) -> Option<&str> {
    let mut rest = bytes.get(HEAD..)?;
    while let [kind, behind @ ..] = rest {
        if *kind == 0 {
            return None;
        }
        let (value, after) = text(behind).unwrap_or((behind, &[]));
        if *kind == b'C' {
            let state = value.len() == 5 && value.iter().all(u8::is_ascii_alphanumeric);
            return str::from_utf8(value).ok().filter(|_| state);
        }
        rest = after;
    }
    None
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
