//! Counters that only grow in the kernel: what each gained since the last reading, and which have ended.

use std::collections::HashMap;
use std::hash::Hash;

use agent_common::plain::Plain;

use crate::kernel::batch::{Dump, MapError};

/// A map value of counters.
pub(super) trait Counters: Plain {
    /// All zero.
    const ZERO: Self;
    /// Adds another CPU's counters.
    fn add(&mut self, other: &Self);
    /// What these gained since `before`; a counter that fell (the entry was made anew) gives its whole value.
    fn since(&self, before: &Self) -> Self;
    /// Nothing was gained.
    fn is_zero(&self) -> bool;
}

impl Counters for u64 {
    const ZERO: Self = 0;

    fn add(&mut self, other: &Self) {
        *self = self.wrapping_add(*other);
    }

    fn since(&self, before: &Self) -> Self {
        self.checked_sub(*before).unwrap_or(*self)
    }

    fn is_zero(&self) -> bool {
        *self == 0
    }
}

impl<const N: usize> Counters for [u32; N] {
    const ZERO: Self = [0; N];

    fn add(&mut self, other: &Self) {
        self.iter_mut().zip(other).for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
    }

    fn since(&self, before: &Self) -> Self {
        let mut gained = *self;
        // 32-bit counts wrap once in their life of weeks: the difference is right all the same
        gained.iter_mut().zip(before).for_each(|(value, before)| *value = value.wrapping_sub(*before));
        gained
    }

    fn is_zero(&self) -> bool {
        self.iter().all(|value| *value == 0)
    }
}

/// A hash map of counters and what was read of it.
#[derive(Debug)]
pub(super) struct Growing<K, V> {
    dump: Dump<K, V>,
    seen: HashMap<K, Seen<V>>,
    idle_limit: u32,
}

#[derive(Debug)]
struct Seen<V> {
    value: V,
    /// Readings in a row without a gain.
    idle: u32,
    /// The reading that saw it last.
    round: bool,
}

impl<K: Plain + Eq + Hash, V: Counters> Growing<K, V> {
    /// Entries that gain nothing in this many readings are removed from the kernel.
    pub(super) fn new(dump: Dump<K, V>, idle_limit: u32) -> Self {
        Self { dump, seen: HashMap::new(), idle_limit }
    }

    /// Gives what each entry gained to `visit`, if it gained anything.
    pub(super) fn read(&mut self, mut visit: impl FnMut(K, V)) -> Result<(), MapError> {
        let Self { dump, seen, idle_limit } = self;
        let mut ended = Vec::new();
        dump.each(|key, values| {
            let total = sum(values.iter());
            let known = seen.entry(key).or_insert(Seen { value: V::ZERO, idle: 0, round: true });
            known.round = true;
            let gained = total.since(&known.value);
            known.value = total;
            if gained.is_zero() {
                known.idle += 1;
                if known.idle >= *idle_limit {
                    ended.push(key);
                }
            } else {
                known.idle = 0;
                visit(key, gained);
            }
        })?;
        for key in ended {
            let before = seen.remove(&key).map_or(V::ZERO, |known| known.value);
            // read and removed in one step where the kernel can: what came since the reading above is not lost
            if let Some(last) = dump.take(&key, |values| sum(values.iter())) {
                let gained = last.since(&before);
                if !gained.is_zero() {
                    visit(key, gained);
                }
            }
        }
        seen.retain(|_, known| std::mem::take(&mut known.round));
        Ok(())
    }
}

fn sum<V: Counters>(values: impl Iterator<Item = V>) -> V {
    let mut total = V::ZERO;
    for value in values {
        total.add(&value);
    }
    total
}
