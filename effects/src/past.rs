//! What the past of a line says, learnt once and shared by the changes that need it.
//!
//! Learning is the dear part of a look: hundreds of placebos per line. What was learnt for one change serves the
//! next one on the same line as long as the history has hardly grown, and a look learns a bounded number of
//! lines. Invariant: a past rests on samples up to the change it was first learnt for, never later than the
//! change it is used for.

mod asked;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::case::{Case, Signal};
use crate::cells::Cells;
use crate::grid::{Grid, Running};
use crate::ingredient::Ingredient;
use crate::line::{Source, line};
use crate::samples::Samples;
use crate::stats::robust::median;
use crate::synthetic::{Synthetic, unreached};
use crate::track::{Level, Plan, Reference, Side};
use crate::work::Work;
use crate::working::Unit;
pub(crate) use asked::Asked;

/// Windows longer than a day in minutes are cut: nobody waits longer for a verdict.
pub(crate) const MOST_CELLS: i64 = 1_440;
/// Independent placebos that a seasonal control must leave room for.
const FEWEST_WINDOWS: usize = 10;
/// A past serves until the history has grown by this part of itself: an hour in a day. More placebos than that
/// would move a .95 quantile; fewer cannot.
const GROWTH: i64 = 24;
/// Lines of neighbours learnt per look, over all changes: a second of one core at some milliseconds each. Those
/// left over are learnt at the next look.
const LEARNT_PER_LOOK: usize = 400;

/// Why a line cannot be tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Untestable {
    /// The signal was not measured before the change.
    NoHistory,
    /// Nothing was measured in the hour before the change.
    NothingRecent,
}

impl Untestable {
    /// The reason in words.
    #[must_use]
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::NoHistory => "not measured before the change",
            Self::NothingRecent => "no sample in the hour before the change",
        }
    }
}

/// What the past of one line says.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) source: Source,
    pub(crate) unit: Unit,
    pub(crate) work: Option<Work>,
    pub(crate) synthetic: Option<Synthetic>,
    pub(crate) plan: Plan,
    /// Those asked for, harm before its mirror.
    pub(crate) sides: Vec<Side>,
    pub(crate) references: Vec<Arc<Reference>>,
    pub(crate) cells: Cells,
    horizon: usize,
    asked: Asked,
    /// The plan before it was decided whether days can be calibrated.
    every_day: Plan,
    first: i64,
    start: i64,
}

/// The pasts of all lines that changes have asked for.
#[derive(Debug, Clone)]
pub(crate) struct Pasts {
    left_out: Option<Ingredient>,
    known: BTreeMap<String, BTreeMap<(Signal, Level), Past>>,
    rates: BTreeMap<String, (i64, i64, f64)>,
    /// Donors of a workload, for the start they were last looked up for: the same for all its lines.
    donors: BTreeMap<String, (i64, Vec<String>)>,
    learnt: usize,
}

impl Pasts {
    /// None yet; `left_out` holds for all of them.
    pub(crate) fn new(left_out: Option<Ingredient>) -> Self {
        Self { left_out, known: BTreeMap::new(), rates: BTreeMap::new(), donors: BTreeMap::new(), learnt: 0 }
    }

    /// A new look begins.
    pub(crate) fn look(&mut self) {
        self.learnt = 0;
    }

    /// Whether this look has learnt as much as a look may.
    pub(crate) fn spent(&self) -> bool {
        self.learnt >= LEARNT_PER_LOOK
    }

    /// The past of a line at the start of a window, and the part of its grid that the window needs, with the running
    /// mean that goes on from there.
    pub(crate) fn of(
        &mut self,
        facts: &Case,
        samples: &Samples,
        (workload, signal): (&str, Signal),
        (start, until): (i64, i64),
        asked: Asked,
    ) -> Result<(&Past, Grid, Running), Untestable> {
        let key = (workload, signal);
        let line = (signal, asked.level());
        let source = Source::of(samples, workload, signal, start).ok_or(Untestable::NoHistory)?;
        let known = self.known.get(workload).and_then(|lines| lines.get(&line));
        let shared = known.and_then(|past| past.again(facts, samples, key, (start, until), (source, asked)));
        let grid = match shared {
            Some(grid) => grid,
            None => {
                // neighbours are many, and a wrong alarm about one harms nobody's verdict
                let others = asked != Asked::Worse
                    && source == Source::Workload
                    && self.left_out != Some(Ingredient::Synthetic);
                if others && self.donors.get(workload).is_none_or(|known| known.0 != start) {
                    self.donors.insert(workload.to_owned(), (start, unreached(facts, workload, start)));
                }
                let donors = self.donors.get(workload).filter(|_| others).map(|known| &known.1[..]);
                let asked = (asked, donors.unwrap_or_default());
                let learnt =
                    Past::learn(facts, samples, (key, source), (start, until), asked, self.left_out)?;
                self.learnt += 1;
                let lines = self.known.entry(workload.to_owned()).or_default();
                lines.insert(line, learnt.0);
                learnt.1
            }
        };
        let past = self.known.get(workload).and_then(|lines| lines.get(&line));
        past.map(|past| (past, grid.0, grid.1)).ok_or(Untestable::NoHistory)
    }

    /// Usual requests per second of a workload up to `start`.
    pub(crate) fn rate(
        &mut self,
        facts: &Case,
        samples: &Samples,
        workload: &str,
        start: i64,
    ) -> Option<f64> {
        if let Some(&(first, at, rate)) = self.rates.get(workload)
            && fresh(first, at, start)
        {
            return Some(rate);
        }
        let key = (workload, Signal::RequestRate);
        let source = Source::of(samples, workload, key.1, start)?;
        let past = line(facts, samples, (key.0, key.1, source), start, (i64::MIN, start));
        let rate = median(&mut past.iter().map(|s| s.1).collect::<Vec<f64>>())?;
        self.rates.insert(workload.to_owned(), (past.first()?.0, start, rate));
        Some(rate)
    }
}

