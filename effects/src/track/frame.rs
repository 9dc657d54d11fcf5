//! Counterfactuals of one series at one start: what it would have gone on to be.
//!
//! Two kinds of control need no other series: *short*, the median of the last hour, and *seasonal*, the same
//! clock on each of the last seven days, shifted by the difference of the medians of the hour before.

use super::views::BACK;
use crate::grid::Grid;
use crate::stats::robust::{deviation, median};

const DAY_S: i64 = 86_400;
/// The hour before is what an operator looks at; shorter is noisier, longer bends with the day.
const HOUR_S: i64 = 3_600;
/// What an action answers is what stood in the quarter of an hour before it.
const QUARTER_S: i64 = 900;
/// Below six values a median is a guess; coarse series look further back than an hour.
const FEWEST_BEFORE: i64 = 6;
/// A week of days; older days tell little about today.
const DAYS: i64 = 7;

/// How far back the level before a start reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The hour before: what was usual.
    Hour,
    /// The quarter of an hour before: what an action that mends was taken against.
    Quarter,
}

/// Which values before a start may be used: those that exist at the change itself, so that placebos are given
/// no better history than the change had.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    before: Vec<i64>,
    lags: Vec<i64>,
}

impl Plan {
    /// The plan for a start after cell `last`; `None` if there is nothing recent to compare with.
    #[must_use]
    pub fn at(grid: &Grid, last: i64, level: Level) -> Option<Self> {
        let level_s = match level {
            Level::Hour => HOUR_S,
            Level::Quarter => QUARTER_S,
        };
        let reach = (level_s / grid.step_s()).max(FEWEST_BEFORE);
        let before: Vec<i64> = (0..reach).filter(|k| !grid.at(last - k).is_nan()).collect();
        if before.is_empty() {
            return None;
        }
        let mut plan = Self { before, lags: Vec::new() };
        for day in 1..=DAYS {
            let lag = (day * DAY_S + grid.step_s() / 2) / grid.step_s();
            if lag > 0 && plan.level(grid, last - lag).is_some() {
                plan.lags.push(lag);
            }
        }
        Some(plan)
    }

    /// The stretches before a start, in seconds from it, that a plan and a trace over `horizon` cells can read:
    /// what lies outside them need not be at hand.
    pub fn reads(step_s: i64, horizon: usize) -> impl Iterator<Item = (i64, i64)> {
        let back = (HOUR_S / step_s).max(FEWEST_BEFORE).max(BACK as i64) + 1;
        let ahead = horizon as i64 + 1;
        (0..=DAYS).map(move |day| (-day * DAY_S - back * step_s, -day * DAY_S + ahead * step_s))
    }

    /// The plan without its earlier days.
    #[must_use]
    pub fn short(mut self) -> Self {
        self.lags.clear();
        self
    }

    /// The plan without earlier days where fewer than `windows` independent placebos of `horizon` cells could be
    /// given one too: a control that cannot be calibrated is no control.
    #[must_use]
    pub fn calibrated(mut self, grid: &Grid, last: i64, horizon: usize, windows: usize) -> Self {
        let has = |cell: i64| !grid.at(cell).is_nan();
        let starts = (0..last).filter(|&s| has(s) && self.lags.iter().any(|lag| has(s - lag)));
        if starts.count() / horizon.max(1) < windows {
            self.lags.clear();
        }
        self
    }

    /// Whether any earlier day can serve.
    #[must_use]
    pub fn seasonal(&self) -> bool {
        !self.lags.is_empty()
    }

    /// Number of values before the change that the level rests on.
    #[must_use]
    pub fn recent(&self) -> usize {
        self.before.len()
    }

    fn noise(&self, grid: &Grid, last: i64) -> f64 {
        let values = || self.before.iter().map(|k| grid.at(last - k)).filter(|v| !v.is_nan());
        deviation(values)
    }

    fn level(&self, grid: &Grid, last: i64) -> Option<f64> {
        let mut values: Vec<f64> =
            self.before.iter().map(|k| grid.at(last - k)).filter(|v| !v.is_nan()).collect();
        // half of what the change itself has: less would make the placebo noisier than the change
        if values.len() * 2 < self.before.len() { None } else { median(&mut values) }
    }
}

/// A plan applied at one start.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    last: i64,
    short: f64,
    noise: f64,
    shifts: Vec<(i64, f64)>,
}

impl Frame {
    /// `None` if the start lacks what the plan needs.
    pub(super) fn at(grid: &Grid, plan: &Plan, last: i64) -> Option<Self> {
        let short = plan.level(grid, last)?;
        let mut shifts = Vec::with_capacity(plan.lags.len());
        for &lag in &plan.lags {
            if let Some(then) = plan.level(grid, last - lag) {
                shifts.push((lag, short - then));
            }
        }
        if shifts.is_empty() && plan.seasonal() {
            return None;
        }
        Some(Self { last, short, noise: plan.noise(grid, last), shifts })
    }

    /// Deviation of the hour before from its mean: a wild hour is followed by a wild one.
    pub(super) fn noise(&self) -> f64 {
        self.noise
    }

    /// What the last hour says.
    pub(super) fn short(&self) -> f64 {
        self.short
    }

    /// For value `y`, `k` cells after the start: distance from the seasonal expectation (the short one where
    /// no day has the clock), and distance from the nearest of all counterfactuals.
    pub(super) fn residuals(&self, grid: &Grid, k: i64, y: f64) -> (f64, f64) {
        let mut days = [0.0; DAYS as usize];
        let mut n = 0;
        let mut near = y - self.short;
        for &(lag, shift) in &self.shifts {
            let expected = grid.at(self.last + k - lag) + shift;
            if !expected.is_nan() {
                days[n] = expected;
                n += 1;
                if (y - expected).abs() < near.abs() {
                    near = y - expected;
                }
            }
        }
        (y - median(&mut days[..n]).unwrap_or(self.short), near)
    }
}
