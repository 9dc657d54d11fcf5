//! Manifest records: `len u32 | crc32c u32 | kind u8 | version u8 | JSON`. Kind 1: everything; kind 2: an edit.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::dedupe::Seen;
use crate::segment::Entry;

pub(super) const HEADER: usize = 10;
pub(super) const VERSION: u8 = 1;
const KIND_CONTENTS: u8 = 1;
const KIND_EDIT: u8 = 2;
/// More than 64 MiB of catalog is damage.
const MAX_RECORD: usize = 256 << 20;

/// Everything that the catalog knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    /// Grows with each edit.
    pub(crate) version: u64,
    pub(crate) segments: Vec<Entry>,
    /// Table → the lsn up to which its rows are in segments (or gone by retention).
    pub(crate) sealed_through: BTreeMap<String, i64>,
    /// No lsn below it may be given out again.
    pub(crate) next_lsn: i64,
    pub(crate) dedupe: Vec<Seen>,
    /// Rows that a segment has though `sealed_through` does not say so: the edit that said it was lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) covered: Vec<Covered>,
    /// Table → rows of it from before this time may be gone: dropped by age or for room, or lost.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) gone_before: BTreeMap<String, i64>,
    /// What retention believed of the clock, ns: a restart must not make it believe a clock that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) believed_ns: Option<i64>,
}

/// Every row of a table with a time and an lsn in these ranges is in a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Covered {
    pub(crate) table: String,
    pub(crate) from_ts: i64,
    /// Exclusive.
    pub(crate) to_ts: i64,
    pub(crate) min_lsn: i64,
    pub(crate) max_lsn: i64,
}

/// One change, applied whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edit {
    pub(crate) add: Vec<Entry>,
    /// (table, path) of segments that are gone.
    pub(crate) remove: Vec<(String, String)>,
    pub(crate) sealed_through: BTreeMap<String, i64>,
    pub(crate) next_lsn: i64,
    /// Replaces what was known, if given.
    pub(crate) dedupe: Option<Vec<Seen>>,
    /// As in [`Contents`]; times only rise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) gone_before: BTreeMap<String, i64>,
    /// As in [`Contents`], if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) believed_ns: Option<i64>,
}

/// An edit that did not happen, or of which nobody knows.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// Nothing was changed.
    Write(io::Error),
    /// It may or may not be on disk: the store must stop.
    Unknown(io::Error),
}

impl Contents {
    pub(crate) fn apply(&mut self, edit: Edit) {
        let Edit { add, remove, sealed_through, next_lsn, dedupe, gone_before, believed_ns } = edit;
        self.version += 1;
        self.segments
            .retain(|entry| !remove.iter().any(|(table, path)| *table == entry.table && *path == entry.path));
        self.segments.extend(add);
        for (table, lsn) in sealed_through {
            let known = self.sealed_through.entry(table).or_insert(lsn);
            *known = (*known).max(lsn);
        }
        gone_before.into_iter().for_each(|(table, time)| self.note_gone(&table, time));
        let sealed = &self.sealed_through;
        self.covered.retain(|covered| sealed.get(&covered.table).is_none_or(|lsn| *lsn < covered.max_lsn));
        self.next_lsn = self.next_lsn.max(next_lsn);
        self.believed_ns = believed_ns.or(self.believed_ns);
        if let Some(dedupe) = dedupe {
            self.dedupe = dedupe;
        }
    }
}

impl Contents {
    /// Rows of a table from before this time may be gone.
    pub(crate) fn note_gone(&mut self, table: &str, before: i64) {
        let known = self.gone_before.entry(table.to_owned()).or_insert(before);
        *known = (*known).max(before);
    }
}

/// A record as it was read.
#[derive(Debug)]
pub(super) enum Record {
    Contents(Box<Contents>),
    Edit(Box<Edit>),
}

/// What lies at a position of a manifest.
#[derive(Debug)]
pub(super) enum Decoded {
    Record(Record, usize),
    Newer { version: u8 },
    Bad(String),
}

pub(super) fn encode_contents(contents: &Contents) -> io::Result<Vec<u8>> {
    frame(KIND_CONTENTS, &serde_json::to_vec(contents)?)
}

pub(super) fn encode_edit(edit: &Edit) -> io::Result<Vec<u8>> {
    frame(KIND_EDIT, &serde_json::to_vec(edit)?)
}

fn frame(kind: u8, payload: &[u8]) -> io::Result<Vec<u8>> {
    let len = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut out = Vec::with_capacity(HEADER + payload.len());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[kind, VERSION]);
    out.extend_from_slice(payload);
    let crc = crc32c::crc32c(&out[8..]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    Ok(out)
}

pub(super) fn decode(bytes: &[u8]) -> Decoded {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Decoded::Bad("short header".to_owned());
    };
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let crc = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let Some(payload) = rest.get(..len).filter(|_| len <= MAX_RECORD) else {
        return Decoded::Bad("short record".to_owned());
    };
    if crc32c::crc32c(&bytes[8..HEADER + len]) != crc {
        return Decoded::Bad("wrong checksum".to_owned());
    }
    if header[9] != VERSION {
        return Decoded::Newer { version: header[9] };
    }
    let record = match header[8] {
        KIND_CONTENTS => serde_json::from_slice(payload).map(|contents| Record::Contents(Box::new(contents))),
        KIND_EDIT => serde_json::from_slice(payload).map(|edit| Record::Edit(Box::new(edit))),
        _ => return Decoded::Newer { version: header[9] },
    };
    match record {
        Ok(record) => Decoded::Record(record, HEADER + len),
        Err(error) => Decoded::Bad(error.to_string()),
    }
}

/// Whether the bytes at the end that are no record were one once: then they were acknowledged and are damaged, where
/// a write that a stop cut off never happened.
pub(super) fn was_whole(bytes: &[u8]) -> bool {
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER>() else { return false };
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let goes_on = (1..payload.len()).contains(&len);
    let ends = len == payload.len() && payload.last() == Some(&b'}');
    // or the damage is in the header
    goes_on || ends || serde_json::from_slice::<Edit>(payload).is_ok()
}
