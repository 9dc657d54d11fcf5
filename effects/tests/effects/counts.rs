//! Counts and histograms: error rates at every look, power, coverage; the truth is what the test drew.

use effects::simulate::{Rng, Traffic, edges};
use effects::stats::counts::{Counts, Way, detectable, dispersion};
use effects::stats::histogram::{Histogram, Slower, deviation};

const WINDOWS: usize = 180;

/// Share of runs whose evidence ever reaches 1/α, with `mean` expected events per window and arm, a true ratio and
/// a floor. `burst` is the deviation of the log rate that both arms share or, if own, each draws alone.
fn crossings(mean: f64, ratio: f64, floor: f64, runs: u64, alpha: f64) -> f64 {
    let mut hits = 0;
    for run in 0..runs {
        let mut rng = Rng::new(run);
        let mut counts = Counts::new(floor, 1.0);
        let crossed = (0..WINDOWS).any(|_| {
            // the load moves, and both arms with it
            let load = (0.5 * rng.normal()).exp();
            let (x1, x0) = (rng.poisson(mean * load * ratio), rng.poisson(mean * load));
            counts.push((x1, 100.0), (x0, 100.0));
            counts.e(Way::More) >= 1.0 / alpha
        });
        hits += u64::from(crossed);
    }
    hits as f64 / runs as f64
}

#[test]
fn evidence_of_more_is_rare_without_it_down_to_a_hundredth_of_an_event_per_window() {
    for mean in [0.01, 0.1, 1.0, 20.0] {
        for (ratio, floor) in [(1.0, 1.0), (1.25, 1.25), (0.5, 1.0)] {
            let five = crossings(mean, ratio, floor, 500, 0.05);
            let one = crossings(mean, ratio, floor, 500, 0.01);
            // the promise itself, not the promise and three standard errors: the mixture is conservative
            assert!(five <= 0.05 && one <= 0.01, "{mean} {ratio} {floor}: {five} {one}");
        }
    }
}

#[test]
fn power_grows_with_the_ratio_and_with_the_events() {
    let power = |mean, ratio| crossings(mean, ratio, 1.25, 200, 0.01);
    let curve: Vec<f64> = [1.25, 1.6, 2.0, 3.0].into_iter().map(|ratio| power(1.0, ratio)).collect();
    assert!(curve.is_sorted() && curve[0] <= 0.02 && curve[3] >= 0.95, "{curve:?}");
    let curve: Vec<f64> = [0.01, 0.1, 1.0, 10.0].into_iter().map(|mean| power(mean, 2.0)).collect();
    assert!(curve.is_sorted() && curve[3] >= 0.99, "{curve:?}");
}

#[test]
fn the_interval_holds_the_truth_at_all_looks_at_once() {
    for ratio in [0.5, 1.0, 3.0] {
        let mut missed = 0;
        for run in 0..200 {
            let mut rng = Rng::new(run);
            let mut counts = Counts::new(1.0, 1.0);
            missed += u64::from((0..WINDOWS).any(|_| {
                counts.push((rng.poisson(2.0 * ratio), 1.0), (rng.poisson(2.0), 1.0));
                counts.interval(0.05).is_none_or(|(low, high)| ratio < low || ratio > high)
            }));
        }
        assert!(missed <= 10, "{missed} of 200 left the interval at {ratio}");
    }
}

#[test]
fn bursts_are_paid_for_by_their_dispersion() {
    let mut hits = 0;
    for run in 0..300 {
        let mut rng = Rng::new(run);
        let mut draw = || {
            // five times the variance of a Poisson count: a clump of failures at a time
            5.0 * rng.poisson(1.0)
        };
        let before: Vec<(f64, f64)> = (0..60).map(|_| (draw(), 100.0)).collect();
        let mut counts = Counts::new(1.0, dispersion(&before));
        hits += u64::from((0..WINDOWS).any(|_| {
            counts.push((draw(), 100.0), (draw(), 100.0));
            counts.e(Way::More) >= 20.0
        }));
    }
    // nominal .05 with a dispersion that is itself estimated
    assert!(hits <= 15, "{hits} of 300");
}

#[test]
fn what_is_called_detectable_is_detected() {
    let rho = detectable(2_000.0, (1.0, 1.0), 1.25, 1.0, 0.01).expect("two thousand events suffice");
    let mean = 1_000.0 / WINDOWS as f64;
    let found = crossings(mean, rho, 1.25, 200, 0.01);
    assert!(found >= 0.5, "{rho}: {found}");
    assert_eq!(detectable(0.5, (1.0, 1.0), 1.25, 1.0, 0.01), None);
}

/// A tenth of a second per request and bin arithmetic aside: share of runs called slower.
fn slower(factor: f64, rate: f64, runs: u64, alpha: f64) -> f64 {
    let edges = edges();
    let mut hits = 0;
    for run in 0..runs {
        let mut rng = Rng::new(run);
        let old = Traffic::usual(rate);
        let new = Traffic { median_s: old.median_s * factor, ..old };
        let mut past = Histogram::default();
        (0..100).for_each(|_| past.add(&old.window(&mut rng, "p", 0, 10).latency));
        let mut test = Slower::new(&past, &edges, 1.10, 1.0).expect("the past has requests");
        hits += u64::from((0..60).any(|_| {
            let (a, b) = (new.window(&mut rng, "p", 0, 10), old.window(&mut rng, "p", 0, 10));
            test.push(&a.latency, &b.latency);
            test.e(Way::More) >= 1.0 / alpha
        }));
    }
    hits as f64 / runs as f64
}

#[test]
fn slower_is_rarely_said_of_what_is_not_and_mostly_of_what_is() {
    // 300 runs: at nominal .05 at most 15; a tenth is the floor, so it is no effect either
    assert!(slower(1.0, 10.0, 300, 0.05) <= 0.05);
    assert!(slower(1.08, 10.0, 300, 0.05) <= 0.05);
    assert!(slower(1.5, 10.0, 60, 0.01) >= 0.95);
}

#[test]
fn the_band_around_a_distribution_is_the_published_one() {
    // gostevehoward/confseq with these constants: n = 1000, m = 100, alpha = .05
    assert!((deviation(1_000.0, 0.05).unwrap() - 0.0829).abs() < 1e-4);
    assert_eq!(deviation(99.0, 0.05), None);
    let edges = edges();
    let mut missed = 0;
    for run in 0..200 {
        let mut rng = Rng::new(run);
        let mut all = Histogram::default();
        missed += u64::from((0..60).any(|_| {
            all.add(&Traffic::usual(10.0).window(&mut rng, "p", 0, 10).latency);
            // one bin of slack: a quantile inside a bin is interpolated
            let bin = 2f64.powf(0.25);
            all.quantile_interval(&edges, 0.5, 0.05, 1.0)
                .is_some_and(|(low, high)| 0.05 < low / bin || 0.05 > high * bin)
        }));
    }
    assert!(missed <= 10, "{missed} of 200");
}
