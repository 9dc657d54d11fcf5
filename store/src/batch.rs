//! Admission: a received batch becomes rows that may be stored, or a refusal.
//!
//! In: `proto::v1::Batch` and the time. Out: [`Admitted`], with bad rows named and left out.
//! Pure: the same batch, time and limits give the same rows, which is what replay relies on.

mod gate;
mod resolved;

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::{self, DecodeContext};
use proto::error::ErrorCode;
use proto::v1;

use crate::dedupe::BatchKey;
use crate::rows::{LogRow, LogRows, LogRowsBuilder, TableRows, VERSION_ATTRIBUTE, convert};
use crate::{Limits, Refused, Table};
use gate::{Checked, Gate};

/// Bad rows that an answer names; the rest is only counted.
const NAMED_REJECTIONS: usize = 100;
const MAX_NODE_BYTES: usize = 1_024;
const MAX_IDENTITIES: usize = 65_536;
/// Rows of all tables, 32 bytes each of the largest payload; what was known beside them is no row.
const MAX_ROWS: usize = 131_072;
/// Whose batches those are that the store names itself; no other sender may use it.
pub(crate) const OWN_NODE: &str = "/store";
/// `identities` and `resolved` in a payload.
const IDENTITIES_TAG: u32 = 1;
const RESOLVED_TAG: u32 = 13;
const MAX_TEXT_BYTES: usize = 65_536;
const NS: i64 = 1_000_000_000;
/// How hard a payload is packed that came as something else: it lives in the log for minutes.
const OWN_LEVEL: i32 = -3;

/// The batch is on disk and searchable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// It was stored before; nothing was added.
    pub repeated: bool,
    /// Rows that were left out, at most 100 of them.
    pub rejected: Vec<RejectedRow>,
    /// All rows that were left out.
    pub rejected_rows: u64,
    /// The same, by table and reason.
    pub rejected_by: Vec<Rejected>,
    /// Rows that were stored.
    pub rows: u64,
}

/// A row that was left out of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// The table that it was meant for.
    pub table: Table,
    /// Its position among the batch's rows of this table.
    pub index: u32,
    /// `too_old`, `too_new`, `invalid` or `unknown_identity`.
    pub reason: &'static str,
}

/// How many rows of a table were left out for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The table that they were meant for.
    pub table: Table,
    /// As of [`RejectedRow`].
    pub reason: &'static str,
    /// How many.
    pub rows: u64,
}

/// A batch that may be stored.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) key: BatchKey,
    /// When it was admitted; replay needs the same time to come to the same rows.
    pub(crate) now_ns: i64,
    pub(crate) zstd_payload: Bytes,
    pub(crate) unpacked_bytes: u64,
    /// Chunks of log rows; lsns are places in the batch.
    pub(crate) logs: Vec<LogRows>,
    pub(crate) tables: Vec<(Table, TableRows)>,
    /// Rows in the payload, admitted or not: each has a place, so that lsns do not depend on what is rejected.
    pub(crate) places: i64,
    pub(crate) answer: Appended,
    /// A node that rows are about and that is not the batch's, if there is one.
    pub(crate) other_node: Option<String>,
}

/// The name of a batch, checked.
pub(crate) fn key(batch: &v1::Batch) -> Result<BatchKey, Refused> {
    if batch.node.is_empty() || batch.node.len() > MAX_NODE_BYTES {
        return Err(Refused::invalid(format!("node: {} bytes, not 1 to {MAX_NODE_BYTES}", batch.node.len())));
    }
    if batch.node == OWN_NODE {
        return Err(Refused::invalid(format!("node: {OWN_NODE} is no node's name")));
    }
    Ok(BatchKey { node: Arc::from(batch.node.as_str()), epoch: batch.epoch, seq: batch.seq })
}

/// What is known beside a batch when it comes in; what it answers is written down with the batch.
pub(crate) type Resolve<'a> = &'a dyn Fn(&v1::Payload) -> Option<v1::Resolved>;

/// As the store keeps it.
pub(crate) type BoxedResolve = Box<dyn Fn(&v1::Payload) -> Option<v1::Resolved> + Send + Sync>;

