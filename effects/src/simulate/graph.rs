//! A small system under load: front calls middle, middle calls back; side shares back's node; far is on its own.
//! Requests are Poisson under a load that moves, failures binomial, latency and memory correlated in time.

use std::collections::BTreeSet;

use super::noise::{Noise, Rng};
use super::scenario::{Scenario, Truth};
use super::world::World;
use crate::case::{Case, Change, Entity, Pod, Series, Signal};

const WORKLOADS: [&str; 5] = ["front", "middle", "back", "side", "far"];
const FRONT: usize = 0;
const MIDDLE: usize = 1;
const BACK: usize = 2;
const SIDE: usize = 3;
/// The node of each workload.
const NODES: [&str; 5] = ["n1", "n2", "n3", "n3", "n4"];
/// An incident before a rollback lasts this long.
const INCIDENT_S: i64 = 1_800;

/// How a workload differs at one step from its usual self.
#[derive(Debug, Clone, Copy)]
struct State {
    traffic: f64,
    latency: f64,
    failing: f64,
    memory: f64,
    cpu: f64,
}

const USUAL: State = State { traffic: 1.0, latency: 1.0, failing: 0.002, memory: 1.0, cpu: 1.0 };

/// Simulates a scenario in a world. The numbers follow `seed` alone.
#[must_use]
pub fn simulate(scenario: Scenario, world: &World, seed: u64) -> (Case, Truth) {
    let mut rng = Rng::new(seed);
    let (step_s, steps) = (world.step_s, world.steps());
    let start = world.before_s + (rng.uniform() * step_s as f64) as i64;
    let wave: Vec<f64> = world.load.series(&mut rng, steps, 0, step_s);
    // drawn apart, so that the numbers of a world without it stay as they are
    let common = Noise::Ar(0.9).series(&mut Rng::new(!seed), steps, 0, step_s);
    let mut series = Vec::new();
    for (w, name) in WORKLOADS.iter().enumerate() {
        let slow = Noise::Ar(0.6).series(&mut rng, steps, 0, step_s);
        let mut lines: [Vec<(i64, f64)>; 5] = Default::default();
        for (i, ((wave, slow), common)) in wave.iter().zip(&slow).zip(&common).enumerate() {
            let time = (i as i64 + 1) * step_s;
            let state = retried(scenario, w, time - start, world.retries);
            let usual = world.rate * step_s as f64;
            let requests = rng.poisson(usual * state.traffic * (1.0 + 0.1 * wave).max(0.1));
            lines[0].push((time, requests / step_s as f64));
            if requests > 0.0 {
                let failed = rng.poisson(requests * state.failing).min(requests);
                lines[1].push((time, 1.0 - failed / requests));
                // a mean of many requests is steadier than one request
                let jitter = 0.08 * slow + world.shared * common + rng.normal() / requests.sqrt();
                lines[2].push((time, 0.05 * state.latency * jitter.exp()));
            }
            let work = (requests / usual).max(0.01);
            lines[3].push((time, state.cpu * 0.5 * work * (0.05 * rng.normal()).exp()));
            lines[4].push((time, state.memory * 1e9 * (1.0 + 0.01 * slow)));
        }
        let signals =
            [Signal::RequestRate, Signal::SuccessRatio, Signal::Latency, Signal::Cpu, Signal::Memory];
        for (signal, samples) in signals.into_iter().zip(lines) {
            series.push(Series { entity: Entity::Workload((*name).to_owned()), signal, samples });
        }
    }
    let (changes, pods, truth) = acts(scenario, world, start);
    series.extend(reports(scenario, world, start, &mut rng));
    let case = Case {
        id: format!("{}-{}-{seed}", world.name, scenario.name()),
        step_s,
        span: (step_s, steps as i64 * step_s),
        relative: BTreeSet::new(),
        workloads: WORKLOADS.iter().map(|w| (*w).to_owned()).collect(),
        pods,
        edges: vec![("front".into(), "middle".into()), ("middle".into(), "back".into())],
        changes,
        series,
    };
    (case, truth)
}

/// What a workload is like if callers try a failed request once more.
fn retried(scenario: Scenario, w: usize, since: i64, retries: bool) -> State {
    let own = state(scenario, w, since);
    if !retries {
        return own;
    }
    match w {
        // the front sees only what fails twice, and sends what fails once again
        FRONT => State { failing: own.failing.powi(2).max(USUAL.failing), ..own },
        MIDDLE => State { traffic: own.traffic * (1.0 + own.failing), ..own },
        _ => own,
    }
}

