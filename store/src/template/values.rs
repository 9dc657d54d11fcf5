//! The values of a column in memory: one for all, one of a few each, or each its own.

use std::ops::Range;
use std::sync::Arc;

use crate::rows::Texts;

/// Distinct texts, numbered in the order they came in.
#[derive(Debug, Default)]
pub(super) struct Interner {
    pub(super) texts: Texts,
    /// Hash and number + 1; 0 is free. The size is a power of two.
    slots: Vec<(u64, u32)>,
}

impl Interner {
    /// The number of a text, and whether it is new.
    #[inline]
    pub(super) fn add(&mut self, text: &[u8]) -> (u32, bool) {
        if (self.texts.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let hash = xxhash_rust::xxh3::xxh3_64(text);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.slots[at] {
                (_, 0) => break,
                (known, number) if known == hash && self.texts.get(number as usize - 1) == text => {
                    return (number - 1, false);
                }
                _ => at = (at + 1) & mask,
            }
        }
        let number = self.texts.len() as u32;
        self.texts.push(text);
        self.slots[at] = (hash, number + 1);
        (number, true)
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        let before = std::mem::replace(&mut self.slots, vec![(0, 0); size]);
        for (hash, number) in before.into_iter().filter(|(_, number)| *number != 0) {
            let mut at = hash as usize & (size - 1);
            while self.slots[at].1 != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = (hash, number);
        }
    }
}

/// Values of a column, as a reader sees them.
#[derive(Clone, Debug)]
pub(super) enum Values {
    /// The same for all.
    One(Vec<u8>),
    /// One of these each.
    Of { entries: Arc<Texts>, ids: Vec<u32> },
    /// Each its own.
    Each(Texts),
}

impl Values {
    /// The value at a place; '' where there is none, which a reader has ruled out before.
    #[inline]
    pub(super) fn get(&self, at: usize) -> &[u8] {
        match self {
            Self::One(value) => value,
            Self::Of { entries, ids } => match ids.get(at) {
                Some(id) if (*id as usize) < entries.len() => entries.get(*id as usize),
                _ => b"",
            },
            Self::Each(texts) if at < texts.len() => texts.get(at),
            Self::Each(_) => b"",
        }
    }
}

/// Places of values that belong together: those of number `n` are `order[starts[n]..starts[n + 1]]`, ascending.
#[derive(Debug)]
pub(super) struct Grouped {
    starts: Vec<u32>,
    order: Vec<u32>,
}

impl Grouped {
    /// Groups the places of `ids`, which are below `groups`.
    pub(super) fn new(ids: impl Iterator<Item = u32> + Clone, groups: usize) -> Self {
        let mut starts = vec![0_u32; groups + 1];
        let mut len = 0;
        for id in ids.clone() {
            starts[id as usize + 1] += 1;
            len += 1;
        }
        for at in 0..groups {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        let mut order = vec![0_u32; len];
        for (at, id) in (0_u32..).zip(ids) {
            let place = &mut next[id as usize];
            order[*place as usize] = at;
            *place += 1;
        }
        Self { starts, order }
    }

    pub(super) fn of(&self, group: usize) -> &[u32] {
        let range: Range<usize> = self.starts[group] as usize..self.starts[group + 1] as usize;
        &self.order[range]
    }
}
