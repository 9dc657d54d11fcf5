//! What the reader tells about itself: counters for metrics, losses for the ledger, a state for `/probes`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::window::sample::Loss;

/// Most sentences that are shown.
const MAX_SHOWN: usize = 15;
/// Most that are kept.
const MAX_KEPT: usize = 4_096;

/// What is missing, and of which file.
type Missing = (&'static str, PathBuf);

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
    /// Lines that were passed over since an annotation of their pod says so.
    pub passed_over: Counter,
    /// Logs that an annotation leaves out (a gauge).
    pub left_out_logs: Counter,
    /// Logs that wait in their files until something is told of their pod (a gauge).
    pub waiting_logs: Counter,
    losses: Mutex<BTreeMap<&'static str, u64>>,
    missing: Mutex<BTreeMap<Missing, String>>,
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
    /// What was lost since the last call: `rate_limit` (records), `deleted_unread`, `unknown_pod` (lines), `rotated_away`
    /// (files whose rest could not be found after a restart, and rotated files that were compressed before they were seen).
    pub fn take_losses(&self) -> Vec<Loss> {
        let losses = std::mem::take(&mut *lock(&self.losses));
        let row = |(reason, count)| Loss { signal: "log", stage: "read", reason, count };
        losses.into_iter().map(row).collect()
    }

    /// What does not work here now, in sentences: files without permission, no journal.
    pub fn missing(&self) -> Vec<String> {
        let missing = lock(&self.missing);
        let mut sentences: Vec<String> = missing.values().take(MAX_SHOWN).cloned().collect();
        if missing.len() > MAX_SHOWN {
            sentences.push(format!("and {} more", missing.len() - MAX_SHOWN));
        }
        sentences
    }

    pub(crate) fn lose(&self, reason: &'static str, count: u64) {
        if count > 0 {
            *lock(&self.losses).entry(reason).or_default() += count;
        }
    }

    /// Says it once in the log, and in the state until it works; `path` is empty where it is about no file.
    pub(crate) fn miss(&self, what: &'static str, path: &Path, sentence: String) {
        let mut missing = lock(&self.missing);
        let key = (what, path.to_owned());
        if !missing.contains_key(&key) {
            if missing.len() >= MAX_KEPT {
                return;
            }
            tracing::warn!(reason = sentence, "logs are read only in part");
        }
        missing.insert(key, sentence);
    }

    /// It works now.
    pub(crate) fn works(&self, what: &'static str, path: &Path) {
        let mut missing = lock(&self.missing);
        if !missing.is_empty() {
            missing.remove(&(what, path.to_owned()));
        }
    }

    /// Forgets what was said of files that nobody wants any more.
    pub(crate) fn keep_files(&self, is_wanted: impl Fn(&Path) -> bool) {
        lock(&self.missing).retain(|(_, path), _| path.as_os_str().is_empty() || is_wanted(path));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::LogStatus;

    #[test]
    fn sentences_go_when_it_works_and_the_surplus_is_counted() {
        let status = LogStatus::default();
        let none = Path::new("");
        status.miss("inotify", none, "no inotify".to_owned());
        for file in 0..20 {
            let path = format!("/{file}");
            status.miss("open", Path::new(&path), "old".to_owned());
            status.miss("open", Path::new(&path), format!("cannot read {path}"));
        }
        assert_eq!(status.missing().len(), 16);
        assert_eq!(status.missing().last().map(String::as_str), Some("and 6 more"));
        status.keep_files(|path| path == Path::new("/7") || path == Path::new("/8"));
        status.works("open", Path::new("/8"));
        status.works("read", Path::new("/7"));
        assert_eq!(status.missing(), ["no inotify", "cannot read /7"]);
        status.works("inotify", none);
        assert_eq!(status.missing(), ["cannot read /7"]);
    }
}
