//! Which protocol a connection speaks, by the first bytes of one direction.
//!
//! Conservative: what might be something else, or nothing that is decoded, is `None`; the other direction, or the next
//! message, then decides. Fixed work: nothing is read beyond a few hundred bytes.

use super::bytes::Cursor;
use super::{Direction, Protocol, dns, kafka};

use Direction::{Request, Response};

/// Methods, with the blank behind them.
const METHODS: [&[u8]; 9] =
    [b"GET ", b"POST ", b"PUT ", b"DELETE ", b"HEAD ", b"OPTIONS ", b"PATCH ", b"CONNECT ", b"TRACE "];

/// A guess by the first bytes that one side sent; `None` rather than a wrong one.
pub fn infer(bytes: &[u8]) -> Option<(Protocol, Direction)> {
    http(bytes)
        .or_else(|| redis(bytes))
        .or_else(|| postgres(bytes))
        .or_else(|| mysql(bytes))
        .or_else(|| http2(bytes))
        .or_else(|| dns::infer(bytes).map(|direction| (Protocol::Dns, direction)))
        .or_else(|| kafka::is_request(bytes).then_some((Protocol::Kafka, Request)))
}

fn http(bytes: &[u8]) -> Option<(Protocol, Direction)> {
    if bytes.starts_with(b"PRI * HTTP/2.0") {
        return Some((Protocol::Http2, Request));
    }
    if bytes.starts_with(b"HTTP/1.") {
        return Some((Protocol::Http1, Response));
    }
    let method = METHODS.into_iter().find(|method| bytes.starts_with(method))?;
    let target = bytes.get(method.len()..)?;
    let plain = matches!(target, [b'/' | b'*' | b'h', ..]) || method == b"CONNECT ";
    plain.then_some((Protocol::Http1, Request))
}

