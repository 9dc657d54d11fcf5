//! What one arm of a comparison has answered.

use crate::stats::histogram::Histogram;

/// Sums over windows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Arm {
    pub(super) failures: f64,
    pub(super) latency: Histogram,
}

impl Arm {
    pub(super) fn add(&mut self, failures: f64, latency: &Histogram) {
        self.failures += failures;
        self.latency.add(latency);
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.add(other.failures, &other.latency);
    }

    pub(super) fn requests(&self) -> f64 {
        self.latency.total()
    }

    /// Share of failures, with half a failure added so that none is not taken for never.
    pub(super) fn share(&self) -> f64 {
        ((self.failures + 0.5) / (self.requests() + 1.0)).min(1.0)
    }
}
