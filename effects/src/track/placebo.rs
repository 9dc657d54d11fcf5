//! Placebo calibration: a view is divided by what it did at moments when nothing changed.
//!
//! Three layers, each the .95 quantile over pseudo-starts that ended before the change began: per view and
//! look; of the geometric mean of the views, per look; of the largest such ratio over all looks. So the final
//! ratio may be read after every sample: peeking is paid for in the last layer.

use std::sync::Arc;

use super::frame::Plan;
use super::views::{LASTING, LASTING_PART, Side, VIEWS};
use super::windows::{Windows, wild};
use crate::grid::Grid;
use crate::ingredient::Ingredient;
use crate::stats::robust::{quantile, spread};

/// Cells after the start at which the views are read: dense early, where minutes matter, sparse later.
const LOOKS: [usize; 18] = [1, 2, 3, 5, 8, 12, 18, 22, 27, 33, 40, 50, 60, 70, 80, 90, 100, 110];
/// Beyond these, each look comes an eighth later than the one before: windows of short steps are long in cells.
const LATER: usize = 8;
/// Windows that overlap by more than this teach nothing new; a quarter of an hour keeps a few hundred per
/// three days.
const SPACING_S: i64 = 900;
/// Enough for a .95 quantile with a relative error of some percent.
const WANTED: i64 = 200;
/// The newest count; older ones describe another system.
pub(super) const MOST: usize = 1_000;
/// Ratios below this say nothing and must not dominate a geometric mean.
const LEAST_RATIO: f64 = 1e-2;
/// Where placebos stay far below their floors, the floor is the noise: a joint ratio of a half is as good as one.
const LEAST_JOINT: f64 = 0.5;
/// Weight of the prior, in independent placebos: below twenty, a .95 quantile is the largest value seen.
const PRIOR_WEIGHT: f64 = 20.0;
/// Prior scale of the largest-of-view in standard deviations: the .95 quantile of the largest of 110 values of
/// AR(1) noise with a correlation of .6 lies between 3 and 4 (tests of this module).
const PRIOR_SCALE: f64 = 4.0;
/// The same of a lasting shift, for any number of values: few of them reach more than many (tests of this module).
const PRIOR_LASTING: f64 = 2.0;
/// Prior of the tail index: of normal noise, a ratio 1.4 times the .95 quantile has a probability near .01.
pub(super) const PRIOR_TAIL: f64 = 0.2;
/// Added to it where the series has no placebos of its own, and the scale is known from the noise of its values alone.
/// The smallest that keeps .01 under every noise of the simulator from three hours of history on (tests of this crate).
const UNKNOWN_SCALE: f64 = 0.3;
/// From this many independent placebos on, the scale counts as known.
const FEWEST_FOR_SCALE: f64 = 10.0;
/// Weight of that prior, in independent exceedances: fewer than ten fix a tail index to no better than a third.
const PRIOR_TAIL_WEIGHT: f64 = 10.0;

/// The smallest that noise of a signal can be, in its working unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Least {
    /// Deviation of one value.
    pub noise: f64,
    /// What the largest of some values reaches.
    pub largest: f64,
    /// A lasting shift that is smaller does not matter.
    pub lasting: f64,
    /// Values in each running mean.
    pub width: usize,
}

impl Least {
    /// The smallest scale of a lasting shift at a look: what matters, and what the mean of the shortest stretch that
    /// counts as lasting reaches by chance.
    fn of_mean(self, cells: usize) -> f64 {
        // so many means that share no value
        let apart = (cells.div_ceil(LASTING_PART) as f64 / self.width.max(1) as f64).max(1.0);
        self.lasting.max(self.largest / apart.sqrt())
    }
}

/// What the views of one series do when nothing changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    pub(super) side: Side,
    pub(super) looks: Vec<Look>,
    pub(super) largest: f64,
    pub(super) tail: f64,
    pub(super) band: (f64, f64),
    pub(super) placebos: usize,
    /// Usual noise of an hour; `None` if hours are not told apart.
    pub(super) noise: Option<f64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub(super) cells: usize,
    views: [f64; VIEWS],
    joint: f64,
    viewed: Viewed,
}

/// What is read of the views.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Viewed {
    /// Of those read together, the first ones.
    together: usize,
    /// Whether the view of lasting shifts is read beside them.
    lasting: bool,
}

