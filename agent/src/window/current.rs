//! The window that is open now, and what it truly covered when it is closed. Pure.
//!
//! Windows are aligned to wall time, so that nodes agree. A window that was cut (the first, the last) or that ran on
//! because this thread stood still says so: its rows carry the second in which it began and the seconds that it covered,
//! so that `window_s` is always the time behind a row's sums, true to a second, and windows neither overlap nor gap.

use std::time::Duration;

use super::Window;

/// How late a window may be closed and still count as closed at its end.
const LATE: Duration = Duration::from_millis(900);
const SECOND: u64 = 1_000_000_000;

/// The open window.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    /// As the clock has it, aligned.
    aligned: Window,
    /// The second of wall time from which it counts.
    began_ns: u64,
    /// When it was opened, exactly, by either clock.
    opened_ns: u64,
    opened: Duration,
}

/// How true a closed window is to its nominal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Exactly the aligned window.
    Whole,
    /// Shorter: the first or the last one, or the clock was set.
    Partial,
    /// Longer: the thread stood still.
    Stretched,
}

impl Extent {
    /// For the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Partial => "partial",
            Self::Stretched => "stretched",
        }
    }
}

impl Current {
    /// Counting began at `now_ns` of wall time, `now` of monotonic time.
    pub fn begin(now_ns: u64, now: Duration, seconds: u32) -> Self {
        let aligned = Window::containing(now_ns, seconds);
        Self { aligned, began_ns: now_ns - now_ns % SECOND, opened_ns: now_ns, opened: now }
    }

    /// Time until its end; zero when it is over or the clock was set back behind its start.
    pub fn left(&self, now_ns: u64) -> Duration {
        if now_ns < self.aligned.start_ns {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.aligned.end_ns().saturating_sub(now_ns))
    }

    /// Closes it: the window that its rows carry, and the one that is open from now on.
    pub fn close(self, now_ns: u64, now: Duration) -> (Window, Extent, Self) {
        let Self { aligned, began_ns, opened_ns, opened } = self;
        let seconds = aligned.seconds;
        let elapsed = now.saturating_sub(opened);
        let expected = Duration::from_nanos(aligned.end_ns().saturating_sub(opened_ns));
        let is_on_time =
            now_ns >= aligned.end_ns() && elapsed <= expected + LATE && elapsed + LATE >= expected;
        let end_ns = if is_on_time {
            aligned.end_ns()
        } else {
            // by the monotonic clock: the wall clock may have been set meanwhile
            let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
            opened_ns.saturating_add(elapsed_ns).div_ceil(SECOND).saturating_mul(SECOND)
        };
        let covered_ns = end_ns.saturating_sub(began_ns).max(SECOND);
        let covered = u32::try_from(covered_ns / SECOND).unwrap_or(u32::MAX);
        let extent = match covered.cmp(&seconds) {
            std::cmp::Ordering::Equal if began_ns == aligned.start_ns => Extent::Whole,
            std::cmp::Ordering::Greater => Extent::Stretched,
            _ => Extent::Partial,
        };
        let mut next = Self::begin(now_ns, now, seconds);
        let follows = began_ns + u64::from(covered) * SECOND;
        // goes on where this one ended, unless the clock was set
        if follows.abs_diff(now_ns) <= SECOND {
            next.began_ns = follows;
        }
        (Window { start_ns: began_ns, seconds: covered }, extent, next)
    }
}

#[cfg(test)]
mod tests;
