//! One line of one workload, watched from a change on.

use std::sync::Arc;

use crate::case::{Case, Signal};
use crate::cells::{Cells, Filling};
use crate::finding::{Design, Direction, Finding, Size, What};
use crate::grid::{Grid, Running};
use crate::line::{Source, line};
use crate::past::{Asked, MOST_CELLS, Pasts, Untestable};
use crate::samples::Samples;
use crate::stats::robust::top_mean;
use crate::synthetic::Synthetic;
use crate::track::{Reference, Side, Tracker};
use crate::watch::ALPHA;
use crate::work::Work;
use crate::working::Unit;

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
    synthetic: Option<Synthetic>,
    cells: Cells,
    filling: Filling,
    running: Running,
}

impl Probe {
    /// Opens the line of a signal of a workload for a change observed over `(start, until]`.
    ///
    /// # Errors
    /// If there is nothing to compare with.
    pub(crate) fn open(
        pasts: &mut Pasts,
        (facts, samples): (&Case, &Samples),
        (workload, signal): (&str, Signal),
        window: (i64, i64),
        asked: Asked,
    ) -> Result<Self, Untestable> {
        let (past, history, running) = pasts.of(facts, samples, (workload, signal), window, asked)?;
        let last = history.cell(window.0);
        let open = |reference: &Arc<Reference>| {
            let opened = Tracker::open(&history, &past.plan, last, Arc::clone(reference));
            opened.ok_or(Untestable::NothingRecent)
        };
        let worse = (past.sides[0], open(&past.references[0])?);
        let better = match (past.sides.get(1).filter(|_| asked != Asked::Worse), past.references.get(1)) {
            (Some(side), Some(reference)) => Some((*side, open(reference)?)),
            _ => None,
        };
        Ok(Self {
            workload: workload.to_owned(),
            signal,
            source: past.source,
            unit: past.unit,
            start: window.0,
            last,
            seasonal: past.plan.seasonal(),
            work: past.work,
            synthetic: past.synthetic.clone(),
            cells: past.cells,
            filling: Filling::new(past.cells),
            running,
            history: if past.plan.seasonal() { history } else { history.bare() },
            worse,
            better,
            times: Vec::new(),
            done: window.0,
        })
    }

    /// Measures improvement by the quarter of an hour before, as an action that mends is taken against what stands
    /// then; stays as it is where no side helps, or the line's past is read otherwise for that question.
    pub(crate) fn mending(
        mut self,
        pasts: &mut Pasts,
        (facts, samples): (&Case, &Samples),
        until: i64,
    ) -> Self {
        if self.worse.0.mirror().is_none() {
            return self;
        }
        let key = (self.workload.as_str(), self.signal);
        let Ok((past, grid, _)) = pasts.of(facts, samples, key, (self.start, until), Asked::Mended) else {
            return self;
        };
        // values go into both trackers as this line has them, so that the other past must have been read so too
        let alike = (past.source, past.cells) == (self.source, self.cells)
            && past.unit.alike(self.unit)
            && Synthetic::alike(past.synthetic.as_ref(), self.synthetic.as_ref())
            && grid.cell(self.start) == self.last;
        if let (true, Some(side), Some(reference)) = (alike, past.sides.first(), past.references.first())
            && let Some(tracker) = Tracker::open(&grid, &past.plan, self.last, Arc::clone(reference))
        {
            self.better = Some((*side, tracker));
            if past.plan.seasonal() {
                self.history = grid;
            }
        }
        self
    }

