//! One change under watch: its tests, and the verdict that stands.

use std::collections::{BTreeMap, VecDeque};

use super::elsewhere::elsewhere;
use super::mended::{mended, mends};
use super::weigh::{ALPHA, Evidence, Judgement, STILL, Verdict, Weighed, verdict};
use crate::arms::Arms;
use crate::candidates::{Relation, candidates};
use crate::case::{Case, Change, Entity, Signal};
use crate::effectiveness::Score;
use crate::finding::Finding;
use crate::ingredient::Ingredient;
use crate::line::Source;
use crate::live::{Versus, Windows};
use crate::past::{Asked, Pasts, Untestable};
use crate::probe::Probe;
use crate::samples::Samples;
use crate::silence::silence;

/// What is tested of neighbours: what one workload can do to another through a call.
const AROUND: [Signal; 3] = [Signal::SuccessRatio, Signal::Latency, Signal::RequestRate];

/// A change under watch.
#[derive(Debug, Clone)]
pub(super) struct Open {
    change: usize,
    left_out: Option<Ingredient>,
    started: bool,
    /// Whether the change is known to have made pods.
    replaced: bool,
    own: Vec<Probe>,
    hints: Vec<Probe>,
    untestable: Vec<(Signal, Untestable)>,
    arms: Option<Arms>,
    versus: Option<Versus>,
    around: Vec<(Relation, Probe)>,
    /// Neighbours not learnt yet.
    waiting: VecDeque<(String, Relation, Signal)>,
    cut: usize,
    silence: Option<Finding>,
    rates: BTreeMap<String, f64>,
    standing: Option<Weighed>,
    since: Option<(Verdict, i64)>,
    looked: i64,
}

impl Open {
    pub(super) fn new(change: usize, left_out: Option<Ingredient>) -> Self {
        Self {
            change,
            left_out,
            started: false,
            replaced: false,
            own: Vec::new(),
            hints: Vec::new(),
            untestable: Vec::new(),
            arms: None,
            versus: None,
            around: Vec::new(),
            waiting: VecDeque::new(),
            cut: 0,
            silence: None,
            rates: BTreeMap::new(),
            standing: None,
            since: None,
            looked: i64::MIN,
        }
    }