/// Whether what was learnt at `at` from a history since `first` still holds at `start`.
fn fresh(first: i64, at: i64, start: i64) -> bool {
    at <= start && start - at <= (at - first) / GROWTH
}

fn horizon((start, until): (i64, i64), step_s: i64) -> usize {
    ((until - start) / step_s).clamp(1, MOST_CELLS) as usize
}

impl Past {
    fn learn(
        facts: &Case,
        samples: &Samples,
        ((workload, signal), source): ((&str, Signal), Source),
        (start, until): (i64, i64),
        (asked, donors): (Asked, &[String]),
        left_out: Option<Ingredient>,
    ) -> Result<(Self, (Grid, Running)), Untestable> {
        let past = line(facts, samples, (workload, signal, source), start, (i64::MIN, start));
        let work = Work::of(facts, samples, (workload, signal), start);
        let past = match &work {
            Some(work) => work.per_request(facts, samples, workload, start, (i64::MIN, start), &past),
            None => past,
        };
        let first = past.first().ok_or(Untestable::NoHistory)?.0;
        let cells = Cells::of(spacing(&past), facts.step_s);
        let step_s = cells.step_s;
        let past = cells.means(past, start);
        let values: Vec<f64> = past.iter().map(|s| s.1).collect();
        let unit =
            Unit::of(signal, &values, step_s, requests(facts, samples, workload, signal, start, step_s));
        let mut grid = Grid::new(first, start, step_s);
        for &(time, value) in &past {
            grid.put(time, unit.into_working(value));
        }
        let synthetic = Synthetic::fit(facts, samples, signal, start, (&grid, cells), donors);
        if let Some(synthetic) = &synthetic {
            let times: Vec<i64> = past.iter().map(|s| s.0).collect();
            let off = synthetic.off((facts, samples), signal, start, step_s, &times);
            grid = grid.bare();
            for (&(time, value), off) in past.iter().zip(&off) {
                off.iter().for_each(|off| grid.put(time, unit.into_working(value) - off));
            }
        }
        let running = grid.smooth(cells.width());
        let last = grid.cell(start);
        let horizon = horizon((start, until), step_s);
        let every_day = Plan::at(&grid, last, asked.level()).ok_or(Untestable::NothingRecent)?;
        let windows = if left_out == Some(Ingredient::Seasonal) { usize::MAX } else { FEWEST_WINDOWS };
        let plan = every_day.clone().calibrated(&grid, last, horizon, windows);
        let sides = asked.sides(unit.side(signal));
        let references =
            Reference::build(&grid, &plan, last, horizon, (&sides, unit.least(cells.width())), left_out);
        let past = Self {
            source,
            unit,
            work,
            synthetic,
            plan,
            sides,
            references,
            cells,
            horizon,
            asked,
            every_day,
            first,
            start,
        };
        Ok((past, (grid, running)))
    }

    /// The grid for another window, if this past holds for it: the same source, the same length, hardly any
    /// more history, and a start that has just the values before it that this one had.
    fn again(
        &self,
        facts: &Case,
        samples: &Samples,
        (workload, signal): (&str, Signal),
        (start, until): (i64, i64),
        (source, asked): (Source, Asked),
    ) -> Option<(Grid, Running)> {
        let sides = self.asked == asked || self.asked == Asked::Either && asked == Asked::Worse;
        // levels of pods are taken up to the start, so a line put together from them moves with it
        let fixed = source == Source::Workload || !facts.relative.contains(&signal);
        let same = source == self.source && horizon((start, until), self.cells.step_s) == self.horizon;
        if !(sides && fixed && same && self.synthetic.is_none() && fresh(self.first, self.start, start)) {
            return None;
        }
        let step_s = self.cells.step_s;
        let mut grid = Grid::new(self.first, start, step_s);
        let width = self.cells.width();
        for (from, to) in Plan::reads(step_s, self.horizon) {
            // what stands before the stretch is in the running mean of its first cells
            let from = from - width as i64 * step_s;
            let window = (start + from, (start + to).min(start));
            let mut part = line(facts, samples, (workload, signal, source), start, window);
            if let Some(work) = &self.work {
                part = work.per_request(facts, samples, workload, start, window, &part);
            }
            for (time, value) in self.cells.means(part, start) {
                grid.put(time, self.unit.into_working(value));
            }
        }
        let running = grid.smooth(width);
        let plan = Plan::at(&grid, grid.cell(start), asked.level())?;
        (plan == self.every_day).then_some((grid, running))
    }
}

/// Median distance of samples; `None` for fewer than two.
fn spacing(samples: &[(i64, f64)]) -> Option<i64> {
    let mut gaps: Vec<f64> = samples.windows(2).map(|w| (w[1].0 - w[0].0) as f64).collect();
    median(&mut gaps).map(|m| m as i64)
}

/// Usual requests per step behind a share, if requests were measured.
fn requests(
    facts: &Case,
    samples: &Samples,
    workload: &str,
    signal: Signal,
    start: i64,
    step_s: i64,
) -> Option<f64> {
    if signal != Signal::SuccessRatio {
        return None;
    }
    let source = Source::of(samples, workload, Signal::RequestRate, start)?;
    let rates = line(facts, samples, (workload, Signal::RequestRate, source), start, (i64::MIN, start));
    let mut rates: Vec<f64> = rates.iter().map(|s| s.1).collect();
    median(&mut rates).map(|r| r * step_s as f64)
}

#[cfg(test)]
mod tests;
