//! Batches and stores for tests.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt as _;
use prost::Message as _;
use proto::v1;

use crate::disk::faulty::FaultyDisk;
use crate::{Limits, LogRequest, OpenError, Recovered, RowStream, Snapshot, Store};

/// 2026-11-21 12:00 UTC.
pub(crate) const NOW: i64 = 1_795_262_400_000_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;

pub(crate) fn identity(namespace: &str, workload: &str) -> v1::Identity {
    v1::Identity {
        node: "node-1".to_owned(),
        namespace: namespace.to_owned(),
        workload: workload.to_owned(),
        pod: format!("{workload}-0"),
        cgroup_id: 7,
        ..v1::Identity::default()
    }
}

pub(crate) fn line(identity: u32, ts: i64, level: &str, body: &[u8]) -> v1::LogRow {
    v1::LogRow {
        identity,
        ts: ts.cast_unsigned(),
        observed_ts: ts.cast_unsigned(),
        body: bytes::Bytes::copy_from_slice(body),
        level: level.to_owned(),
        source: "/var/log/app.log".to_owned(),
        ..v1::LogRow::default()
    }
}

pub(crate) fn batch(node: &str, epoch: u64, seq: u64, payload: &v1::Payload) -> v1::Batch {
    let bytes = payload.encode_to_vec();
    v1::Batch {
        node: node.to_owned(),
        epoch,
        seq,
        unpacked_bytes: bytes.len() as u64,
        zstd_payload: zstd::bulk::compress(&bytes, 1).unwrap().into(),
    }
}

/// A payload of log lines of one workload, a millisecond apart from `ts` on.
pub(crate) fn lines(ts: i64, bodies: &[&str]) -> v1::Payload {
    let logs = bodies.iter().zip(0..).map(|(body, at)| line(0, ts + at * 1_000_000, "info", body.as_bytes()));
    v1::Payload { identities: vec![identity("shop", "cart")], logs: logs.collect(), ..v1::Payload::default() }
}

/// The small profile, however full the disk of the machine is.
pub(crate) fn limits() -> Limits {
    Limits { disk_drop_percent: 100, disk_refuse_percent: 100, ..Limits::small() }
}

/// A store on real files that are not synced: what waits for a disk shows nothing here.
pub(crate) fn open(dir: &Path) -> Arc<Store> {
    open_with(dir, limits()).unwrap().0
}

pub(crate) fn open_with(dir: &Path, limits: Limits) -> Result<(Arc<Store>, Recovered), OpenError> {
    Store::open_on(Arc::new(FaultyDisk::new(1)), dir, limits, NOW)
}

pub(crate) async fn collect(mut stream: RowStream) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch.unwrap());
    }
    batches
}

/// The bodies of an answer, in its order.
pub(crate) async fn bodies(snapshot: &Snapshot, request: LogRequest) -> Vec<String> {
    let mut found = Vec::new();
    for batch in collect(snapshot.logs(request).unwrap()).await {
        let bodies = batch.column_by_name("body").unwrap().as_binary::<i32>().clone();
        found.extend(bodies.iter().map(|body| String::from_utf8_lossy(body.unwrap()).into_owned()));
    }
    found
}

pub(crate) fn newest(limit: usize) -> LogRequest {
    LogRequest { limit: Some(limit), ..LogRequest::default() }
}

/// Rows as text, whatever dictionaries they came with. Times are numbers: how arrow shows a time zone depends on the
/// features that other crates of the build ask of it.
pub(crate) fn render(batches: &[RecordBatch]) -> String {
    let options = FormatOptions::new().with_null("null");
    let plain = |column: &ArrayRef| match column.data_type() {
        DataType::Timestamp(..) => arrow::compute::cast(column, &DataType::Int64).unwrap(),
        _ => Arc::clone(column),
    };
    let mut text = String::new();
    for batch in batches {
        let columns: Vec<ArrayRef> = batch.columns().iter().map(plain).collect();
        let columns: Vec<_> = columns
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            for (column, field) in columns.iter().zip(batch.schema().fields()) {
                text += &format!("{}={} ", field.name(), column.value(row));
            }
            text.push('\n');
        }
    }
    text
}
