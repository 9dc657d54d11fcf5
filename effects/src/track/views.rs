//! Views: what an effect can look like, each a number that grows with it.
//!
//! A short spike, a broad shift, a value never seen at this clock, a jump between neighbours: no single
//! statistic sees all, and each, divided by what it does when nothing happens, is comparable with the others.

use super::frame::Frame;
use crate::grid::Grid;
use crate::stats::robust::top_mean;

/// Number of views.
pub(super) const VIEWS: usize = 5;

/// Which deviations count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Above the counterfactual.
    Up,
    /// Below it.
    Down,
    /// Either way.
    Both,
}

impl Side {
    /// The part of a deviation that counts, never negative.
    #[must_use]
    pub fn part(self, deviation: f64) -> f64 {
        match self {
            Self::Up => deviation.max(0.0),
            Self::Down => (-deviation).max(0.0),
            Self::Both => deviation.abs(),
        }
    }

    /// The other way; of both, there is none.
    #[must_use]
    pub fn mirror(self) -> Option<Self> {
        match self {
            Self::Up => Some(Self::Down),
            Self::Down => Some(Self::Up),
            Self::Both => None,
        }
    }
}

/// Cells before the start that the jump views look back to.
pub(super) const BACK: usize = 10;

/// What was seen since a start, cell by cell; NaN where there was no sample.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    /// Distance from the seasonal expectation.
    pub(super) seasonal: Vec<f64>,
    /// Distance from the nearest counterfactual.
    pub(super) nearest: Vec<f64>,
    /// The values themselves, the last `BACK` before the start first.
    pub(super) level: Vec<f64>,
}

impl Trace {
    /// An empty trace of a start after cell `last`.
    pub(super) fn begin(grid: &Grid, last: i64, back: usize) -> Self {
        let level = (0..back as i64).rev().map(|k| grid.at(last - k)).collect();
        Self { level, ..Self::default() }
    }

    /// Takes the value `k` cells after the start.
    pub(super) fn push(&mut self, grid: &Grid, frame: &Frame, k: i64, y: f64) {
        let (seasonal, nearest) = if y.is_nan() { (f64::NAN, f64::NAN) } else { frame.residuals(grid, k, y) };
        self.seasonal.push(seasonal);
        self.nearest.push(nearest);
        self.level.push(y);
    }

    /// The views of the first `n` cells; `None` if none of them has a value.
    pub(super) fn views(&self, n: usize, side: Side) -> Option<[f64; VIEWS]> {
        let parts = |v: &[f64]| -> Vec<f64> {
            v.iter().take(n).filter(|x| !x.is_nan()).map(|x| side.part(*x)).collect()
        };
        let (mut seasonal, mut nearest) = (parts(&self.seasonal), parts(&self.nearest));
        if seasonal.is_empty() {
            return None;
        }
        let size = seasonal.len();
        let level = &self.level[..(BACK + n).min(self.level.len())];
        Some([
            top_mean(&mut seasonal, size.div_ceil(24)),
            top_mean(&mut seasonal, size.div_ceil(6)),
            top_mean(&mut nearest, size.div_ceil(12)),
            jump(level, 1, side),
            jump(level, (n / 11).max(1), side),
        ])
    }
}

/// The largest step between the means of `width` neighbours.
fn jump(level: &[f64], width: usize, side: Side) -> f64 {
    let mean = |v: &[f64]| {
        let (mut sum, mut n) = (0.0, 0u32);
        for x in v.iter().filter(|x| !x.is_nan()) {
            sum += x;
            n += 1;
        }
        sum / f64::from(n)
    };
    let mut most = 0.0_f64;
    // the first comparison already needs one value after the start on its right
    let first = BACK.saturating_sub(width - 1).max(width);
    for at in first..=level.len().saturating_sub(width) {
        let step = mean(&level[at..at + width]) - mean(&level[at - width..at]);
        // NaN (a gap on one side) compares as no jump
        most = most.max(side.part(step));
    }
    most
}
