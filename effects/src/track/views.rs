//! Views: what an effect can look like, each a number that grows with it.
//!
//! A short spike, a broad shift, a value never seen at this clock, a jump between neighbours, a jump between
//! longer stretches: no single statistic sees all, and each, divided by what it does when nothing happens, is
//! comparable with the others. A sixth view stands alone: a shift that lasts may be smaller than the noise of one
//! sample, so that the other five hardly move.

use super::frame::Frame;
use super::top::Top;
use crate::grid::Grid;

/// Number of views.
pub(super) const VIEWS: usize = 6;
/// The view of lasting shifts; those before it are read together.
pub(super) const LASTING: usize = 5;
/// A shift lasts if it goes on for at least this part of the window up to now.
pub(super) const LASTING_PART: usize = 4;

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

/// What was seen since a start, cell by cell.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    level: Level,
    cells: usize,
    seen: usize,
    /// Sums and numbers of the seasonal residuals of the first cells, none to all.
    sums: Vec<(f64, u32)>,
}

/// What a trace says on one side, kept up with every cell.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    side: Side,
    seasonal: Top,
    nearest: Top,
    step: f64,
}

impl Seen {
    /// Nothing yet, for traces of up to `horizon` cells.
    pub(super) fn begin(side: Side, horizon: usize) -> Self {
        let (seasonal, nearest) = (Top::new(horizon.div_ceil(6)), Top::new(horizon.div_ceil(12)));
        Self { side, seasonal, nearest, step: 0.0 }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.seasonal.clear();
        self.nearest.clear();
        self.step = 0.0;
    }

    fn push(&mut self, (seasonal, nearest): (f64, f64)) {
        self.seasonal.push(self.side.part(seasonal));
        self.nearest.push(self.side.part(nearest));
    }
}

impl Trace {
    /// An empty trace of a start after cell `last`.
    pub(super) fn begin(grid: &Grid, frame: &Frame, last: i64) -> Self {
        let mut level = Level { base: frame.short(), sums: vec![(0.0, 0)], last: f64::NAN };
        for k in (0..BACK as i64).rev() {
            level.push(grid.at(last - k));
        }
        Self { level, cells: 0, seen: 0, sums: vec![(0.0, 0)] }
    }

    /// Takes the next value (NaN for a gap) and its residuals.
    pub(super) fn push(&mut self, y: f64, residuals: (f64, f64), sides: &mut [Seen]) {
        let step = y - self.level.last;
        self.level.push(y);
        self.cells += 1;
        let (sum, n) = self.whole();
        if y.is_nan() {
            self.sums.push((sum, n));
            return;
        }
        self.seen += 1;
        self.sums.push((sum + residuals.0, n + 1));
        for side in sides {
            side.push(residuals);
            // NaN (a gap before) compares as no step
            side.step = side.step.max(side.side.part(step));
        }
    }

    /// Mean seasonal residual; `None` before the first value.
    pub(super) fn mean(&self) -> Option<f64> {
        let (sum, n) = self.whole();
        (n > 0).then(|| sum / f64::from(n))
    }

    fn whole(&self) -> (f64, u32) {
        self.sums.last().copied().unwrap_or((0.0, 0))
    }

    /// The largest mean residual of a stretch up to now, of at least a quarter of the window, by the root of the
    /// part of the window that it takes: what is as unlikely in a shorter stretch must be larger there (Page,
    /// Biometrika 1954, with the start of the shift unknown).
    fn lasting(&self, side: Side) -> f64 {
        let (sum, n) = self.whole();
        let mut most = 0.0_f64;
        for (before, m) in &self.sums[..=self.cells - self.cells.div_ceil(LASTING_PART)] {
            let rest = f64::from(n - m);
            // NaN (only gaps) compares as no shift
            most = most.max(side.part((sum - before) / rest) * (rest / f64::from(n)).sqrt());
        }
        most
    }

    /// The views of all cells so far; `None` if none of them has a value.
    pub(super) fn views(&self, side: &Seen) -> Option<[f64; VIEWS]> {
        let n = self.seen;
        if n == 0 {
            return None;
        }
        Some([
            side.seasonal.mean(n.div_ceil(24)),
            side.seasonal.mean(n.div_ceil(6)),
            side.nearest.mean(n.div_ceil(12)),
            side.step,
            self.level.jump((self.cells / 11).max(1), side),
            self.lasting(side.side),
        ])
    }
}

/// The values themselves, the last `BACK` before the start first, as running sums: any mean is one difference.
#[derive(Debug, Clone)]
struct Level {
    /// Subtracted first, so that sums stay small.
    base: f64,
    sums: Vec<(f64, u32)>,
    last: f64,
}

impl Level {
    fn push(&mut self, y: f64) {
        let (sum, n) = self.sums.last().copied().unwrap_or((0.0, 0));
        self.sums.push(if y.is_nan() { (sum, n) } else { (sum + (y - self.base), n + 1) });
        self.last = y;
    }

    /// The largest step between the means of `width` neighbours.
    fn jump(&self, width: usize, seen: &Seen) -> f64 {
        if width == 1 {
            return seen.step;
        }
        let cells = self.sums.len() - 1;
        // the first comparison already needs one value after the start on its right
        let first = BACK.saturating_sub(width - 1).max(width);
        let whole = self.sums.last().is_some_and(|s| s.1 as usize == cells);
        let mut most = 0.0_f64;
        for at in first..=cells.saturating_sub(width) {
            let (left, middle, right) = (self.sums[at - width], self.sums[at], self.sums[at + width]);
            let step = if whole {
                (right.0 - 2.0 * middle.0 + left.0) / width as f64
            } else {
                let mean = |a: (f64, u32), b: (f64, u32)| (b.0 - a.0) / f64::from(b.1 - a.1);
                mean(middle, right) - mean(left, middle)
            };
            // NaN (only gaps on one side) compares as no jump
            most = most.max(seen.side.part(step));
        }
        most
    }
}
