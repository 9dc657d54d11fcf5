//! The spool: every batch is on disk before it is sent, and stays until it is acknowledged.
//!
//! In: packed batches. Out: numbered batches, oldest first; fresh ones alternate with the backlog of an outage, so that
//! neither starves. Format: `segment`.
//! Invariants: a batch is sent only after `sync`, so what was sent is on disk; a sequence number never names two
//! contents, since numbers go on from the last record of a clean file and any damage begins a new epoch; files go
//! oldest first, and only once the caller has made the log checkpoints durable; bytes on disk stay within the limit, of
//! which the last part is kept for batches that only say what was lost. A file whose sync failed is never synced again:
//! its unsynced records are written to a new one.
//! Does not: read a clock, compress, talk to anybody.

mod files;
pub(crate) mod fuzz;
mod open;
mod read;
mod recent;
mod segment;
mod unsynced;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use proto::v1;

use crate::export::batch::Packed;
use crate::logs::checkpoint::Mark;
use read::{MAX_FAILED, ReadError};
use recent::Recent;
use segment::{HEADER, Record};

#[cfg(test)]
mod tests;

/// From this share of the limit on, logs wait in their files.
const LOG_SHARE: f64 = 0.8;
/// Kept free for batches of loss rows, or a sixteenth of the limit if that is less.
const LOSS_BYTES: u64 = 64 << 10;

/// (epoch, sequence number)
pub type BatchId = (u64, u64);

