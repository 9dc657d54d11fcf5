//! Which writes have a text, for lines that are found by nothing else.
//!
//! Invariants: of one text so many writes are known, whatever number was written, so that a line is found in constant time;
//! of a text that had more, no line is taken that may be of those without room.

use std::collections::{HashMap, VecDeque};

use super::{ON_ITS_WAY_NS, Print};

/// Most writes of one text that no line has yet.
const MOST_ALIKE: usize = 128;

/// The writes of one text, the oldest first.
#[derive(Debug, Default)]
struct Alike {
    /// Their numbers, and when they began.
    writes: VecDeque<(u64, u64)>,
    /// Lines until this time may be of writes that had no room.
    doubtful_until_ns: u64,
}

/// By text.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: HashMap<Print, Alike>,
    /// Those that are doubtful, by when that was to end.
    doubtful: VecDeque<(u64, Print)>,
}

impl Texts {
    pub(super) fn insert(&mut self, print: Print, number: u64, start_ns: u64) {
        let alike = self.all.entry(print).or_default();
        if alike.writes.len() >= MOST_ALIKE
            && let Some((_, began_ns)) = alike.writes.pop_front()
        {
            let until_ns = began_ns.saturating_add(ON_ITS_WAY_NS);
            if alike.doubtful_until_ns == 0 {
                self.doubtful.push_back((until_ns, print));
            }
            alike.doubtful_until_ns = alike.doubtful_until_ns.max(until_ns);
        }
        alike.writes.push_back((number, start_ns));
    }

    /// A write is forgotten, or a line has it.
    pub(super) fn remove(&mut self, print: Print, number: u64) {
        let Some(alike) = self.all.get_mut(&print) else { return };
        // those that go are the oldest, but for a few
        if let Some(at) = alike.writes.iter().position(|(other, _)| *other == number) {
            alike.writes.remove(at);
        }
        self.drop_idle(print);
    }

    /// Doubts about lines from before this time are over.
    pub(super) fn settle(&mut self, before_ns: u64) {
        while let Some((until_ns, print)) = self.doubtful.front().copied()
            && until_ns < before_ns
        {
            self.doubtful.pop_front();
            let Some(alike) = self.all.get_mut(&print) else { continue };
            if alike.doubtful_until_ns < before_ns {
                alike.doubtful_until_ns = 0;
                self.drop_idle(print);
            } else {
                self.doubtful.push_back((alike.doubtful_until_ns, print));
            }
        }
    }

    fn drop_idle(&mut self, print: Print) {
        if self.all.get(&print).is_some_and(|alike| alike.writes.is_empty() && alike.doubtful_until_ns == 0) {
            self.all.remove(&print);
        }
    }

    /// The writes of a text, and until when its lines are doubtful.
    pub(super) fn get(&self, print: Print) -> (impl Iterator<Item = u64>, u64) {
        let alike = self.all.get(&print);
        let numbers = alike.into_iter().flat_map(|alike| alike.writes.iter().map(|(number, _)| *number));
        (numbers, alike.map_or(0, |alike| alike.doubtful_until_ns))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}