impl Look {
    /// The scales of one look, from the views of the placebos that reach it; `own` independent ones among them.
    fn of(
        cells: usize,
        seen: &[(usize, [f64; VIEWS])],
        (noise, least): (f64, Least),
        own: f64,
        viewed: Viewed,
    ) -> Self {
        let mut views = [0.0; VIEWS];
        for (v, scale) in views.iter_mut().enumerate() {
            let (deviations, floor) = if v == LASTING {
                (PRIOR_LASTING, least.of_mean(cells))
            } else {
                (PRIOR_SCALE, least.largest)
            };
            let prior = deviations * noise;
            let mut column: Vec<f64> = seen.iter().map(|s| s.1[v]).collect();
            let measured = quantile(&mut column, 0.95).unwrap_or(prior).max(floor);
            *scale = shrink(measured, prior, own);
        }
        let mut ratios: Vec<f64> = seen.iter().map(|s| joint(&s.1[..viewed.together], &views)).collect();
        let measured = quantile(&mut ratios, 0.95).unwrap_or(1.0).max(LEAST_JOINT);
        Self { cells, views, joint: shrink(measured, 1.0, own), viewed }
    }

    /// Geometric mean of the views over their scales, or a lasting shift over its own if that is more; 1 is the .95
    /// quantile of the placebos at this look, of either.
    pub(super) fn ratio(&self, views: &[f64; VIEWS]) -> f64 {
        let together = joint(&views[..self.viewed.together], &self.views) / self.joint;
        if self.viewed.lasting { together.max(views[LASTING] / self.views[LASTING]) } else { together }
    }

    /// The value that all views must have for this ratio after an hour of usual noise: a lasting shift gives it to each of them.
    pub(super) fn shift_for(&self, ratio: f64) -> f64 {
        let logs: f64 = self.views[..LASTING].iter().map(|q| q.ln()).sum();
        let together = ratio * self.joint * (logs / LASTING as f64).exp();
        if self.viewed.lasting { together.min(ratio * self.views[LASTING]) } else { together }
    }
}

impl Reference {
    /// How wild a window may be expected to be after an hour of this noise, as a ratio to the usual.
    pub(super) fn wild(&self, noise: f64) -> f64 {
        self.noise.map_or(1.0, |usual| wild(noise, usual))
    }

    /// Cells of the longest window.
    pub(super) fn horizon(&self) -> usize {
        self.looks.last().map_or(1, |look| look.cells)
    }

    /// Runs the pseudo-starts of `grid` whose windows end at or before cell `last`, for windows of up to
    /// `horizon` cells, once for all sides. `least` is the smallest that noise of this signal can be, in its
    /// own unit. One reference per side, in their order.
    #[must_use]
    pub fn build(
        grid: &Grid,
        plan: &Plan,
        last: i64,
        horizon: usize,
        (sides, least): (&[Side], Least),
        left_out: Option<Ingredient>,
    ) -> Vec<Arc<Self>> {
        let spacing = (last / WANTED).clamp(1, (SPACING_S / grid.step_s()).max(1));
        let mut windows = match left_out {
            Some(Ingredient::Placebos) => Windows::none(sides.len(), horizon),
            _ => Windows::run(grid, plan, (last, horizon, spacing), sides),
        };
        let usual = windows.calm(least.largest, left_out != Some(Ingredient::Noise));
        let viewed = match left_out {
            Some(Ingredient::Views) => Viewed { together: 1, lasting: false },
            left_out => Viewed { together: LASTING, lasting: left_out != Some(Ingredient::Lasting) },
        };
        let mut noise: Vec<f64> = grid.present(last - MOST as i64, last + 1).collect();
        let noise = spread(&mut noise).unwrap_or(0.0).max(least.noise);
        let band = band(windows.means, PRIOR_SCALE * noise);
        let mut built = Vec::with_capacity(sides.len());
        for (side, seen) in sides.iter().zip(&windows.seen) {
            let mut looks: Vec<Look> = Vec::new();
            let mut best = vec![0.0_f64; windows.count];
            for (cells, seen) in looks_up_to(horizon).zip(seen) {
                // windows that overlap count by the part that is new
                let part = (spacing as f64 / cells as f64).min(1.0);
                // over longer than its past a line may wander further than that shows: as far as a random walk would
                let further = (cells as f64 / (last + 1) as f64).max(1.0).sqrt();
                let look = Look::of(cells, seen, (further * noise, least), part * seen.len() as f64, viewed);
                for (i, views) in seen {
                    best[*i] = best[*i].max(look.ratio(views));
                }
                looks.push(look);
            }
            let largest = quantile(&mut best.clone(), 0.95).unwrap_or(1.0).max(1.0);
            let part = (spacing as f64 / horizon.max(1) as f64).min(1.0);
            let tail = tail(&best, largest, part, part * windows.count as f64);
            let placebos = windows.count;
            built.push(Arc::new(Self { side: *side, looks, largest, tail, band, placebos, noise: usual }));
        }
        built
    }
}

