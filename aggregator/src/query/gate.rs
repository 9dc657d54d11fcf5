//! How many queries run and wait: a query gets a place, waits for one, or is refused at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::query::error::QueryError;

/// As many run as there are places; four times as many may wait.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    running: usize,
    most_waiting: usize,
    waiting: Arc<AtomicUsize>,
}

/// A running query's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Gate {
    pub(crate) fn new(running: usize) -> Self {
        let running = running.max(1);
        Self {
            places: Arc::new(Semaphore::new(running)),
            running,
            most_waiting: running * 4,
            waiting: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// A place, at once or after a wait.
    ///
    /// # Errors
    /// `Busy` when as many wait as may.
    pub(crate) async fn enter(&self) -> Result<Place, QueryError> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Place(permit));
        }
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = Waiting(&self.waiting);
        if before >= self.most_waiting {
            return Err(QueryError::Busy { running: self.running, waiting: self.most_waiting });
        }
        let permit = Arc::clone(&self.places).acquire_owned().await;
        drop(waiting);
        permit.map(Place).map_err(|_closed| QueryError::Stopping)
    }

    /// Queries that run now, and those that wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        (
            self.running - self.places.available_permits().min(self.running),
            self.waiting.load(Ordering::Acquire),
        )
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use proto::error::ErrorCode;

    use super::Gate;

    #[tokio::test]
    async fn four_times_as_many_wait_as_run_and_the_next_is_refused() {
        let gate = Gate::new(1);
        let place = gate.enter().await.unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(gate.enter())).collect();
        for wait in &mut waiting {
            assert!(wait.as_mut().now_or_never().is_none());
        }
        assert_eq!(gate.load(), (1, 4));
        assert_eq!(gate.enter().await.unwrap_err().code(), ErrorCode::Busy);
        drop(waiting);
        assert_eq!(gate.load(), (1, 0));
        drop(place);
        assert!(gate.enter().now_or_never().is_some());
    }
}
