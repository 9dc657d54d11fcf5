//! Files of the spool, as `crate::fuzz` gives them.

use bytes::Bytes;
use prost::Message as _;

use super::segment::{FRAME, HEADER, Record, frame, read_frame, read_header};

/// A file: its header and records as far as they are whole. With an odd first byte the rest is the body of one record
/// whose checksum is right, so that what lies behind the checksum is reached too.
pub fn spool(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    if kind % 2 == 1 {
        let Ok(record) = Record::decode(bytes) else { return };
        let framed = Bytes::from(frame(&record));
        assert_eq!(read_frame(&framed), Some((record, framed.len())), "what is written is read");
        return;
    }
    read_header(bytes);
    let mut rest = Bytes::copy_from_slice(bytes.get(HEADER..).unwrap_or_default());
    while let Some((_, length)) = read_frame(&rest) {
        assert!(length >= FRAME && length <= rest.len(), "a record lies within its file");
        rest = rest.slice(length..);
    }
}
