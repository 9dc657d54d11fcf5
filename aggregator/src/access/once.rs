//! One question for all who ask the same at the same time; each gets its answer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

type Asked<K, V> = Mutex<HashMap<K, Arc<OnceCell<V>>>>;

/// Questions on their way. Bounded by those who ask: a question that nobody waits for any more is not kept.
#[derive(Debug)]
pub(crate) struct Once<K: Eq + Hash, V>(Asked<K, V>);

impl<K: Clone + Eq + Hash, V: Clone> Once<K, V> {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// The answer to the question of this key that is on its way, or to this one. When who asks goes away, the next
    /// who waits asks.
    pub(crate) async fn ask(&self, key: K, question: impl Future<Output = V>) -> V {
        let cell = Arc::clone(lock(&self.0).entry(key.clone()).or_default());
        let waiting = Waiting { asked: &self.0, key, cell };
        waiting.cell.get_or_init(|| question).await.clone()
    }
}

/// One who waits.
struct Waiting<'a, K: Eq + Hash, V> {
    asked: &'a Asked<K, V>,
    key: K,
    cell: Arc<OnceCell<V>>,
}

impl<K: Eq + Hash, V> Drop for Waiting<'_, K, V> {
    fn drop(&mut self) {
        let mut asked = lock(self.asked);
        // given up under the lock, so that the last one knows that it is the last
        let cell = std::mem::take(&mut self.cell);
        let is_over = cell.initialized() || Arc::strong_count(&cell) <= 2;
        // who comes after an answer asks anew
        if is_over && asked.get(&self.key).is_some_and(|other| Arc::ptr_eq(other, &cell)) {
            asked.remove(&self.key);
        }
        drop(cell);
    }
}

fn lock<K, V>(asked: &Asked<K, V>) -> MutexGuard<'_, HashMap<K, Arc<OnceCell<V>>>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::FutureExt as _;
    use tokio::sync::Notify;

    use super::{Once, lock};

    #[tokio::test]
    async fn those_who_ask_together_ask_once_and_a_question_outlives_who_asked_first() {
        let (once, asked, answer) = (Once::new(), AtomicU32::new(0), Notify::new());
        let ask = |key: &'static str| {
            Box::pin(once.ask(key, async {
                asked.fetch_add(1, Ordering::Relaxed);
                answer.notified().await;
                7
            }))
        };
        let (mut gone, mut first, mut second, mut other) = (ask("a"), ask("a"), ask("a"), ask("b"));
        assert!((&mut gone).now_or_never().is_none() && (&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        assert_eq!(asked.load(Ordering::Relaxed), 2, "one for each key");
        drop(gone);
        assert!((&mut first).now_or_never().is_none());
        assert_eq!(asked.load(Ordering::Relaxed), 3, "who waits asks when who asked has gone");
        drop(other);
        answer.notify_waiters();
        assert_eq!((first.await, second.await), (7, 7));
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        assert!(lock(&once.0).is_empty());
    }
}
