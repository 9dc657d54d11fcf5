//! Early warning: a quantity that only grows, and when it will meet its limit.

use crate::stats::robust::{median, quantile, slope};

/// A limit that lies ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warning {
    /// Now, by the median of the latest quarter.
    pub value: f64,
    /// Growth per second.
    pub slope: f64,
    /// Seconds until the limit is met: likeliest, and earliest and latest by a .9 interval of the slope.
    pub in_s: f64,
    /// Earliest.
    pub earliest_s: f64,
    /// Latest; infinite if the growth may be none.
    pub latest_s: f64,
}

/// Fewer samples give no slope worth a warning.
const FEWEST: usize = 8;
/// Pairs of points are quadratic in the samples: longer histories are thinned.
const MOST: usize = 120;

/// Warns if `samples` (seconds, value), oldest first, grow towards `limit` and may meet it within `within_s`
/// seconds. The slope is Theil and Sen's, its interval that of thirds: the slopes of all pairs that lie at least
/// a third of the time apart.
#[must_use]
pub fn limit_ahead(samples: &[(f64, f64)], limit: f64, within_s: f64) -> Option<Warning> {
    let thin: Vec<(f64, f64)> =
        samples.iter().copied().step_by(samples.len().div_ceil(MOST).max(1)).collect();
    if thin.len() < FEWEST {
        return None;
    }
    let rate = slope(&thin).filter(|s| *s > 0.0)?;
    let latest = &thin[thin.len() - thin.len().div_ceil(4)..];
    let mut values: Vec<f64> = latest.iter().map(|s| s.1).collect();
    let value = median(&mut values)?;
    let span = thin[thin.len() - 1].0 - thin[0].0;
    let mut far = Vec::new();
    for (i, a) in thin.iter().enumerate() {
        let apart = thin[i + 1..].iter().filter(|b| b.0 - a.0 >= span / 3.0);
        far.extend(apart.map(|b| (b.1 - a.1) / (b.0 - a.0)));
    }
    let (slowest, fastest) = (quantile(&mut far, 0.05)?, quantile(&mut far, 0.95)?);
    let reach = |slope: f64| if slope > 0.0 { ((limit - value) / slope).max(0.0) } else { f64::INFINITY };
    // a wave is no trend: its far pairs go both ways
    if slowest <= 0.0 || reach(rate) > within_s {
        return None;
    }
    Some(Warning {
        value,
        slope: rate,
        in_s: reach(rate),
        earliest_s: reach(fastest),
        latest_s: reach(slowest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Noise, Rng};

    fn series(noise: Noise, growth: f64, seed: u64) -> Vec<(f64, f64)> {
        let values = noise.series(&mut Rng::new(seed), 90, 0, 60);
        values.iter().enumerate().map(|(i, v)| (60.0 * i as f64, 100.0 + growth * i as f64 + v)).collect()
    }

    #[test]
    fn a_leak_is_foretold_and_its_time_is_about_right() {
        for seed in 0..50 {
            // one unit a minute from 100; the limit of 250 is 150 minutes from the start, 60 from the end
            let warned = limit_ahead(&series(Noise::Ar(0.6), 1.0, seed), 250.0, 7_200.0).expect("it leaks");
            assert!((warned.in_s - 4_275.0).abs() < 600.0, "{warned:?}");
            assert!(warned.earliest_s <= warned.in_s && warned.in_s <= warned.latest_s);
        }
    }

    #[test]
    fn noise_waves_and_distant_limits_warn_of_nothing() {
        for seed in 0..50 {
            for noise in [Noise::White, Noise::Ar(0.6), Noise::Bursty] {
                assert_eq!(limit_ahead(&series(noise, 0.0, seed), 110.0, 7_200.0), None, "{noise:?} {seed}");
            }
            assert_eq!(limit_ahead(&series(Noise::White, 1.0, seed), 1e6, 7_200.0), None);
        }
        assert_eq!(limit_ahead(&[(0.0, 1.0), (1.0, 2.0)], 10.0, 100.0), None);
    }
}