/// What a workload is like, `since` seconds after the change.
fn state(scenario: Scenario, w: usize, since: i64) -> State {
    let hours = since as f64 / 3_600.0;
    if since <= 0 {
        let failing = scenario == Scenario::GoodRollback && w <= MIDDLE && since > -INCIDENT_S;
        return if failing { State { failing: 0.1, ..USUAL } } else { USUAL };
    }
    match (scenario, w) {
        // what the middle fails, the front fails too
        (Scenario::ErrorBurst | Scenario::Config | Scenario::OneOfTwo, FRONT | MIDDLE) => {
            State { failing: 0.1, ..USUAL }
        }
        (Scenario::Slower, MIDDLE) => State { latency: 1.2, ..USUAL },
        (Scenario::MuchSlower | Scenario::BadRollback, MIDDLE) => State { latency: 1.5, ..USUAL },
        (Scenario::Leak, MIDDLE) => State { memory: 1.0 + 0.5 * hours, ..USUAL },
        (Scenario::Neighbour, SIDE) => State { latency: 1.8, ..USUAL },
        (Scenario::Neighbour, BACK) => State { cpu: 3.0, ..USUAL },
        (Scenario::TwoHops, BACK) => State { latency: 2.0, ..USUAL },
        (Scenario::TwoHops, MIDDLE | FRONT) => State { latency: 1.9, ..USUAL },
        (Scenario::Surge, _) => State { traffic: 2.0, ..USUAL },
        (Scenario::Quiet, _) => State { traffic: 0.2, ..USUAL },
        (Scenario::LostTraffic, MIDDLE | BACK) => State { traffic: 0.2, ..USUAL },
        _ => USUAL,
    }
}

/// The changes, the pods and the truth.
fn acts(scenario: Scenario, world: &World, start: i64) -> (Vec<Change>, Vec<Pod>, Truth) {
    let place = match scenario {
        Scenario::Neighbour | Scenario::TwoHops => BACK,
        Scenario::Quiet => FRONT,
        _ => MIDDLE,
    };
    let silent = scenario == Scenario::Silent;
    let pod = |id: &str, w: usize, created| Pod {
        id: id.to_owned(),
        workload: WORKLOADS[w].to_owned(),
        node: Some(NODES[w].to_owned()),
        created,
        deleted: None,
    };
    let mut pods: Vec<Pod> =
        (0..WORKLOADS.len()).map(|w| pod(&format!("{}-1", WORKLOADS[w]), w, None)).collect();
    if silent {
        pods.push(pod("middle-2", MIDDLE, Some(start + 5)));
    }
    let change = |id: &str, w: usize| Change {
        id: id.to_owned(),
        kind: scenario.kind(),
        workload: WORKLOADS[w].to_owned(),
        start,
        end: None,
        observe_until: start + world.after_s,
        pods_new: silent.then(|| vec!["middle-2".to_owned()]),
        pods_old: silent.then(|| vec!["middle-1".to_owned()]),
    };
    let mut changes = vec![change("c1", place)];
    let mut harmful = vec![scenario.harms()];
    if scenario == Scenario::OneOfTwo {
        changes.push(change("c2", FRONT));
        harmful.push(false);
    }
    let affected = match scenario {
        _ if !scenario.harms() => Vec::new(),
        Scenario::ErrorBurst | Scenario::Config | Scenario::OneOfTwo if !world.retries => {
            vec!["front", "middle"]
        }
        Scenario::Neighbour => vec!["back", "side"],
        Scenario::TwoHops => vec!["front", "middle", "back"],
        _ => vec!["middle"],
    };
    let helped = scenario == Scenario::GoodRollback;
    (changes, pods, Truth { harmful, helped, affected })
}

/// The old pod of a silent rollout reports its processor use; the new one never does.
fn reports(scenario: Scenario, world: &World, start: i64, rng: &mut Rng) -> Option<Series> {
    let samples = (1..=world.steps() as i64).map(|i| (i * world.step_s, 0.5 * (0.05 * rng.normal()).exp()));
    let samples: Vec<(i64, f64)> = samples.filter(|s| s.0 > start - 86_400).collect();
    (scenario == Scenario::Silent).then(|| Series {
        entity: Entity::Pod("middle-1".to_owned()),
        signal: Signal::Cpu,
        samples,
    })
}
