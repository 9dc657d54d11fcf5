//! Answers that hold for a while; bounded: what ends soonest goes when there are too many.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Values by key, each until its time; times are on the clock's monotonic scale.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    most: usize,
    held: Mutex<Held<K, V>>,
}

/// When a value ends; two that end together differ in their number.
type End = (Duration, u64);

#[derive(Debug)]
struct Held<K, V> {
    values: HashMap<K, (End, V)>,
    by_end: BTreeMap<End, K>,
    next: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        let held = Held { values: HashMap::new(), by_end: BTreeMap::new(), next: 0 };
        Self { most: most.max(1), held: Mutex::new(held) }
    }

    /// What holds now.
    pub(crate) fn get(&self, key: &K, now: Duration) -> Option<V> {
        let held = self.lock();
        held.values.get(key).filter(|((until, _), _)| *until > now).map(|(_, value)| value.clone())
    }

    /// Whether there is a value, also one that has ended.
    pub(crate) fn had(&self, key: &K) -> bool {
        self.lock().values.contains_key(key)
    }

    pub(crate) fn put(&self, key: K, value: V, until: Duration) {
        let mut held = self.lock();
        let end = (until, held.next);
        held.next += 1;
        if let Some((before, _)) = held.values.insert(key.clone(), (end, value)) {
            held.by_end.remove(&before);
        }
        held.by_end.insert(end, key);
        while held.values.len() > self.most
            && let Some((_, soonest)) = held.by_end.pop_first()
        {
            held.values.remove(&soonest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held<K, V>> {
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
        assert!(cache.had(&"a") && !cache.had(&"c"));
        cache.put("c", 3, at(30));
        assert_eq!(
            (cache.get(&"a", at(0)), cache.get(&"b", at(0)), cache.get(&"c", at(0))),
            (None, Some(2), Some(3))
        );
        cache.put("b", 4, at(40));
        cache.put("d", 5, at(50));
        assert_eq!((cache.get(&"b", at(0)), cache.get(&"c", at(0))), (Some(4), None), "b ends later now");
        assert_eq!(cache.lock().by_end.len(), 2);
    }
}
