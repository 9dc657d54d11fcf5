//! Messages of DNS (RFC 1035): head and first question; answers are not read.
//!
//! Of our own: the first question needs no compression, and a full parser would read records that nobody asks for.

use super::super::bytes::Cursor;

/// Bytes of a head.
pub(super) const HEAD: usize = 12;

/// Bits of the head's flags.
const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RESERVED: u16 = 0x0040;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: u16,
    pub(super) is_response: bool,
    pub(super) rcode: u16,
    /// The answer did not fit, and will be asked for by TCP.
    pub(super) is_truncated: bool,
    /// Name and type; none if it was cut.
    pub(super) question: Option<(String, u16)>,
}

impl Message {
    /// None if this is no query and no answer to one. A cut one has a question if that was seen.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (id, flags, questions) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
        let records = [cursor.u16()?, cursor.u16()?, cursor.u16()?];
        let is_response = flags & RESPONSE != 0;
        let is_query = !is_response && records[0] == 0 && records[1] == 0;
        let wrong = flags & (OPCODE | RESERVED) != 0
            || questions != 1
            || !is_response && (flags & 0xf != 0 || !is_query);
        if wrong {
            return None;
        }
        let question = question(&mut cursor).ok()?;
        Some(Self { id, is_response, rcode: flags & 0xf, is_truncated: flags & TRUNCATED != 0, question })
    }
}

/// None if it was cut; an error if it is none.
fn question(cursor: &mut Cursor<'_>) -> Result<Option<(String, u16)>, ()> {
    let mut name = String::new();
    loop {
        let Some(len) = cursor.u8() else { return Ok(None) };
        match len {
            0 => break,
            1..=63 => {}
            _ => return Err(()),
        }
        let Some(label) = cursor.take(usize::from(len)) else { return Ok(None) };
        if name.len() + label.len() > 253 {
            return Err(());
        }
        if !name.is_empty() {
            name.push('.');
        }
        for byte in label {
            let plain = byte.is_ascii_alphanumeric() || b"-_*".contains(byte);
            name.push(if plain { byte.to_ascii_lowercase() as char } else { '?' });
        }
    }
    let (Some(kind), Some(class)) = (cursor.u16(), cursor.u16()) else { return Ok(None) };
    // The top bit of a class is multicast DNS's.
    if !matches!(class & 0x7fff, 1 | 3 | 4 | 255) {
        return Err(());
    }
    if name.is_empty() {
        name.push('.');
    }
    Ok(Some((name, kind)))
}

/// The name of a type.
pub(super) fn type_name(kind: u16) -> String {
    let name = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        39 => "DNAME",
        43 => "DS",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        64 => "SVCB",
        65 => "HTTPS",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        _ => return format!("TYPE{kind}"),
    };
    name.to_owned()
}

/// The name of an answer's code.
pub(super) fn rcode_name(rcode: u16) -> String {
    let names = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET",
        "NOTAUTH", "NOTZONE",
    ];
    names.get(usize::from(rcode)).map_or_else(|| format!("RCODE{rcode}"), |name| (*name).to_owned())
}
