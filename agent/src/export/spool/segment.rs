//! One file of the spool: a header, then records, appended and never changed.
//!
//! Header (40 bytes, little endian): `WAKESPL1`, version u32 (1), 0 u32, epoch u64, first sequence number u64,
//! CRC-32C u32 of all before, 0 u32. Record: length u32, CRC-32C u32 of length and body, body (protobuf `Record`).
//! A reader steps over a record that does not match its checksum if a whole one stands behind it, else it stops there.

use bytes::Bytes;
use prost::Message;

/// Bytes of the header.
pub(super) const HEADER: usize = 40;
/// Bytes before a record's body.
pub(super) const FRAME: usize = 8;
/// No record is longer: a batch is at most 4 MiB unpacked.
const MAX_RECORD: usize = 16 << 20;
const MAGIC: &[u8; 8] = b"WAKESPL1";
const VERSION: u32 = 1;

/// A batch on disk.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Record {
    #[prost(uint64, tag = "1")]
    pub(super) epoch: u64,
    #[prost(uint64, tag = "2")]
    pub(super) seq: u64,
    #[prost(uint64, tag = "3")]
    pub(super) unpacked_bytes: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) zstd_payload: Bytes,
    #[prost(btree_map = "string, uint64", tag = "5")]
    pub(super) rows: std::collections::BTreeMap<String, u64>,
    /// JSON of the marks.
    #[prost(bytes = "bytes", tag = "6")]
    pub(super) marks: Bytes,
}

/// Encodes a header.
pub(super) fn header(epoch: u64, first_seq: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    bytes.extend_from_slice(&epoch.to_le_bytes());
    bytes.extend_from_slice(&first_seq.to_le_bytes());
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    bytes
}

/// Epoch and first sequence number of a file; `None` for what is no segment of this version.
pub(super) fn read_header(bytes: &[u8]) -> Option<(u64, u64)> {
    let head = bytes.get(..HEADER)?;
    let crc = u32_at(head, 32)?;
    let is_ours =
        head.starts_with(MAGIC) && u32_at(head, 8)? == VERSION && crc32c::crc32c(head.get(..32)?) == crc;
    is_ours.then_some(())?;
    Some((u64_at(head, 16)?, u64_at(head, 24)?))
}

/// Encodes a record with its frame.
pub(super) fn frame(record: &Record) -> Vec<u8> {
    let length = record.encoded_len();
    let mut bytes = Vec::with_capacity(FRAME + length);
    let prefix = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend_from_slice(&prefix);
    bytes.extend_from_slice(&[0; 4]);
    record.encode_raw(&mut bytes);
    let crc = checksum(prefix, bytes.get(FRAME..).unwrap_or_default());
    if let Some(slot) = bytes.get_mut(4..FRAME) {
        slot.copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

/// The record at the start of these bytes, and its whole length; `None` when it is cut short or damaged.
pub(super) fn read_frame(bytes: &Bytes) -> Option<(Record, usize)> {
    let prefix: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    let length = u32::from_le_bytes(prefix) as usize;
    if length > MAX_RECORD || bytes.len() < FRAME + length {
        return None;
    }
    let body = bytes.slice(FRAME..FRAME + length);
    let is_whole = u32_at(bytes, 4)? == checksum(prefix, &body);
    is_whole.then_some(())?;
    Some((Record::decode(body).ok()?, FRAME + length))
}

/// Where the record behind the one at `at` would begin, if that one's length can be believed.
pub(super) fn behind(bytes: &[u8], at: usize) -> Option<usize> {
    let length = u32_at(bytes, at)? as usize;
    (length <= MAX_RECORD && at + FRAME + length < bytes.len()).then_some(at + FRAME + length)
}

fn checksum(prefix: [u8; 4], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&prefix), body)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Record, frame, header, read_frame, read_header};

    fn record() -> Record {
        Record { epoch: 7, seq: 9, zstd_payload: Bytes::from_static(b"payload"), ..Record::default() }
    }

    #[test]
    fn what_was_framed_is_read_again() {
        let bytes = Bytes::from(frame(&record()));
        assert_eq!(read_frame(&bytes), Some((record(), bytes.len())));
        assert_eq!(read_header(&header(3, 4)), Some((3, 4)));
    }

    /// Any cut and any flipped bit is seen; nothing panics.
    #[test]
    fn damage_is_seen_wherever_it_is() {
        let whole = frame(&record());
        for end in 0..whole.len() {
            assert_eq!(read_frame(&Bytes::copy_from_slice(&whole[..end])), None);
        }
        for bit in 0..whole.len() * 8 {
            let mut broken = whole.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_frame(&Bytes::from(broken)), None, "bit {bit}");
        }
        let head = header(3, 4);
        for bit in 0..36 * 8 {
            let mut broken = head.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_header(&broken), None, "bit {bit}");
        }
    }

    #[test]
    fn random_bytes_are_no_record() {
        let mut state: u64 = 1;
        for length in 0..3000 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 40) as u8
                })
                .collect();
            assert_eq!(read_frame(&Bytes::from(bytes)), None);
        }
    }
}
