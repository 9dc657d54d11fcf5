//! Traffic mix: the same requests through other routes are no slower service.
//!
//! Requests are counted per route (or operation, topic, peer) and weighed so that each route has the share it had
//! before the change. A changed mix is a fact about traffic, told as such.

use crate::stats::histogram::Histogram;

/// What one route answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Route {
    /// Failed requests.
    pub failures: f64,
    /// All requests by latency.
    pub latency: Histogram,
}

/// No request stands for more than this many: a route that has nearly vanished says little about itself.
const MOST_WEIGHT: f64 = 10.0;

/// Requests of all routes as if their mix were the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalised {
    /// Weighted failures and latencies, scaled so that the total is the effective number of requests: a test on
    /// them claims no more than the requests support.
    pub all: Route,
    /// (Σw)²/Σw²: how many equally weighted requests would say as much.
    pub effective: f64,
    /// Half the sum of the differences of shares: 0 the same mix, 1 none in common.
    pub moved: f64,
    /// Share, before, of routes that now have no requests: nothing can be said about them.
    pub unseen: f64,
}

/// Weighs the requests `after` to the mix `before`; routes in the same order in both. Routes that are new have no
/// share before and stay out. `None` if no route has requests in both.
#[must_use]
pub fn normalise(before: &[f64], after: &[Route]) -> Option<Normalised> {
    let (was, is): (f64, f64) = (before.iter().sum(), after.iter().map(|r| r.latency.total()).sum());
    if was <= 0.0 || is <= 0.0 {
        return None;
    }
    let (mut moved, mut unseen, mut sum, mut squares) = (0.0, 0.0, 0.0, 0.0);
    let mut all = Route::default();
    for (i, route) in after.iter().enumerate() {
        let n = route.latency.total();
        let (old, new) = (before.get(i).copied().unwrap_or(0.0) / was, n / is);
        moved += (old - new).abs() / 2.0;
        if n <= 0.0 {
            unseen += old;
        }
        if n <= 0.0 || old <= 0.0 {
            continue;
        }
        let weight = (old / new).min(MOST_WEIGHT);
        sum += weight * n;
        squares += weight * weight * n;
        all.failures += weight * route.failures;
        let bins = route.latency.bins.iter().map(|b| weight * b).collect();
        all.latency.add(&Histogram { bins });
    }
    if squares <= 0.0 {
        return None;
    }
    let effective = sum * sum / squares;
    let scale = effective / sum;
    all.failures *= scale;
    all.latency.bins.iter_mut().for_each(|b| *b *= scale);
    Some(Normalised { all, effective, moved, unseen })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Rng, Traffic, edges};
    use crate::stats::counts::Way;
    use crate::stats::histogram::Slower;

    /// A fast and a slow route of `rates` requests per second over `windows` of ten seconds.
    fn routes(rates: [f64; 2], rng: &mut Rng, windows: usize) -> Vec<Route> {
        let one = |rate: f64, median_s: f64, rng: &mut Rng| {
            let traffic = Traffic { median_s, ..Traffic::usual(rate) };
            let mut route = Route::default();
            for _ in 0..windows {
                let window = traffic.window(rng, "p", 0, 10);
                route.failures += window.failures;
                route.latency.add(&window.latency);
            }
            route
        };
        vec![one(rates[0], 0.02, rng), one(rates[1], 0.2, rng)]
    }

    #[test]
    fn another_mix_is_not_called_slower_and_a_slower_route_is() {
        let edges = edges();
        let (mut false_alarms, mut naive) = (0, 0);
        for seed in 0..40 {
            let mut rng = Rng::new(seed);
            let before = routes([8.0, 2.0], &mut rng, 60);
            let shares: Vec<f64> = before.iter().map(|r| r.latency.total()).collect();
            let whole = |routes: &[Route]| {
                let mut all = Histogram::default();
                routes.iter().for_each(|r| all.add(&r.latency));
                all
            };
            let past = whole(&before);
            let after = routes([4.0, 6.0], &mut rng, 60);
            let weighed = normalise(&shares, &after).unwrap();
            assert!((weighed.moved - 0.4).abs() < 0.05 && weighed.unseen == 0.0, "{weighed:?}");
            assert!(weighed.effective < weighed.all.latency.total() * 1.01);
            let test = |after: &Histogram| {
                let mut test = Slower::new(&past, &edges, 1.1, 1.0).unwrap();
                test.push(after, &past);
                test.e(Way::More) >= 100.0
            };
            false_alarms += usize::from(test(&weighed.all.latency));
            naive += usize::from(test(&whole(&after)));
        }
        assert!(naive == 40 && false_alarms <= 1, "naive {naive}, weighed {false_alarms}");
    }

    #[test]
    fn routes_that_vanish_are_told_and_new_ones_stay_out() {
        let route = |n: f64| Route { failures: 0.0, latency: Histogram { bins: vec![n] } };
        let told = normalise(&[50.0, 50.0, 0.0], &[route(10.0), route(0.0), route(90.0)]).unwrap();
        assert!((told.unseen - 0.5).abs() < 1e-12);
        assert!((told.all.latency.total() - 10.0).abs() < 1e-9);
        assert_eq!(normalise(&[0.0, 0.0], &[route(1.0), route(1.0)]), None);
        assert_eq!(normalise(&[1.0], &[]), None);
    }
}
