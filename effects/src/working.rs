//! Working units: each signal on a scale where noise is even and sizes compare.
//!
//! Positive quantities go to a logarithm, counts and shares to the square-root scales on which their sampling
//! noise is one, a gauge of unknown meaning stays as it is. None depends on the unit a value came in.

use crate::case::Signal;
use crate::stats::robust::median;

/// Below a twentieth of the usual level a ratio says nothing: the logarithm bends to linear there.
const BEND: f64 = 0.05;
/// Noise below five percent of a positive quantity is not worth a verdict, however steady the series was: half
/// of the tenth by which latency must rise to matter.
const LEAST_LOG_NOISE: f64 = 0.05;
/// What the largest of some values with deviation one rarely exceeds.
const TWO_SIGMA: f64 = 2.0;
/// The same for a gauge of unknown meaning, relative to its usual level.
const LEAST_GAUGE_NOISE: f64 = 0.01;
/// A lasting loss of a tenth of all requests is the least that matters: √(n + n/10) − √n is a twentieth of √n.
const LEAST_LOSS: f64 = 0.1;
/// One more failure in a thousand requests is the least that matters.
const LEAST_FAILING: f64 = 0.001;
/// Requests per step behind a share when nobody counted them: few, so that a share alone is not over-believed.
const UNKNOWN_REQUESTS: f64 = 100.0;

/// How values of one series turn into working units and back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unit {
    /// `ln(v + bend)`.
    Log {
        /// Where it bends, in the signal's unit.
        bend: f64,
    },
    /// `2·√(v·step + 3/8)` of a rate (Anscombe, Biometrika 1948): Poisson noise has deviation one.
    Count {
        /// Seconds per step.
        step_s: f64,
        /// Usual number per step.
        usual: f64,
    },
    /// `2·√n·asin(√(1 − v))` of a share of successes: binomial noise has deviation one.
    Share {
        /// Usual number of requests per step.
        requests: f64,
    },
    /// As it is.
    Plain {
        /// Usual magnitude.
        level: f64,
        /// Smallest difference between two values.
        quantum: f64,
    },
}

impl Unit {
    /// The unit of a signal, from its values before the change and, for a share, the usual requests per step.
    #[must_use]
    pub fn of(signal: Signal, before: &[f64], step_s: i64, requests: Option<f64>) -> Self {
        match signal {
            Signal::RequestRate => {
                let usual = median(&mut before.to_vec()).unwrap_or(0.0) * step_s as f64;
                Self::Count { step_s: step_s as f64, usual }
            }
            Signal::SuccessRatio => Self::Share { requests: requests.unwrap_or(UNKNOWN_REQUESTS).max(1.0) },
            Signal::Gauge => {
                let mut sizes: Vec<f64> = before.iter().map(|v| v.abs()).collect();
                Self::Plain { level: median(&mut sizes).unwrap_or(0.0), quantum: quantum(before) }
            }
            _ => {
                let usual = median(&mut before.to_vec()).unwrap_or(0.0);
                // a series of zeros has no level to be relative to: any value is as good as one unit
                Self::Log { bend: if usual > 0.0 { BEND * usual } else { 1.0 } }
            }
        }
    }

    /// Whether values in these units may stand for values in those: the same kind, fitted to about the same past.
    pub(crate) fn alike(self, other: Self) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() <= a.max(b) / 10.0;
        match (self, other) {
            (Self::Log { bend: a }, Self::Log { bend: b })
            | (Self::Count { step_s: a, .. }, Self::Count { step_s: b, .. })
            | (Self::Share { requests: a }, Self::Share { requests: b }) => near(a, b),
            (Self::Plain { .. }, Self::Plain { .. }) => true,
            _ => false,
        }
    }

    /// Into working units; growing values of a share of successes become falling failures.
    #[must_use]
    pub fn into_working(self, v: f64) -> f64 {
        match self {
            Self::Log { bend } => (v + bend).max(f64::MIN_POSITIVE).ln(),
            Self::Count { step_s, .. } => 2.0 * (v * step_s + 0.375).max(0.0).sqrt(),
            Self::Share { requests } => 2.0 * requests.sqrt() * (1.0 - v).clamp(0.0, 1.0).sqrt().asin(),
            Self::Plain { .. } => v,
        }
    }

    /// Back to the signal's unit.
    #[must_use]
    pub fn from_working(self, w: f64) -> f64 {
        match self {
            Self::Log { bend } => w.exp() - bend,
            Self::Count { step_s, .. } => ((w / 2.0).max(0.0).powi(2) - 0.375).max(0.0) / step_s,
            Self::Share { requests } => {
                let angle = (w / (2.0 * requests.sqrt())).clamp(0.0, std::f64::consts::FRAC_PI_2);
                1.0 - angle.sin().powi(2)
            }
            Self::Plain { .. } => w,
        }
    }

    /// The smallest that noise of this signal can be in means of `width` values: counting noise of one has deviation
    /// one, whatever was seen.
    #[must_use]
    pub fn least(self, width: usize) -> crate::track::Least {
        let one = (width.max(1) as f64).sqrt().recip();
        let (noise, largest, lasting) = match self {
            Self::Count { usual, .. } => (one, one * self.floor(), LEAST_LOSS * usual.sqrt()),
            Self::Share { requests } => {
                (one, one * self.floor(), 2.0 * requests.sqrt() * LEAST_FAILING.sqrt().asin())
            }
            Self::Log { .. } | Self::Plain { .. } => (self.floor(), self.floor(), self.floor()),
        };
        crate::track::Least { noise, largest, lasting, width }
    }

    /// Smallest scale that noise of this signal can have, in working units.
    #[must_use]
    pub fn floor(self) -> f64 {
        match self {
            Self::Log { .. } => LEAST_LOG_NOISE,
            Self::Count { .. } | Self::Share { .. } => TWO_SIGMA,
            Self::Plain { level, quantum } => {
                (LEAST_GAUGE_NOISE * level).max(0.5 * quantum).max(f64::MIN_POSITIVE)
            }
        }
    }

    /// Which way harm points in working units.
    #[must_use]
    pub fn side(self, signal: Signal) -> crate::track::Side {
        use crate::case::Harm;
        use crate::track::Side;
        match (signal.harm(), self) {
            (Harm::Either, _) => Side::Both,
            (Harm::Up, _) | (_, Self::Share { .. }) => Side::Up,
            (Harm::Down, _) => Side::Down,
        }
    }
}

/// Smallest difference between two neighbouring values when sorted: what the recording can resolve.
fn quantum(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let steps = sorted.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 0.0);
    steps.min_by(f64::total_cmp).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same() {
        for (signal, v) in [
            (Signal::Latency, 0.2),
            (Signal::RequestRate, 3.0),
            (Signal::SuccessRatio, 0.93),
            (Signal::Gauge, -4.0),
        ] {
            let unit = Unit::of(signal, &[0.1, 0.2, 0.3], 60, Some(50.0));
            assert!((unit.from_working(unit.into_working(v)) - v).abs() < 1e-9, "{signal:?}");
        }
    }

    #[test]
    fn a_ratio_means_the_same_in_any_unit() {
        let grow = |k: f64| {
            let unit = Unit::of(Signal::Latency, &[k * 0.1, k * 0.2, k * 0.3], 60, None);
            unit.into_working(k * 0.4) - unit.into_working(k * 0.2)
        };
        assert!((grow(1.0) - grow(1000.0)).abs() < 1e-9);
    }
}
