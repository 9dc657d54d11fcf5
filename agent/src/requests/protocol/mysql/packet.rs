//! Packets of MySQL's protocol: their heads, the handshake, and what ends an answer.

use super::super::frames::Head;
use super::super::sql::MAX_SQL;

/// Bytes of a packet's head: length and sequence.
pub(super) const HEAD: usize = 4;

const WITH_DB: u32 = 1 << 3;
const COMPRESS: u32 = 1 << 5;
const SSL: u32 = 1 << 11;
const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
const ZSTD: u32 = 1 << 26;
const QUERY_ATTRIBUTES: u32 = 1 << 27;

pub(super) fn head(bytes: &[u8], is_request: bool, unsure: bool) -> Head {
    let [low, middle, high, sequence, ..] = *bytes else { return Head::Short };
    let len = u32::from_le_bytes([low, middle, high, 0]);
    if unsure && (len == 0 || is_request && sequence != 0) {
        return Head::Wrong;
    }
    let want = match (is_request, sequence) {
        (true, 0) => MAX_SQL + 16,
        (true, 1) => 1_024,
        (false, 0) => 256,
        _ => 64,
    };
    Head::Frame { len: u64::from(len) + HEAD as u64, want: HEAD + want.min(len as usize) }
}

/// What a client said of the connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Handshake<'a> {
    pub(super) database: Option<&'a str>,
    /// What follows cannot be read: encrypted or compressed.
    pub(super) opaque: bool,
    /// Statements have attributes before them.
    pub(super) attributes: bool,
}

/// Reads a client's answer to the greeting; the proof of its password is passed over.
pub(super) fn handshake(payload: &[u8]) -> Option<Handshake<'_>> {
    let flags = u32::from_le_bytes(payload.get(..4)?.try_into().ok()?);
    let opaque = flags & (COMPRESS | ZSTD) != 0 || payload.len() == 32 && flags & SSL != 0;
    let told = Handshake { database: None, opaque, attributes: flags & QUERY_ATTRIBUTES != 0 };
    let database = || {
        let rest = payload.get(32..)?;
        let rest = rest.get(memchr::memchr(0, rest)? + 1..)?;
        let (proof, rest) = if flags & PLUGIN_AUTH_LENENC != 0 { lenenc(rest)? } else { one_byte(rest)? };
        let rest = rest.get(usize::try_from(proof).ok()?..)?;
        let end = memchr::memchr(0, rest)?;
        str::from_utf8(&rest[..end]).ok().filter(|name| !name.is_empty() && name.len() <= 64)
    };
    let database = if flags & WITH_DB != 0 { database() } else { None };
    Some(Handshake { database, ..told })
}

/// The statement of a query, behind its attributes where it has any; none if these have values.
pub(super) fn query(payload: &[u8], attributes: Option<bool>) -> Option<&[u8]> {
    // Their number, and one set of them; no statement has that at its second place.
    let has_attributes = attributes.unwrap_or(payload.get(1) == Some(&1));
    if has_attributes { payload.strip_prefix(&[0, 1]) } else { Some(payload) }
}

/// Code and SQLSTATE of an error.
pub(super) fn error(payload: &[u8]) -> Option<(u16, Option<&str>)> {
    let code = u16::from_le_bytes(payload.get(1..3)?.try_into().ok()?);
    let state = payload.get(3..9).and_then(|state| str::from_utf8(state.strip_prefix(b"#")?).ok());
    Some((code, state.filter(|state| state.bytes().all(|byte| byte.is_ascii_alphanumeric()))))
}

/// Whether an OK or EOF packet says that another result follows.
pub(super) fn has_more(payload: &[u8]) -> bool {
    let status = || {
        if payload.first() == Some(&0xfe) && payload.len() == 5 {
            return payload.get(3..5);
        }
        let (_, rest) = lenenc(payload.get(1..)?)?;
        let (_, rest) = lenenc(rest)?;
        rest.get(..2)
    };
    status().is_some_and(|status| status[0] & 0x08 != 0)
}

/// An integer of one to nine bytes, and what is behind it.
pub(super) fn lenenc(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let width = match first {
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        0xff | 0xfb => return None,
        small => return Some((u64::from(*small), rest)),
    };
    let mut wide = [0; 8];
    wide[..width].copy_from_slice(rest.get(..width)?);
    Some((u64::from_le_bytes(wide), &rest[width..]))
}

fn one_byte(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    Some((u64::from(*first), rest))
}