    fn facts<'a>(&self, facts: &'a Case) -> &'a Change {
        &facts.changes[self.change]
    }

    /// Whether a look at `now` may still move this change's verdict.
    fn undecided(&self, facts: &Case, now: i64) -> bool {
        let change = self.facts(facts);
        now > change.start && now <= change.observe_until
    }

    pub(super) fn advance(
        &mut self,
        facts: &Case,
        (samples, windows): (&Samples, &Windows),
        pasts: &mut Pasts,
        now: i64,
    ) {
        if !self.undecided(facts, now) {
            return;
        }
        let change = self.facts(facts);
        if !self.started {
            self.begin(facts, samples, pasts, change);
            self.versus = Versus::open(windows, change);
        }
        self.replace(facts, samples, change, now);
        self.meet(facts, samples, pasts, change);
        for probe in
            self.own.iter_mut().chain(&mut self.hints).chain(self.around.iter_mut().map(|a| &mut a.1))
        {
            probe.advance(facts, samples, now);
        }
        if let Some(arms) = &mut self.arms {
            arms.advance(facts, samples, now);
        }
        if let Some(versus) = &mut self.versus {
            versus.advance(facts, windows, now);
        }
        if self.left_out != Some(Ingredient::Silence) {
            self.silence = silence(facts, samples, change, now);
        }
        self.looked = now;
    }

    fn begin(&mut self, facts: &Case, samples: &Samples, pasts: &mut Pasts, change: &Change) {
        self.started = true;
        let window = (change.start, change.observe_until);
        for signal in Signal::ALL {
            let key = (change.workload.as_str(), signal);
            match Probe::open(pasts, (facts, samples), key, window, Asked::Either) {
                Ok(probe) if mends(change.kind) => {
                    self.own.push(probe.mending(pasts, (facts, samples), window.1));
                }
                Ok(probe) => self.own.push(probe),
                Err(why) if why != Untestable::NoHistory => self.untestable.push((signal, why)),
                Err(_) => {}
            }
        }
        let (around, cut) = candidates(facts, change);
        self.cut = cut;
        for &(workload, relation) in &around {
            self.waiting.extend(AROUND.map(|signal| (workload.to_owned(), relation, signal)));
        }
        for workload in around.iter().map(|a| a.0).chain([change.workload.as_str()]) {
            if let Some(rate) = pasts.rate(facts, samples, workload, change.start) {
                self.rates.insert(workload.to_owned(), rate);
            }
        }
    }

    /// Compares pods with pods as soon as the change is known to make new ones. A new pod is a new draw: a line put
    /// together from pods moves with their number and age, and is no more than a hint from then on.
    fn replace(&mut self, facts: &Case, samples: &Samples, change: &Change, now: i64) {
        let concurrent = self.left_out != Some(Ingredient::Concurrent);
        if self.replaced || !concurrent || !facts.makes_pods(change, now) {
            return;
        }
        self.replaced = true;
        self.arms = Arms::open(facts, samples, change);
        let (pooled, whole): (Vec<Probe>, Vec<Probe>) =
            std::mem::take(&mut self.own).into_iter().partition(Probe::pooled);
        self.own = whole;
        self.hints.extend(pooled);
        self.untestable.retain(|(signal, _)| {
            let source = Source::of(samples, &change.workload, *signal, change.start);
            source == Some(Source::Workload)
        });
    }

    /// Opens the lines of neighbours, as many as this look may still learn.
    fn meet(&mut self, facts: &Case, samples: &Samples, pasts: &mut Pasts, change: &Change) {
        let window = (change.start, change.observe_until);
        while !pasts.spent() {
            let Some((workload, relation, signal)) = self.waiting.pop_front() else { return };
            let opened = Probe::open(pasts, (facts, samples), (&workload, signal), window, Asked::Worse);
            self.around.extend(opened.ok().map(|probe| (relation, probe)));
        }
    }

    pub(super) fn weighs(&self) -> bool {
        self.started
    }

    pub(super) fn evidence(&self, facts: &Case, samples: &Samples) -> Evidence {
        let change = self.facts(facts);
        let own = self.own.iter().flat_map(Probe::findings);
        let own = own.chain(self.arms.as_ref().and_then(Arms::finding)).chain(self.silence.clone());
        let own = own.chain(self.versus.iter().flat_map(Versus::findings));
        let own: Vec<Finding> = own.collect();
        Evidence {
            elsewhere: elsewhere(facts, samples, change, &own, self.looked),
            own,
            hints: self.hints.iter().flat_map(Probe::findings).collect(),
            around: self
                .around
                .iter()
                .flat_map(|(r, probe)| probe.findings().into_iter().map(|f| (*r, f)))
                .collect(),
            shared: self.arms.as_ref().map_or(0.0, Arms::shared),
            passed_on: passed_on(facts, samples, change, self.looked),
            rates: self.rates.clone(),
        }
    }

    /// Lets the weighed evidence of a look at `now` stand.
    pub(super) fn decide(&mut self, facts: &Case, weighed: Option<Weighed>, now: i64) {
        if let Some(weighed) = weighed.filter(|_| self.undecided(facts, now)) {
            let verdict = verdict(&weighed);
            if self.since.is_none_or(|(standing, _)| standing != verdict) {
                self.since = Some((verdict, now));
            }
            self.standing = Some(weighed);
        }
    }

    fn mended(&self, facts: &Case, samples: &Samples) -> Option<Score> {
        let silent = self.silence.as_ref().is_some_and(|s| s.p <= ALPHA && s.now >= STILL);
        mended(facts, samples, self.facts(facts), self.own.iter().chain(&self.hints), self.looked, silent)
    }

    pub(super) fn judgement(&self, facts: &Case, samples: &Samples) -> Judgement {
        let (verdict, since) = match self.since {
            Some((verdict, at)) => (verdict, Some(at)),
            None => (Verdict::Inconclusive, None),
        };
        Judgement {
            change: self.facts(facts).id.clone(),
            verdict,
            since,
            alarm: false,
            mended: self.mended(facts, samples),
            rank: 0,
            weighed: self.standing.clone(),
            untestable: self.untestable.iter().map(|(s, why)| (s.name(), why.why())).collect(),
            cut: self.cut,
        }
    }
}

/// Largest mean failure, over callees, of the calls that the changed workload made since the change.
fn passed_on(facts: &Case, samples: &Samples, change: &Change, now: i64) -> f64 {
    let mut most = 0.0_f64;
    for (_, callee) in facts.edges.iter().filter(|(from, _)| *from == change.workload) {
        let (mut sum, mut n) = (0.0, 0.0);
        for kept in samples.of_workload(callee).filter(|k| k.signal == Signal::SuccessRatio) {
            let Entity::Edge(from, _) = &kept.entity else { continue };
            let ours = from == &change.workload
                || facts.pods.iter().any(|p| &p.id == from && p.workload == change.workload);
            for &(_, value) in kept.between(change.start, now).iter().filter(|_| ours) {
                sum += 1.0 - value;
                n += 1.0;
            }
        }
        if n > 0.0 {
            most = most.max(sum / n);
        }
    }
    most
}
