use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use proto::v1;

use super::{BATCH_AGE, BATCH_BYTES, Batcher, unpack};
use crate::window::assemble::Named;
use crate::window::sample::Row;

fn log(identity: &Arc<v1::Identity>, body: usize) -> Named {
    let row = v1::LogRow { body: vec![b'x'; body].into(), ..Default::default() };
    Named { identity: Arc::clone(identity), row: Row::Log(Box::new(row)) }
}

#[test]
fn rows_point_at_one_identity_each_and_come_out_as_they_went_in() {
    let [a, b] =
        ["a", "b"].map(|name| Arc::new(v1::Identity { workload: name.into(), ..Default::default() }));
    let mut batcher = Batcher::default();
    assert!(batcher.take().is_none());
    for identity in [&a, &b, &a] {
        batcher.push(log(identity, 5), Duration::ZERO);
    }
    let drop = Named { identity: b, row: Row::Drop(v1::DropRow { packets: 3, ..Default::default() }) };
    batcher.push(drop, Duration::ZERO);
    let mut batch = batcher.take().unwrap();
    let (packed, encoded) = (batch.pack().unwrap(), batch.encoded());
    assert!(batcher.take().is_none());
    assert_eq!((packed.rows["log"], packed.rows["flow"]), (3, 1));
    let payload = unpack(&packed.zstd_payload, packed.unpacked_bytes).unwrap();
    assert_eq!(v1::Payload::decode(&*encoded).unwrap(), payload);
    assert_eq!(payload.identities.len(), 2);
    let named: Vec<_> =
        payload.logs.iter().map(|row| payload.identities[row.identity as usize].workload.as_str()).collect();
    assert_eq!(named, ["a", "b", "a"]);
    assert_eq!(payload.drops[0].identity, 1);
}

#[test]
fn a_batch_is_due_by_size_or_age() {
    let identity = Arc::new(v1::Identity::default());
    let mut batcher = Batcher::default();
    batcher.push(log(&identity, 10), Duration::from_secs(5));
    assert!(!batcher.is_due(Duration::from_secs(5)));
    assert!(batcher.is_due(Duration::from_secs(5) + BATCH_AGE));
    batcher.push(log(&identity, BATCH_BYTES), Duration::from_secs(5));
    assert!(batcher.is_due(Duration::from_secs(5)));
}

#[test]
fn nonsense_does_not_unpack() {
    assert!(unpack(b"nonsense", 10).is_none());
    let packed = zstd::bulk::compress(&[255; 40], 1).unwrap();
    assert!(unpack(&packed, 40).is_none());
    assert!(unpack(&packed, 3).is_none());
}
