//! A histogram in seconds, with the buckets that every request metric has.

use std::time::Duration;

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
    use super::{BOUNDS, Seconds};

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
