//! What the reader tells about itself: counters for metrics, losses for the ledger, a state for `/probes`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::window::sample::Loss;

/// Most sentences about what is missing.
const MAX_MISSING: usize = 16;

/// Counters since the start, and gauges; shared by the threads that read.
#[derive(Debug, Default)]
pub struct LogStatus {
    /// Rows handed on.
    pub lines: Counter,
    /// Bytes of their bodies.
    pub body_bytes: Counter,
    /// Rows whose body was cut at 1 MiB.
    pub truncated: Counter,
    /// Container lines that were neither CRI nor docker json, kept as text.
    pub malformed: Counter,
    /// Files that were truncated or replaced under their name.
    pub replaced: Counter,
    /// Files rotated away and read on.
    pub rotated: Counter,
    /// Files open now (a gauge).
    pub open_files: Counter,
    /// Files that match a glob and are not followed since `max_files` are open (a gauge).
    pub unfollowed_files: Counter,
    /// Bytes in followed files that were not yet read (a gauge).
    pub lag_bytes: Counter,
    losses: Mutex<BTreeMap<&'static str, u64>>,
    missing: Mutex<BTreeSet<String>>,
}

/// A number that any thread may change.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl LogStatus {
    /// What was lost since the last call: `rate_limit`, `deleted_unread` (lines), `rotated_away` (files whose rest
    /// could not be found after a restart).
    pub fn take_losses(&self) -> Vec<Loss> {
        let losses = std::mem::take(&mut *lock(&self.losses));
        let row = |(reason, count)| Loss { signal: "log", stage: "read", reason, count };
        losses.into_iter().map(row).collect()
    }

    /// What does not work here, in sentences: files without permission, no journal.
    pub fn missing(&self) -> Vec<String> {
        lock(&self.missing).iter().cloned().collect()
    }

    pub(crate) fn lose(&self, reason: &'static str, count: u64) {
        if count > 0 {
            *lock(&self.losses).entry(reason).or_default() += count;
        }
    }

    /// Says it once in the log and from then on in the state.
    pub(crate) fn miss(&self, sentence: String) {
        let mut missing = lock(&self.missing);
        if missing.len() < MAX_MISSING && !missing.contains(&sentence) {
            tracing::warn!(reason = sentence, "logs are read only in part");
            missing.insert(sentence);
        }
    }

    pub(crate) fn no_longer_misses(&self, beginning: &str) {
        lock(&self.missing).retain(|sentence| !sentence.starts_with(beginning));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
