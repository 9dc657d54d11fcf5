//! What the fuzz targets call: requests as anybody may send them.

use bytes::Bytes;
use proto::v1;
use store::Scope;

use crate::ingest::otlp::{Signal, convert, json};

/// The largest request, bytes.
const MOST: usize = 16 << 20;

/// A request in protobuf; the first byte says of which signal.
pub(crate) fn protobuf(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let signal = [Signal::Logs, Signal::Traces, Signal::Metrics][usize::from(kind % 3)];
    check(signal, bytes);
}

/// A request in JSON; the first byte says of which signal.
pub(crate) fn json(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let signal = [Signal::Logs, Signal::Traces, Signal::Metrics][usize::from(kind % 3)];
    if let Ok(bytes) = json::to_protobuf(signal, bytes) {
        assert!(convert::count(signal, &bytes).is_ok(), "what is written here can be read");
        check(signal, &bytes);
    }
}

fn check(signal: Signal, bytes: &[u8]) {
    let request = Bytes::copy_from_slice(bytes);
    let (mut rows, mut is_sound) = (0, true);
    let mut emit = |payload: v1::Payload| {
        let identities = payload.identities.len();
        let logs = payload.logs.iter().map(|row| row.identity);
        let known = logs.chain(payload.spans.iter().map(|row| row.identity));
        is_sound &= known.into_iter().all(|identity| (identity as usize) < identities);
        is_sound &= prost::Message::encoded_len(&payload) as u64 <= proto::MAX_PAYLOAD_BYTES;
        is_sound &= payload.spans.iter().all(|row| prost::Message::encoded_len(row) <= 65_536);
        rows += (payload.logs.len() + payload.spans.len()) as u64;
        true
    };
    let Ok(rejected) =
        convert::convert(signal, &request, 1_795_262_400_000_000_000, MOST, &Scope::All, &mut emit)
    else {
        return;
    };
    let records = convert::count(signal, &request).unwrap_or_default();
    assert!(is_sound, "the store takes every payload");
    if signal != Signal::Metrics {
        assert_eq!(rows + rejected.records(), records, "every record is taken or rejected");
    }
}
