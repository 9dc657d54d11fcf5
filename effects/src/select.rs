//! Many tests at once: which of them to believe.
//!
//! Inside a change, over entities, by the weighted procedure of Benjamini and Hochberg (Genovese, Roeder and
//! Wasserman, Biometrika 2006): the expected share of false ones among those selected is at most q if tests depend
//! on each other positively, as those of workloads do that call each other or share load and nodes. Across changes,
//! in the order in which they begin, LOND (Javanmard and Montanari, 2015).

/// Adjusted p-values in the order given: selecting all at most q keeps the expected share of false selections at
/// or below q. Tests are `(p, weight)`; weights need not be normalised, one of zero takes its test out.
#[must_use]
pub fn adjusted(tests: &[(f64, f64)]) -> Vec<f64> {
    let n = tests.iter().filter(|t| t.1 > 0.0).count();
    let total: f64 = tests.iter().map(|t| t.1.max(0.0)).sum();
    let mut order: Vec<(usize, f64)> = Vec::with_capacity(n);
    for (i, (p, weight)) in tests.iter().enumerate().filter(|(_, t)| t.1 > 0.0) {
        // weights with mean one
        order.push((i, p * total / (weight * n as f64)));
    }
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut out = vec![1.0; tests.len()];
    let mut least = 1.0_f64;
    for (rank, (i, p)) in order.into_iter().enumerate().rev() {
        least = least.min(p * n as f64 / (rank + 1) as f64);
        out[i] = least;
    }
    out
}

/// Levels for a stream of changes, so that the expected share of false alarms among all alarms stays at most q.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    q: f64,
    tested: f64,
    raised: f64,
}

impl Stream {
    /// No change judged yet.
    #[must_use]
    pub fn new(q: f64) -> Self {
        Self { q, tested: 0.0, raised: 0.0 }
    }

    /// Judges the next change by its p-value; `true` is an alarm.
    pub fn next(&mut self, p: f64) -> bool {
        // γ sums to at most one over all t (0.474 = 1 / Σ 1/((t+1)·ln²(t+1)), rounded down)
        const SCALE: f64 = 0.474;
        self.tested += 1.0;
        let t = self.tested + 1.0;
        let gamma = SCALE / (t * t.ln().powi(2));
        let alarm = p <= self.q * gamma * (1.0 + self.raised);
        self.raised += f64::from(u8::from(alarm));
        alarm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Rng;

    /// Mean share of false ones among those selected, of twenty tests that share half of their noise; `real` of
    /// them have an effect.
    fn false_share(real: usize, q: f64) -> f64 {
        let mut sum = 0.0;
        for run in 0..2_000 {
            let mut rng = Rng::new(run);
            let common = rng.normal();
            let mut tests = Vec::new();
            for i in 0..20 {
                let z = (common + rng.normal()) / 2f64.sqrt() + if i < real { 3.5 } else { 0.0 };
                // one-sided p of a normal value, by the logistic approximation of Bowling et al. (2009)
                tests.push((
                    1.0 / (1.0 + (1.5976 * z + 0.07056 * z.powi(3)).exp()),
                    if i < 5 { 3.0 } else { 1.0 },
                ));
            }
            let chosen = adjusted(&tests);
            let all = chosen.iter().filter(|p| **p <= q).count();
            let wrong = chosen[real..].iter().filter(|p| **p <= q).count();
            sum += wrong as f64 / all.max(1) as f64;
        }
        sum / 2_000.0
    }

    #[test]
    fn few_of_those_selected_are_false() {
        for real in [0, 1, 10] {
            let share = false_share(real, 0.05);
            // 2000 runs: three standard errors of a share of .05 are .015
            assert!(share <= 0.065, "{real} real: {share}");
        }
    }

    #[test]
    fn a_stream_of_harmless_changes_rarely_alarms_and_real_ones_earn_more() {
        let mut runs = 0;
        for run in 0..500 {
            let mut rng = Rng::new(run);
            let mut stream = Stream::new(0.05);
            runs += usize::from((0..300).any(|_| stream.next(rng.uniform())));
        }
        // nominal 25, and three standard errors
        assert!(runs <= 39, "{runs} of 500 streams of nothing alarmed");
        let mut stream = Stream::new(0.05);
        assert!((0..10).all(|_| stream.next(1e-6)));
        assert!(stream.next(0.001), "ten alarms that were believed allow an eleventh at a thousandth");
    }
}
