//! Windows of counts, as a running system sends them, through the same watch.

use std::collections::BTreeSet;

use effects::case::{Case, Change, ChangeKind, Pod, Signal};
use effects::finding::{Design, Direction, What};
use effects::live::Window;
use effects::simulate::{Rng, Traffic, edges};
use effects::stats::histogram::Histogram;
use effects::watch::{Judgement, Verdict, Watch};

const STEP_S: i64 = 10;
const START: i64 = 3_600;
const UNTIL: i64 = START + 1_800;

fn facts(beside: bool) -> Case {
    let pod = |id: &str, created| Pod {
        id: id.to_owned(),
        workload: "shop".to_owned(),
        node: None,
        created,
        deleted: None,
    };
    Case {
        id: "live".to_owned(),
        step_s: STEP_S,
        span: (0, UNTIL),
        relative: BTreeSet::new(),
        workloads: vec!["shop".to_owned()],
        pods: vec![pod("old", None), pod("new", Some(START))],
        edges: Vec::new(),
        changes: vec![Change {
            id: "c1".to_owned(),
            kind: if beside { ChangeKind::Rollout } else { ChangeKind::Config },
            workload: "shop".to_owned(),
            start: START,
            end: None,
            observe_until: UNTIL,
            pods_new: beside.then(|| vec!["new".to_owned()]),
            pods_old: None,
        }],
        series: Vec::new(),
    }
}

/// Old pods do `usual`, what the change made does `new`; beside each other, or in place.
fn run(usual: Traffic, new: Traffic, beside: bool, seed: u64) -> Judgement {
    let mut rng = Rng::new(seed);
    let mut watch = Watch::new(facts(beside).check().expect("the facts are valid")).with_edges(&edges());
    for time in (STEP_S..=UNTIL).step_by(STEP_S as usize) {
        let after = time > START;
        let old = if after && !beside { new } else { usual };
        assert!(watch.count(old.window(&mut rng, "old", time, STEP_S)));
        if after && beside {
            assert!(watch.count(new.window(&mut rng, "new", time, STEP_S)));
        }
        watch.look(time);
    }
    watch.judgements().remove(0)
}

fn harmed(usual: Traffic, new: Traffic, beside: bool, runs: u64) -> usize {
    (0..runs).filter(|seed| run(usual, new, beside, *seed).verdict == Verdict::Harm).count()
}

#[test]
fn failures_and_slowness_are_found_within_minutes() {
    let usual = Traffic::usual(5.0);
    for new in [Traffic { failing: 0.05, ..usual }, Traffic { median_s: 0.075, ..usual }] {
        for beside in [true, false] {
            let judged = run(usual, new, beside, 1);
            assert_eq!(judged.verdict, Verdict::Harm, "{new:?} {beside}: {judged:#?}");
            let delay = judged.since.unwrap() - START;
            assert!(delay <= 400, "{new:?} {beside}: after {delay} s");
            let best = &judged.weighed.as_ref().unwrap().own[0].0;
            let design = if beside { Design::Concurrent } else { Design::Short };
            assert_eq!((best.design, best.direction), (design, Direction::Worse));
        }
    }
}

#[test]
fn nothing_is_rarely_harm_at_any_traffic_however_often_one_looks() {
    for rate in [0.001, 0.05, 5.0] {
        for beside in [true, false] {
            let usual = Traffic::usual(rate);
            let hits = harmed(usual, usual, beside, 60);
            // nominal one in a hundred
            assert!(hits <= 2, "{hits} of 60 at {rate} per second, beside: {beside}");
        }
    }
}

#[test]
fn bursts_of_failures_that_were_there_before_are_no_harm() {
    let usual = Traffic { failing: 0.02, bursts: 1.0, ..Traffic::usual(5.0) };
    assert!(harmed(usual, usual, true, 40) <= 2);
    assert!(harmed(usual, usual, false, 40) <= 2);
}

#[test]
fn faster_is_an_improvement_and_the_interval_holds_the_truth() {
    let usual = Traffic::usual(5.0);
    let judged = run(usual, Traffic { median_s: 0.03, ..usual }, true, 3);
    assert_eq!(judged.verdict, Verdict::Improvement);
    let mut held = 0;
    for seed in 0..20 {
        let judged = run(usual, Traffic { failing: 0.05, ..usual }, true, seed);
        let own = &judged.weighed.unwrap().own;
        let failing = |f: &&(effects::finding::Finding, Option<String>)| {
            f.0.what == What::Signal(Signal::SuccessRatio) && f.0.direction == Direction::Worse
        };
        let size = own.iter().find(failing).unwrap().0.size.unwrap();
        held += usize::from(size.interval.0 <= -0.045 && -0.045 <= size.interval.1);
    }
    assert!(held >= 18, "{held} of 20 intervals hold the difference of .045");
}

/// A fast and a slow route, `shares` of five requests a second each before and after, judged in place; after the
/// change the slow route takes `factor` times as long.
fn mixed(before: f64, after: f64, factor: f64, told_apart: bool, seed: u64) -> Verdict {
    let mut rng = Rng::new(seed);
    let mut watch = Watch::new(facts(false).check().expect("the facts are valid")).with_edges(&edges());
    for time in (STEP_S..=UNTIL).step_by(STEP_S as usize) {
        let (slow, factor) = if time > START { (after, factor) } else { (before, 1.0) };
        for (route, share, median_s) in [("fast", 1.0 - slow, 0.02), ("slow", slow, 0.2 * factor)] {
            let traffic = Traffic { median_s, ..Traffic::usual(5.0 * share) };
            let window = traffic.window(&mut rng, "old", time, STEP_S);
            let route = if told_apart { route.to_owned() } else { String::new() };
            assert!(watch.count(Window { route, ..window }));
        }
        watch.look(time);
    }
    watch.judgements().remove(0).verdict
}

