//! Evidence from counts: events in one arm against events in another, valid at every look.
//!
//! In a window, x₁ events fell on exposure n₁ and x₀ on n₀ (requests, connections, pod-seconds). Given their sum,
//! x₁ is binomial with θ(ρ) = ρn₁/(ρn₁+n₀), ρ being the ratio of rates, whatever the rate itself does. Products
//! of likelihood ratios against ρ₀ are e-processes, so is their mixture over a grid of ρ (Robbins, Annals of
//! Mathematical Statistics 1970; Ramdas et al., Statistical Science 2023, section 3): under any ρ no worse than
//! ρ₀ it ever reaches 1/α with probability at most α. State: 101 numbers, whatever the number of windows.

/// Ratios on the grid: eighths of a doubling, from 1/64 to 64.
const HALF: i32 = 48;
const POINTS: usize = 2 * HALF as usize + 1;
/// Evidence beyond this is reported as this: e^600 still fits a double.
const MOST_LOG: f64 = 600.0;

/// Which way the ratio of rates goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// More events per exposure in the first arm.
    More,
    /// Fewer.
    Fewer,
}

/// Log-likelihoods of all ratios, and of the floors on either side.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    log: [f64; POINTS],
    log_floor: [f64; 2],
    /// ln ρ₀ of the floor towards more and towards fewer.
    floor: [f64; 2],
    dispersion: f64,
    events: f64,
}

fn ln_ratio(g: usize) -> f64 {
    f64::from(g as i32 - HALF) / 8.0 * std::f64::consts::LN_2
}

fn weight(g: usize) -> f64 {
    1.0 / (1.0 + f64::from((g as i32 - HALF).abs()))
}

/// x₁·ln θ + x₀·ln(1−θ) at ln ρ, up to a constant.
fn likelihood(ln_rho: f64, (x1, n1): (f64, f64), (x0, n0): (f64, f64)) -> f64 {
    // θ = a/(1+a)
    let ln = ln_rho + n1.ln() - n0.ln();
    x1 * ln - (x1 + x0) * ln.exp().ln_1p()
}

impl Counts {
    /// No evidence yet. Ratios up to `floor` (at least 1) either way do not matter; `dispersion` (at least 1) is
    /// the variance of the counts over what a Poisson count would have.
    #[must_use]
    pub fn new(floor: f64, dispersion: f64) -> Self {
        let ln = floor.max(1.0).ln();
        let dispersion = dispersion.max(1.0);
        Self { log: [0.0; POINTS], log_floor: [0.0; 2], floor: [ln, -ln], dispersion, events: 0.0 }
    }

    /// Takes one window: events and exposure of the first arm and of the second. A window in which an arm has no
    /// exposure says nothing.
    pub fn push(&mut self, first: (f64, f64), second: (f64, f64)) {
        let fine = |v: f64| v.is_finite() && v >= 0.0;
        let (n1, n0) = (first.1, second.1);
        if !(fine(first.0) && fine(second.0) && fine(n1) && fine(n0)) || n1 == 0.0 || n0 == 0.0 {
            return;
        }
        if first.0 + second.0 == 0.0 {
            return;
        }
        self.events += first.0 + second.0;
        for (g, log) in self.log.iter_mut().enumerate() {
            *log += likelihood(ln_ratio(g), first, second);
        }
        for (log, floor) in self.log_floor.iter_mut().zip(self.floor) {
            *log += likelihood(floor, first, second);
        }
    }

    /// The same for a fixed past: `before` events and exposure, then all of `after` at once; replaces what was
    /// taken. Half an event is added to the past, so that none is not taken for never; approximate for that.
    #[must_use]
    pub fn against_past(floor: f64, dispersion: f64, after: (f64, f64), before: (f64, f64)) -> Self {
        let mut counts = Self::new(floor, dispersion);
        counts.push(after, (before.0 + 0.5, before.1));
        counts
    }

