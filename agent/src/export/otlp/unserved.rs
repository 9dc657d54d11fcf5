//! Signals that an endpoint does not take while it takes others, such as a collector without a pipeline for traces.
//!
//! Believed only of an endpoint that has answered so for a minute and has just taken something else: what answers so for all
//! may be no endpoint at all, or not yet, and then everything waits. Asked anew after a while.

use std::collections::HashMap;
use std::time::Duration;

use daemon::otlp::{Http, Outcome};

use super::convert::{LOGS, METRICS, TRACES};

/// How long it takes to believe it: what is just starting may know some of its paths before others.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// When what is not served is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Which, and until when that is believed. Bounded by the number of paths.
#[derive(Debug)]
pub(super) struct Unserved {
    patience: Duration,
    /// Since when each answer was that there is no such path.
    since: HashMap<&'static str, Duration>,
    until: HashMap<&'static str, Duration>,
}

impl Unserved {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, since: HashMap::new(), until: HashMap::new() }
    }

    /// There is no such path, says the endpoint; whether it has said so for long.
    pub(super) fn misses(&mut self, path: &'static str, now: Duration) -> bool {
        now.saturating_sub(*self.since.entry(path).or_insert(now)) >= self.patience
    }

    /// The endpoint is away: what it will say when it is back is another matter.
    pub(super) fn is_away(&mut self, path: &str) {
        self.since.remove(path);
    }

    pub(super) fn is_not_served(&mut self, path: &'static str, now: Duration) {
        self.until.insert(path, now + AGAIN);
    }

    pub(super) fn serves(&mut self, path: &'static str) {
        self.since.remove(path);
        self.until.remove(path);
    }

    /// Whether requests for this path need not be sent.
    pub(super) fn holds(&self, path: &str, now: Duration) -> bool {
        self.until.get(path).is_some_and(|until| now < *until)
    }
}

/// Under what it is noted that this path is not served: what else is taken does not make it forgotten.
pub(super) fn part(path: &str) -> &'static str {
    match path {
        LOGS => "export of logs",
        TRACES => "export of spans",
        _ => "export of metrics",
    }
}

/// Whether the endpoint takes another signal: an empty request is a whole one.
pub(super) async fn takes_others(http: &Http, path: &str) -> bool {
    for other in [METRICS, LOGS, TRACES].into_iter().filter(|other| *other != path) {
        if matches!(http.post(other, &[]).await, Outcome::Taken { .. }) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_misses_is_believed_after_its_patience_and_asked_again_after_a_while() {
        let mut unserved = Unserved::new(s(60));
        assert!(!unserved.misses(TRACES, s(100)));
        assert!(!unserved.misses(TRACES, s(159)));
        assert!(unserved.misses(TRACES, s(160)));
        assert!(!unserved.holds(TRACES, s(160)), "believed only when somebody says so");
        unserved.is_not_served(TRACES, s(160));
        assert!(unserved.holds(TRACES, s(219)) && !unserved.holds(LOGS, s(219)));
        assert!(!unserved.holds(TRACES, s(220)), "it is asked again");
        assert!(unserved.misses(TRACES, s(220)), "and believed at once");
    }

    #[test]
    fn an_endpoint_that_was_away_or_served_has_its_patience_anew() {
        let mut unserved = Unserved::new(s(60));
        assert!(!unserved.misses(TRACES, s(0)));
        unserved.is_away(TRACES);
        assert!(!unserved.misses(TRACES, s(70)), "its first minute begins here");
        unserved.is_not_served(TRACES, s(130));
        unserved.serves(TRACES);
        assert!(!unserved.holds(TRACES, s(131)) && !unserved.misses(TRACES, s(131)));
    }
}
