//! One line of one workload, watched from a change on.

use std::collections::BTreeMap;

use crate::case::{Case, Signal};
use crate::finding::{Design, Direction, Finding, Size, What};
use crate::grid::Grid;
use crate::ingredient::Ingredient;
use crate::line::{Source, line};
use crate::samples::Samples;
use crate::stats::robust::{median, top_mean};
use crate::track::{Plan, Reference, Side, Tracker};
use crate::watch::ALPHA;
use crate::working::Unit;

/// Why a line cannot be tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untestable {
    /// The signal was not measured before the change.
    NoHistory,
    /// Nothing was measured in the hour before the change.
    NothingRecent,
}

impl Untestable {
    /// The reason in words.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::NoHistory => "not measured before the change",
            Self::NothingRecent => "no sample in the hour before the change",
        }
    }
}

/// A line under test.
#[derive(Debug, Clone)]
pub struct Probe {
    workload: String,
    signal: Signal,
    source: Source,
    unit: Unit,
    start: i64,
    last: i64,
    history: Grid,
    worse: (Side, Tracker),
    better: Option<(Side, Tracker)>,
    times: Vec<i64>,
    done: i64,
    seasonal: bool,
    work: Option<Work>,
}

impl Probe {
    /// Opens the line of a signal of a workload for a change observed over `(start, until]`.
    ///
    /// # Errors
    /// If there is nothing to compare with.
    pub fn open(
        facts: &Case,
        samples: &Samples,
        (workload, signal): (&str, Signal),
        (start, until): (i64, i64),
        left_out: Option<Ingredient>,
    ) -> Result<Self, Untestable> {
        let source = Source::of(samples, workload, signal, start).ok_or(Untestable::NoHistory)?;
        let past = line(facts, samples, (workload, signal, source), start, (i64::MIN, start));
        let work = Work::of(facts, samples, (workload, signal), start);
        let past = match &work {
            Some(work) => work.per_request(facts, samples, workload, start, (i64::MIN, start), &past),
            None => past,
        };
        let first = past.first().ok_or(Untestable::NoHistory)?.0;
        let step_s = spacing(&past).unwrap_or(facts.step_s).max(facts.step_s);
        let values: Vec<f64> = past.iter().map(|s| s.1).collect();
        let unit =
            Unit::of(signal, &values, step_s, requests(facts, samples, workload, signal, start, step_s));
        let mut history = Grid::new(first, start, step_s);
        for &(time, value) in &past {
            history.put(time, unit.into_working(value));
        }
        let last = history.cell(start);
        let horizon = ((until - start) / step_s).clamp(1, MOST_CELLS) as usize;
        let plan = Plan::at(&history, last).ok_or(Untestable::NothingRecent)?;
        let windows = if left_out == Some(Ingredient::Seasonal) { usize::MAX } else { FEWEST_WINDOWS };
        let plan = plan.calibrated(&history, last, horizon, windows);
        let open = |side| {
            let reference = Reference::build(&history, &plan, last, horizon, (side, unit.floor()), left_out);
            Tracker::open(&history, &plan, last, reference)
                .map(|t| (side, t))
                .ok_or(Untestable::NothingRecent)
        };
        let side = unit.side(signal);
        let worse = open(side)?;
        let better = side.mirror().map(open).transpose()?;
        let seasonal = plan.seasonal();
        let workload = workload.to_owned();
        let times = Vec::new();
        Ok(Self {
            workload,
            signal,
            source,
            unit,
            start,
            last,
            history,
            worse,
            better,
            times,
            done: start,
            seasonal,
            work,
        })
    }

    /// Takes everything observed up to `now`.
    pub fn advance(&mut self, facts: &Case, samples: &Samples, now: i64) {
        let key = (self.workload.as_str(), self.signal, self.source);
        let mut fresh = line(facts, samples, key, self.start, (self.done, now));
        if let Some(work) = &self.work {
            fresh = work.per_request(facts, samples, &self.workload, self.start, (self.done, now), &fresh);
        }
        for (time, value) in fresh {
            let k = self.history.cell(time) - self.last;
            // a second sample in a cell already taken cannot be placed
            if k < 1 || k <= self.worse.1.cells() as i64 || k > MOST_CELLS {
                continue;
            }
            for gap in self.worse.1.cells() as i64 + 1..=k {
                let y = if gap == k { self.unit.into_working(value) } else { f64::NAN };
                self.worse.1.push(&self.history, y);
                if let Some((_, tracker)) = &mut self.better {
                    tracker.push(&self.history, y);
                }
                self.times.push(time);
            }
        }
        self.done = self.done.max(now);
    }

