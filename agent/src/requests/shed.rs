//! How many spans a workload may have in a window: errors are given up last.

use std::collections::HashMap;

/// Most workloads that are told apart; the rest shares one account.
const MOST_WORKLOADS: usize = 4_096;

/// The accounts of one window.
#[derive(Debug)]
pub struct Shed {
    most: u32,
    spent: HashMap<u64, u32>,
}

impl Shed {
    /// Allows each workload this many spans in a window.
    pub fn new(most: u32) -> Self {
        Self { most, spent: HashMap::new() }
    }

    /// Whether a span may go out; a fifth of what is allowed is kept for errors.
    pub fn allows(&mut self, workload: u64, failed: bool) -> bool {
        let is_room = self.spent.len() < MOST_WORKLOADS || self.spent.contains_key(&workload);
        let spent = self.spent.entry(if is_room { workload } else { 0 }).or_default();
        let limit = if failed { self.most } else { self.most - self.most / 5 };
        if *spent >= limit {
            return false;
        }
        *spent += 1;
        true
    }

    /// The window has ended.
    pub fn renew(&mut self) {
        self.spent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Shed;

    #[test]
    fn a_workload_has_its_share_and_errors_go_last() {
        let mut shed = Shed::new(10);
        let sent = (0..20).filter(|_| shed.allows(1, false)).count();
        assert_eq!(sent, 8);
        assert!(shed.allows(2, false), "another's share is its own");
        assert_eq!((0..20).filter(|_| shed.allows(1, true)).count(), 2);
        shed.renew();
        assert!(shed.allows(1, false));
    }
}