/// Why a batch was not spooled.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The spool has reached its limit.
    #[error("spool is full: {bytes} of {max_bytes} bytes")]
    Full {
        /// On disk now.
        bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// The directory cannot be made, listed or written.
    #[error("open spool {path}")]
    Open {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record was not written; nothing of it is left.
    #[error("append to spool {path}")]
    Append {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What the last process left behind.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Batches that were not known to be acknowledged.
    pub batches: u64,
    /// Their marks, oldest first: to be committed before the logs are read.
    pub marks: Vec<Vec<Mark>>,
    /// Batches whose numbers are missing between those that could be read.
    pub lost_batches: u64,
    /// Whether sequence numbers begin anew.
    pub is_new_epoch: bool,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    bytes: u64,
    unacked: u64,
}

#[derive(Clone, Debug)]
struct Place {
    segment: u64,
    offset: u64,
    length: u32,
    /// Rows per signal, to be booked if the record can no longer be read.
    rows: BTreeMap<String, u64>,
}

/// The spool of one agent.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    max_bytes: u64,
    epoch: u64,
    next_seq: u64,
    /// Oldest first by number; the last one is written to.
    segments: BTreeMap<u64, Segment>,
    active: Arc<File>,
    /// Number of the next file; never used twice, so that one that could not be made is in nobody's way.
    next_number: u64,
    /// Nothing may be written to the active file any more.
    is_broken: bool,
    places: BTreeMap<BatchId, Place>,
    /// Left from before the connection; oldest first.
    backlog: VecDeque<BatchId>,
    /// Spooled since.
    fresh: VecDeque<BatchId>,
    /// Written and not yet synced; not to be sent.
    unsynced: Vec<(BatchId, Packed)>,
    fresh_is_next: bool,
    /// Rows per signal of batches that could not be read again, until somebody books them.
    lost: BTreeMap<String, u64>,
    recent: Recent,
}

/// What a batch holds, for who unpacks it himself.
#[derive(Debug)]
pub struct Next {
    /// The batch.
    pub id: BatchId,
    /// Its payload.
    pub payload: Kept,
}

/// A payload.
#[derive(Debug)]
pub enum Kept {
    /// As it was before it was packed.
    Unpacked(Bytes),
    /// As it is on disk: one zstd frame, and how long it is unpacked.
    Packed(Bytes, u64),
}

impl Spool {
    /// Keeps so many bytes of the last batches in memory, unpacked, for `next_payload`.
    pub fn keep_recent(&mut self, bytes: usize) {
        self.recent.keep(bytes);
    }

    /// Whether it keeps any.
    pub fn keeps_recent(&self) -> bool {
        self.recent.is_on()
    }

    /// What this batch was before it was packed.
    pub fn remember(&mut self, id: BatchId, payload: Bytes) {
        self.recent.put(id, payload);
    }

    /// Appends a batch and numbers it. It may be sent once `synced` was told that the file is on disk.
    ///
    /// # Errors
    /// `Full`, or what the disk says; then nothing was written.
    pub fn append(&mut self, packed: &Packed) -> Result<BatchId, SpoolError> {
        if self.is_broken {
            self.write_again()?;
        }
        let max_bytes =
            if packed.is_losses_only() { self.max_bytes } else { self.max_bytes - self.loss_bytes() };
        self.write(packed, max_bytes)
    }

    fn write(&mut self, packed: &Packed, max_bytes: u64) -> Result<BatchId, SpoolError> {
        let id = (self.epoch, self.next_seq);
        let record = Record {
            epoch: id.0,
            seq: id.1,
            unpacked_bytes: packed.unpacked_bytes,
            zstd_payload: Bytes::clone(&packed.zstd_payload),
            rows: packed.rows.clone(),
            marks: encode_marks(&packed.marks),
        };
        let frame = segment::frame(&record);
        let bytes = self.bytes() + frame.len() as u64;
        if bytes > max_bytes {
            return Err(SpoolError::Full { bytes: self.bytes(), max_bytes });
        }
        if self.active_bytes() > HEADER as u64
            && self.active_bytes() + frame.len() as u64 > self.segment_bytes()
        {
            self.rotate()?;
        }
        let number = self.active_number();
        let Some(segment) = self.segments.get_mut(&number) else {
            return Err(SpoolError::Append {
                path: self.dir.clone(),
                source: io::ErrorKind::NotFound.into(),
            });
        };
        let offset = segment.bytes;
        if let Err(source) = (&*self.active).write_all(&frame) {
            let path = segment.path.clone();
            // cut off what was written of it, so that the next record is found
            self.is_broken = self.active.set_len(offset).is_err();
            return Err(SpoolError::Append { path, source });
        }
        segment.bytes += frame.len() as u64;
        segment.unacked += 1;
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        self.places.insert(id, Place { segment: number, offset, length, rows: packed.rows.clone() });
        self.unsynced.push((id, packed.clone()));
        self.next_seq += 1;
        Ok(id)
    }

    /// The next batch to send, alternating between what is fresh and the backlog. It is in flight until `acked`,
    /// `dropped` or `disconnected`. What cannot be read for now is tried again later.
    pub fn next(&mut self, node: &str) -> Option<v1::Batch> {
        self.next_by(|spool, id| {
            let Record { epoch, seq, zstd_payload, unpacked_bytes, .. } = spool.read(id)?;
            Ok(v1::Batch { node: node.to_owned(), epoch, seq, zstd_payload, unpacked_bytes })
        })
    }

    /// As `next`, for who wants the payload alone.
    pub fn next_payload(&mut self) -> Option<Next> {
        self.next_by(|spool, id| {
            let kept = spool.recent.take(id);
            // it may have been delivered before it was on disk
            if !spool.places.contains_key(&id) {
                return Err(ReadError::Unknown);
            }
            if let Some(payload) = kept {
                return Ok(Next { id, payload: Kept::Unpacked(payload) });
            }
            let Record { zstd_payload, unpacked_bytes, .. } = spool.read(id)?;
            Ok(Next { id, payload: Kept::Packed(zstd_payload, unpacked_bytes) })
        })
    }

    fn next_by<T>(&mut self, give: impl Fn(&mut Self, BatchId) -> Result<T, ReadError>) -> Option<T> {
        let mut failed = Vec::new();
        loop {
            let is_fresh = (self.fresh_is_next && !self.fresh.is_empty()) || self.backlog.is_empty();
            let next = if is_fresh { self.fresh.pop_front() } else { self.backlog.pop_front() };
            let Some(id) = next else { break };
            self.fresh_is_next = !is_fresh;
            match give(self, id) {
                Ok(given) => {
                    self.backlog.extend(failed);
                    return Some(given);
                }
                Err(ReadError::Unknown) => {}
                Err(error @ ReadError::Failed(_)) => {
                    tracing::warn!(epoch = id.0, seq = id.1, %error, "batch not read from the spool now");
                    failed.push(id);
                    if failed.len() >= MAX_FAILED {
                        break;
                    }
                }
                Err(error) => {
                    tracing::error!(epoch = id.0, seq = id.1, %error, "batch is lost from the spool");
                    self.lose(id);
                }
            }
        }
        self.backlog.extend(failed);
        None
    }

    /// Whether `next` has anything to give.
    pub fn has_next(&self) -> bool {
        !self.fresh.is_empty() || !self.backlog.is_empty()
    }

    /// The batch is stored at the other side (or was dropped): it is not sent again. Answers whether it was known.
    pub fn acked(&mut self, id: BatchId) -> bool {
        self.recent.take(id);
        let Some(place) = self.places.remove(&id) else { return false };
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.unacked = segment.unacked.saturating_sub(1);
        }
        true
    }

    /// Rows per signal and loss rows of a batch that is about to be dropped.
    pub fn content(&self, id: BatchId) -> Option<(BTreeMap<String, u64>, Vec<v1::LossRow>)> {
        let record = self.read(id).ok()?;
        let payload = crate::export::batch::unpack(&record.zstd_payload, record.unpacked_bytes);
        Some((record.rows, payload.map(|payload| payload.losses).unwrap_or_default()))
    }

    /// This batch is to be sent again, before anything else of the backlog.
    pub fn refused(&mut self, id: BatchId) {
        if self.places.contains_key(&id) {
            self.backlog.push_front(id);
        }
    }

    /// The connection broke: everything that was not acknowledged is the backlog, oldest first.
    pub fn disconnected(&mut self) {
        self.fresh.clear();
        let is_synced = |id: &BatchId| !self.unsynced.iter().any(|(unsynced, _)| unsynced == id);
        self.backlog = self.places.keys().copied().filter(is_synced).collect();
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    /// Batches that are not acknowledged.
    pub fn batches(&self) -> u64 {
        self.places.len() as u64
    }

    /// Whether logs may be taken in; otherwise they wait in their files.
    pub fn has_room_for_logs(&self) -> bool {
        (self.bytes() as f64) < self.max_bytes as f64 * LOG_SHARE
    }

    fn loss_bytes(&self) -> u64 {
        LOSS_BYTES.min(self.max_bytes / 16)
    }
}

fn encode_marks(marks: &[Mark]) -> Bytes {
    if marks.is_empty() {
        return Bytes::new();
    }
    serde_json::to_vec(marks).map(Bytes::from).unwrap_or_default()
}