/// Quantiles .025 and .975 of the mean residual of a window, widened by the prior where placebos are few.
fn band(mut means: Vec<f64>, prior: f64) -> (f64, f64) {
    let wide = if (means.len() as f64) < PRIOR_WEIGHT { prior } else { 0.0 };
    let low = quantile(&mut means, 0.025).unwrap_or(0.0);
    let high = quantile(&mut means, 0.975).unwrap_or(0.0);
    (low - wide, high + wide)
}

/// Mean log excess over `largest` (Hill, Annals of Statistics 1975), pulled towards the prior; overlapping
/// windows count by `part`.
fn tail(best: &[f64], largest: f64, part: f64, own: f64) -> f64 {
    let prior = PRIOR_TAIL + UNKNOWN_SCALE * (1.0 - own / FEWEST_FOR_SCALE).max(0.0);
    let over: Vec<f64> = best.iter().filter(|m| **m > largest).map(|m| (m / largest).ln()).collect();
    let sum = part * over.iter().sum::<f64>();
    (PRIOR_TAIL_WEIGHT * prior + sum) / (PRIOR_TAIL_WEIGHT + part * over.len() as f64)
}

/// Between measured and prior on a log scale, by the number of independent placebos; measured alone from
/// `PRIOR_WEIGHT` on.
fn shrink(measured: f64, prior: f64, own: f64) -> f64 {
    let weight = ((PRIOR_WEIGHT - own) / PRIOR_WEIGHT).clamp(0.0, 1.0);
    measured.powf(1.0 - weight) * prior.max(f64::MIN_POSITIVE).powf(weight)
}

pub(super) fn looks_up_to(horizon: usize) -> impl Iterator<Item = usize> {
    let horizon = horizon.max(1);
    let last = LOOKS[LOOKS.len() - 1];
    let later = std::iter::successors(Some(last + last / LATER), |c| Some(c + c / LATER));
    LOOKS.into_iter().chain(later).take_while(move |c| *c < horizon).chain(std::iter::once(horizon))
}

fn joint(views: &[f64], scales: &[f64; VIEWS]) -> f64 {
    let sum: f64 = views.iter().zip(scales).map(|(v, q)| (v / q).max(LEAST_RATIO).ln()).sum();
    (sum / views.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Noise, Rng};

    #[test]
    fn the_prior_scale_is_what_correlated_noise_reaches() {
        let mut largest: Vec<f64> = (0..2_000)
            .map(|run| Noise::Ar(0.6).series(&mut Rng::new(run), 110, 0, 60))
            .map(|v| v.iter().fold(0.0, |m: f64, x| m.max(x.abs())))
            .collect();
        let q = quantile(&mut largest, 0.95).unwrap();
        assert!((3.0..=PRIOR_SCALE).contains(&q), "{q}");
    }

    #[test]
    fn the_prior_of_a_lasting_shift_is_what_correlated_noise_reaches() {
        let mut largest: Vec<f64> = Vec::new();
        for run in 0..1_000 {
            let mut values = Noise::Ar(0.6).series(&mut Rng::new(run), 170, 0, 60);
            let after = values.split_off(60);
            let level = crate::stats::robust::median(&mut values).unwrap();
            let stretch = |from: usize| {
                let rest = &after[from..];
                let mean = rest.iter().map(|v| v - level).sum::<f64>() / rest.len() as f64;
                mean.abs() * (rest.len() as f64 / after.len() as f64).sqrt()
            };
            let shortest = after.len().div_ceil(LASTING_PART);
            largest.push((0..=after.len() - shortest).map(stretch).fold(0.0, f64::max));
        }
        let q = quantile(&mut largest, 0.95).unwrap();
        assert!((0.5..=PRIOR_LASTING).contains(&q), "{q}");
    }

    #[test]
    fn the_prior_tail_is_near_what_the_largest_of_normal_noise_has() {
        let mut largest: Vec<f64> = (0..4_000)
            .map(|run| Noise::White.series(&mut Rng::new(run), 110, 0, 60))
            .map(|v| v.iter().fold(0.0, |m: f64, x| m.max(x.abs())))
            .collect();
        let u = quantile(&mut largest, 0.95).unwrap();
        let own = tail(&largest, u, 1.0, 1e9);
        // one view alone has a lighter tail than the prior, which must also cover bursts
        assert!((0.02..=PRIOR_TAIL).contains(&own), "{own}");
    }
}
