//! Names of topics by their ids, of all connections of the node: an id is a topic's alone, whatever cluster it is of.

use std::sync::{Arc, Mutex, PoisonError};

use super::topics::Id;
use crate::requests::hash::Table;

/// Topics that are known; beyond them all are forgotten, and learnt anew.
const MOST_NAMES: usize = 4_096;

/// What the connections of one node tell each other.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<Table<Id, String>>>);

impl Names {
    /// The first name that was said of an id stays: nobody can give another's topic a name afterwards.
    pub(super) fn learn(&self, id: Id, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.contains_key(&id) {
            return;
        }
        if names.len() >= MOST_NAMES {
            names.clear();
        }
        names.insert(id, name.to_owned());
    }

    pub(super) fn name(&self, id: &[u8]) -> Option<String> {
        let id = Id::try_from(id).ok()?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}