    /// Takes everything observed up to `now`.
    pub fn advance(&mut self, facts: &Case, samples: &Samples, now: i64) {
        let key = (self.workload.as_str(), self.signal, self.source);
        let mut fresh = line(facts, samples, key, self.start, (self.done, now));
        if let Some(work) = &self.work {
            fresh = work.per_request(facts, samples, &self.workload, self.start, (self.done, now), &fresh);
        }
        let mut full: Vec<(i64, f64)> = Vec::with_capacity(fresh.len());
        for (time, value) in fresh {
            full.extend(self.filling.take(self.cells.place(time, self.start), time, value));
        }
        // the time of a cell has passed: nothing more comes to it
        let ends = |place: i64| self.start.saturating_add(place.saturating_mul(self.cells.step_s));
        if self.filling.place().is_some_and(|place| ends(place) <= now) {
            full.extend(self.filling.rest());
        }
        let off = self.off(facts, samples, &full);
        for ((time, value), off) in full.into_iter().zip(off) {
            // donors without a sample leave a gap
            let Some(off) = off else { continue };
            let k = self.history.cell(time) - self.last;
            // a second sample in a cell already taken cannot be placed
            if k < 1 || k <= self.worse.1.cells() as i64 || k > MOST_CELLS {
                continue;
            }
            for gap in self.worse.1.cells() as i64 + 1..=k {
                let y = if gap == k { self.unit.into_working(value) - off } else { f64::NAN };
                let y = self.running.next(y);
                self.worse.1.push(&self.history, y);
                if let Some((_, tracker)) = &mut self.better {
                    tracker.push(&self.history, y);
                }
                self.times.push(time);
            }
        }
        self.done = self.done.max(now);
    }

    /// The line in working units at times in `(from, to]`, whatever other workloads did.
    pub(crate) fn values(&self, facts: &Case, samples: &Samples, window: (i64, i64)) -> Vec<f64> {
        let key = (self.workload.as_str(), self.signal, self.source);
        let mut values = line(facts, samples, key, self.start, window);
        if let Some(work) = &self.work {
            values = work.per_request(facts, samples, &self.workload, self.start, window, &values);
        }
        values.into_iter().map(|(_, v)| self.unit.into_working(v)).collect()
    }

    /// Whether it is put together from pods or calls.
    pub(crate) fn pooled(&self) -> bool {
        self.source != Source::Workload
    }

    /// Which way harm points in working units.
    pub(crate) fn side(&self) -> Side {
        self.worse.0
    }

    /// The smallest scale that its noise can have, in working units.
    pub(crate) fn floor(&self) -> f64 {
        self.unit.floor()
    }

    /// What the other workloads take off each value; nothing without such a control.
    fn off(&self, facts: &Case, samples: &Samples, fresh: &[(i64, f64)]) -> Vec<Option<f64>> {
        let Some(synthetic) = &self.synthetic else { return vec![Some(0.0); fresh.len()] };
        let times: Vec<i64> = fresh.iter().map(|s| s.0).collect();
        synthetic.off((facts, samples), self.signal, self.start, self.cells.step_s, &times)
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
            design: match (&self.synthetic, self.seasonal) {
                (Some(_), _) => Design::Synthetic,
                (None, true) => Design::Seasonal,
                (None, false) => Design::Short,
            },
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
            ended: self.ended(tracker.residuals(), excess),
            latest: self.times.last().copied(),
            samples: tracker.samples(),
            compared: ratio.placebos,
        })
    }

    /// The first cell that shows half of the excess, and the last one before which it cannot have begun: a running mean
    /// shows half of a step when half of its cells are behind it; of two cells, by chance, at the first or the second.
    fn onset(&self, residuals: &[f64], excess: f64) -> Option<(i64, i64)> {
        let at = residuals.iter().position(|r| excess != 0.0 && shows(*r, excess))?;
        let before = at.checked_sub(1 + self.cells.width() / 2).map_or(self.start, |at| self.times[at]);
        Some((before, self.times[at]))
    }

    /// The last cell that shows half of the excess, if at least `GONE` samples came after it.
    fn ended(&self, residuals: &[f64], excess: f64) -> Option<i64> {
        let at = residuals.iter().rposition(|r| excess != 0.0 && shows(*r, excess))?;
        let after = residuals[at + 1..].iter().filter(|r| !r.is_nan()).count();
        (after >= GONE).then(|| self.times[at.saturating_sub(self.late())])
    }

    /// Cells by which the running mean shows a step late.
    fn late(&self) -> usize {
        (self.cells.width() - 1) / 2
    }
}

/// Samples without an effect after which it has passed: one or two can be chance.
const GONE: usize = 3;

/// Whether a residual shows at least half of an excess.
fn shows(residual: f64, excess: f64) -> bool {
    if excess < 0.0 { residual <= excess / 2.0 } else { residual >= excess / 2.0 }
}

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
