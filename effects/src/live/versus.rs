//! One change's new state against its old one, in counts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::alone::Alone;
use super::arm::Arm;
use super::{PAST_S, Windows};
use crate::case::{Case, Change, Signal};
use crate::finding::{Design, Direction, Finding, Size, What};
use crate::stats::counts::{Counts, Way, detectable, dispersion};
use crate::stats::histogram::Slower;
use crate::watch::ALPHA;

/// Failures matter from a quarter more on, and from this share of requests more on.
const FAILURES_RATIO: f64 = 1.25;
const FAILURES_SHARE: f64 = 0.001;
/// Latency matters from a tenth more on.
const LATENCY_RATIO: f64 = 1.10;
/// The first and last seconds of a pod's life are warm-up and drain, not its state.
const SETTLE_S: i64 = 60;
/// Counts are summed over this long before their dispersion is taken: shorter bursts average out.
const BURST_S: i64 = 300;
/// Windows that decide whether an effect still goes on.
const RECENT: usize = 6;
/// The quantile that stands for latency in reports.
const SHOWN: f64 = 0.95;

/// The comparison of one change. Its size does not grow with time.
#[derive(Debug, Clone)]
pub struct Versus {
    workload: String,
    new: Option<BTreeSet<String>>,
    start: i64,
    done: i64,
    edges: Arc<[f64]>,
    floor: f64,
    /// All of the hour before.
    past: Arm,
    /// Both arms in windows that both served.
    beside: (Arm, Arm),
    /// The new state in windows that it served alone, as if routes had the shares of the past.
    alone: Alone,
    failures: Counts,
    slower: Slower,
    dispersion: f64,
    recent: VecDeque<Arm>,
    onset: Option<(i64, i64)>,
    windows: usize,
}

impl Versus {
    /// `None` if no request was counted in the hour before the change.
    #[must_use]
    pub fn open(windows: &Windows, change: &Change) -> Option<Self> {
        let mut past = Arm::default();
        let mut alone = Alone::default();
        let mut bursts: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
        for w in windows.between(&change.workload, change.start - PAST_S, change.start) {
            past.add(w.failures, &w.latency);
            alone.known(&w.route, w.failures, &w.latency);
            let burst = bursts.entry((change.start - w.time).div_euclid(BURST_S)).or_default();
            burst.0 += w.failures;
            burst.1 += w.latency.total();
        }
        let bursts: Vec<(f64, f64)> = bursts.into_values().collect();
        let dispersion = dispersion(&bursts);
        let floor = FAILURES_RATIO.max(1.0 + FAILURES_SHARE / past.share());
        let slower = Slower::new(&past.latency, windows.edges(), LATENCY_RATIO, 1.0)?;
        Some(Self {
            workload: change.workload.clone(),
            new: change.pods_new.as_ref().map(|pods| pods.iter().cloned().collect()),
            start: change.start,
            done: change.start,
            edges: Arc::clone(windows.edges()),
            floor,
            past,
            beside: <(Arm, Arm)>::default(),
            alone,
            failures: Counts::new(floor, dispersion),
            slower,
            dispersion,
            recent: VecDeque::with_capacity(RECENT + 1),
            onset: None,
            windows: 0,
        })
    }

    /// Takes everything counted up to `now`.
    pub fn advance(&mut self, facts: &Case, windows: &Windows, now: i64) {
        let mut steps: BTreeMap<i64, (Arm, Arm, Alone)> = BTreeMap::new();
        for w in windows.between(&self.workload, self.done, now) {
            let pod = facts.pods.iter().find(|p| p.id == w.pod);
            let new = self.new.as_ref().is_none_or(|new| new.contains(&w.pod));
            // a pod made by the change has no state before it settled
            let since = pod.and_then(|p| p.created).map_or(self.start, |c| c.saturating_add(SETTLE_S));
            let gone = pod.and_then(|p| p.deleted).filter(|d| *d <= now).unwrap_or(i64::MAX);
            if (new && w.time <= since) || w.time > gone {
                continue;
            }
            let step = steps.entry(w.time).or_default();
            let arm = if new { &mut step.0 } else { &mut step.1 };
            arm.add(w.failures, &w.latency);
            if new {
                step.2.add(&w.route, w.failures, &w.latency);
            }
        }
        for (time, (new, old, routes)) in steps {
            self.step(time, &new, &old, routes);
        }
        self.done = self.done.max(now);
    }

