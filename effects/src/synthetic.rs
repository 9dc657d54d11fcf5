//! What other workloads say a series would have been: a weighted mean of those that the change cannot reach.
//!
//! Donors are workloads more than three calls away either way, without a pod on a node of the changed one, not
//! changed themselves shortly before, measured for the same signal. Each is standardised by its own past; weights
//! are not negative, sum to one and are fitted on the first two thirds of the past (Abadie, Diamond and
//! Hainmueller, JASA 2010, section 2). The control is used only if it takes at least a fifth off the noise of the
//! last third, which it has not seen: then what all share, a surge or an outage elsewhere, is no longer the
//! change's doing. The difference to it goes through the same placebos as any other line.

use std::collections::BTreeSet;

use crate::case::{Case, Signal};
use crate::cells::Cells;
use crate::grid::Grid;
use crate::line::{Source, line};
use crate::samples::Samples;
use crate::stats::robust::{median, spread};
use crate::working::Unit;

/// Donors looked at, and those kept: more weights than that are not told apart by a few hundred points.
const MOST_LOOKED_AT: usize = 30;
const MOST: usize = 10;
/// Points that weights are fitted to.
const POINTS: i64 = 400;
/// A donor must have this share of the series' own samples.
const PRESENT: f64 = 0.8;
/// Noise that remains, at most, for the control to be worth having.
const WORTH: f64 = 0.8;
/// Steps of the projected gradient; the fit moves no more after some dozens.
const STEPS: usize = 200;
/// Calls that a change may reach through.
const REACH: usize = 3;

/// A weighted mean of donors, in deviations of the series.
#[derive(Debug, Clone)]
pub(crate) struct Synthetic {
    donors: Vec<Donor>,
}

#[derive(Debug, Clone)]
struct Donor {
    workload: String,
    unit: Unit,
    centre: f64,
    /// Of the series per deviation of the donor, times the weight.
    factor: f64,
}

impl Synthetic {
    /// Whether two lines have the same donors, or neither has any; weights fitted at other times may differ.
    pub(crate) fn alike(one: Option<&Self>, other: Option<&Self>) -> bool {
        let donors = |of: Option<&Self>| -> Vec<String> {
            of.map(|of| of.donors.iter().map(|d| d.workload.clone()).collect()).unwrap_or_default()
        };
        donors(one) == donors(other)
    }

    /// The control for a line whose past is `own`, from the donors named; `None` if there are no donors or they do not help.
    pub(crate) fn fit(
        facts: &Case,
        samples: &Samples,
        signal: Signal,
        start: i64,
        (own, cells): (&Grid, Cells),
        names: &[String],
    ) -> Option<Self> {
        let last = own.cell(start);
        if names.is_empty() {
            return None;
        }
        let mut usual: Vec<f64> = own.present(0, last + 1).collect();
        let (centre, scale) = (median(&mut usual)?, spread(&mut usual)?);
        if scale <= 0.0 {
            return None;
        }
        let mut found: Vec<(f64, Donor, Grid)> = Vec::new();
        for name in names.iter().take(MOST_LOOKED_AT) {
            let donor = Donor::of(facts, samples, (name, signal), start, (own, cells), usual.len());
            let Some((donor, grid)) = donor else { continue };
            let pairs = pairs(own, &grid, 0, last);
            let agreement: f64 = pairs.iter().map(|(y, x)| ((y - centre) / scale) * x).sum();
            found.push((agreement / pairs.len().max(1) as f64, donor, grid));
        }
        found.retain(|f| f.0 > 0.0);
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.workload.cmp(&b.1.workload)));
        found.truncate(MOST);
        if found.is_empty() {
            return None;
        }
        let grids: Vec<&Grid> = found.iter().map(|f| &f.2).collect();
        let weights = weights(own, &grids, last * 2 / 3, (centre, scale));
        let mut fitted = Self { donors: Vec::new() };
        for ((_, donor, _), weight) in found.iter().zip(&weights).filter(|(_, w)| **w > 0.0) {
            fitted.donors.push(Donor { factor: scale * weight / donor.factor, ..donor.clone() });
        }
        let rest = (last * 2 / 3, last + 1);
        let plain = wander(own, rest, |_| 0.0)?;
        let left = wander(own, rest, |cell| {
            let sum: f64 =
                grids.iter().zip(&weights).map(|(g, w)| if *w > 0.0 { w * g.at(cell) } else { 0.0 }).sum();
            scale * sum
        })?;
        (left <= WORTH * plain).then_some(fitted)
    }

    /// What to take off the series at each time: its donors' common deviation. Times at which a donor has no
    /// sample within the step are left out.
    pub(crate) fn off(
        &self,
        (facts, samples): (&Case, &Samples),
        signal: Signal,
        start: i64,
        step_s: i64,
        times: &[i64],
    ) -> Vec<Option<f64>> {
        let mut sums: Vec<Option<f64>> = vec![Some(0.0); times.len()];
        let (Some(&first), Some(&to)) = (times.first(), times.last()) else { return sums };
        let from = first.saturating_sub(step_s);
        for donor in &self.donors {
            let key = (donor.workload.as_str(), signal, Source::Workload);
            let theirs = line(facts, samples, key, start, (from, to));
            for (sum, time) in sums.iter_mut().zip(times) {
                let of = |time: i64| theirs.partition_point(|s| s.0 <= time);
                let step = &theirs[of(time - step_s)..of(*time)];
                let mean = step.iter().map(|s| s.1).sum::<f64>() / step.len() as f64;
                *sum = sum
                    .filter(|_| !step.is_empty())
                    .map(|sum| sum + donor.factor * (donor.unit.into_working(mean) - donor.centre));
            }
        }
        sums
    }
}

