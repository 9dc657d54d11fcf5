//! Prepared statements by what the client calls them: as many as fit, the oldest given up.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use super::Statement;

/// Bytes of text that one connection's statements may have.
const MAX_BYTES: usize = 64 * 1_024;

pub(in super::super) struct Statements<K> {
    known: HashMap<K, Arc<Statement>>,
    order: VecDeque<K>,
    limit: usize,
    bytes: usize,
}

impl<K: Hash + Eq + Clone> Statements<K> {
    pub(in super::super) fn new(limit: usize) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), limit, bytes: 0 }
    }

    pub(in super::super) fn insert(&mut self, name: K, statement: Arc<Statement>) {
        self.bytes += weight(&statement);
        match self.known.insert(name.clone(), statement) {
            Some(before) => self.bytes -= weight(&before),
            None => self.order.push_back(name),
        }
        while self.order.len() > self.limit || self.bytes > MAX_BYTES {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(before) = self.known.remove(&oldest) {
                self.bytes -= weight(&before);
            }
        }
    }

    /// Bytes that they take.
    pub(in super::super) fn memory(&self) -> usize {
        const EACH: usize = 256;
        self.bytes + self.order.len() * EACH
    }

    pub(in super::super) fn get(&self, name: &K) -> Option<&Arc<Statement>> {
        self.known.get(name)
    }

    pub(in super::super) fn remove(&mut self, name: &K) {
        if let Some(before) = self.known.remove(name) {
            self.bytes -= weight(&before);
            self.order.retain(|other| other != name);
        }
    }

    pub(in super::super) fn clear(&mut self) {
        self.known.clear();
        self.order.clear();
        self.bytes = 0;
    }
}

fn weight(statement: &Statement) -> usize {
    statement.text.len() + statement.summary.len()
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::{Arc, MAX_BYTES, Statement, Statements};

    #[test]
    fn the_oldest_go_by_number_and_by_size() {
        let small = Arc::new(Statement::read(b"SELECT a FROM b", Dialect::Postgres, false));
        let mut statements = Statements::new(3);
        for name in [1, 2, 3, 3, 4] {
            statements.insert(name, Arc::clone(&small));
        }
        assert_eq!([1, 2, 3, 4].map(|name| statements.get(&name).is_some()), [false, true, true, true]);
        statements.remove(&3);
        assert_eq!((statements.order.len(), statements.bytes), (2, 2 * (15 + 8)));
        let large = "SELECT abcdefgh, ".repeat(100);
        let large = Arc::new(Statement::read(large.as_bytes(), Dialect::Postgres, false));
        let mut statements = Statements::new(1_000);
        for name in 0..1_000 {
            statements.insert(name, Arc::clone(&large));
        }
        assert!(
            statements.bytes <= MAX_BYTES && statements.get(&999).is_some() && statements.get(&0).is_none()
        );
        statements.clear();
        assert_eq!((statements.bytes, statements.get(&999).is_none()), (0, true));
    }
}
