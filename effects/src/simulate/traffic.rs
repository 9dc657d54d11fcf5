//! Requests of one pod, window by window: Poisson arrivals, binomial failures, log-normal latencies.

use super::noise::Rng;
use crate::live::Window;
use crate::stats::histogram::Histogram;

/// What a pod does with its requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Traffic {
    /// Requests per second.
    pub rate: f64,
    /// Share that fails.
    pub failing: f64,
    /// Median latency, seconds.
    pub median_s: f64,
    /// Standard deviation of the logarithm of the latency.
    pub spread: f64,
    /// Deviation of the logarithm of the rate of failures from window to window: bursts.
    pub bursts: f64,
}

/// Upper edges of latency bins, quarters of a doubling from a millisecond to sixteen seconds.
#[must_use]
pub fn edges() -> Vec<f64> {
    (0..=56).map(|k| 0.001 * 2f64.powf(f64::from(k) / 4.0)).collect()
}

impl Traffic {
    /// An ordinary service at `rate` requests per second.
    #[must_use]
    pub fn usual(rate: f64) -> Self {
        Self { rate, failing: 0.005, median_s: 0.05, spread: 0.5, bursts: 0.0 }
    }

    /// What `pod` answered in the window of `step_s` seconds that ends at `time`.
    pub fn window(&self, rng: &mut Rng, pod: &str, time: i64, step_s: i64) -> Window {
        let edges = edges();
        let mut bins = vec![0.0; edges.len() + 1];
        let requests = rng.poisson(self.rate * step_s as f64);
        let burst = (self.bursts * rng.normal() - self.bursts * self.bursts / 2.0).exp();
        let failing = (self.failing * burst).min(1.0);
        let mut failures = 0.0;
        for _ in 0..requests as usize {
            let latency = self.median_s * (self.spread * rng.normal()).exp();
            bins[edges.partition_point(|e| *e < latency)] += 1.0;
            failures += f64::from(u8::from(rng.uniform() < failing));
        }
        Window { time, pod: pod.to_owned(), route: String::new(), failures, latency: Histogram { bins } }
    }
}
