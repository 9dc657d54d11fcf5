//! WAL records: `len u32 | crc32c u32 | kind u8 | version u8 | lsn u64 | payload`, little endian.
//!
//! `len` counts the payload; the crc covers everything after itself. Kind 1 is a batch: when it was admitted,
//! its name, and the payload as it was received, still compressed.

use std::sync::Arc;

use bytes::Bytes;

use crate::dedupe::BatchKey;

/// Bytes before a record's payload.
pub(super) const HEADER_BYTES: usize = 18;
/// The largest payload that a record may have: a batch of 4 MiB that did not compress, and its name.
pub(super) const MAX_PAYLOAD: usize = 6 << 20;
const KIND_BATCH: u8 = 1;
const VERSION: u8 = 1;
const BATCH_FIXED: usize = 8 + 8 + 8 + 8 + 2;

/// A batch as the WAL holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchRecord {
    /// The lsn of the batch's first place.
    pub(crate) lsn: i64,
    pub(crate) key: BatchKey,
    pub(crate) now_ns: i64,
    pub(crate) unpacked_bytes: u64,
    pub(crate) zstd_payload: Bytes,
}

/// What lies at a position of a WAL file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// A record and its length, header included.
    Record(BatchRecord, usize),
    /// A record of a kind or version that a newer release wrote.
    Newer { kind: u8, version: u8 },
    /// No whole record.
    Bad(&'static str),
}

impl BatchRecord {
    /// Bytes of the record in a file.
    pub(super) fn len(&self) -> usize {
        HEADER_BYTES + BATCH_FIXED + self.key.node.len() + self.zstd_payload.len()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let payload_len = self.len() - HEADER_BYTES;
        out.extend_from_slice(&u32::try_from(payload_len).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&[KIND_BATCH, VERSION]);
        out.extend_from_slice(&self.lsn.to_le_bytes());
        out.extend_from_slice(&self.now_ns.to_le_bytes());
        out.extend_from_slice(&self.key.epoch.to_le_bytes());
        out.extend_from_slice(&self.key.seq.to_le_bytes());
        out.extend_from_slice(&self.unpacked_bytes.to_le_bytes());
        out.extend_from_slice(&u16::try_from(self.key.node.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(self.key.node.as_bytes());
        out.extend_from_slice(&self.zstd_payload);
        let crc = crc32c::crc32c(&out[start + 8..]);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }

    /// A file with one record of these bytes behind the header's length and checksum, for `crate::fuzz`.
    pub(super) fn frame(record: &[u8]) -> Vec<u8> {
        let mut file = super::MAGIC.to_vec();
        let length = record.len().saturating_sub(HEADER_BYTES - 8);
        file.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        file.extend_from_slice(&crc32c::crc32c(record).to_le_bytes());
        file.extend_from_slice(record);
        file
    }

    /// Reads the record at the start of `bytes`.
    pub(super) fn decode(bytes: &Bytes) -> Decoded {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Decoded::Bad("short header");
        };
        let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let crc = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        if len > MAX_PAYLOAD {
            return Decoded::Bad("impossible length");
        }
        let Some(record) = bytes.get(8..HEADER_BYTES + len) else { return Decoded::Bad("short payload") };
        if crc32c::crc32c(record) != crc {
            return Decoded::Bad("wrong checksum");
        }
        let (kind, version) = (header[8], header[9]);
        if kind != KIND_BATCH || version != VERSION {
            return Decoded::Newer { kind, version };
        }
        let mut lsn = [0; 8];
        lsn.copy_from_slice(&header[10..18]);
        let payload = bytes.slice(HEADER_BYTES..HEADER_BYTES + len);
        match decode_batch(i64::from_le_bytes(lsn), &payload) {
            Some(record) => Decoded::Record(record, HEADER_BYTES + len),
            None => Decoded::Bad("impossible batch"),
        }
    }
}

fn decode_batch(lsn: i64, payload: &Bytes) -> Option<BatchRecord> {
    let number = |at: usize| payload.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let now_ns = number(0)?.cast_signed();
    let (epoch, seq, unpacked_bytes) = (number(8)?, number(16)?, number(24)?);
    let node_len = u16::from_le_bytes(payload.get(32..34)?.try_into().ok()?) as usize;
    let node = str::from_utf8(payload.get(BATCH_FIXED..BATCH_FIXED + node_len)?).ok()?;
    if lsn < 0 {
        return None;
    }
    Some(BatchRecord {
        lsn,
        key: BatchKey { node: Arc::from(node), epoch, seq },
        now_ns,
        unpacked_bytes,
        zstd_payload: payload.slice(BATCH_FIXED + node_len..),
    })
}
