//! HTTP/2 in the kernel: which frames of a call are told, and what is kept of a connection from one call to the next.
//!
//! Streams share a connection, so the status of a call lies anywhere in what one syscall moves, between frames of others and
//! behind bodies. The programs go from head to head, and tell what the decoder reads: of DATA the head, of frames with
//! headers and of RST_STREAM all, of others nothing.

use crate::plain;

/// Bytes of a frame's head.
pub const FRAME_HEAD: u32 = 9;
/// Bytes of what a client says first behind those that look like a head.
const PREFACE_REST: u32 = 15;

const HEADERS: u32 = 1;
const RST_STREAM: u32 = 3;
const PUSH_PROMISE: u32 = 5;
const CONTINUATION: u32 = 9;
/// The largest frame that nobody had to allow first.
const DEFAULT_MAX: u32 = 16_384;

/// Kinds whose payload is told too, as bits.
const WHOLE: u32 = 1 << HEADERS | 1 << RST_STREAM | 1 << PUSH_PROMISE | 1 << CONTINUATION;
/// DATA, whose head alone is told.
const TOLD: u32 = WHOLE | 1;
/// SETTINGS, PING, GOAWAY: of no stream.
const CONNECTIONS: u32 = 1 << 4 | 1 << 6 | 1 << 7;
/// WINDOW_UPDATE: of any, or none.
const EITHER: u32 = 1 << 8;
/// Kinds whose length is known: PRIORITY, RST_STREAM, PING, WINDOW_UPDATE.
const FIXED: u32 = 1 << 2 | 1 << RST_STREAM | 1 << 6 | 1 << 8;

/// It is not known where a frame begins.
pub const LOST: u8 = 0;
/// One is taken to begin where the call did.
pub const GUESSED: u8 = 1;
/// As the length of the frame before says.
pub const SURE: u8 = 2;

/// One direction of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// Bytes of the frame under way that are still to come.
    pub left: u32,
    /// Bytes of `head`: of a frame whose head has come in part.
    pub have: u8,
    /// Not 0: what is `left` is told.
    pub is_told: u8,
    /// `LOST`, ...
    pub step: u8,
    /// Not 0: nothing was told since a frame was found.
    pub is_new: u8,
    /// First bytes of a head.
    pub head: [u8; 8],
}

impl Walk {
    /// Nothing is known.
    pub const NONE: Self = Self { left: 0, have: 0, is_told: 0, step: LOST, is_new: 0, head: [0; 8] };
}

plain!(Walk, 16, { left: u32, have: u8, is_told: u8, step: u8, is_new: u8, head: [u8; 8] });

/// What a head says. One number in the kernel's registers: bit 32 that it is one, 33 that it is told, 34 that all of the
/// frame is; below them the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict(u64);

impl Verdict {
    const IS_HEAD: u64 = 1 << 32;
    const IS_TOLD: u64 = 1 << 33;
    const IS_WHOLE: u64 = 1 << 34;

    /// Whether these bytes can be a head.
    #[inline(always)]
    pub const fn is_head(self) -> bool {
        self.0 & Self::IS_HEAD != 0
    }

    /// Whether the head is told.
    #[inline(always)]
    pub const fn is_told(self) -> bool {
        self.0 & Self::IS_TOLD != 0
    }

    /// Whether what follows is told too.
    #[inline(always)]
    pub const fn is_whole(self) -> bool {
        self.0 & Self::IS_WHOLE != 0
    }

    /// Bytes that follow.
    #[inline(always)]
    pub const fn length(self) -> u32 {
        self.0 as u32
    }
}

/// Flags that frames usually have, a byte for each kind below 8: END_STREAM and PADDED of DATA, these and END_HEADERS and
/// PRIORITY of HEADERS, ACK of SETTINGS and PING.
const FLAGS: u64 = u64::from_le_bytes([0x09, 0x2d, 0xff, 0xff, 0x01, 0xff, 0x01, 0xff]);
/// And of CONTINUATION: END_HEADERS.
const END_HEADERS: u32 = 0x4;

/// Whether a head that is a guess looks as they usually do: flags that are known, a request's stream and something behind
/// it, whole settings.
#[inline(always)]
const fn is_usual(first: u64, last: u8) -> bool {
    let (length, kind, flags) =
        ((first >> 40) as u32, (first >> 32) as u32 & 0xff, (first >> 24) as u32 & 0xff);
    let known = if kind < 8 { (FLAGS >> (kind << 3)) as u32 & 0xff } else { 0xff };
    let known = if kind == CONTINUATION { END_HEADERS } else { known };
    let is_empty = kind == HEADERS && (length == 0 || last & 1 == 0);
    let is_odd = kind == 4 && !length.is_multiple_of(6);
    kind <= CONTINUATION && flags & !known == 0 && !is_empty && !is_odd
}

