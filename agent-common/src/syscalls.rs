//! Syscalls: counts and errors per owner and number, latency per owner and class.

use crate::histogram::BUCKETS;
use crate::plain::fold;
use crate::workload::Slot;

/// Owner × number.
pub const MAX_COUNTS: u32 = 8_192;
/// Owner × number × errno.
pub const MAX_ERRORS: u32 = 4_096;
/// Owner × class.
pub const MAX_LATENCIES: u32 = 1_024;
/// Threads whose call may be timed at once; a power of two.
pub const STARTS: u32 = 65_536;
/// Numbers that have a class: native ones, then as many compat ones.
pub const CLASS_NUMBERS: u32 = 512;
/// Set in the number of a call by a 32-bit caller.
pub const COMPAT: u32 = 1 << 31;
/// One in this many calls is timed by default; a power of two.
pub const SAMPLE_EVERY: u32 = 16;
/// Class of calls that never return and so are never timed.
pub const CLASS_NEVER: u8 = 255;

/// Key of `COUNTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct CountKey {
    /// Owner
    pub workload: u64,
    /// Number, with `COMPAT`
    pub number: u32,
    /// Zero
    pub _pad: u32,
}

/// Value of `COUNTS`, per CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Count {
    /// Calls that returned
    pub calls: u64,
    /// Those that returned an error that is one
    pub errors: u64,
}

/// Counts of one key on one CPU that are not yet in `COUNTS`: most calls find their own here and need no hash.
///
/// A program changes the key by: `begun += 1`, counts to `COUNTS`, counts = 0, key, `ended += 1`. A copy is read from the
/// front, so one in which the two differ was taken meanwhile, and its counts may be in `COUNTS` or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Cached {
    /// Changes of the key that have ended
    pub ended: u64,
    /// Owner
    pub workload: u64,
    /// Number, with `COMPAT`
    pub number: u32,
    /// Zero
    pub _pad: u32,
    /// Calls that returned
    pub calls: u64,
    /// Those that returned an error that is one
    pub errors: u64,
    /// Changes of the key that have begun
    pub begun: u64,
}

/// Places for `Cached` on each CPU; a power of two.
pub const CACHED: usize = 256;
/// The one value of `CACHE`, per CPU.
pub type Cache = [Cached; CACHED];

/// The place of a key; consecutive cgroups and numbers spread.
#[inline(always)]
pub fn place(workload: u64, number: u32) -> usize {
    let spread = (workload as u32).wrapping_mul(0x9e37_79b1) >> 24;
    (spread ^ number) as usize & (CACHED - 1)
}

/// Key of `ERRORS`; the value is a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ErrorKey {
    /// Owner
    pub workload: u64,
    /// Number, with `COMPAT`
    pub number: u32,
    /// errno
    pub errno: u32,
}

/// Key of `LATENCIES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct LatencyKey {
    /// Owner
    pub workload: u64,
    /// Index of the class
    pub class: u32,
    /// Zero
    pub _pad: u32,
}

/// A timed call in flight.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Start {
    /// Thread; 0: free
    pub tid: u32,
    /// Zero
    pub _pad: u32,
    /// When it began, on the monotonic clock
    pub at_ns: u64,
}

crate::plain!(CountKey, 16, { workload: u64, number: u32, _pad: u32 });
crate::plain!(Count, 16, { calls: u64, errors: u64 });
crate::plain!(Cached, 48, {
    ended: u64,
    workload: u64,
    number: u32,
    _pad: u32,
    calls: u64,
    errors: u64,
    begun: u64,
});
crate::plain!(ErrorKey, 16, { workload: u64, number: u32, errno: u32 });
crate::plain!(LatencyKey, 16, { workload: u64, class: u32, _pad: u32 });
crate::plain!(Start, 16, { tid: u32, _pad: u32, at_ns: u64 });

/// Value of `LATENCIES`.
pub type Latency = [u32; BUCKETS];

/// What object and agent must agree on.
pub const LAYOUT: u64 = fold(&[
    CountKey::LAYOUT,
    Count::LAYOUT,
    Cached::LAYOUT,
    CACHED as u64,
    ErrorKey::LAYOUT,
    LatencyKey::LAYOUT,
    Start::LAYOUT,
    Slot::LAYOUT,
    BUCKETS as u64,
]);

/// The errno of a return value, if that is a failure: not a restart (512 to 516), not EAGAIN, not EINTR.
#[inline(always)]
pub fn failure(returned: i64) -> Option<u32> {
    if !(-4095..0).contains(&returned) {
        return None;
    }
    let errno = (-returned) as u32;
    if errno == 11 || errno == 4 || (512..=516).contains(&errno) { None } else { Some(errno) }
}

#[cfg(test)]
mod tests {
    use super::failure;

    #[test]
    fn restarts_and_tries_again_are_no_failures() {
        for fine in [0, 1, i64::MAX, -4, -11, -512, -516, -4096, i64::MIN] {
            assert_eq!(failure(fine), None, "{fine}");
        }
        assert_eq!(failure(-2), Some(2));
        assert_eq!(failure(-4095), Some(4095));
        assert_eq!(failure(-517), Some(517));
    }
}
