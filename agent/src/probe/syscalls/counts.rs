//! Exact counts from two maps: what was handed over (`COUNTS`), and what is still in front of it (`CACHE`).
//!
//! The program moves counts from the one to the other while they are read. `COUNTS` is read first, and entries of `CACHE`
//! that are changing are left out, so a reading may miss counts, and never has them twice: the next one has them, since
//! the highest total that was seen is what differences are taken from.

use std::collections::{HashMap, HashSet};

use agent_common::syscalls::{Cache, Cached, Count, CountKey};

use crate::kernel::batch::{Dump, MapError};
use crate::kernel::table::Table;

#[cfg(test)]
mod tests;

/// Both maps.
#[derive(Debug)]
pub(super) struct Counts {
    counts: Dump<CountKey, Count>,
    cache: Table<Cache>,
    known: Known,
}

impl Counts {
    /// Entries that gain nothing in this many readings are removed from the kernel.
    pub(super) fn new(counts: Dump<CountKey, Count>, cache: Table<Cache>, idle_limit: u32) -> Self {
        Self { counts, cache, known: Known::new(idle_limit) }
    }

    /// Gives what each key gained to `visit`, if it gained anything.
    pub(super) fn read(&mut self, mut visit: impl FnMut(CountKey, Count)) -> Result<(), MapError> {
        let mut totals = HashMap::new();
        self.counts.each(|key, values| {
            totals.insert(key, values.iter().fold(NONE, added));
        })?;
        let cached: Vec<Cached> = self.cache.get(0).into_iter().flatten().collect();
        for key in self.known.advance(totals, &cached, &mut visit) {
            // read and removed in one step where the kernel can: what came since is not lost
            let last = self.counts.take(&key, |values| values.iter().fold(NONE, added));
            if let Some(gained) = self.known.forget(&key, last.unwrap_or(NONE)) {
                visit(key, gained);
            }
        }
        Ok(())
    }
}

const NONE: Count = Count { calls: 0, errors: 0 };

/// The totals that were seen. Pure.
#[derive(Debug)]
struct Known {
    totals: HashMap<CountKey, Seen>,
    idle_limit: u32,
}

#[derive(Debug, Default)]
struct Seen {
    highest: Count,
    /// Readings in a row without a gain.
    idle: u32,
}

impl Known {
    fn new(idle_limit: u32) -> Self {
        Self { totals: HashMap::new(), idle_limit }
    }

    /// Takes in one reading; returns the keys that are over.
    fn advance(
        &mut self,
        mut totals: HashMap<CountKey, Count>,
        cached: &[Cached],
        visit: &mut impl FnMut(CountKey, Count),
    ) -> Vec<CountKey> {
        let mut is_changing = false;
        let mut in_cache = HashSet::new();
        for entry in cached {
            let Cached { ended, workload, number, _pad, calls, errors, begun } = *entry;
            if ended != begun {
                is_changing = true;
            } else if calls > 0 {
                let key = CountKey { workload, number, _pad: 0 };
                in_cache.insert(key);
                let total = totals.entry(key).or_insert(NONE);
                *total = added(*total, Count { calls, errors });
            }
        }
        let mut over = Vec::new();
        for (key, total) in totals {
            let seen = self.totals.entry(key).or_default();
            let gained = since(total, seen.highest);
            seen.highest = added(seen.highest, gained);
            if gained != NONE {
                seen.idle = 0;
                visit(key, gained);
                continue;
            }
            seen.idle = seen.idle.saturating_add(1);
            // counts that may be on their way must find their key
            if seen.idle >= self.idle_limit && !is_changing && !in_cache.contains(&key) {
                over.push(key);
            }
        }
        over
    }

    /// The key was removed from the kernel with this total; what it had gained since the reading.
    fn forget(&mut self, key: &CountKey, last: Count) -> Option<Count> {
        let highest = self.totals.remove(key)?.highest;
        Some(since(last, highest)).filter(|gained| *gained != NONE)
    }
}

fn added(left: Count, right: Count) -> Count {
    Count { calls: left.calls.wrapping_add(right.calls), errors: left.errors.wrapping_add(right.errors) }
}

fn since(now: Count, before: Count) -> Count {
    Count { calls: now.calls.saturating_sub(before.calls), errors: now.errors.saturating_sub(before.errors) }
}
