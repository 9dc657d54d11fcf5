//! The only source of time, so that a test can hold it still.
//!
//! Wall time is for stamps that leave the process; monotonic time is for intervals and deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall and monotonic time; clones share it.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { started: Instant },
    Manual { unix_ns: Arc<AtomicU64>, monotonic_ns: Arc<AtomicU64> },
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl Clock {
    /// The machine's clocks.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
    pub fn system() -> Self {
        Self(Source::System { started: Instant::now() })
    }

    /// A clock that stands still until `advance` or `set_unix_ns`.
    pub fn manual(unix_ns: u64) -> Self {
        Self(Source::Manual {
            unix_ns: Arc::new(AtomicU64::new(unix_ns)),
            monotonic_ns: Arc::new(AtomicU64::new(0)),
        })
    }

    /// Nanoseconds since the Unix epoch, UTC; may jump when the machine's clock is set.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
    pub fn now_unix_ns(&self) -> u64 {
        match &self.0 {
            Source::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            }
            Source::Manual { unix_ns, .. } => unix_ns.load(Ordering::Relaxed),
        }
    }

    /// Time since the clock was made; never falls.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { started } => started.elapsed(),
            Source::Manual { monotonic_ns, .. } => Duration::from_nanos(monotonic_ns.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock on; does nothing to the machine's.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { unix_ns, monotonic_ns } = &self.0 {
            let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            unix_ns.fetch_add(nanos, Ordering::Relaxed);
            monotonic_ns.fetch_add(nanos, Ordering::Relaxed);
        }
    }

    /// Sets a manual clock's wall time, also back; does nothing to the machine's.
    pub fn set_unix_ns(&self, now_ns: u64) {
        if let Source::Manual { unix_ns, .. } = &self.0 {
            unix_ns.store(now_ns, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Clock;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(5);
        assert_eq!((clock.now_unix_ns(), clock.monotonic()), (5, Duration::ZERO));
        clock.clone().advance(Duration::from_nanos(7));
        assert_eq!((clock.now_unix_ns(), clock.monotonic()), (12, Duration::from_nanos(7)));
    }

    #[test]
    fn the_system_clock_is_in_this_century_and_goes_on() {
        let clock = Clock::system();
        let before = clock.monotonic();
        assert!(clock.now_unix_ns() > 1_700_000_000_000_000_000);
        assert!(clock.monotonic() >= before);
    }
}
