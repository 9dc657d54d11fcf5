//! The kernel's boot-time clock against wall time: the programs stamp with the one, rows carry the other.

use std::time::Duration;

/// `wall - boot` in nanoseconds; read again each window, since wall time is adjusted.
pub fn boot_to_unix_ns() -> i64 {
    read(libc::CLOCK_REALTIME) - read(libc::CLOCK_BOOTTIME)
}

/// Wall time of a `bpf_ktime_get_boot_ns` stamp.
pub fn unix_ns(boot_ns: u64, offset: i64) -> u64 {
    boot_ns.saturating_add_signed(offset)
}

/// Nanoseconds since boot, as `bpf_ktime_get_boot_ns` gives them.
pub fn boot_ns() -> u64 {
    u64::try_from(read(libc::CLOCK_BOOTTIME)).unwrap_or(0)
}

/// Nanoseconds since boot without suspend, as `bpf_ktime_get_ns` gives them.
pub fn monotonic_ns() -> u64 {
    u64::try_from(read(libc::CLOCK_MONOTONIC)).unwrap_or(0)
}

/// CPU time of all threads of this process since its start.
pub fn process_cpu() -> Duration {
    Duration::from_nanos(u64::try_from(read(libc::CLOCK_PROCESS_CPUTIME_ID)).unwrap_or(0))
}

fn read(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec to the pointer given, which is valid for it.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if failed == 0 { time.tv_sec * 1_000_000_000 + time.tv_nsec } else { 0 }
}
