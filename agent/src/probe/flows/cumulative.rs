//! A map of counters that only grow: what grew since the last reading, and what can go.

use std::collections::HashMap;
use std::hash::Hash;

use agent_common::plain::Plain;

use crate::kernel::batch::{Dump, MapError};

/// A hash map and what was read of it.
#[derive(Debug)]
pub(super) struct Cumulative<K, V> {
    dump: Dump<K, V>,
    seen: HashMap<K, Seen<V>>,
    idle_limit: u32,
}

#[derive(Debug)]
struct Seen<V> {
    value: V,
    /// Readings in a row without a difference.
    idle: u32,
}

impl<K: Plain + Eq + Hash, V: Plain> Cumulative<K, V> {
    /// Entries that are the same in this many readings are removed from the kernel.
    pub(super) fn new(dump: Dump<K, V>, idle_limit: u32) -> Self {
        Self { dump, seen: HashMap::new(), idle_limit }
    }

    /// Gives each entry with its last reading to `visit`, which says whether it differs.
    pub(super) fn read(&mut self, mut visit: impl FnMut(&K, &V, Option<&V>) -> bool) -> Result<(), MapError> {
        let Self { dump, seen, idle_limit } = self;
        let mut ended = Vec::new();
        dump.each(|key, value| {
            let value = value.one();
            let known = seen.get_mut(&key);
            let differs = visit(&key, &value, known.as_ref().map(|known| &known.value));
            match known {
                Some(known) if differs => *known = Seen { value, idle: 0 },
                Some(known) => {
                    known.idle += 1;
                    if known.idle >= *idle_limit {
                        ended.push(key);
                    }
                }
                None => {
                    seen.insert(key, Seen { value, idle: 0 });
                }
            }
        })?;
        for key in ended {
            // read and removed in one step: what came since the reading above is not lost
            let last = seen.remove(&key);
            dump.take(&key, |value| visit(&key, &value.one(), last.as_ref().map(|last| &last.value)));
        }
        Ok(())
    }
}