/// What the caller knows beside a batch.
pub(crate) struct Resolver(pub(crate) BoxedResolve);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Resolver")
    }
}

/// Where a batch comes from.
#[derive(Clone, Copy)]
pub(crate) enum Arrival<'a> {
    /// Its sender: nobody has said yet what is known beside it.
    Sender(Option<Resolve<'a>>),
    /// The log: what was known then is in it.
    Log,
}

/// Unpacks a batch and checks each of its rows.
///
/// # Errors
/// If the batch as a whole cannot be understood; bad rows alone do not sink it.
pub(crate) fn admit(
    key: BatchKey,
    zstd_payload: Bytes,
    unpacked_bytes: u64,
    now_ns: i64,
    limits: &Limits,
    from: Arrival<'_>,
) -> Result<Admitted, Refused> {
    let more = if matches!(from, Arrival::Log) { resolved::MAX_BYTES } else { 0 };
    let most = proto::MAX_PAYLOAD_BYTES + more;
    let payload = unpack(&zstd_payload, unpacked_bytes, most)?;
    check_counts(&payload, matches!(from, Arrival::Log))?;
    let mut payload =
        v1::Payload::decode(payload).map_err(|error| Refused::invalid(format!("payload: {error}")))?;
    let mut packed = (zstd_payload, unpacked_bytes);
    if let Arrival::Sender(resolve) = from {
        add_known(&mut payload, &mut packed, resolve);
    }
    admit_rows(key, payload, packed, now_ns, limits)
}

/// Adds what is known beside a payload to it, and to what is written down.
fn add_known(payload: &mut v1::Payload, packed: &mut (Bytes, u64), resolve: Option<Resolve<'_>>) {
    if let Some(frame) = resolve.and_then(|resolve| resolved::frame(payload, resolve)) {
        let resolved::Frame { bytes, unpacked, resolved } = frame;
        packed.0 = [packed.0.as_ref(), &bytes].concat().into();
        packed.1 += unpacked;
        payload.resolved = Some(resolved);
    }
}

/// Checks each row of a payload that is not packed yet, and packs it for the log: what replay reads from there is the
/// same payload.
///
/// # Errors
/// If it is larger than a batch may be.
pub(crate) fn pack_and_admit(
    key: BatchKey,
    mut payload: v1::Payload,
    now_ns: i64,
    limits: &Limits,
    resolve: Option<Resolve<'_>>,
) -> Result<Admitted, Refused> {
    let plain = payload.encode_to_vec();
    let unpacked_bytes = plain.len() as u64;
    if unpacked_bytes > proto::MAX_PAYLOAD_BYTES {
        let detail = format!("payload: {unpacked_bytes} bytes, more than {}", proto::MAX_PAYLOAD_BYTES);
        return Err(Refused { code: ErrorCode::TooLarge, detail, retry_after_ms: 0 });
    }
    check_counts(&plain, false)?;
    let packed = zstd::bulk::compress(&plain, OWN_LEVEL)
        .map_err(|error| Refused::later(ErrorCode::Internal, format!("pack a payload: {error}"), 0))?;
    drop(plain);
    let mut packed = (Bytes::from(packed), unpacked_bytes);
    add_known(&mut payload, &mut packed, resolve);
    admit_rows(key, payload, packed, now_ns, limits)
}

