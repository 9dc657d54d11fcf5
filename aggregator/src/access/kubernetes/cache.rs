//! Answers that hold for a while; bounded: what ends soonest goes when there are too many.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Values by key, each until its time; times are on the clock's monotonic scale.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    most: usize,
    held: Mutex<HashMap<K, (Duration, V)>>,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), held: Mutex::default() }
    }

    /// What holds now.
    pub(super) fn get(&self, key: &K, now: Duration) -> Option<V> {
        let held = self.lock();
        held.get(key).filter(|(until, _)| *until > now).map(|(_, value)| value.clone())
    }

    pub(super) fn put(&self, key: K, value: V, until: Duration) {
        let mut held = self.lock();
        if held.len() >= self.most && !held.contains_key(&key) {
            let soonest = held.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| key.clone());
            soonest.map(|soonest| held.remove(&soonest));
        }
        held.insert(key, (until, value));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (Duration, V)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Cache;

    #[test]
    fn answers_end_and_are_bounded() {
        let (cache, at) = (Cache::new(2), Duration::from_secs);
        cache.put("a", 1, at(10));
        cache.put("b", 2, at(20));
        assert_eq!((cache.get(&"a", at(9)), cache.get(&"a", at(10))), (Some(1), None));
        cache.put("c", 3, at(30));
        assert_eq!(
            (cache.get(&"a", at(0)), cache.get(&"b", at(0)), cache.get(&"c", at(0))),
            (None, Some(2), Some(3))
        );
    }
}