    /// Events in both arms so far.
    #[must_use]
    pub fn events(&self) -> f64 {
        self.events
    }

    /// The e-value against "the ratio is no further out than the floor".
    #[must_use]
    pub fn e(&self, way: Way) -> f64 {
        let (side, beyond): (usize, fn(f64, f64) -> bool) = match way {
            Way::More => (0, |rho, floor| rho > floor),
            Way::Fewer => (1, |rho, floor| rho < floor),
        };
        self.mixture(self.log_floor[side], |ln| beyond(ln, self.floor[side]))
    }

    /// Ratios that cannot be refused at `alpha`, at all times at once; `None` if the grid holds none. One step of
    /// the grid (9 %) wider on each side.
    #[must_use]
    pub fn interval(&self, alpha: f64) -> Option<(f64, f64)> {
        let most = self.log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum = self.mixture(most, |_| true).ln();
        // the mixture against any ratio is that against the likeliest, shifted
        let kept = |g: &usize| sum + (most - self.log[*g]) / self.dispersion < (1.0 / alpha).ln();
        let low = (0..POINTS).find(kept)?;
        let high = (0..POINTS).rev().find(kept)?;
        // an end of the grid is no bound
        let from = if low == 0 { 0.0 } else { ln_ratio(low - 1).exp() };
        let to = if high == POINTS - 1 { f64::INFINITY } else { ln_ratio(high + 1).exp() };
        Some((from, to))
    }

    fn mixture(&self, against: f64, counts: impl Fn(f64) -> bool) -> f64 {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (g, log) in self.log.iter().enumerate().filter(|(g, _)| counts(ln_ratio(*g))) {
            weights += weight(g);
            sum += weight(g) * ((log - against) / self.dispersion).min(MOST_LOG).exp();
        }
        if weights > 0.0 { sum / weights } else { 0.0 }
    }
}

/// The smallest ratio above `floor` that `events` expected events, split as the exposures are, would show at
/// `alpha`: N·KL(θ(ρ)‖θ(ρ₀)) ≥ φ·ln(1/(α·w)). `None` if even the largest ratio of the grid would not be seen.
#[must_use]
pub fn detectable(events: f64, (n1, n0): (f64, f64), floor: f64, dispersion: f64, alpha: f64) -> Option<f64> {
    let theta = |rho: f64| rho * n1 / (rho * n1 + n0);
    let at = theta(floor.max(1.0));
    let beyond: Vec<usize> = (0..POINTS).filter(|g| ln_ratio(*g).exp() > floor.max(1.0)).collect();
    let all: f64 = beyond.iter().map(|g| weight(*g)).sum();
    beyond.into_iter().find_map(|g| {
        let rho = ln_ratio(g).exp();
        let t = theta(rho);
        let divergence = t * (t / at).ln() + (1.0 - t) * ((1.0 - t) / (1.0 - at)).ln();
        // more events come with a larger ratio
        let seen = events * (rho * n1 + n0) / (n1 + n0);
        let needed = dispersion.max(1.0) * (all / (alpha * weight(g))).ln();
        (seen * divergence >= needed).then_some(rho)
    })
}

/// Variance over mean of counts per window, given what each window was expected to hold: at least 1, and 1 for
/// fewer than three windows.
#[must_use]
pub fn dispersion(windows: &[(f64, f64)]) -> f64 {
    let (events, exposure) = windows.iter().fold((0.0, 0.0), |sum, w| (sum.0 + w.0, sum.1 + w.1));
    if windows.len() < 3 || events <= 0.0 || exposure <= 0.0 {
        return 1.0;
    }
    let rate = events / exposure;
    // Pearson's statistic over its degrees of freedom
    let terms = windows.iter().filter(|w| w.1 > 0.0).map(|(x, n)| (x - rate * n).powi(2) / (rate * n));
    (terms.sum::<f64>() / (windows.len() - 1) as f64).max(1.0)
}