fn admit_rows(
    key: BatchKey,
    mut payload: v1::Payload,
    (zstd_payload, unpacked_bytes): (Bytes, u64),
    now_ns: i64,
    limits: &Limits,
) -> Result<Admitted, Refused> {
    resolved::join(&mut payload);
    let v1::Payload {
        identities,
        logs,
        flows,
        drops,
        usage,
        syscalls,
        syscall_latency,
        block,
        processes,
        losses,
        resolved: _,
        kube_events,
        object_changes,
        spans,
        requests,
    } = payload;
    let mut identities: Vec<Arc<v1::Identity>> = identities.into_iter().map(Arc::new).collect();
    check_sizes(&identities)?;
    let mut gate = Gate::new(now_ns, limits, identities.len());
    let is_other = |node: &String| !node.is_empty() && **node != *key.node;
    let other_node = identities.iter().map(|identity| &identity.node).find(|node| is_other(node)).cloned();
    let log_rows = admit_logs(&identities, &logs, &mut gate);
    // the ledger's rows are about the node itself: one more identity, that no row can name
    identities.push(Arc::new(v1::Identity { node: key.node.to_string(), ..v1::Identity::default() }));
    let identities: Vec<&v1::Identity> = identities.iter().map(|identity| &**identity).collect();
    let mut tables = Vec::new();
    admit_table(&identities, flows, &mut gate, &mut tables)?;
    admit_table(&identities, drops, &mut gate, &mut tables)?;
    admit_table(&identities, usage, &mut gate, &mut tables)?;
    admit_table(&identities, syscalls, &mut gate, &mut tables)?;
    admit_table(&identities, syscall_latency, &mut gate, &mut tables)?;
    admit_table(&identities, block, &mut gate, &mut tables)?;
    admit_table(&identities, processes, &mut gate, &mut tables)?;
    let losses =
        losses.into_iter().map(|row| v1::LossRow { ts: gate.loss_time(row.ts).unsigned_abs(), ..row });
    let mut lost = let_through(losses.collect::<Vec<_>>(), &mut gate);
    admit_table(&identities, kube_events, &mut gate, &mut tables)?;
    admit_table(&identities, object_changes, &mut gate, &mut tables)?;
    admit_table(&identities, spans, &mut gate, &mut tables)?;
    admit_table(&identities, requests, &mut gate, &mut tables)?;
    // who sends rows without a batch of their own is told at once, and is no node whose ledger this could be
    if *key.node != *OWN_NODE {
        lost.extend(gate.losses());
        lost.sort_by_key(|(place, _)| *place);
    }
    keep(&identities, lost, &mut tables)?;
    let Gate { place, answer, .. } = gate;
    Ok(Admitted {
        key,
        now_ns,
        zstd_payload,
        unpacked_bytes,
        logs: log_rows,
        tables,
        places: place.max(1),
        answer,
        other_node,
    })
}

fn unpack(zstd_payload: &[u8], unpacked_bytes: u64, most: u64) -> Result<Bytes, Refused> {
    if unpacked_bytes > most {
        let detail = format!("unpacked_bytes: {unpacked_bytes}, more than {most}");
        return Err(Refused { code: ErrorCode::TooLarge, detail, retry_after_ms: 0 });
    }
    let capacity = usize::try_from(unpacked_bytes).unwrap_or(usize::MAX);
    // never writes more than the capacity, whatever the frame claims
    let payload = zstd::bulk::decompress(zstd_payload, capacity)
        .map_err(|error| Refused::invalid(format!("zstd_payload: {error}")))?;
    if payload.len() != capacity {
        let found = payload.len();
        return Err(Refused::invalid(format!("zstd_payload: {found} bytes unpacked, not {unpacked_bytes}")));
    }
    Ok(Bytes::from(payload))
}

/// Counts before anything is decoded: an empty row of two bytes becomes hundreds. `resolved` is in the log alone.
fn check_counts(mut payload: &[u8], of_log: bool) -> Result<(), Refused> {
    let (mut identities, mut rows) = (0, 0);
    while !payload.is_empty() {
        let bad = |error: prost::DecodeError| Refused::invalid(format!("payload: {error}"));
        let (tag, wire_type) = encoding::decode_key(&mut payload).map_err(bad)?;
        encoding::skip_field(wire_type, tag, &mut payload, DecodeContext::default()).map_err(bad)?;
        match tag {
            IDENTITIES_TAG => identities += 1,
            RESOLVED_TAG if of_log => {}
            RESOLVED_TAG => {
                return Err(Refused::invalid(String::from("payload: resolved is not the sender's to say")));
            }
            _ => rows += 1,
        }
    }
    for (what, found, most) in [("identities", identities, MAX_IDENTITIES), ("rows", rows, MAX_ROWS)] {
        if found > most {
            let detail = format!("{what}: {found}, more than {most}");
            return Err(Refused { code: ErrorCode::TooLarge, detail, retry_after_ms: 0 });
        }
    }
    Ok(())
}

