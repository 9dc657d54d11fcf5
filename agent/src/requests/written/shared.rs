//! The writes as the probe and the reader of logs share them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Writes;

/// The writes, shared by who sees them and who reads logs; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Written(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    writes: Mutex<Writes>,
    /// Somebody sees writes.
    is_on: AtomicBool,
    /// All writes that ended before were seen, wall time.
    seen_ns: AtomicU64,
}

impl Written {
    /// Whether writes are seen at all.
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// Writes are seen from now on, or no longer.
    pub fn switch(&self, is_on: bool) {
        self.0.is_on.store(is_on, Ordering::Relaxed);
    }

    /// All writes that ended before this time were seen.
    pub fn seen(&self, until_ns: u64) {
        self.0.seen_ns.store(until_ns, Ordering::Release);
    }

    /// Until when they were.
    pub fn seen_until(&self) -> u64 {
        self.0.seen_ns.load(Ordering::Acquire)
    }

    /// The writes themselves.
    pub fn lock(&self) -> MutexGuard<'_, Writes> {
        self.0.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
