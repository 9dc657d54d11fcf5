//! Which batches are stored: for each (node, epoch) the sequence numbers seen, as ranges.
//!
//! In order there is one range; a spool that drains beside fresh data makes two. Ranges are bounded: past
//! [`MAX_RANGES`] the oldest gap is closed, so a batch from inside it would be taken for a repeat; counted.
//! Entries leave a week after their last batch.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The most ranges that one (node, epoch) may have.
const MAX_RANGES: usize = 4_096;
/// An entry goes this long after its last batch, ns.
const KEEP_NS: i64 = 7 * 86_400 * 1_000_000_000;

/// What names a batch for ever.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BatchKey {
    pub(crate) node: Arc<str>,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
}

/// The sequence numbers of one (node, epoch) that are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) node: String,
    pub(crate) epoch: u64,
    /// When the last batch came, ns.
    pub(crate) last_ns: i64,
    /// Inclusive, ascending, neither touching nor overlapping.
    pub(crate) ranges: Vec<(u64, u64)>,
}

/// Every batch that is stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dedupe {
    seen: HashMap<(Arc<str>, u64), Seen>,
    pub(crate) closed_gaps: u64,
}

impl Dedupe {
    pub(crate) fn from_entries(entries: Vec<Seen>) -> Self {
        let seen =
            entries.into_iter().map(|entry| ((Arc::from(entry.node.as_str()), entry.epoch), entry)).collect();
        Self { seen, closed_gaps: 0 }
    }

    /// What a catalog commit stores, in a stable order.
    pub(crate) fn entries(&self) -> Vec<Seen> {
        let mut entries: Vec<Seen> = self.seen.values().cloned().collect();
        entries.sort_by(|a, b| (&a.node, a.epoch).cmp(&(&b.node, b.epoch)));
        entries
    }

    pub(crate) fn contains(&self, key: &BatchKey) -> bool {
        self.seen.get(&(Arc::clone(&key.node), key.epoch)).is_some_and(|seen| seen.contains(key.seq))
    }

    /// The highest epoch of which this node has batches, or 0.
    pub(crate) fn last_epoch(&self, node: &str) -> u64 {
        let of_node = self.seen.keys().filter(|(name, _)| &**name == node);
        of_node.map(|(_, epoch)| *epoch).max().unwrap_or(0)
    }

    pub(crate) fn insert(&mut self, key: &BatchKey, now_ns: i64) {
        let seen = self.seen.entry((Arc::clone(&key.node), key.epoch)).or_insert_with(|| Seen {
            node: key.node.to_string(),
            epoch: key.epoch,
            ..Seen::default()
        });
        seen.last_ns = seen.last_ns.max(now_ns);
        self.closed_gaps += seen.insert(key.seq);
    }

    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Drops entries whose last batch is more than a week old.
    pub(crate) fn expire(&mut self, now_ns: i64) {
        self.seen.retain(|_, seen| now_ns.saturating_sub(seen.last_ns) < KEEP_NS);
    }
}

impl Seen {
    fn contains(&self, seq: u64) -> bool {
        let after = self.ranges.partition_point(|(start, _)| *start <= seq);
        after.checked_sub(1).is_some_and(|at| self.ranges[at].1 >= seq)
    }

    /// Adds one number; returns how many gaps had to be closed.
    fn insert(&mut self, seq: u64) -> u64 {
        let after = self.ranges.partition_point(|(start, _)| *start <= seq);
        let before = after.checked_sub(1);
        if before.is_some_and(|at| self.ranges[at].1 >= seq) {
            return 0;
        }
        let joins_before = before.filter(|at| self.ranges[*at].1.checked_add(1) == Some(seq));
        let joins_after = self.ranges.get(after).is_some_and(|(start, _)| seq.checked_add(1) == Some(*start));
        match (joins_before, joins_after) {
            (Some(at), true) => {
                self.ranges[at].1 = self.ranges[after].1;
                self.ranges.remove(after);
            }
            (Some(at), false) => self.ranges[at].1 = seq,
            (None, true) => self.ranges[after].0 = seq,
            (None, false) => self.ranges.insert(after, (seq, seq)),
        }
        if self.ranges.len() <= MAX_RANGES {
            return 0;
        }
        self.ranges[1].0 = self.ranges[0].0;
        self.ranges.remove(0);
        1
    }
}

#[cfg(test)]
mod tests;
