//! Rows of one request, handed over in payloads of a bounded size; what cannot be taken is counted with its reason.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use proto::v1;

use crate::ingest::otlp::resource::Origin;

/// A payload is handed over before it has more, encoded bytes: half of what the store takes.
const PAYLOAD_BYTES: usize = 2 << 20;
/// What frames a row or an identity in its payload, and the row's identity: two tags, two numbers.
const FRAME_BYTES: usize = 12;
const _: () = assert!(
    PAYLOAD_BYTES as u64 <= proto::MAX_PAYLOAD_BYTES
        && proto::MAX_LOG_BODY_BYTES + (512 << 10) < PAYLOAD_BYTES,
    "a payload may be stored, and any one row fits into it"
);
/// And when it has so many rows.
const PAYLOAD_ROWS: usize = 65_536;
/// All rows of one request, as multiples of the largest request: resource attributes are copied to each of their records,
/// and a small request must not become gigabytes.
const MOST_TIMES: usize = 4;

/// Why a record is rejected whose request holds more than its size let expect.
pub(crate) const TOO_LARGE: &str = "too_large";

/// Records of one request that were not taken, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rejected(pub(crate) BTreeMap<&'static str, u64>);

impl Rejected {
    pub(crate) fn add(&mut self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.0.entry(reason).or_default() += count;
        }
    }

    pub(crate) fn records(&self) -> u64 {
        self.0.values().sum()
    }

    /// `3 too_old, 1 invalid_trace_id`, or nothing.
    pub(crate) fn describe(&self) -> String {
        let parts: Vec<String> = self.0.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        parts.join(", ")
    }
}

/// Takes payloads; false when nobody wants more.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(v1::Payload) -> bool;

/// Collects the rows of one request.
pub(crate) struct Rows<'a> {
    /// The request's bytes, of which bodies are slices.
    request: &'a Bytes,
    /// When it came, ns.
    pub(crate) now_ns: u64,
    payload: v1::Payload,
    bytes: usize,
    rows: usize,
    room: usize,
    /// The index of the current resource in the payload, once a row needs it.
    identity: Option<u32>,
    emit: Emit<'a>,
    is_over: bool,
    pub(crate) rejected: Rejected,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(request: &'a Bytes, now_ns: u64, most_bytes: usize, emit: Emit<'a>) -> Self {
        Self {
            request,
            now_ns,
            payload: v1::Payload::default(),
            bytes: 0,
            rows: 0,
            room: most_bytes.saturating_mul(MOST_TIMES),
            identity: None,
            emit,
            is_over: false,
            rejected: Rejected::default(),
        }
    }

    /// The request's own bytes, without a copy.
    pub(crate) fn slice(&self, part: &[u8]) -> Bytes {
        self.request.slice_ref(part)
    }

    /// From here on rows are of another resource.
    pub(crate) fn next_origin(&mut self) {
        self.identity = None;
    }

    /// Adds a log row of this resource.
    pub(crate) fn push_log(&mut self, origin: &Origin, row: v1::LogRow) {
        if let Some(identity) = self.place(origin, row.encoded_len()) {
            self.payload.logs.push(v1::LogRow { identity, ..row });
        }
    }

    /// Adds a span of this resource.
    pub(crate) fn push_span(&mut self, origin: &Origin, row: v1::SpanRow) {
        if let Some(identity) = self.place(origin, row.encoded_len()) {
            self.payload.spans.push(v1::SpanRow { identity, ..row });
        }
    }

    /// Whether another record may be read.
    pub(crate) fn has_room(&self) -> bool {
        self.room > 0 && !self.is_over
    }

    /// Hands over what is left; says what was rejected.
    pub(crate) fn finish(mut self) -> Rejected {
        self.hand_over();
        self.rejected
    }

    /// The identity's index, if there is room for a row of so many bytes.
    fn place(&mut self, origin: &Origin, row_bytes: usize) -> Option<u32> {
        if self.is_over {
            return None;
        }
        let bytes = row_bytes + FRAME_BYTES;
        let Some(room) = self.room.checked_sub(bytes) else {
            self.room = 0;
            self.rejected.add(TOO_LARGE, 1);
            return None;
        };
        self.room = room;
        let of_identity = origin.identity.encoded_len() + FRAME_BYTES;
        let more = bytes + if self.identity.is_none() { of_identity } else { 0 };
        if self.rows > 0 && (self.bytes + more > PAYLOAD_BYTES || self.rows >= PAYLOAD_ROWS) {
            self.hand_over();
        }
        self.bytes += bytes + if self.identity.is_none() { of_identity } else { 0 };
        self.rows += 1;
        let identities = &mut self.payload.identities;
        let identity = *self.identity.get_or_insert_with(|| {
            identities.push(origin.identity.clone());
            u32::try_from(identities.len() - 1).unwrap_or(u32::MAX)
        });
        Some(identity)
    }

    fn hand_over(&mut self) {
        let payload = std::mem::take(&mut self.payload);
        (self.bytes, self.rows, self.identity) = (0, 0, None);
        if !payload.identities.is_empty() {
            self.is_over |= !(self.emit)(payload);
        }
    }
}
