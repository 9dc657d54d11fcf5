//! Evidence from latency histograms: never from a percentile.
//!
//! Four limits are put where the past has its median and its .9, .95 and .99 quantile; "slower than the limit" is
//! a count like any other, and the mean of the four e-processes is one too, whatever their dependence. Bins are
//! those of the caller: ascending upper edges, one bin more than edges for what is slower than all.

use super::counts::{Counts, Way};

/// Where limits are put.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// Requests per bin.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// One more than there are edges.
    pub bins: Vec<f64>,
}

impl Histogram {
    /// Adds another of the same bins; missing bins count as empty.
    pub fn add(&mut self, other: &Self) {
        if self.bins.len() < other.bins.len() {
            self.bins.resize(other.bins.len(), 0.0);
        }
        self.bins.iter_mut().zip(&other.bins).for_each(|(a, b)| *a += b);
    }

    /// Requests in all bins.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.bins.iter().sum()
    }

    /// Requests slower than edge `k`.
    #[must_use]
    pub fn slower(&self, k: usize) -> f64 {
        self.bins.iter().skip(k + 1).sum()
    }

    /// Share slower than a latency between edges, log-linear inside a bin.
    fn slower_than(&self, edges: &[f64], latency: f64) -> f64 {
        let k = edges.partition_point(|edge| *edge < latency);
        let total = self.total().max(f64::MIN_POSITIVE);
        let (Some(&to), Some(&inside)) = (edges.get(k), self.bins.get(k)) else {
            return self.bins.last().copied().unwrap_or(0.0) / total;
        };
        // the first bin is taken to begin a doubling below its edge
        let from = if k == 0 { to / 2.0 } else { edges[k - 1] };
        let part = ((to / latency).ln() / (to / from).ln()).clamp(0.0, 1.0);
        (self.slower(k) + part * inside) / total
    }

    /// The latency at a quantile; `None` for no requests, the last edge for what is slower than all.
    #[must_use]
    pub fn quantile(&self, edges: &[f64], q: f64) -> Option<f64> {
        let total = self.total();
        let mut left = q.clamp(0.0, 1.0) * total;
        if total <= 0.0 {
            return None;
        }
        for (k, (&inside, &to)) in self.bins.iter().zip(edges).enumerate() {
            if left <= inside && inside > 0.0 {
                let from = if k == 0 { to / 2.0 } else { edges[k - 1] };
                return Some(from * (to / from).powf(left / inside));
            }
            left -= inside;
        }
        edges.last().copied()
    }

    /// Between which latencies a quantile lies, at every look at once, with probability 1 − `alpha` (Howard and
    /// Ramdas, Bernoulli 2022, theorem 2 with its constants). `None` below a hundred requests; an upper end that
    /// the requests cannot bound is infinite. `design` (at least 1) is the design effect that divides them.
    #[must_use]
    pub fn quantile_interval(&self, edges: &[f64], q: f64, alpha: f64, design: f64) -> Option<(f64, f64)> {
        let off = deviation(self.total() / design.max(1.0), alpha)?;
        let low = if q - off <= 0.0 { 0.0 } else { self.quantile(edges, q - off)? };
        let high = if q + off >= 1.0 { f64::INFINITY } else { self.quantile(edges, q + off)? };
        Some((low, high))
    }
}

/// Largest distance between an empirical distribution of `n` values and the true one, at all n ≥ 100 at once.
#[must_use]
pub fn deviation(n: f64, alpha: f64) -> Option<f64> {
    const FIRST: f64 = 100.0;
    let constant = 0.8 * (1612.0 / alpha).ln();
    (n >= FIRST).then(|| 0.85 * (((1.0 + (n / FIRST).ln()).ln() + constant) / n).sqrt())
}

/// Evidence that requests became slower, or faster, than a past histogram by more than a floor.
#[derive(Debug, Clone, PartialEq)]
pub struct Slower {
    limits: Vec<(usize, Counts, Counts)>,
}

impl Slower {
    /// Limits from a past histogram; `None` if it is empty. Latencies that differ by a factor of up to `floor` do
    /// not matter: how many more requests that puts beyond a limit is read from the past.
    #[must_use]
    pub fn new(past: &Histogram, edges: &[f64], floor: f64, dispersion: f64) -> Option<Self> {
        let total = past.total();
        if total <= 0.0 || edges.is_empty() {
            return None;
        }
        let mut limits: Vec<(usize, Counts, Counts)> = Vec::new();
        for q in QUANTILES {
            let at = past.quantile(edges, q)?;
            let above = edges.partition_point(|e| *e < at).min(edges.len() - 1);
            let nearer = above > 0 && (at / edges[above - 1]).ln() < (edges[above] / at).ln();
            let k = if nearer { above - 1 } else { above };
            let (share, edge) = (past.slower(k) / total, edges[k]);
            if share <= 0.0 || limits.iter().any(|l| l.0 == k) {
                continue;
            }
            let more = past.slower_than(edges, edge / floor) / share;
            let fewer = share / past.slower_than(edges, edge * floor).max(share * 1e-3);
            limits.push((k, Counts::new(more, dispersion), Counts::new(fewer, dispersion)));
        }
        (!limits.is_empty()).then_some(Self { limits })
    }

    /// Takes one window: the requests of the first arm and of the second.
    pub fn push(&mut self, first: &Histogram, second: &Histogram) {
        let (n1, n0) = (first.total(), second.total());
        for (k, more, fewer) in &mut self.limits {
            let (x1, x0) = ((first.slower(*k), n1), (second.slower(*k), n0));
            more.push(x1, x0);
            fewer.push(x1, x0);
        }
    }

    /// The e-value against "slower (or faster) by no more than the floor": the mean over the limits.
    #[must_use]
    pub fn e(&self, way: Way) -> f64 {
        let one = |l: &(usize, Counts, Counts)| match way {
            Way::More => l.1.e(way),
            Way::Fewer => l.2.e(way),
        };
        self.limits.iter().map(one).sum::<f64>() / self.limits.len() as f64
    }
}
