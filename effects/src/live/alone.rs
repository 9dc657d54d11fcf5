//! The new state where nothing serves beside it, by route: compared with the past, other routes must not look like
//! another state.

use std::collections::BTreeMap;

use super::arm::Arm;
use crate::mix::{Route, normalise};
use crate::stats::histogram::Histogram;

/// Routes told apart; what is asked for beyond them counts as one.
const MOST_ROUTES: usize = 100;

/// What each route had before, and what it has now.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Alone {
    routes: BTreeMap<String, (f64, Route)>,
}

impl Alone {
    fn entry(&mut self, route: &str) -> &mut (f64, Route) {
        let full = self.routes.len() >= MOST_ROUTES && !self.routes.contains_key(route);
        self.routes.entry(if full { String::new() } else { route.to_owned() }).or_default()
    }

    /// Notes requests of a route before the change.
    pub(super) fn known(&mut self, route: &str, requests: f64) {
        self.entry(route).0 += requests;
    }

    /// Adds what a route answered since.
    pub(super) fn add(&mut self, route: &str, failures: f64, latency: &Histogram) {
        let now = &mut self.entry(route).1;
        now.failures += failures;
        now.latency.add(latency);
    }

    /// Adds what another has seen since.
    pub(super) fn join(&mut self, other: Self) {
        for (route, (_, now)) in other.routes {
            self.add(&route, now.failures, &now.latency);
        }
    }

    /// All routes together, each with the share it had before.
    pub(super) fn as_before(&self) -> Arm {
        let before: Vec<f64> = self.routes.values().map(|r| r.0).collect();
        let after: Vec<Route> = self.routes.values().map(|r| r.1.clone()).collect();
        let weighed = normalise(&before, &after);
        weighed.map_or_else(Arm::default, |w| Arm { failures: w.all.failures, latency: w.all.latency })
    }
}
