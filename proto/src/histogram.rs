//! How to read the histograms on the wire and in the store.
//!
//! Layout: count 0 is below 1.024 us, counts 1 to 104 are 4 buckets an octave from 2^10 to 2^36 ns, count 105 is
//! above. The same layout as `agent_common::histogram`; a test of the agent holds the two together.

/// Number of counts.
pub const BUCKETS: usize = 106;

/// The lower bound of a bucket, nanoseconds (0 for the first).
pub fn lower_bound_ns(bucket: usize) -> u64 {
    match bucket.checked_sub(1) {
        None => 0,
        Some(index) => {
            let octave = 10 + index.min(104) / 4;
            let quarter = index.min(104) % 4;
            (1 << octave) + (quarter as u64) * (1 << (octave - 2))
        }
    }
}

/// The count that a duration belongs to.
pub fn bucket(ns: u64) -> usize {
    let octave = ns.max(1).ilog2();
    match octave {
        0..10 => 0,
        // the two bits below the highest one are the quarter of the octave
        10..36 => 1 + (octave as usize - 10) * 4 + ((ns >> (octave - 2)) & 3) as usize,
        _ => BUCKETS - 1,
    }
}

/// The value below which `fraction` of the counts lie, in nanoseconds, interpolated within its bucket.
/// `None` for an empty histogram.
pub fn quantile_ns(counts: &[u64], fraction: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = fraction.clamp(0.0, 1.0) * total as f64;
    let mut below = 0.0;
    for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let count = *count as f64;
        if below + count >= rank {
            let low = lower_bound_ns(bucket) as f64;
            let high = lower_bound_ns((bucket + 1).min(BUCKETS - 1)) as f64;
            return Some(low + (high - low).max(0.0) * ((rank - below) / count));
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, bucket, lower_bound_ns, quantile_ns};

    #[test]
    fn a_duration_lies_in_its_bucket() {
        for at in 1..BUCKETS {
            let bound = lower_bound_ns(at);
            assert_eq!((bucket(bound - 1), bucket(bound)), (at - 1, at), "{bound}");
        }
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn bounds_grow_by_a_quarter_octave() {
        assert_eq!(lower_bound_ns(1), 1024);
        assert_eq!(lower_bound_ns(2), 1280);
        assert_eq!(lower_bound_ns(5), 2048);
        assert_eq!(lower_bound_ns(105), 1 << 36);
    }

    #[test]
    fn the_median_lies_in_the_middle_bucket() {
        let mut counts = vec![0; 106];
        counts[1] = 10;
        counts[5] = 80;
        counts[9] = 10;
        let median = quantile_ns(&counts, 0.5).unwrap();
        assert!((2048.0..2560.0).contains(&median), "{median}");
    }
}
