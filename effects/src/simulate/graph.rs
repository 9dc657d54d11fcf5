//! A small system under load: front calls middle, middle calls back; side shares back's node. One day at one
//! minute, with a daily wave, correlated noise, Poisson requests and binomial failures.

use std::collections::BTreeSet;

use super::noise::{Noise, Rng};
use super::scenario::{Scenario, Truth};
use crate::case::{Case, Change, ChangeKind, Entity, Pod, Series, Signal};

const STEP_S: i64 = 60;
/// Three days: enough for a seasonal control that can be calibrated.
const STEPS: usize = 3 * 1_440;
/// The change comes two hours before the end.
const AFTER: usize = 120;
const WORKLOADS: [&str; 4] = ["front", "middle", "back", "side"];
const FRONT: usize = 0;
const MIDDLE: usize = 1;
const BACK: usize = 2;
const SIDE: usize = 3;

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

/// Simulates a scenario. Requests arrive at the front at `rate` per second; noise follows `seed`.
#[must_use]
pub fn simulate(scenario: Scenario, seed: u64, rate: f64) -> (Case, Truth) {
    let mut rng = Rng::new(seed);
    let start = (STEPS - AFTER) as i64 * STEP_S + (rng.uniform() * STEP_S as f64) as i64;
    let mut series = Vec::new();
    let wave: Vec<f64> = Noise::Seasonal.series(&mut rng, STEPS, 0, STEP_S);
    let slow: Vec<Vec<f64>> =
        (0..WORKLOADS.len()).map(|_| Noise::Ar(0.6).series(&mut rng, STEPS, 0, STEP_S)).collect();
    for (w, name) in WORKLOADS.iter().enumerate() {
        let mut lines: [Vec<(i64, f64)>; 5] = Default::default();
        for i in 0..STEPS {
            let time = (i as i64 + 1) * STEP_S;
            let state = state(scenario, w, time - start);
            let mean = rate * state.traffic * (1.0 + 0.1 * wave[i]).max(0.1) * STEP_S as f64;
            let requests = rng.poisson(mean);
            lines[0].push((time, requests / STEP_S as f64));
            if requests > 0.0 {
                let failed = rng.poisson(requests * state.failing).min(requests);
                lines[1].push((time, 1.0 - failed / requests));
                // a mean of many requests is steadier than one request
                let jitter = 0.08 * slow[w][i] + rng.normal() / requests.sqrt();
                lines[2].push((time, 0.05 * state.latency * jitter.exp()));
            }
            let work = requests / (rate * STEP_S as f64);
            lines[3].push((time, state.cpu * 0.5 * work.max(0.01) * (0.05 * rng.normal()).exp()));
            lines[4].push((time, state.memory * 1e9 * (1.0 + 0.01 * slow[w][i])));
        }
        let signals =
            [Signal::RequestRate, Signal::SuccessRatio, Signal::Latency, Signal::Cpu, Signal::Memory];
        for (signal, samples) in signals.into_iter().zip(lines) {
            series.push(Series { entity: Entity::Workload((*name).to_owned()), signal, samples });
        }
    }
    let (changes, pods, truth) = acts(scenario, start);
    let case = Case {
        id: "simulated".to_owned(),
        step_s: STEP_S,
        span: (STEP_S, STEPS as i64 * STEP_S),
        relative: BTreeSet::new(),
        workloads: WORKLOADS.iter().map(|w| (*w).to_owned()).collect(),
        pods,
        edges: vec![("front".into(), "middle".into()), ("middle".into(), "back".into())],
        changes,
        series: series.into_iter().chain(reports(scenario, start, &mut rng)).collect(),
    };
    (case, truth)
}

/// What a workload is like, `since` seconds after the change.
fn state(scenario: Scenario, w: usize, since: i64) -> State {
    let hours = since as f64 / 3_600.0;
    if since <= 0 {
        let failing = scenario == Scenario::GoodRollback && w == MIDDLE && since > -1_800;
        return if failing { State { failing: 0.1, ..USUAL } } else { USUAL };
    }
    match (scenario, w) {
        (Scenario::ErrorBurst | Scenario::Config | Scenario::OneOfTwo, MIDDLE) => {
            State { failing: 0.1, ..USUAL }
        }
        // what the middle fails, the front fails too
        (Scenario::ErrorBurst | Scenario::Config | Scenario::OneOfTwo, FRONT) => {
            State { failing: 0.1, ..USUAL }
        }
        (Scenario::Slower | Scenario::BadRollback, MIDDLE) => State { latency: 1.5, ..USUAL },
        (Scenario::Leak, MIDDLE) => State { memory: 1.0 + 0.5 * hours, ..USUAL },
        (Scenario::Neighbour, SIDE) => State { latency: 1.8, ..USUAL },
        (Scenario::Neighbour, BACK) => State { cpu: 3.0, ..USUAL },
        (Scenario::TwoHops, BACK) => State { latency: 2.0, ..USUAL },
        (Scenario::TwoHops, MIDDLE | FRONT) => State { latency: 1.9, ..USUAL },
        (Scenario::Surge, _) => State { traffic: 2.0, ..USUAL },
        (Scenario::Quiet, _) => State { traffic: 0.2, ..USUAL },
        (Scenario::LostTraffic, MIDDLE) => State { traffic: 0.2, ..USUAL },
        _ => USUAL,
    }
}

fn acts(scenario: Scenario, start: i64) -> (Vec<Change>, Vec<Pod>, Truth) {
    let place = match scenario {
        Scenario::Neighbour | Scenario::TwoHops => BACK,
        Scenario::Quiet => FRONT,
        _ => MIDDLE,
    };
    let kind = match scenario {
        Scenario::Config => ChangeKind::Config,
        Scenario::BadRollback | Scenario::GoodRollback => ChangeKind::Rollback,
        _ => ChangeKind::Rollout,
    };
    let silent = scenario == Scenario::Silent;
    let pod = |id: &str, created| Pod {
        id: id.to_owned(),
        workload: WORKLOADS[MIDDLE].to_owned(),
        node: Some("n1".to_owned()),
        created,
        deleted: None,
    };
    let pods = if silent { vec![pod("old", None), pod("new", Some(start + 5))] } else { Vec::new() };
    let change = |id: &str, w: usize| Change {
        id: id.to_owned(),
        kind,
        workload: WORKLOADS[w].to_owned(),
        start,
        end: None,
        observe_until: start + 6_600,
        pods_new: silent.then(|| vec!["new".to_owned()]),
        pods_old: silent.then(|| vec!["old".to_owned()]),
    };
    let harmless =
        matches!(scenario, Scenario::GoodRollback | Scenario::Surge | Scenario::Quiet | Scenario::Nothing);
    let mut changes = vec![change("c1", place)];
    let mut harmful = vec![!harmless];
    if scenario == Scenario::OneOfTwo {
        changes.push(change("c2", FRONT));
        harmful.push(false);
    }
    (changes, pods, Truth { harmful, helped: scenario == Scenario::GoodRollback })
}

/// The old pod of a silent rollout reports its processor use; the new one never does.
fn reports(scenario: Scenario, start: i64, rng: &mut Rng) -> Option<Series> {
    let samples = (1..=STEPS as i64).map(|i| (i * STEP_S, 0.5 * (0.05 * rng.normal()).exp()));
    let samples: Vec<(i64, f64)> = samples.filter(|s| s.0 > start - 86_400).collect();
    (scenario == Scenario::Silent).then(|| Series {
        entity: Entity::Pod("old".to_owned()),
        signal: Signal::Cpu,
        samples,
    })
}
