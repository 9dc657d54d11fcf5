//! One series on an even grid, with gaps kept as gaps.

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
