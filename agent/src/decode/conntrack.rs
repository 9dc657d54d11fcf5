//! Conntrack entries as netlink gives them: what a client asked for, and who answers it. Pure.
//!
//! Wire: a run of `nlmsghdr`, each with `nfgenmsg` and attributes (linux/netfilter/nfnetlink_conntrack.h). Lengths are
//! in the bytes and are not believed: whatever does not fit ends the run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW`
const NEW: u16 = 1 << 8;
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`
const GET: u16 = 1 << 8 | 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const DUMP: u16 = 0x1 | 0x300;
/// `NLM_F_DUMP_INTR`: the table changed under the reader, who may have missed something.
const INTERRUPTED: u16 = 0x10;
const HEADER: usize = 16;
const GENERIC: usize = 4;
/// Mask of an attribute's type without its flags.
const TYPE: u16 = 0x3fff;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const ID: u16 = 12;
const STATUS_MASK: u16 = 26;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
/// `IPS_DST_NAT`
const DESTINATION_NAT: u32 = 1 << 5;

/// One end.
pub type End = (IpAddr, u16);

/// A connection whose destination was rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Translation {
    /// The kernel's id of the entry; unique while it lives.
    pub id: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// Who asked.
    pub client: End,
    /// What was asked for.
    pub asked: End,
    /// Who answers.
    pub real: End,
}

/// What a run of messages says about its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// More is to come.
    Goes,
    /// That was all.
    Done,
    /// The kernel refuses: a positive errno.
    Refused(i32),
}

/// The request for every entry whose destination was rewritten; kernels that know no filter answer with all entries.
pub fn dump_request(sequence: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(36);
    bytes.extend(36_u32.to_ne_bytes());
    bytes.extend(GET.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    // any family, version 0
    bytes.extend([0; GENERIC]);
    for kind in [STATUS, STATUS_MASK] {
        bytes.extend(8_u16.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(DESTINATION_NAT.to_be_bytes());
    }
    bytes
}

/// The answer to one request.
#[derive(Clone, Copy, Debug)]
pub struct Dump {
    sequence: u32,
    /// Whether the kernel said that something may have been missed.
    pub is_interrupted: bool,
}

impl Dump {
    /// The answer to the request of this number.
    pub fn new(sequence: u32) -> Self {
        Self { sequence, is_interrupted: false }
    }

    /// Gives every translation among one received run of messages to `visit`. What answers another request is passed
    /// over.
    pub fn take(&mut self, bytes: &[u8], mut visit: impl FnMut(Translation)) -> Run {
        let mut rest = bytes;
        while let Some(length) = u32_at(rest, 0) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let (Some(kind), Some(flags), Some(sequence), Some(message)) =
                (u16_at(rest, 4), u16_at(rest, 6), u32_at(rest, 8), rest.get(HEADER..length))
            else {
                break;
            };
            rest = rest.get(aligned(length)..).unwrap_or_default();
            if sequence != self.sequence {
                continue;
            }
            self.is_interrupted |= flags & INTERRUPTED != 0;
            match kind {
                // a dump that fails half way ends like a whole one, but for the error
                NLMSG_DONE | NLMSG_ERROR => {
                    let code = u32_at(message, 0).map_or(0, u32::cast_signed);
                    return if code == 0 { Run::Done } else { Run::Refused(code.saturating_neg()) };
                }
                NEW => {
                    if let Some(translation) = message.get(GENERIC..).and_then(entry) {
                        visit(translation);
                    }
                }
                _ => {}
            }
        }
        Run::Goes
    }
}

fn entry(attributes: &[u8]) -> Option<Translation> {
    let (mut original, mut reply, mut id, mut status) = (None, None, 0, None);
    for (kind, value) in Attributes(attributes) {
        match kind {
            TUPLE_ORIGINAL => original = tuple(value),
            TUPLE_REPLY => reply = tuple(value),
            STATUS => status = Some(u32::from_be_bytes(value.try_into().ok()?)),
            ID => id = u32::from_be_bytes(value.try_into().ok()?),
            _ => {}
        }
    }
    let (original, reply) = (original?, reply?);
    let is_rewritten = status.is_none_or(|status| status & DESTINATION_NAT != 0);
    let translation = Translation {
        id,
        protocol: original.protocol,
        client: original.source,
        asked: original.destination,
        real: reply.source,
    };
    (is_rewritten && translation.asked != translation.real).then_some(translation)
}

struct Tuple {
    protocol: u8,
    source: End,
    destination: End,
}

fn tuple(attributes: &[u8]) -> Option<Tuple> {
    let (mut addresses, mut protocol, mut ports) = ((None, None), None, (0, 0));
    for (kind, value) in Attributes(attributes) {
        match kind {
            TUPLE_IP => {
                for (kind, value) in Attributes(value) {
                    // sources are odd: CTA_IP_V4_SRC 1, V4_DST 2, V6_SRC 3, V6_DST 4
                    let place = if kind % 2 == 1 { &mut addresses.0 } else { &mut addresses.1 };
                    *place = address(value).or(*place);
                }
            }
            TUPLE_PROTOCOL => {
                for (kind, value) in Attributes(value) {
                    match kind {
                        PROTOCOL_NUMBER => protocol = value.first().copied(),
                        SOURCE_PORT => ports.0 = u16::from_be_bytes(value.try_into().ok()?),
                        DESTINATION_PORT => ports.1 = u16::from_be_bytes(value.try_into().ok()?),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(Tuple { protocol: protocol?, source: (addresses.0?, ports.0), destination: (addresses.1?, ports.1) })
}

fn address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(value) {
        return Some(IpAddr::V4(Ipv4Addr::from(bytes)));
    }
    <[u8; 16]>::try_from(value).ok().map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
}

/// Attributes: type and value.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & TYPE;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// Messages and attributes begin at multiples of four.
fn aligned(length: usize) -> usize {
    // no message is longer than what was received
    length.saturating_add(3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
