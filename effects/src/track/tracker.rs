//! The change itself, run through the same views as its placebos.

use std::sync::Arc;

use super::frame::{Frame, Plan};
use super::placebo::Reference;
use super::views::{Seen, Trace};
use crate::grid::Grid;

/// How unusual a series has been since the change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Largest ratio so far; 1 is the .95 quantile of the placebos' largest. Never falls.
    pub largest: f64,
    /// Ratio at the latest look; 1 is the .95 quantile of the placebos at that look. Falls when an effect passes.
    pub now: f64,
    /// Probability that a placebo reaches `largest`, valid at every look.
    pub p: f64,
    /// Placebos it rests on.
    pub placebos: usize,
}

/// One series since one change. Its size is fixed by the horizon.
#[derive(Debug, Clone)]
pub struct Tracker {
    frame: Frame,
    trace: Trace,
    view: Seen,
    residuals: Vec<f64>,
    reference: Arc<Reference>,
    next: usize,
    largest: f64,
    now: f64,
    seen: usize,
}

impl Tracker {
    /// `None` if the series has nothing before cell `last` to compare with.
    #[must_use]
    pub fn open(grid: &Grid, plan: &Plan, last: i64, reference: Arc<Reference>) -> Option<Self> {
        let frame = Frame::at(grid, plan, last)?;
        let trace = Trace::begin(grid, &frame, last);
        let view = Seen::begin(reference.side, reference.horizon());
        let residuals = Vec::new();
        Some(Self { frame, trace, view, residuals, reference, next: 0, largest: 0.0, now: 0.0, seen: 0 })
    }

    /// Takes the value of the next cell (NaN for a gap); `history` is the grid up to the change or later.
    pub fn push(&mut self, history: &Grid, y: f64) {
        let k = self.residuals.len() as i64 + 1;
        let residuals = if y.is_nan() { (y, y) } else { self.frame.residuals(history, k, y) };
        self.trace.push(y, residuals, std::slice::from_mut(&mut self.view));
        self.residuals.push(residuals.0);
        self.seen += usize::from(!y.is_nan());
        let n = self.residuals.len();
        let Some(look) = self.reference.looks.get(self.next).filter(|l| l.cells <= n) else { return };
        if let Some(views) = self.trace.views(&self.view) {
            self.now = look.ratio(&views) / self.reference.wild(self.frame.noise());
            self.largest = self.largest.max(self.now);
        }
        self.next += 1;
    }

    /// Cells taken so far.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.residuals.len()
    }

    /// Samples among them.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.seen
    }

    /// How unusual it has been; `None` before the first sample.
    #[must_use]
    pub fn ratio(&self) -> Option<Ratio> {
        if self.seen == 0 {
            return None;
        }
        let largest = self.largest / self.reference.largest;
        // below the .95 quantile the tail says nothing: linear towards 1
        let p = if largest >= 1.0 {
            (0.05 * largest.powf(-1.0 / self.reference.tail)).max(LEAST_P)
        } else {
            1.0 - 0.95 * largest
        };
        Some(Ratio { largest, now: self.now, p, placebos: self.reference.placebos })
    }

    /// A shift, in working units, that would by now have a probability of `alpha` if it had lasted from the start
    /// without noise; `None` before the first look.
    #[must_use]
    pub fn detectable(&self, alpha: f64) -> Option<f64> {
        let look = self.reference.looks.get(self.next.checked_sub(1)?)?;
        let ratio = (0.05 / alpha).max(1.0).powf(self.reference.tail) * self.reference.largest;
        Some(self.reference.wild(self.frame.noise()) * look.shift_for(ratio))
    }

    /// Residuals against the seasonal expectation so far; NaN for gaps.
    #[must_use]
    pub fn residuals(&self) -> &[f64] {
        &self.residuals
    }

    /// The level the change started from.
    #[must_use]
    pub fn level(&self) -> f64 {
        self.frame.short()
    }

    /// What the mean residual of a whole window does when nothing changes: its .025 and .975 quantile.
    #[must_use]
    pub fn band(&self) -> (f64, f64) {
        self.reference.band
    }
}

/// An extrapolated tail is not to be believed further out than this.
const LEAST_P: f64 = 1e-6;
