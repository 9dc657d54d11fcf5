//! One series on an even grid, with gaps kept as gaps.

use std::collections::VecDeque;

/// Values at even distances; NaN marks a step without a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    origin: i64,
    step_s: i64,
    values: Vec<f64>,
}

impl Grid {
    /// A grid of steps of `step_s` seconds (at least one) that begins at or before `first` and has a border at
    /// `anchor`: a sample describes the step that ends with it, so one at the anchor is the last before it, and
    /// none of either side shares a cell with the other.
    #[must_use]
    pub fn new(first: i64, anchor: i64, step_s: i64) -> Self {
        let step_s = step_s.max(1);
        let steps = anchor.saturating_sub(first).div_euclid(step_s) + 1;
        Self { origin: anchor.saturating_sub(steps.saturating_mul(step_s)), step_s, values: Vec::new() }
    }

    /// The same grid without its values.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self { origin: self.origin, step_s: self.step_s, values: Vec::new() }
    }

    /// Puts a value into the cell that holds `time`; a later value of the same cell stands. Times before the
    /// origin are ignored, and so are jumps that would need more than `MOST` cells.
    pub fn put(&mut self, time: i64, value: f64) {
        // four weeks at one second: a bound on memory against absurd times
        const MOST: i64 = 28 * 86_400;
        let at = self.cell(time);
        if !(0..MOST).contains(&at) {
            return;
        }
        let at = at as usize;
        if at >= self.values.len() {
            self.values.resize(at + 1, f64::NAN);
        }
        self.values[at] = value;
    }

    /// Turns each value into the mean of the last `width` cells that have one, itself included; gaps stay gaps. What
    /// comes after the grid goes on in the running mean that is returned.
    pub fn smooth(&mut self, width: usize) -> Running {
        let mut running = Running::new(width);
        self.values.iter_mut().for_each(|value| *value = running.next(*value));
        running
    }

    /// The cell that holds `time`; may lie outside the values.
    #[must_use]
    pub fn cell(&self, time: i64) -> i64 {
        time.saturating_sub(self.origin).saturating_sub(1).div_euclid(self.step_s)
    }

    /// The value of a cell, NaN if there is none.
    #[must_use]
    pub fn at(&self, cell: i64) -> f64 {
        usize::try_from(cell).ok().and_then(|i| self.values.get(i)).copied().unwrap_or(f64::NAN)
    }

    /// Seconds per cell.
    #[must_use]
    pub fn step_s(&self) -> i64 {
        self.step_s
    }

    /// Number of cells up to the last value.
    #[must_use]
    pub fn cells(&self) -> i64 {
        self.values.len() as i64
    }

    /// The present values of cells `from..to`.
    pub fn present(&self, from: i64, to: i64) -> impl Iterator<Item = f64> + '_ {
        let end = usize::try_from(to.max(0)).unwrap_or(0).min(self.values.len());
        let start = usize::try_from(from.max(0)).unwrap_or(0).min(end);
        self.values[start..end].iter().copied().filter(|v| !v.is_nan())
    }
}

/// The mean of the last few cells.
#[derive(Debug, Clone)]
pub struct Running {
    width: usize,
    last: VecDeque<f64>,
}

impl Running {
    /// A mean of up to `width` cells, at least one.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self { width: width.max(1), last: VecDeque::new() }
    }

    /// Takes the next cell and gives the mean of those that have a value; NaN for NaN.
    pub fn next(&mut self, value: f64) -> f64 {
        if self.last.len() == self.width {
            self.last.pop_front();
        }
        self.last.push_back(value);
        if value.is_nan() {
            return value;
        }
        let (sum, n) = self.last.iter().filter(|v| !v.is_nan()).fold((0.0, 0), |(s, n), v| (s + v, n + 1));
        sum / f64::from(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_mean_skips_gaps_and_goes_on_after_the_grid() {
        let mut grid = Grid::new(1, 4, 1);
        for (time, value) in [(1, 3.0), (2, 6.0), (4, 9.0)] {
            grid.put(time, value);
        }
        let mut after = grid.smooth(3);
        let first = grid.cell(1);
        let seen: Vec<f64> = (first..first + 4).map(|cell| grid.at(cell)).collect();
        assert_eq!((seen[0], seen[1], seen[3]), (3.0, 4.5, 7.5));
        assert!(seen[2].is_nan());
        assert_eq!(after.next(0.0), 4.5, "the gap and the nine are still in the window");
        let mut one = Running::new(0);
        assert_eq!((one.next(1.0), one.next(5.0)), (1.0, 5.0));
    }
}
