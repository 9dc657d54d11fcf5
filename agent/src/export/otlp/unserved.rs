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

/// Whether the endpoint takes another signal: an empty request is a whole one.
pub(super) async fn takes_others(http: &Http, path: &str) -> bool {
    for other in [METRICS, LOGS, TRACES].into_iter().filter(|other| *other != path) {
        if matches!(http.post(other, &[]).await, Outcome::Taken { .. }) {
            return true;
        }
    }
    false
}