/// SETTINGS of a server that begins, or a HEADERS frame whose first field is a method or a status.
fn http2(bytes: &[u8]) -> Option<(Protocol, Direction)> {
    let mut cursor = Cursor::new(bytes);
    let len = u32::from_be_bytes([0, cursor.u8()?, cursor.u8()?, cursor.u8()?]);
    let (kind, flags, stream) = (cursor.u8()?, cursor.u8()?, cursor.i32()?);
    match kind {
        4 if flags == 0 && stream == 0 && len.is_multiple_of(6) && len <= 120 => {
            // Settings have small numbers; an empty frame is a server's as well.
            let settings = cursor.rest.chunks_exact(6).take(len as usize / 6);
            let known = settings.into_iter().all(|setting| setting[0] == 0 && (1..=16).contains(&setting[1]));
            known.then_some((Protocol::Http2, Response))
        }
        1 if flags & !0x2d == 0
            && flags & 4 != 0
            && stream > 0
            && stream % 2 == 1
            && len > 0
            && len <= 16_384 =>
        {
            let block = if flags & 0x20 != 0 { cursor.rest.get(5..)? } else { cursor.rest };
            match block.first()? {
                0x82 | 0x83 if flags & 8 == 0 => Some((Protocol::Http2, Request)),
                0x88..=0x8e if flags & 8 == 0 => Some((Protocol::Http2, Response)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn redis(bytes: &[u8]) -> Option<(Protocol, Direction)> {
    match bytes.split_first()? {
        (b'*', rest) => {
            let (count, rest) = line(rest)?;
            let (len, word) = line(rest.strip_prefix(b"$")?)?;
            let name = word.get(..usize::try_from(len).ok()?.min(word.len()))?;
            let plain = |byte: &u8| byte.is_ascii_alphabetic() || b"._-".contains(byte);
            let is_command =
                count >= 1 && (1..=32).contains(&len) && !name.is_empty() && name.iter().all(plain);
            is_command.then_some((Protocol::Redis, Request))
        }
        (b'+', rest) if rest.starts_with(b"OK\r\n") || rest.starts_with(b"PONG\r\n") => {
            Some((Protocol::Redis, Response))
        }
        (b'-', rest)
            if rest.starts_with(b"ERR ")
                || rest.starts_with(b"NOAUTH ")
                || rest.starts_with(b"WRONGTYPE ") =>
        {
            Some((Protocol::Redis, Response))
        }
        _ => None,
    }
}

/// A number and the line's end.
fn line(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = bytes.get(digits..)?.strip_prefix(b"\r\n")?;
    if digits > 9 {
        return None;
    }
    Some((str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?, rest))
}

fn postgres(bytes: &[u8]) -> Option<(Protocol, Direction)> {
    let mut cursor = Cursor::new(bytes);
    if bytes.first() == Some(&0) {
        let (len, code) = (cursor.i32()?, cursor.i32()?);
        let known = match code {
            80_877_103 | 80_877_104 => len == 8 && bytes.len() == 8,
            196_608 | 196_610 => {
                (9..=10_000).contains(&len) && cursor.rest.first().is_some_and(u8::is_ascii_lowercase)
            }
            _ => false,
        };
        return known.then_some((Protocol::Postgres, Request));
    }
    let (kind, len) = (cursor.u8()?, cursor.i32()?);
    let rest = cursor.rest;
    // A message ends where the next one's type stands, or where the bytes end.
    let next = usize::try_from(len).ok().and_then(|len| bytes.get(len + 1));
    let text = |bytes: &[u8]| {
        bytes.first().is_some_and(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
    };
    let direction = match kind {
        b'Q' if (6..=1 << 20).contains(&len)
            && text(rest)
            && next.is_none_or(|next| b"QPBX".contains(next)) =>
        {
            Request
        }
        b'P' if (8..=1 << 20).contains(&len) && next.is_none_or(|next| b"PBDHS".contains(next)) => {
            let behind_name = memchr::memchr(0, rest.get(..rest.len().min(64))?)? + 1;
            if !text(rest.get(behind_name..)?) {
                return None;
            }
            Request
        }
        b'B' if (12..=1 << 20).contains(&len) && next.is_some_and(|next| b"EDS".contains(next)) => Request,
        b'R' if len == 8 && rest.starts_with(&[0, 0, 0]) => Response,
        b'R' if (10..=200).contains(&len) && rest.starts_with(&[0, 0, 0, 10, b'S']) => Response,
        b'E' if rest.starts_with(b"SERROR\0") || rest.starts_with(b"SFATAL\0") => Response,
        b'T' if (6..=1 << 16).contains(&len) && next.is_some_and(|next| b"DCs".contains(next)) => Response,
        b'1' | b'2' if len == 4 && next.is_some_and(|next| b"2TtnDCZ".contains(next)) => Response,
        b'Z' if len == 5 && bytes.len() == 6 && matches!(rest, [b'I' | b'T' | b'E']) => Response,
        _ => return None,
    };
    Some((Protocol::Postgres, direction))
}

fn mysql(bytes: &[u8]) -> Option<(Protocol, Direction)> {
    let (head, payload) = bytes.split_at_checked(4)?;
    let len = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
    if head[3] != 0 || len < payload.len() || payload.is_empty() {
        return None;
    }
    match payload.split_first()? {
        // A greeting: version 10, then the server's version as text.
        (10, rest) if (50..=400).contains(&len) => {
            let end = memchr::memchr(0, rest).filter(|end| (3..=64).contains(end))?;
            let plain = rest[0].is_ascii_digit() && rest[..end].iter().all(u8::is_ascii_graphic);
            plain.then_some((Protocol::Mysql, Response))
        }
        (3 | 0x16, rest) => {
            let sql = rest.strip_prefix(&[0, 1]).unwrap_or(rest);
            let word = sql.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
            let ends = sql.get(word).is_none_or(|byte| b" \t\r\n(;*".contains(byte));
            ((2..=12).contains(&word) && ends).then_some((Protocol::Mysql, Request))
        }
        (0x0e, []) if len == 1 => Some((Protocol::Mysql, Request)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
