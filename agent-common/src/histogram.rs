//! The one histogram: log-linear, 4 buckets an octave from 2^10 ns (1 us) to 2^36 ns (68 s), and one for each end.
//!
//! The relative width of a bucket is at most 25 %, so its middle is within 12.5 % of any value in it.

/// Number of counts.
pub const BUCKETS: usize = 106;

/// The bucket of a duration in nanoseconds; always below `BUCKETS`.
#[inline(always)]
pub fn bucket(nanos: u64) -> u32 {
    if nanos < 1 << 10 {
        return 0;
    }
    if nanos >= 1 << 36 {
        return 105;
    }
    let octave = floor_log2(nanos);
    let quarter = (nanos >> (octave - 2)) & 3;
    1 + (octave - 10) * 4 + quarter as u32
}

/// A branch tree: BPF has no instruction that counts leading zeros.
#[inline(always)]
fn floor_log2(value: u64) -> u32 {
    let mut rest = value;
    let mut log = 0;
    if rest >> 32 != 0 {
        rest >>= 32;
        log += 32;
    }
    if rest >> 16 != 0 {
        rest >>= 16;
        log += 16;
    }
    if rest >> 8 != 0 {
        rest >>= 8;
        log += 8;
    }
    if rest >> 4 != 0 {
        rest >>= 4;
        log += 4;
    }
    if rest >> 2 != 0 {
        rest >>= 2;
        log += 2;
    }
    if rest >> 1 != 0 {
        log += 1;
    }
    log
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, bucket};

    #[test]
    fn buckets_never_fall_and_cover_the_range() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(1023), 0);
        assert_eq!(bucket(1024), 1);
        assert_eq!(bucket((1 << 36) - 1), 104);
        assert_eq!(bucket(u64::MAX) as usize, BUCKETS - 1);
        let mut last = 0;
        for step in 0..100_000_u64 {
            let now = bucket(step * step * 8);
            assert!(now >= last);
            last = now;
        }
    }
}
