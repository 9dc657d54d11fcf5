//! Requests, failures and latency histograms per pod and window, as a running system counts them.
//!
//! In: windows in order of time. Out: findings whose probabilities are e-values and need no placebos. New pods
//! are compared with the other pods of their workload in the same window: the same clock, the same callers.
//! Windows in which no other pod served, as after a configuration change in place, are compared with the hour
//! before. State: fixed per change; windows are kept for an hour and as long as a change may still read them.

mod alone;
mod arm;
mod versus;

pub use versus::Versus;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::stats::histogram::Histogram;

/// What one pod answered in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// End of the window, unix seconds.
    pub time: i64,
    /// The pod.
    pub pod: String,
    /// The route, operation or topic that was asked for; empty where nobody tells them apart.
    pub route: String,
    /// Requests that failed, at most all.
    pub failures: f64,
    /// All requests by latency; their sum is the number of requests.
    pub latency: Histogram,
}

/// The past that a comparison may read, seconds.
pub const PAST_S: i64 = 3_600;

/// Windows of all workloads, newest last.
#[derive(Debug, Clone)]
pub struct Windows {
    edges: Arc<[f64]>,
    by_workload: BTreeMap<String, VecDeque<Window>>,
}

impl Windows {
    /// None yet; `edges` are the ascending upper edges of the latency bins, seconds.
    #[must_use]
    pub fn new(edges: &[f64]) -> Self {
        Self { edges: edges.into(), by_workload: BTreeMap::new() }
    }

    /// Takes a window of a pod of `workload`; `false` if it cannot be: older than the last, more failures than
    /// requests, a negative or infinite count, another number of bins.
    pub fn push(&mut self, workload: &str, window: Window) -> bool {
        let fine = |v: &f64| v.is_finite() && *v >= 0.0;
        let bins = &window.latency.bins;
        let counts = bins.iter().all(fine) && fine(&window.failures);
        if !counts || bins.len() != self.edges.len() + 1 || window.failures > window.latency.total() {
            return false;
        }
        let kept = self.by_workload.entry(workload.to_owned()).or_default();
        if kept.back().is_some_and(|last| last.time > window.time) || !crate::case::is_time(window.time) {
            return false;
        }
        while kept.front().is_some_and(|first| window.time.saturating_sub(first.time) > 2 * PAST_S) {
            kept.pop_front();
        }
        kept.push_back(window);
        true
    }

    /// Windows of a workload with an end in `(from, to]`.
    pub(crate) fn between(&self, workload: &str, from: i64, to: i64) -> impl Iterator<Item = &Window> {
        let kept = self.by_workload.get(workload).into_iter().flatten();
        kept.filter(move |w| w.time > from && w.time <= to)
    }

    /// The upper edges of the bins.
    pub(crate) fn edges(&self) -> &Arc<[f64]> {
        &self.edges
    }
}