#[test]
fn another_mix_of_routes_is_no_slowness_where_routes_are_told_apart() {
    for seed in 0..10 {
        assert_eq!(mixed(0.2, 0.6, 1.0, true, seed), Verdict::None, "seed {seed}");
        assert_eq!(mixed(0.2, 0.6, 1.0, false, seed), Verdict::Harm, "seed {seed}: what it is worth");
        assert_eq!(mixed(0.2, 0.6, 2.0, true, seed), Verdict::Harm, "seed {seed}: the slow route got slower");
    }
}

/// In place, by route: what each answers before and after the change.
fn routed(before: &[(&str, Traffic)], after: &[(&str, Traffic)], seed: u64) -> Verdict {
    let mut rng = Rng::new(seed);
    let mut watch = Watch::new(facts(false).check().expect("the facts are valid")).with_edges(&edges());
    for time in (STEP_S..=UNTIL).step_by(STEP_S as usize) {
        for (route, traffic) in if time > START { after } else { before } {
            let window = traffic.window(&mut rng, "old", time, STEP_S);
            assert!(watch.count(Window { route: (*route).to_owned(), ..window }));
        }
        watch.look(time);
    }
    watch.judgements().remove(0).verdict
}

#[test]
fn a_route_that_moved_is_judged_where_it_went() {
    let cart = Traffic::usual(5.0);
    let (broken, slow) = (Traffic { failing: 1.0, ..cart }, Traffic { median_s: 0.1, ..cart });
    for seed in 0..10 {
        let moved = |to: Traffic| routed(&[("/cart", cart)], &[("/v2/cart", to)], seed);
        assert_eq!(moved(cart), Verdict::None, "seed {seed}: the same service");
        assert_eq!(moved(broken), Verdict::Harm, "seed {seed}: every request fails");
        assert_eq!(moved(slow), Verdict::Harm, "seed {seed}: slower");
        assert_eq!(moved(Traffic { median_s: 0.02, ..cart }), Verdict::Improvement, "seed {seed}: faster");
        let errors = routed(&[("/cart", cart)], &[("", broken)], seed);
        assert_eq!(errors, Verdict::Harm, "seed {seed}: errors name no route");
        let half = Traffic { rate: 2.5, ..cart };
        let errors =
            routed(&[("/cart", cart)], &[("/cart", half), ("", Traffic { failing: 1.0, ..half })], seed);
        assert_eq!(errors, Verdict::Harm, "seed {seed}: half of them fail and name no route");
        // a slow route among fast ones moves, and stays as slow as it was
        let (fast, rare) = (Traffic { median_s: 0.02, ..cart }, Traffic { rate: 1.0, median_s: 0.3, ..cart });
        let moved = routed(&[("/", fast), ("/report", rare)], &[("/", fast), ("/v2/report", rare)], seed);
        assert_eq!(moved, Verdict::None, "seed {seed}: the slow route moved");
    }
}

#[test]
fn a_route_that_is_new_besides_is_no_harm_for_being_slow_or_called_seldom() {
    let cart = Traffic::usual(5.0);
    let report = Traffic { rate: 0.5, median_s: 2.0, ..cart };
    let seldom = Traffic { rate: 0.002, failing: 1.0, ..cart };
    let mut harmed = 0;
    for seed in 0..20 {
        for new in [report, seldom] {
            let verdict = routed(&[("/cart", cart)], &[("/cart", cart), ("/new", new)], seed);
            harmed += usize::from(verdict != Verdict::None);
        }
    }
    assert!(harmed <= 1, "{harmed} of 40");
}

#[test]
fn routes_that_come_and_go_by_themselves_are_rarely_harm_or_help() {
    // rates like 1/k: of the rare ones some were not seen in the hour before, and some are not after it; each has its
    // own latency and failures
    let names: Vec<String> = (1..=60).map(|k| format!("/{k}")).collect();
    let routes: Vec<(&str, Traffic)> = names
        .iter()
        .zip(1..)
        .map(|(name, k)| {
            let rate = if k < 30 { 2.0 / f64::from(k) } else { 0.01 / f64::from(k) };
            let median_s = 0.01 * f64::from(1 + k * 7 % 20);
            (
                name.as_str(),
                Traffic { rate, median_s, failing: 0.002 * f64::from(k % 10), ..Traffic::usual(1.0) },
            )
        })
        .collect();
    let mut called = 0;
    for seed in 0..40 {
        called += usize::from(routed(&routes, &routes, seed) != Verdict::None);
    }
    // nominal one in a hundred each
    assert!(called <= 2, "{called} of 40 were called something");
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let mut watch = Watch::new(facts(true).check().unwrap()).with_edges(&[0.1]);
    let window = |time, failures, bins: &[f64]| Window {
        time,
        pod: "old".to_owned(),
        route: String::new(),
        failures,
        latency: Histogram { bins: bins.to_vec() },
    };
    assert!(watch.count(window(10, 1.0, &[1.0, 1.0])));
    assert!(!watch.count(window(5, 0.0, &[1.0, 1.0])), "older than the last");
    assert!(!watch.count(window(20, 3.0, &[1.0, 1.0])), "more failures than requests");
    assert!(!watch.count(window(20, 0.0, &[1.0])), "a bin is missing");
    assert!(!watch.count(window(20, f64::NAN, &[1.0, 1.0])));
    assert!(!watch.count(Window { pod: "nobody".to_owned(), ..window(20, 0.0, &[1.0, 1.0]) }));
}
