//! How many spans a workload may have in a window, and which are given up first: all but errors and what was slow.

use super::hash::Table;

/// Most workloads that are told apart; the rest shares one account.
const MOST_WORKLOADS: usize = 4_096;

/// What becomes of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It goes out.
    Tell,
    /// The workload has had its share.
    OverShare,
    /// The agent is over its budget of CPU time.
    OverBudget,
}

/// The accounts of one window.
#[derive(Debug)]
pub struct Shed {
    most: u32,
    spent: Table<u64, u32>,
    tells_all: bool,
}

impl Shed {
    /// Allows each workload this many spans in a window.
    pub fn new(most: u32) -> Self {
        Self { most, spent: Table::default(), tells_all: true }
    }

    /// Whether spans that matter less are told at all.
    pub fn tell_all(&mut self, on: bool) {
        self.tells_all = on;
    }

    /// Whether a span may go out; a fifth of what is allowed is kept for what matters: errors, and what was slow.
    pub fn allows(&mut self, workload: u64, matters: bool) -> Answer {
        if !matters && !self.tells_all {
            return Answer::OverBudget;
        }
        let is_room = self.spent.len() < MOST_WORKLOADS || self.spent.contains_key(&workload);
        let spent = self.spent.entry(if is_room { workload } else { 0 }).or_default();
        let limit = if matters { self.most } else { self.most - self.most / 5 };
        if *spent >= limit {
            return Answer::OverShare;
        }
        *spent += 1;
        Answer::Tell
    }

    /// The window has ended.
    pub fn renew(&mut self) {
        self.spent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Shed};

    #[test]
    fn a_workload_has_its_share_and_errors_go_last() {
        let mut shed = Shed::new(10);
        let sent = (0..20).filter(|_| shed.allows(1, false) == Answer::Tell).count();
        assert_eq!(sent, 8);
        assert_eq!(shed.allows(1, false), Answer::OverShare);
        assert_eq!(shed.allows(2, false), Answer::Tell, "another's share is its own");
        assert_eq!((0..20).filter(|_| shed.allows(1, true) == Answer::Tell).count(), 2);
        shed.renew();
        assert_eq!(shed.allows(1, false), Answer::Tell);
    }

    #[test]
    fn over_the_budget_only_what_matters_is_told() {
        let mut shed = Shed::new(10);
        shed.tell_all(false);
        assert_eq!((shed.allows(1, false), shed.allows(1, true)), (Answer::OverBudget, Answer::Tell));
    }
}