    /// What the line says so far; harm first, then its mirror. Empty before the first sample.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let worse = self.finding(Direction::Worse, &self.worse);
        let better = self.better.as_ref().and_then(|b| self.finding(Direction::Better, b));
        worse.into_iter().chain(better).collect()
    }

    fn finding(&self, direction: Direction, (side, tracker): &(Side, Tracker)) -> Option<Finding> {
        let ratio = tracker.ratio()?;
        let excess = excess(tracker.residuals(), *side);
        let level = tracker.level();
        let natural = |w: f64| self.unit.from_working(level + w) - self.unit.from_working(level);
        let (low, high) = tracker.band();
        let (a, b) = (natural(excess - high), natural(excess - low));
        Some(Finding {
            workload: self.workload.clone(),
            what: What::Signal(self.signal),
            design: if self.seasonal { Design::Seasonal } else { Design::Short },
            direction,
            p: ratio.p,
            now: ratio.now,
            size: Some(Size {
                baseline: self.unit.from_working(level),
                observed: self.unit.from_working(level + excess),
                interval: (a.min(b), a.max(b)),
            }),
            detectable: tracker.detectable(ALPHA).map(|w| natural(if *side == Side::Down { -w } else { w })),
            onset: self.onset(tracker.residuals(), excess),
            samples: tracker.samples(),
            compared: ratio.placebos,
        })
    }

    /// The first cell that shows half of the excess, and the one before it.
    fn onset(&self, residuals: &[f64], excess: f64) -> Option<(i64, i64)> {
        let reached = |r: &f64| if excess < 0.0 { *r <= excess / 2.0 } else { *r >= excess / 2.0 };
        let at = residuals.iter().position(|r| excess != 0.0 && reached(r))?;
        let before = if at == 0 { self.start } else { self.times[at - 1] };
        Some((before, self.times[at]))
    }
}

/// Requests that a consumption is divided by: more use for more work is no harm.
#[derive(Debug, Clone, Copy)]
struct Work {
    source: Source,
    usual: f64,
}

/// Below this share of the usual requests the idle use dominates, and a ratio to requests says nothing.
const LEAST_WORK: f64 = 0.05;

impl Work {
    /// `None` for signals that are no consumption, and where requests were not measured.
    fn of(facts: &Case, samples: &Samples, (workload, signal): (&str, Signal), start: i64) -> Option<Self> {
        if !matches!(signal, Signal::Cpu | Signal::NetworkReceive | Signal::NetworkTransmit) {
            return None;
        }
        let source = Source::of(samples, workload, Signal::RequestRate, start)?;
        let rates = line(facts, samples, (workload, Signal::RequestRate, source), start, (i64::MIN, start));
        let usual = median(&mut rates.iter().map(|s| s.1).collect::<Vec<f64>>()).filter(|r| *r > 0.0)?;
        Some(Self { source, usual })
    }

    /// The samples per request, where requests of the same time are known; in the unit of the signal at the
    /// usual number of requests.
    fn per_request(
        &self,
        facts: &Case,
        samples: &Samples,
        workload: &str,
        start: i64,
        window: (i64, i64),
        used: &[(i64, f64)],
    ) -> Vec<(i64, f64)> {
        let rates = line(facts, samples, (workload, Signal::RequestRate, self.source), start, window);
        let rates: BTreeMap<i64, f64> = rates.into_iter().collect();
        let known = used.iter().filter_map(|(t, v)| rates.get(t).map(|r| (*t, *v, *r)));
        known.map(|(t, v, r)| (t, v / (r / self.usual).max(LEAST_WORK))).collect()
    }
}

/// Independent placebos that a seasonal control must leave room for.
const FEWEST_WINDOWS: usize = 10;
/// Windows longer than a day in minutes are cut: nobody waits longer for a verdict.
const MOST_CELLS: i64 = 1_440;

/// Signed mean of the sixth of the residuals that is furthest out: the size of an effect while it lasts.
fn excess(residuals: &[f64], side: Side) -> f64 {
    let seen: Vec<f64> = residuals.iter().copied().filter(|r| !r.is_nan()).collect();
    let top = |side: Side| {
        let mut parts: Vec<f64> = seen.iter().map(|r| side.part(*r)).collect();
        top_mean(&mut parts, seen.len().div_ceil(6))
    };
    let (up, down) = (top(Side::Up), top(Side::Down));
    match side {
        Side::Up => up,
        Side::Down => -down,
        Side::Both if up >= down => up,
        Side::Both => -down,
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