    fn step(&mut self, time: i64, new: &Arm, old: &Arm, routes: Alone) {
        if new.requests() <= 0.0 {
            return;
        }
        if old.requests() > 0.0 {
            self.beside.0.join(new);
            self.beside.1.join(old);
            self.failures.push((new.failures, new.requests()), (old.failures, old.requests()));
            self.slower.push(&new.latency, &old.latency);
        } else {
            self.alone.join(routes);
        }
        if self.onset.is_none() && self.strange(new) {
            self.onset = Some((self.done.max(self.start), time));
        }
        self.recent.push_back(new.clone());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        self.windows += 1;
    }

    /// Whether a window alone looks worse than the past by more than the floors.
    fn strange(&self, arm: &Arm) -> bool {
        let failing = arm.failures / arm.requests() > self.floor * self.past.share();
        let median = |a: &Arm| a.latency.quantile(&self.edges, 0.5).unwrap_or(0.0);
        failing || median(arm) > LATENCY_RATIO * median(&self.past)
    }

    /// What the counts say so far: failures, then latency, harm and its mirror each. Empty before a window.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        if self.windows == 0 {
            return Vec::new();
        }
        let mut found = Vec::with_capacity(4);
        for (way, direction) in [(Way::More, Direction::Worse), (Way::Fewer, Direction::Better)] {
            found.extend(self.failing(way, direction));
            found.extend(self.slowing(way, direction));
        }
        found
    }

    /// Evidence of several comparisons, of those that were made: the mean of e-values is one.
    fn mean(made: &[Option<f64>]) -> f64 {
        let all: Vec<f64> = made.iter().copied().flatten().collect();
        if all.is_empty() { 1.0 } else { all.iter().sum::<f64>() / all.len() as f64 }
    }

    /// What the new state is compared with.
    fn control(&self) -> Arm {
        if self.beside.0.requests() > 0.0 {
            return self.beside.1.clone();
        }
        let mut all = self.alone.still();
        all.join(&self.alone.gone());
        if all.requests() > 0.0 { all } else { self.past.clone() }
    }

    /// All that was compared of the new state.
    fn seen(&self, alone: &Arm, unseen: &Arm) -> Arm {
        let mut all = self.beside.0.clone();
        all.join(alone);
        all.join(unseen);
        all
    }

    fn recently(&self) -> Arm {
        let mut all = Arm::default();
        self.recent.iter().for_each(|arm| all.join(arm));
        all
    }

    fn finding(&self, signal: Signal, direction: Direction, e: f64) -> Finding {
        let design = if self.beside.0.requests() > 0.0 { Design::Concurrent } else { Design::Short };
        Finding {
            workload: self.workload.clone(),
            what: What::Signal(signal),
            design,
            direction,
            p: (1.0 / e.max(f64::MIN_POSITIVE)).min(1.0),
            now: 0.0,
            size: None,
            detectable: None,
            onset: self.onset,
            ended: None,
            latest: Some(self.done),
            samples: self.windows,
            compared: self.control().requests() as usize,
        }
    }

    /// `None` if no requests can be compared.
    fn failing(&self, way: Way, direction: Direction) -> Option<Finding> {
        let (alone, gone) = (self.alone.as_before(), self.alone.gone());
        let compare = |failures: f64, requests: f64, past: &Arm| {
            let past = (past.failures, past.requests());
            Counts::against_past(self.floor, self.dispersion, (failures, requests), past)
        };
        let past = compare(alone.failures, alone.requests(), &self.alone.still());
        let (unseen, other) = match self.alone.unseen() {
            unseen if gone.requests() > 0.0 => {
                let other = compare(unseen.failures, unseen.requests(), &gone);
                (unseen, other)
            }
            // routes that are new besides: their failures are harm if they are many among all requests, and that they
            // work mends nothing
            unseen if way == Way::More => {
                let other = compare(unseen.failures, self.alone.requests(), &self.past);
                (unseen, other)
            }
            _ => (Arm::default(), past.clone()),
        };
        let made = |arm: &Arm, counts: &Counts| (arm.requests() > 0.0).then(|| counts.e(way));
        let e = [made(&self.beside.0, &self.failures), made(&alone, &past), made(&unseen, &other)];
        let best = match e {
            [None, None, None] => return None,
            [Some(_), _, _] => &self.failures,
            [_, known, Some(unseen)] if known.is_none_or(|known| known < unseen) => &other,
            _ => &past,
        };
        let (seen, control) = (self.seen(&alone, &unseen), self.control());
        let (low, high) = best.interval(0.05).unwrap_or((0.0, f64::INFINITY));
        let base = control.share();
        let recent = self.recently().share() / base;
        let events = base * (seen.requests() + control.requests());
        let split = (seen.requests(), control.requests());
        Some(Finding {
            now: if way == Way::More { recent / self.floor } else { 1.0 / (recent * self.floor) },
            // as shares that succeeded
            size: Some(Size {
                baseline: 1.0 - base,
                observed: 1.0 - seen.share(),
                interval: (base - (base * high).min(1.0), base - base * low),
            }),
            detectable: detectable(events, split, self.floor, self.dispersion, ALPHA)
                .filter(|_| way == Way::More)
                .map(|rho| -(base * rho - base)),
            ..self.finding(Signal::SuccessRatio, direction, Self::mean(&e))
        })
    }

    /// `None` if no requests can be compared: a route that nobody asked for before is slow or fast by itself, unless
    /// it stands in the place of one that has gone.
    fn slowing(&self, way: Way, direction: Direction) -> Option<Finding> {
        let (alone, gone) = (self.alone.as_before(), self.alone.gone());
        let unseen = if gone.requests() > 0.0 { self.alone.unseen() } else { Arm::default() };
        let made = |now: &Arm, past: &Arm| {
            let slower = Slower::new(&past.latency, &self.edges, LATENCY_RATIO, 1.0);
            let mut slower = slower.filter(|_| now.requests() > 0.0)?;
            slower.push(&now.latency, &past.latency);
            Some(slower.e(way))
        };
        let e = [
            (self.beside.0.requests() > 0.0).then(|| self.slower.e(way)),
            made(&alone, &self.alone.still()),
            made(&unseen, &gone),
        ];
        if e.iter().all(Option::is_none) {
            return None;
        }
        let (seen, control) = (self.seen(&alone, &unseen), self.control());
        let at = |arm: &Arm, q: f64| arm.latency.quantile(&self.edges, q);
        let (base, observed) = (at(&control, SHOWN)?, at(&seen, SHOWN)?);
        let bound = |arm: &Arm| {
            arm.latency.quantile_interval(&self.edges, SHOWN, 0.025, 1.0).unwrap_or((0.0, f64::INFINITY))
        };
        let ((a, b), (c, d)) = (bound(&seen), bound(&control));
        let recent = at(&self.recently(), SHOWN)? / base;
        Some(Finding {
            now: if way == Way::More { recent / LATENCY_RATIO } else { 1.0 / (recent * LATENCY_RATIO) },
            size: Some(Size { baseline: base, observed, interval: (a - d, b - c) }),
            ..self.finding(Signal::Latency, direction, Self::mean(&e))
        })
    }
}
