//! Signals that an endpoint does not take while it takes others, such as a collector without a pipeline for traces.
//!
//! Believed only of an endpoint that has just taken something else, twice over: what answers so for all may be no endpoint
//! at all, or not yet, and then everything waits. Asked anew after a while.

use std::collections::HashMap;
use std::time::Duration;

use daemon::otlp::{Http, Outcome};

use super::convert::{LOGS, METRICS, TRACES};

/// When what is not served is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Which, and until when that is believed. Bounded by the number of paths.
#[derive(Debug, Default)]
pub(super) struct Unserved(HashMap<&'static str, Duration>);

impl Unserved {
    pub(super) fn is_not_served(&mut self, path: &'static str, now: Duration) {
        self.0.insert(path, now + AGAIN);
    }

    pub(super) fn serves(&mut self, path: &'static str) {
        self.0.remove(path);
    }

    /// Whether requests for this path need not be sent.
    pub(super) fn holds(&self, path: &str, now: Duration) -> bool {
        self.0.get(path).is_some_and(|until| now < *until)
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
