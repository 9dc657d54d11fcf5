//! Prepared statements by what the client calls them: as many as fit, the oldest given up.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use super::Statement;

pub(in super::super) struct Statements<K> {
    known: HashMap<K, Arc<Statement>>,
    order: VecDeque<K>,
    limit: usize,
}

impl<K: Hash + Eq + Clone> Statements<K> {
    pub(in super::super) fn new(limit: usize) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), limit }
    }

    pub(in super::super) fn insert(&mut self, name: K, statement: Arc<Statement>) {
        if self.known.insert(name.clone(), statement).is_some() {
            return;
        }
        self.order.push_back(name);
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(in super::super) fn get(&self, name: &K) -> Option<&Arc<Statement>> {
        self.known.get(name)
    }

    pub(in super::super) fn remove(&mut self, name: &K) {
        if self.known.remove(name).is_some() {
            self.order.retain(|other| other != name);
        }
    }

    pub(in super::super) fn clear(&mut self) {
        self.known.clear();
        self.order.clear();
    }
}
