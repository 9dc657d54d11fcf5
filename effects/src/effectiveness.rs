//! How much of what was broken did a remediation mend?
//!
//! Per signal: h the healthy level, b before the action, a after it; r = (b−a)/(b−h), between −1 (as much worse
//! again) and 1 (all of it). Signals that were not broken beyond their floor do not count, and if none was, there
//! was nothing to recover and no score: that is absent, not zero.

use crate::simulate::Rng;

/// One signal that the remediation was to mend, in working units (logarithms, or as it is for a gauge).
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Without the incident.
    pub healthy: f64,
    /// Samples before the action, during the incident.
    pub before: Vec<f64>,
    /// Samples after the action.
    pub after: Vec<f64>,
    /// Differences up to this do not matter.
    pub floor: f64,
    /// It had begun to recover before the action, which then earns no credit for it.
    pub recovering: bool,
}

/// What a remediation achieved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Weighted mean over signals: −1 … 1.
    pub value: f64,
    /// .95 interval of a moving-block bootstrap with a fixed seed.
    pub interval: (f64, f64),
    /// Signals that counted.
    pub signals: usize,
}

/// No signal counts more than this many times one that is just beyond its floor.
const MOST_WEIGHT: f64 = 10.0;
/// Bootstrap draws: a .025 quantile rests on a dozen of them.
const DRAWS: u64 = 500;
const SEED: u64 = 1;

/// The score of a remediation; `None` if nothing was broken or nothing was measured. `ready`: without a ready pod, no
/// score is above zero.
#[must_use]
pub fn effectiveness(targets: &[Target], ready: bool) -> Option<Score> {
    let (value, signals) = score(targets, mean)?;
    let mut rng = Rng::new(SEED);
    let mut draws: Vec<f64> = Vec::with_capacity(DRAWS as usize);
    for _ in 0..DRAWS {
        draws.extend(score(targets, |v| mean(&resample(v, &mut rng))).map(|s| s.0));
    }
    let at = |q: f64, draws: &mut Vec<f64>| crate::stats::robust::quantile(draws, q).unwrap_or(value);
    let interval = (at(0.025, &mut draws).min(value), at(0.975, &mut draws).max(value));
    let most = if ready { 1.0 } else { 0.0 };
    Some(Score { value: value.min(most), interval: (interval.0.min(most), interval.1.min(most)), signals })
}

fn score(targets: &[Target], mut level: impl FnMut(&[f64]) -> Option<f64>) -> Option<(f64, usize)> {
    let (mut sum, mut weights, mut signals) = (0.0, 0.0, 0);
    for target in targets {
        let (Some(b), Some(a)) = (level(&target.before), level(&target.after)) else { continue };
        let broken = b - target.healthy;
        if broken.abs() <= target.floor.max(f64::MIN_POSITIVE) {
            continue;
        }
        let weight = (broken.abs() / target.floor.max(f64::MIN_POSITIVE)).min(MOST_WEIGHT);
        sum += weight * ((b - a) / broken).clamp(-1.0, if target.recovering { 0.0 } else { 1.0 });
        weights += weight;
        signals += 1;
    }
    (signals > 0).then(|| (sum / weights, signals))
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Blocks of about the square root of the length (Künsch, Annals of Statistics 1989), so that neighbours stay
/// together.
fn resample(values: &[f64], rng: &mut Rng) -> Vec<f64> {
    let n = values.len();
    let block = (n as f64).sqrt().ceil() as usize;
    let mut out = Vec::with_capacity(n + block);
    while out.len() < n {
        let from = (rng.uniform() * (n - block + 1) as f64) as usize;
        out.extend_from_slice(&values[from..(from + block).min(n)]);
    }
    out.truncate(n);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Noise;

    fn target(after: f64, seed: u64) -> Target {
        let mut rng = Rng::new(seed);
        let mut around = |level: f64| -> Vec<f64> {
            Noise::Ar(0.3).series(&mut rng, 60, 0, 60).iter().map(|v| level + 0.1 * v).collect()
        };
        Target { healthy: 0.0, before: around(1.0), after: around(after), floor: 0.1, recovering: false }
    }

    #[test]
    fn all_half_none_and_worse() {
        for (after, expected) in [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0), (3.0, -1.0)] {
            let mut held = 0;
            for seed in 0..100 {
                let score = effectiveness(&[target(after, seed)], true).unwrap();
                assert!((score.value - expected).abs() < 0.2, "{after}: {score:?}");
                // the clip at either end is no sampling error
                held +=
                    usize::from(score.interval.0 - 0.02 <= expected && expected <= score.interval.1 + 0.02);
            }
            assert!(held >= 88, "{held} of 100 intervals hold {expected}");
        }
    }

    #[test]
    fn nothing_to_recover_is_no_score_and_no_credit_is_none() {
        let healthy = Target { before: vec![0.01, 0.02], ..target(0.0, 1) };
        assert_eq!(effectiveness(&[healthy], true), None);
        assert_eq!(effectiveness(&[], true), None);
        let itself = Target { recovering: true, ..target(0.0, 1) };
        assert_eq!(effectiveness(&[itself], true).unwrap().value, 0.0);
        assert_eq!(effectiveness(&[target(0.0, 1)], false).unwrap().value, 0.0);
    }
}
