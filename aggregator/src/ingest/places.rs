//! How many streams a node may have open: one certificate cannot take the places or the memory of all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ingest::status;
use proto::error::ErrorCode;
use tonic::Status;

/// Streams of one kind per node: an agent has one, and a few that have died and are not noticed yet.
const MOST: u32 = 8;

/// Open streams by node; clones count together. Bounded by the connections that may be open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<Mutex<HashMap<String, u32>>>);

/// One of a node's streams, while it is held.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    node: String,
}

impl Places {
    /// # Errors
    /// When the node has as many as it may.
    pub(crate) fn take(&self, node: &str) -> Result<Place, Status> {
        let mut held = self.lock();
        let open = held.entry(node.to_owned()).or_default();
        if *open >= MOST {
            return Err(status(
                ErrorCode::Busy,
                format!("node {node:?} has {MOST} such streams open already"),
            ));
        }
        *open += 1;
        Ok(Place { places: self.clone(), node: node.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        let left = held.get(&self.node).map_or(0, |open| open.saturating_sub(1));
        if left == 0 {
            held.remove(&self.node);
        } else {
            held.insert(std::mem::take(&mut self.node), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Places};

    #[test]
    fn a_node_fills_its_own_places_only_and_gives_them_back() {
        let places = Places::default();
        let mut held: Vec<_> = (0..MOST).map(|_| places.take("a").unwrap()).collect();
        assert!(places.take("a").is_err() && places.take("b").is_ok());
        drop(held.pop());
        assert!(places.take("a").is_ok());
        drop(held);
        assert!(places.lock().is_empty());
    }
}
