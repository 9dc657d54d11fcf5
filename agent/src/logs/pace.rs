//! When directories are listed: at once after names changed, but never in a row, and now and then in any case.

use std::time::Duration;

/// How often directories are listed where inotify watches them.
const LIST_WATCHED: Duration = Duration::from_secs(10);
/// And where it does not.
const LIST_UNWATCHED: Duration = Duration::from_secs(1);
/// Whoever makes and removes files all the time has them listed so often.
const SHORTEST: Duration = Duration::from_millis(500);

/// Remembers the last listing and whether another one is wanted.
#[derive(Debug)]
pub(crate) struct Pace {
    listed_at: Duration,
    is_wanted: bool,
}

impl Pace {
    pub(crate) fn new(now: Duration) -> Self {
        Self { listed_at: now, is_wanted: false }
    }

    /// Names changed: they are to be listed soon.
    pub(crate) fn want(&mut self) {
        self.is_wanted = true;
    }

    /// How long until the next listing.
    pub(crate) fn wait(&self, now: Duration, is_watched: bool) -> Duration {
        let every = match (self.is_wanted, is_watched) {
            (true, _) => SHORTEST,
            (false, true) => LIST_WATCHED,
            (false, false) => LIST_UNWATCHED,
        };
        (self.listed_at + every).saturating_sub(now)
    }

    /// Whether to list now; then the next wait begins.
    pub(crate) fn take(&mut self, now: Duration, is_watched: bool) -> bool {
        let is_due = self.wait(now, is_watched).is_zero();
        if is_due {
            *self = Self::new(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pace;

    #[test]
    fn a_storm_of_names_is_listed_twice_a_second() {
        let start = Duration::from_secs(100);
        let mut pace = Pace::new(start);
        let listed = |pace: &mut Pace, at: u64| {
            pace.want();
            pace.take(start + Duration::from_millis(at), true)
        };
        let times: Vec<u64> = (0..=2000).step_by(10).filter(|&at| listed(&mut pace, at)).collect();
        assert_eq!(times, [500, 1000, 1500, 2000]);
    }

    #[test]
    fn after_a_quiet_time_a_change_is_listed_at_once_and_none_is_forgotten() {
        let mut pace = Pace::new(Duration::ZERO);
        assert!(!pace.take(Duration::from_secs(2), true));
        assert!(pace.take(Duration::from_secs(2), false));
        pace.want();
        assert!(pace.take(Duration::from_secs(3), true));
        pace.want();
        let soon = Duration::from_millis(3100);
        assert!(!pace.take(soon, true));
        assert_eq!(pace.wait(soon, true), Duration::from_millis(400));
        assert!(pace.take(Duration::from_millis(3500), true));
        assert_eq!(pace.wait(Duration::from_millis(3500), true), Duration::from_secs(10));
    }
}
