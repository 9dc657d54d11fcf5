//! The windows of a series in which nothing changed, run through the views.

use super::frame::{Frame, Plan};
use super::placebo::{MOST, looks_up_to};
use super::views::{Seen, Side, Trace, VIEWS};
use crate::grid::Grid;
use crate::stats::robust::median;

/// The views of one window, and which window it is.
pub(super) type Row = (usize, [f64; VIEWS]);

/// What all windows showed: per side and look the views of those that reach it.
#[derive(Debug)]
pub(super) struct Windows {
    pub(super) count: usize,
    pub(super) seen: Vec<Vec<Vec<Row>>>,
    /// Mean seasonal residual of each window that has one.
    pub(super) means: Vec<f64>,
    /// Noise of the hour before each window.
    pub(super) noise: Vec<f64>,
}

/// How wild a window may be expected to be after an hour of this noise, as a ratio to the usual: by the mean of both
/// variances, as each is a guess. A wild hour is followed by a wild one; a calm one promises little.
pub(super) fn wild(noise: f64, usual: f64) -> f64 {
    let hour = noise / usual;
    f64::midpoint(hour * hour, 1.0).sqrt()
}

impl Windows {
    /// No window at all.
    pub(super) fn none(sides: usize, horizon: usize) -> Self {
        let looks = looks_up_to(horizon).count();
        Self { count: 0, seen: vec![vec![Vec::new(); looks]; sides], means: Vec::new(), noise: Vec::new() }
    }

    /// Every start, `spacing` cells apart, whose window of `horizon` cells ends at or before cell `last`.
    pub(super) fn run(
        grid: &Grid,
        plan: &Plan,
        (last, horizon, spacing): (i64, usize, i64),
        sides: &[Side],
    ) -> Self {
        let mut windows = Self::none(sides.len(), horizon);
        let reach = horizon as i64;
        let mut seen: Vec<Seen> = sides.iter().map(|side| Seen::begin(*side, horizon)).collect();
        // newest first; where history is long the first one ends where the change begins, else windows are cut
        let mut start = if last > 2 * reach { last - reach } else { last - 1 };
        while start > 0 && windows.count < MOST {
            if let Some(frame) = Frame::at(grid, plan, start) {
                seen.iter_mut().for_each(Seen::clear);
                windows.one(grid, &frame, (start, reach.min(last - start), horizon), &mut seen);
            }
            start -= spacing;
        }
        windows
    }

    /// Divides the views of each window by how wild the hour before it was; returns the usual noise of such hours,
    /// which is not below `floor`. `None` if no hour is to be told from another.
    pub(super) fn calm(&mut self, floor: f64, apart: bool) -> Option<f64> {
        let usual = median(&mut self.noise.clone()).unwrap_or(floor).max(floor);
        if !apart {
            return None;
        }
        for (window, views) in self.seen.iter_mut().flatten().flatten() {
            let wild = wild(self.noise[*window], usual);
            views.iter_mut().for_each(|view| *view /= wild);
        }
        Some(usual)
    }

    /// Runs the window after cell `start`, of at most `cells` cells.
    fn one(
        &mut self,
        grid: &Grid,
        frame: &Frame,
        (start, cells, horizon): (i64, i64, usize),
        seen: &mut [Seen],
    ) {
        let mut trace = Trace::begin(grid, frame, start);
        let mut looks = looks_up_to(horizon).enumerate().peekable();
        for k in 1..=cells {
            let y = grid.at(start + k);
            let residuals = if y.is_nan() { (y, y) } else { frame.residuals(grid, k, y) };
            trace.push(y, residuals, seen);
            if let Some((look, _)) = looks.next_if(|(_, due)| *due as i64 == k) {
                self.note(&trace, look, seen);
            }
        }
        self.means.extend(trace.mean());
        self.noise.push(frame.noise());
        self.count += 1;
    }

    fn note(&mut self, trace: &Trace, look: usize, seen: &[Seen]) {
        for (rows, side) in self.seen.iter_mut().zip(seen) {
            if let (Some(views), Some(rows)) = (trace.views(side), rows.get_mut(look)) {
                rows.push((self.count, views));
            }
        }
    }
}
