//! Rows become batches: an identity table, the rows of each signal, at most about 1 MiB, one zstd frame.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use proto::v1;

use crate::logs::checkpoint::Mark;
use crate::window::assemble::{Named, signal, table};
use crate::window::sample::Row;

#[cfg(test)]
mod tests;

/// A batch is closed once its rows reach this many bytes.
pub const BATCH_BYTES: usize = 1 << 20;
/// A batch is closed once its first row is this old.
pub const BATCH_AGE: Duration = Duration::from_secs(1);
const ZSTD_LEVEL: i32 = 1;
/// Of batches that are spans for the most part: they come by the thousand and repeat each other, so that packing them well
/// takes longer than all else that is done with them.
const SPANS_LEVEL: i32 = -3;

/// Collects rows until a batch is due.
#[derive(Debug, Default)]
pub struct Batcher {
    payload: v1::Payload,
    /// Those of the payload, as its bytes.
    spans: Vec<u8>,
    /// By address of the shared identity, which `kept` keeps alive.
    index: HashMap<usize, u32>,
    kept: Vec<Arc<v1::Identity>>,
    rows: BTreeMap<&'static str, u64>,
    marks: Vec<Mark>,
    bytes: usize,
    since: Option<Duration>,
}

/// A closed batch, not yet numbered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed {
    /// One zstd frame holding a `Payload`.
    pub zstd_payload: Bytes,
    /// Size of that `Payload`.
    pub unpacked_bytes: u64,
    /// Rows per signal of the ledger.
    pub rows: BTreeMap<String, u64>,
    /// Where logs are read on once this batch is durable.
    pub marks: Vec<Mark>,
}

impl Packed {
    /// Whether it only says what was lost.
    pub fn is_losses_only(&self) -> bool {
        self.rows.is_empty() && self.marks.is_empty()
    }
}

