//! The new state where nothing serves beside it, by route: compared with the past, other routes must not look like
//! another state, and a state that answers on other routes must not look like none.

use std::collections::BTreeMap;

use super::arm::Arm;
use crate::mix::{Route, normalise};
use crate::stats::histogram::Histogram;

/// Routes told apart; what is asked for beyond them counts as one.
const MOST_ROUTES: usize = 100;
/// A route has gone when none came where its share of before would have brought this many requests: by chance, one
/// time in 10⁸.
const GONE: f64 = 20.0;

/// What each route had before, and what it has now.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Alone {
    routes: BTreeMap<String, (Arm, Route)>,
}

impl Alone {
    fn entry(&mut self, route: &str) -> &mut (Arm, Route) {
        let full = self.routes.len() >= MOST_ROUTES && !self.routes.contains_key(route);
        self.routes.entry(if full { String::new() } else { route.to_owned() }).or_default()
    }

    /// Notes what a route answered before the change.
    pub(super) fn known(&mut self, route: &str, failures: f64, latency: &Histogram) {
        self.entry(route).0.add(failures, latency);
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

    /// All routes of before together, each with the share it had; empty if none of them is asked for any more.
    pub(super) fn as_before(&self) -> Arm {
        let before: Vec<f64> = self.routes.values().map(|r| r.0.requests()).collect();
        let after: Vec<Route> = self.routes.values().map(|r| r.1.clone()).collect();
        let weighed = normalise(&before, &after);
        weighed.map_or_else(Arm::default, |w| Arm { failures: w.all.failures, latency: w.all.latency })
    }

    /// What the routes that are still asked for answered before.
    pub(super) fn still(&self) -> Arm {
        let mut all = Arm::default();
        for (before, _) in self.routes.values().filter(|r| r.1.latency.total() > 0.0) {
            all.join(before);
        }
        all
    }

    /// All routes that nobody asked for before.
    pub(super) fn unseen(&self) -> Arm {
        let mut all = Arm::default();
        for (_, now) in self.routes.values().filter(|r| r.0.requests() <= 0.0) {
            all.add(now.failures, &now.latency);
        }
        all
    }

    /// What the routes that have gone answered before, if routes unseen before stand in their place; else empty.
    pub(super) fn gone(&self) -> Arm {
        let was: f64 = self.routes.values().map(|r| r.0.requests()).sum();
        let is = self.requests();
        let mut all = Arm::default();
        for (before, now) in self.routes.values() {
            if now.latency.total() <= 0.0 && before.requests() * is >= GONE * was {
                all.join(before);
            }
        }
        // half of what they would have brought: a few requests elsewhere are no move
        if self.unseen().requests() * was < all.requests() * is / 2.0 {
            return Arm::default();
        }
        all
    }

    /// What came since, on any route.
    pub(super) fn requests(&self) -> f64 {
        self.routes.values().map(|r| r.1.latency.total()).sum()
    }
}
