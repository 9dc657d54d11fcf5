//! What a process serves: requests that are open, and whether its threads have one at a time or turns.

use super::Context;

/// Calls of a process that are counted, how many are too few to judge by, and which share may come in nobody's turn.
const MOST_CALLS: u32 = 1_024;
const FEW_CALLS: u32 = 8;
const STRAY_SHARE: u32 = 10;
/// One request in so many may look odd.
const ODD_SHARE: u32 = 20;
/// For how long the one request that a process has open has part in all that it does: later it may be one that never ends.
pub(super) const ALONE_NS: u64 = 60_000_000_000;

/// What is open in a process.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) context: Context,
    pub(super) at_ns: u64,
    /// It has asked for something.
    pub(super) has_asked: bool,
    /// And has read no answer since.
    pub(super) is_waiting: bool,
}

#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) open: Vec<Open>,
    /// Requests, and those that came while their thread had another one open, or were answered by another thread.
    pub(super) begun: u32,
    pub(super) odd: u32,
    /// Some of its sockets do not block.
    pub(super) is_polled: bool,
    /// Many requests share its connections.
    pub(super) has_streams: bool,
    /// It is made by Go, and a goroutine of it was heard of then.
    pub(super) has_tasks_ns: Option<u64>,
    /// Something was asked, nobody knows for what, by one of those that are open now.
    pub(super) has_unknown: bool,
    /// Of the last calls, how many there were and how many in nobody's turn.
    pub(super) calls: u32,
    pub(super) stray: u32,
    pub(super) last_ns: u64,
}

impl Open {
    pub(super) fn is_new(&self, at_ns: u64) -> bool {
        at_ns.saturating_sub(self.at_ns) < ALONE_NS
    }
}

impl Process {
    pub(super) fn asked(&mut self, is_told: bool) {
        if self.calls >= MOST_CALLS {
            (self.calls, self.stray) = (self.calls / 2, self.stray / 2);
        }
        self.calls += 1;
        self.stray += u32::from(!is_told);
    }

    /// Whether what it asks nearly always comes in somebody's turn.
    pub(super) fn keeps_turns(&self) -> bool {
        self.stray < FEW_CALLS || self.stray <= self.calls / STRAY_SHARE
    }

    /// Whether its threads serve several at once, or its tasks wander. Where calls block, a few such requests may have come of
    /// records that were lost.
    pub(super) fn is_mixed(&self) -> bool {
        if self.is_polled { self.odd > 0 } else { self.odd > 2 && self.odd > self.begun / ODD_SHARE }
    }

    pub(super) fn get(&self, span_id: [u8; 8]) -> Option<&Open> {
        self.open.iter().find(|open| open.context.span_id == span_id)
    }

    pub(super) fn find(&mut self, span_id: [u8; 8]) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.context.span_id == span_id)
    }

    /// The one that is open, if it is one.
    pub(super) fn only_one(&self, at_ns: u64) -> Option<Context> {
        let [one] = self.open.as_slice() else { return None };
        one.is_new(at_ns).then_some(one.context)
    }

    /// The one that has asked for nothing so far, if it is one.
    pub(super) fn silent(&self, at_ns: u64) -> Option<Context> {
        let mut silent =
            self.open.iter().filter(|open| !open.has_asked && !self.has_unknown && open.is_new(at_ns));
        silent.next().filter(|_| silent.next().is_none()).map(|open| open.context)
    }
}