/// A payload could not be packed.
#[derive(Debug, thiserror::Error)]
#[error("compress batch")]
pub struct PackError(#[source] std::io::Error);

impl Batcher {
    /// Adds a row; `now` is monotonic.
    pub fn push(&mut self, named: Named, now: Duration) {
        let Named { identity, row } = named;
        let at = self.identity(&identity);
        *self.rows.entry(signal(table(&row))).or_default() += row.count();
        self.since.get_or_insert(now);
        let Self { payload, spans, bytes, .. } = self;
        match row {
            Row::Flow(row) => add(&mut payload.flows, v1::FlowRow { identity: at, ..*row }, bytes),
            Row::Drop(row) => add(&mut payload.drops, v1::DropRow { identity: at, ..row }, bytes),
            Row::Usage(row) => add(&mut payload.usage, v1::UsageRow { identity: at, ..*row }, bytes),
            Row::Syscall(row) => add(&mut payload.syscalls, v1::SyscallRow { identity: at, ..row }, bytes),
            Row::SyscallLatency(row) => {
                add(&mut payload.syscall_latency, v1::SyscallLatencyRow { identity: at, ..row }, bytes);
            }
            Row::Block(row) => add(&mut payload.block, v1::BlockRow { identity: at, ..row }, bytes),
            Row::Request(row) => add(&mut payload.requests, v1::RequestRow { identity: at, ..*row }, bytes),
            Row::Process(row) => add(&mut payload.processes, v1::ProcessRow { identity: at, ..*row }, bytes),
            Row::Log(row) => add(&mut payload.logs, v1::LogRow { identity: at, ..*row }, bytes),
            Row::Spans(some) => {
                let before = spans.len();
                if before > 0 && spans.capacity() < before + some.memory() {
                    // it is not the only one: room for all that may come, or what is there is copied again and again
                    spans.reserve(BATCH_BYTES);
                }
                some.append_to(spans, at, &identity.workload);
                *bytes += spans.len() - before;
            }
            // merged into usage rows before
            Row::RunQueue(_) => {}
        }
    }

    /// Adds loss rows, which have no owner.
    pub fn push_losses(&mut self, rows: Vec<v1::LossRow>, now: Duration) {
        for row in rows {
            self.since.get_or_insert(now);
            add(&mut self.payload.losses, row, &mut self.bytes);
        }
    }

    /// Where the sources of the rows just pushed are read on; later marks replace earlier ones of the same source.
    pub fn push_marks(&mut self, marks: Vec<Mark>, now: Duration) {
        for mark in marks {
            self.since.get_or_insert(now);
            match self.marks.iter_mut().find(|earlier| earlier.source == mark.source) {
                Some(earlier) => *earlier = mark,
                None => self.marks.push(mark),
            }
        }
    }

    /// Whether the batch should be closed now.
    pub fn is_due(&self, now: Duration) -> bool {
        self.bytes >= BATCH_BYTES || self.due_at().is_some_and(|at| now >= at)
    }

    /// When it must be closed; `None` while it is empty.
    pub fn due_at(&self) -> Option<Duration> {
        self.since.map(|since| since + BATCH_AGE)
    }

    /// Closes the batch, leaving an empty one; `None` when there is nothing in it.
    pub fn take(&mut self) -> Option<Unpacked> {
        self.since?;
        let Self { payload, spans, rows, marks, kept, .. } = std::mem::take(self);
        let mut payload = payload;
        payload.identities = kept.iter().map(|identity| v1::Identity::clone(identity)).collect();
        Some(Unpacked { payload, spans, rows, marks, encoded: None })
    }

    fn identity(&mut self, identity: &Arc<v1::Identity>) -> u32 {
        let next = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
        *self.index.entry(Arc::as_ptr(identity) as usize).or_insert_with(|| {
            self.bytes += identity.encoded_len() + 4;
            self.kept.push(Arc::clone(identity));
            next
        })
    }
}

fn add<M: prost::Message>(rows: &mut Vec<M>, row: M, bytes: &mut usize) {
    *bytes += row.encoded_len() + 4;
    rows.push(row);
}

/// A closed batch before compression, which is done off the runtime.
#[derive(Debug)]
pub struct Unpacked {
    /// What will be packed, but for the spans.
    pub payload: v1::Payload,
    spans: Vec<u8>,
    rows: BTreeMap<&'static str, u64>,
    marks: Vec<Mark>,
    /// All of it as bytes, and how well they are to be packed; made when they are first asked for.
    encoded: Option<(Bytes, i32)>,
}

impl Unpacked {
    /// A batch that only says what was lost.
    pub fn of_losses(losses: Vec<v1::LossRow>) -> Self {
        let payload = v1::Payload { losses, ..Default::default() };
        Self { payload, spans: Vec::new(), rows: BTreeMap::new(), marks: Vec::new(), encoded: None }
    }

    /// Rows per signal of the ledger.
    pub fn rows(&self) -> BTreeMap<&'static str, u64> {
        self.rows.clone()
    }

    /// Whether it says where logs are read on.
    pub fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// The bytes of the payload.
    pub fn encoded(&mut self) -> Bytes {
        self.bytes_and_level().0
    }

    /// Compresses it.
    ///
    /// # Errors
    /// When zstd fails, which only a lack of memory explains.
    pub fn pack(&mut self) -> Result<Packed, PackError> {
        let (encoded, level) = self.bytes_and_level();
        let zstd_payload = zstd::bulk::compress(&encoded, level).map_err(PackError)?.into();
        let rows = self.rows.iter().map(|(signal, count)| ((*signal).to_owned(), *count)).collect();
        Ok(Packed { zstd_payload, unpacked_bytes: encoded.len() as u64, rows, marks: self.marks.clone() })
    }

    fn bytes_and_level(&mut self) -> (Bytes, i32) {
        let Self { payload, spans, encoded, .. } = self;
        let (bytes, level) = encoded.get_or_insert_with(|| {
            // the fields of a message have no order, so that nothing is copied: spans are by far the most
            let mut encoded = std::mem::take(spans);
            let spans = encoded.len();
            encoded.reserve(payload.encoded_len());
            payload.encode_raw(&mut encoded);
            // not kept twice; the losses are given back where the batch is dropped
            let losses = std::mem::take(&mut payload.losses);
            *payload = v1::Payload { losses, ..v1::Payload::default() };
            let level = if spans > encoded.len() / 2 { SPANS_LEVEL } else { ZSTD_LEVEL };
            (encoded.into(), level)
        });
        (Bytes::clone(bytes), *level)
    }
}

/// Reads a packed payload again: to give back the loss rows of a batch that is dropped.
pub fn unpack(zstd_payload: &[u8], unpacked_bytes: u64) -> Option<v1::Payload> {
    v1::Payload::decode(unpacked(zstd_payload, unpacked_bytes)?.as_slice()).ok()
}

/// The bytes of a packed payload.
pub fn unpacked(zstd_payload: &[u8], unpacked_bytes: u64) -> Option<Vec<u8>> {
    let most = usize::try_from(unpacked_bytes.min(proto::MAX_PAYLOAD_BYTES)).ok()?;
    zstd::bulk::decompress(zstd_payload, most).ok()
}