impl Donor {
    /// A donor with its grid in its own deviations; its factor is its scale until weights are known.
    fn of(
        facts: &Case,
        samples: &Samples,
        (name, signal): (&str, Signal),
        start: i64,
        (own, cells): (&Grid, Cells),
        wanted: usize,
    ) -> Option<(Self, Grid)> {
        let source = Source::of(samples, name, signal, start).filter(|s| *s == Source::Workload)?;
        let past = cells.means(line(facts, samples, (name, signal, source), start, (i64::MIN, start)), start);
        if (past.len() as f64) < PRESENT * wanted as f64 {
            return None;
        }
        let values: Vec<f64> = past.iter().map(|s| s.1).collect();
        // of shares, only the shape matters here: standardised, the number of requests cancels out
        let unit = Unit::of(signal, &values, own.step_s(), None);
        let mut working: Vec<f64> = values.iter().map(|v| unit.into_working(*v)).collect();
        let (centre, scale) = (median(&mut working)?, spread(&mut working)?);
        if scale <= 0.0 {
            return None;
        }
        let mut grid = own.bare();
        for (time, value) in past {
            grid.put(time, (unit.into_working(value) - centre) / scale);
        }
        Some((Self { workload: name.to_owned(), unit, centre, factor: scale }, grid))
    }
}

/// Workloads that a change of `workload` cannot reach, and that no change of their own has just moved.
pub(crate) fn unreached(facts: &Case, workload: &str, start: i64) -> Vec<String> {
    // a change of a donor still shows for as long as people watch one
    const RECENT_S: i64 = 2 * 3_600;
    let mut near: BTreeSet<&str> = BTreeSet::from([workload]);
    for _ in 0..REACH {
        let mut next = near.clone();
        for (from, to) in &facts.edges {
            if near.contains(from.as_str()) || near.contains(to.as_str()) {
                next.extend([from.as_str(), to.as_str()]);
            }
        }
        near = next;
    }
    let on = |w: &str| -> BTreeSet<&str> {
        facts.pods.iter().filter(|p| p.workload == w).filter_map(|p| p.node.as_deref()).collect()
    };
    let ours = on(workload);
    let moved = |w: &str| {
        facts.changes.iter().any(|c| c.workload == w && c.start <= start && c.start > start - RECENT_S)
    };
    let free = facts.workloads.iter().map(String::as_str).filter(|w| !near.contains(w) && !moved(w));
    free.filter(|w| on(w).is_disjoint(&ours)).map(str::to_owned).collect()
}

/// Values of both grids where both have one, thinned evenly.
fn pairs(own: &Grid, other: &Grid, from: i64, to: i64) -> Vec<(f64, f64)> {
    let every = ((to - from) / POINTS).max(1) as usize;
    let cells = (from..=to).step_by(every);
    let both = cells.map(|cell| (own.at(cell), other.at(cell)));
    both.filter(|(y, x)| !y.is_nan() && !x.is_nan()).collect()
}

/// Weights on the simplex that minimise squares up to cell `until`.
fn weights(own: &Grid, donors: &[&Grid], until: i64, (centre, scale): (f64, f64)) -> Vec<f64> {
    let n = donors.len();
    let every = (until / POINTS).max(1) as usize;
    let mut rows: Vec<(f64, Vec<f64>)> = Vec::new();
    for cell in (0..=until).step_by(every) {
        let y = (own.at(cell) - centre) / scale;
        let x: Vec<f64> = donors.iter().map(|d| d.at(cell)).collect();
        if !y.is_nan() && x.iter().all(|v| !v.is_nan()) {
            rows.push((y, x));
        }
    }
    let mut w = vec![1.0 / n as f64; n];
    let size: f64 = rows.iter().map(|(_, x)| x.iter().map(|v| v * v).sum::<f64>()).sum();
    if size <= 0.0 {
        return w;
    }
    for _ in 0..STEPS {
        let mut gradient = vec![0.0; n];
        for (y, x) in &rows {
            let off: f64 = x.iter().zip(&w).map(|(x, w)| x * w).sum::<f64>() - y;
            gradient.iter_mut().zip(x).for_each(|(g, x)| *g += off * x);
        }
        // 1 / trace is below 1 / largest eigenvalue: no step overshoots
        w.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= g / size);
        project(&mut w);
    }
    w
}

/// Nearest point of the simplex (Duchi et al., ICML 2008, figure 1).
fn project(w: &mut [f64]) {
    let mut sorted = w.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (mut sum, mut shift) = (0.0, 0.0);
    for (i, v) in sorted.iter().enumerate() {
        sum += v;
        let t = (sum - 1.0) / (i + 1) as f64;
        if *v > t {
            shift = t;
        }
    }
    w.iter_mut().for_each(|v| *v = (*v - shift).max(0.0));
}

/// Spread of a series about what it was an hour before, with something taken off: what a control leaves to chance.
fn wander(own: &Grid, (from, to): (i64, i64), off: impl Fn(i64) -> f64) -> Option<f64> {
    let hour = (3_600 / own.step_s()).max(1);
    let at = |cell: i64| own.at(cell) - off(cell);
    let steps = (from..to).map(|cell| at(cell) - at(cell - hour));
    let mut steps: Vec<f64> = steps.filter(|d| !d.is_nan()).collect();
    spread(&mut steps)
}

#[cfg(test)]
mod tests {
    use super::project;

    #[test]
    fn projection_onto_the_simplex() {
        for (from, to) in [([0.2, 0.8], [0.2, 0.8]), ([2.0, 0.0], [1.0, 0.0]), ([0.0, 0.0], [0.5, 0.5])] {
            let mut w = from;
            project(&mut w);
            assert_eq!(w, to);
        }
    }
}
