//! Frames of HTTP/2 (RFC 9113): their heads, and what of them is read.

use super::super::frames::Head;

/// What a client says first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub(super) const HEAD: usize = 9;

/// The largest frame that nobody had to allow first.
const DEFAULT_MAX: u64 = 16_384;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITISED: u8 = 0x20;

/// A frame as far as it is read.
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
    /// Whether `payload` is less than the frame had.
    pub(super) cut: bool,
}

impl<'a> Frame<'a> {
    /// None of the preface.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.starts_with(&PREFACE[..HEAD]) {
            return None;
        }
        let payload = bytes.get(HEAD..)?;
        let stream = u32::from_be_bytes([bytes[5] & 0x7f, bytes[6], bytes[7], bytes[8]]);
        let cut = (payload.len() as u64) < length(bytes);
        Some(Self { kind: bytes[3], flags: bytes[4], stream, payload, cut })
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The block of headers in it, without padding, priority and a promised stream.
    pub(super) fn block(&self) -> Option<&'a [u8]> {
        if self.kind == CONTINUATION {
            return Some(self.payload);
        }
        let mut block = self.payload;
        if self.has(PADDED) {
            let (padding, rest) = block.split_first()?;
            // Of a cut frame the padding was not seen.
            let end = if self.cut { rest.len() } else { rest.len().checked_sub(usize::from(*padding))? };
            block = rest.get(..end)?;
        }
        if self.kind == HEADERS && self.has(PRIORITISED) {
            block = block.get(5..)?;
        }
        if self.kind == PUSH_PROMISE {
            block = block.get(4..)?;
        }
        Some(block)
    }
}

/// Reads a frame's head; a guess has to look as frames usually do.
pub(super) fn head(bytes: &[u8], is_request: bool, unsure: bool) -> Head {
    let common = PREFACE.iter().zip(bytes).take_while(|(one, other)| one == other).count();
    if is_request && common > 0 && common == bytes.len().min(PREFACE.len()) {
        let len = PREFACE.len();
        return if common < len { Head::Short } else { Head::Frame { len: len as u64, want: len } };
    }
    if bytes.len() < HEAD {
        return Head::Short;
    }
    let len = length(bytes);
    let (kind, flags, stream) = (bytes[3], bytes[4], &bytes[5..HEAD]);
    let reserved = stream[0] & 0x80 != 0;
    let is_connection = stream == [0; 4];
    let allowed = match kind {
        DATA => !is_connection && (!unsure || flags & !(END_STREAM | PADDED) == 0),
        HEADERS => {
            let known = END_STREAM | END_HEADERS | PADDED | PRIORITISED;
            !is_connection && (!unsure || flags & !known == 0 && len > 0 && stream[3] & 1 == 1)
        }
        PRIORITY => !is_connection && len == 5,
        RST_STREAM => !is_connection && len == 4,
        SETTINGS => is_connection && len.is_multiple_of(6) && (!unsure || flags & !1 == 0),
        PUSH_PROMISE => !is_connection && !is_request && len >= 4,
        PING => is_connection && len == 8,
        GOAWAY => is_connection && len >= 8,
        WINDOW_UPDATE => len == 4,
        CONTINUATION => !is_connection && (!unsure || flags & !END_HEADERS == 0),
        _ => len <= DEFAULT_MAX,
    };
    if reserved || !allowed || unsure && (len > DEFAULT_MAX || kind > CONTINUATION) {
        return Head::Wrong;
    }
    let want = match kind {
        HEADERS | CONTINUATION | PUSH_PROMISE | RST_STREAM => HEAD + len as usize,
        _ => HEAD,
    };
    Head::Frame { len: len + HEAD as u64, want }
}

/// The same of frames that the programs have told, of which only what is wanted is there (`agent_common::requests::frames`).
pub(super) fn told_head(bytes: &[u8], is_request: bool, unsure: bool) -> Head {
    match head(bytes, is_request, unsure) {
        Head::Frame { want, .. } => Head::Frame { len: want as u64, want },
        other => other,
    }
}

/// Names of the errors that a reset gives.
pub(super) fn error_name(payload: &[u8]) -> Option<&'static str> {
    let code = u32::from_be_bytes(payload.get(..4)?.try_into().ok()?);
    let names = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    names.get(code as usize).copied()
}

fn length(bytes: &[u8]) -> u64 {
    u64::from(u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]))
}
