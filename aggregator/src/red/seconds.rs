//! A histogram in seconds, with the buckets that every request metric has.

use std::time::Duration;

use proto::histogram::lower_bound_ns;

use crate::requests::counted::Weight;

/// Upper bounds, seconds; one more has the rest.
const BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 4.096, 16.384];

/// Durations, counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Seconds {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Seconds {
    /// One more.
    pub(super) fn observe(&mut self, ns: i64) {
        let seconds = Duration::from_nanos(u64::try_from(ns).unwrap_or(0)).as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.counts[bucket] += 1;
        self.sum += seconds;
    }

    /// So many more. Each stands for the middle of its bucket, at most an eighth from what it was; their sum is exact.
    pub(super) fn add(&mut self, weight: &Weight) {
        for (place, count) in weight.hist.iter().enumerate().filter(|(_, count)| **count > 0) {
            let low = lower_bound_ns(place);
            let middle = low + (lower_bound_ns(place + 1).max(low) - low) / 2;
            let seconds = Duration::from_nanos(middle).as_secs_f64();
            let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
            self.counts[bucket] += count;
        }
        self.sum += Duration::from_nanos(weight.sum_ns).as_secs_f64();
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Upper bounds with what lies in each bucket alone.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        BOUNDS.into_iter().chain([f64::INFINITY]).zip(self.counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS, Seconds, Weight};

    #[test]
    fn counts_go_where_their_middle_is_and_the_sum_is_exact() {
        let mut hist = vec![0_u64; proto::histogram::BUCKETS];
        hist[proto::histogram::bucket(3_000_000)] = 5;
        hist[proto::histogram::bucket(100_000_000_000)] = 2;
        let mut seconds = Seconds::default();
        seconds.add(&Weight { count: 7, sum_ns: 15_000_000, hist });
        let buckets = seconds.buckets();
        assert_eq!((buckets[3], buckets[14].1, seconds.count()), ((0.004, 5), 2, 7));
        assert!((seconds.sum() - 0.015).abs() < 1e-9);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut seconds = Seconds::default();
        for ns in [0, 500_000, 500_001, 16_384_000_000, 16_384_000_001, -5] {
            seconds.observe(ns);
        }
        let buckets = seconds.buckets();
        assert_eq!((buckets[0], buckets[1].1), ((0.0005, 3), 1));
        assert_eq!((buckets[13], buckets[14].1), ((16.384, 1), 1));
        assert!(seconds.count() == 6 && BOUNDS.is_sorted());
        assert!((seconds.sum() - 32.769_000_002).abs() < 1e-6, "{}", seconds.sum());
    }
}