fn check_sizes(identities: &[Arc<v1::Identity>]) -> Result<(), Refused> {
    match identities.iter().position(|identity| identity.encoded_len() > MAX_TEXT_BYTES) {
        Some(index) => {
            Err(Refused::invalid(format!("identities[{index}]: more than {MAX_TEXT_BYTES} bytes")))
        }
        None => Ok(()),
    }
}

fn admit_logs(identities: &[Arc<v1::Identity>], logs: &[v1::LogRow], gate: &mut Gate) -> Vec<LogRows> {
    let mut chunks = Vec::new();
    for (part, rows) in logs.chunks(crate::rows::CHUNK_ROWS).enumerate() {
        let bytes = rows.iter().map(|row| row.body.len()).sum();
        let mut builder = LogRowsBuilder::new(identities, rows.len(), bytes);
        for (index, row) in rows.iter().enumerate() {
            let index = part * crate::rows::CHUNK_ROWS + index;
            let ids = row.trace_id.len() <= 64 && row.span_id.len() <= 64;
            let words = row.level.len() <= 64 && row.stream.len() <= 64 && row.source.len() <= MAX_TEXT_BYTES;
            let attributes: usize = row.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
            let valid = ids
                && words
                && attributes <= MAX_TEXT_BYTES
                && row.body.len() <= proto::MAX_LOG_BODY_BYTES
                && i64::try_from(row.observed_ts).is_ok();
            if let Some(place) = gate.check(Table::Log, index, row.ts, Some(row.identity), valid) {
                builder.push(&borrow(row), place);
            }
        }
        let rows = builder.finish();
        if rows.len() > 0 {
            chunks.push(rows);
        }
    }
    chunks
}

fn borrow(row: &v1::LogRow) -> LogRow<'_> {
    LogRow {
        identity: row.identity,
        ts: i64::try_from(row.ts).unwrap_or(i64::MAX),
        // whole milliseconds, as files keep it: a seal must not change an answer
        observed_ts: i64::try_from(row.observed_ts).unwrap_or(i64::MAX) / 1_000_000 * 1_000_000,
        body: &row.body,
        level: &row.level,
        source: &row.source,
        stream: &row.stream,
        truncated: row.truncated,
        trace_id: &row.trace_id,
        span_id: &row.span_id,
        attributes: row.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        service_version: row.attributes.get(VERSION_ATTRIBUTE).map_or("", String::as_str),
    }
}

fn admit_table<R: Checked + prost::Message + crate::rows::Convert>(
    identities: &[&v1::Identity],
    rows: Vec<R>,
    gate: &mut Gate,
    tables: &mut Vec<(Table, TableRows)>,
) -> Result<(), Refused> {
    keep(identities, let_through(rows, gate), tables)
}

/// The rows that may be stored, each with its place in the batch.
fn let_through<R: Checked + prost::Message + crate::rows::Convert>(
    rows: Vec<R>,
    gate: &mut Gate,
) -> Vec<(i64, R)> {
    let mut admitted = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        let counts = row.histogram().len();
        let valid =
            (counts == 0 || counts == proto::histogram::BUCKETS) && row.encoded_len() <= MAX_TEXT_BYTES;
        if let Some(place) = gate.check(R::TABLE, index, row.ts(), row.identity(), valid) {
            admitted.push((place, row));
        }
    }
    admitted
}

fn keep<R: crate::rows::Convert>(
    identities: &[&v1::Identity],
    admitted: Vec<(i64, R)>,
    tables: &mut Vec<(Table, TableRows)>,
) -> Result<(), Refused> {
    if admitted.is_empty() {
        return Ok(());
    }
    let rows = convert(&admitted, identities).map_err(|error| Refused {
        code: ErrorCode::Internal,
        detail: format!("columns of {}: {error}", R::TABLE.name()),
        retry_after_ms: 0,
    })?;
    tables.push((R::TABLE, rows));
    Ok(())
}