/// Reads a head: its first 8 bytes as one number, most significant first, and the last one. Where a frame begins by a guess
/// it has to look as they usually do.
#[inline(always)]
pub const fn judge(first: u64, last: u8, is_sure: bool) -> Verdict {
    if first == u64::from_be_bytes(*b"PRI * HT") && last == b'T' {
        return Verdict(Verdict::IS_HEAD | Verdict::IS_TOLD | Verdict::IS_WHOLE | PREFACE_REST as u64);
    }
    let length = (first >> 40) as u32;
    let kind = (first >> 32) as u32 & 0xff;
    let stream = ((first as u32) << 8) | last as u32;
    if stream >> 31 != 0 {
        return Verdict(0);
    }
    // what is not known may not be long: it would hide much where a call was not seen
    if length > DEFAULT_MAX && (!is_sure || kind > CONTINUATION) || !is_sure && !is_usual(first, last) {
        return Verdict(0);
    }
    // what is not known is passed over
    if kind > CONTINUATION {
        return Verdict(Verdict::IS_HEAD | length as u64);
    }
    let bit = 1_u32 << (kind & 31);
    let is_connections = CONNECTIONS & bit != 0;
    if EITHER & bit == 0 && is_connections != (stream == 0) {
        return Verdict(0);
    }
    // 4, but 5 of PRIORITY and 8 of PING
    if FIXED & bit != 0 && length != 4 + ((kind == 2) as u32) + (((kind == 6) as u32) << 2) {
        return Verdict(0);
    }
    let told = if TOLD & bit != 0 { Verdict::IS_TOLD } else { 0 };
    let whole = if WHOLE & bit != 0 { Verdict::IS_WHOLE } else { 0 };
    Verdict(Verdict::IS_HEAD | told | whole | length as u64)
}

#[cfg(test)]
mod tests {
    use super::judge;

    fn read(head: [u8; 9], is_sure: bool) -> Option<(u32, bool, bool)> {
        let [first @ .., last] = head;
        let verdict = judge(u64::from_be_bytes(first), last, is_sure);
        verdict.is_head().then_some((verdict.length(), verdict.is_told(), verdict.is_whole()))
    }

    #[test]
    fn a_head_says_how_long_its_frame_is_and_what_of_it_is_told() {
        assert_eq!(read([0, 0x40, 0, 0, 1, 0, 0, 0, 1], false), Some((16_384, true, false)), "DATA");
        assert_eq!(read([0, 1, 2, 1, 4, 0, 0, 0, 3], false), Some((258, true, true)), "HEADERS");
        assert_eq!(read([0, 1, 2, 9, 4, 0, 0, 0, 3], false), Some((258, true, true)), "CONTINUATION");
        assert_eq!(read([0, 0, 4, 3, 0, 0, 0, 0, 3], false), Some((4, true, true)), "RST_STREAM");
        assert_eq!(read([0, 0, 18, 4, 0, 0, 0, 0, 0], false), Some((18, false, false)), "SETTINGS");
        assert_eq!(read([0, 0, 8, 6, 1, 0, 0, 0, 0], false), Some((8, false, false)), "PING");
        assert_eq!(read([0, 0, 4, 8, 0, 0, 0, 0, 7], false), Some((4, false, false)), "WINDOW_UPDATE");
        assert_eq!(read([0, 0, 5, 2, 0, 0, 0, 0, 7], false), Some((5, false, false)), "PRIORITY");
        assert_eq!(read(*b"PRI * HTT", false), Some((15, true, true)), "preface");
    }

    #[test]
    fn what_cannot_be_a_head_is_none() {
        assert_eq!(read([0, 0, 4, 0, 0, 0x80, 0, 0, 1], true), None, "a reserved bit");
        assert_eq!(read([0, 0, 4, 0, 0, 0, 0, 0, 0], true), None, "DATA of no stream");
        assert_eq!(read([0, 0, 6, 4, 0, 0, 0, 0, 1], true), None, "SETTINGS of a stream");
        assert_eq!(read([0, 0, 5, 3, 0, 0, 0, 0, 1], true), None, "a long reset");
        assert_eq!(read([0, 0, 4, 6, 0, 0, 0, 0, 0], true), None, "a short ping");
        assert_eq!(read(*b"GET / HTT", false), None, "HTTP/1");
        assert_eq!(read([0, 0, 4, 99, 0, 0, 0, 0, 1], false), None, "an extension, guessed");
        assert_eq!(read([0, 0, 4, 99, 0, 0, 0, 0, 1], true), Some((4, false, false)), "an extension");
        assert_eq!(read([1, 0, 0, 99, 0, 0, 0, 0, 1], true), None, "a large extension");
        assert_eq!(read([0, 0, 0, 0, 5, 10, 3, b'f', b'o'], false), None, "a message of gRPC");
        assert_eq!(read([0, 0, 0, 1, 4, 0, 0, 0, 1], false), None, "empty HEADERS");
        assert_eq!(read([0, 0, 9, 1, 4, 0, 0, 0, 2], false), None, "HEADERS of the server's own stream");
        assert_eq!(read([0, 0, 7, 4, 0, 0, 0, 0, 0], false), None, "half a setting");
        assert_eq!(read([1, 0, 0, 0, 0, 0, 0, 0, 1], false), None, "a large one, guessed");
        assert_eq!(read([1, 0, 0, 0, 0, 0, 0, 0, 1], true), Some((65_536, true, false)), "a large one");
    }
}
