//! Bad input: a typed error or an honest verdict, never a panic.

use std::collections::BTreeSet;

use effects::case::{Case, Change, ChangeKind, Entity, Pod, Series, Signal};
use effects::judge::judge;
use effects::simulate::Rng;

fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> T {
    from[(rng.uniform() * from.len() as f64) as usize % from.len()].clone()
}

fn value(rng: &mut Rng) -> f64 {
    let wild = [
        0.0,
        1.0,
        -1.0,
        0.5,
        1e-300,
        1e99,
        -1e99,
        f64::NAN,
        f64::INFINITY,
        1e300,
        rng.normal(),
        5.0,
        5.0,
        5.0,
    ];
    pick(rng, &wild)
}

fn time(rng: &mut Rng) -> i64 {
    let near = (rng.uniform() * 20_000.0) as i64;
    let far = rng.uniform() < 0.001;
    if far { pick(rng, &[i64::MAX, i64::MIN, 1 << 60]) } else { pick(rng, &[near, near, near, near, 0, -5]) }
}

fn wild(rng: &mut Rng) -> Case {
    let workloads = ["a", "b", "c"].map(String::from).to_vec();
    let pods: Vec<Pod> = (0..3)
        .map(|i| {
            let (created, deleted) = (time(rng), time(rng));
            Pod {
                id: format!("p{i}"),
                workload: pick(rng, &workloads),
                node: None,
                created: pick(rng, &[None, Some(created)]),
                deleted: pick(rng, &[None, Some(deleted)]),
            }
        })
        .collect();
    let ids: Vec<String> = pods.iter().map(|p| p.id.clone()).collect();
    let changes = (0..3).map(|i| {
        let start = time(rng);
        Change {
            id: format!("c{i}"),
            kind: ChangeKind::Rollout,
            workload: pick(rng, &workloads),
            start,
            end: Some(time(rng)),
            observe_until: start.saturating_add((rng.uniform() * 9_000.0) as i64 - 10),
            pods_new: pick(rng, &[None, Some(ids.clone()), Some(vec![])]),
            pods_old: None,
        }
    });
    let changes = changes.collect();
    let series = (0..6).map(|_| {
        let entity = match (rng.uniform() * 4.0) as u8 {
            0 => Entity::Workload(pick(rng, &workloads)),
            1 => Entity::Pod(pick(rng, &ids)),
            2 => Entity::Node("n".into()),
            _ => Entity::Edge(pick(rng, &workloads), pick(rng, &ids)),
        };
        let n = pick(rng, &[0usize, 1, 2, 40, 300]);
        let constant = rng.uniform() < 0.3;
        let tame = rng.uniform() < 0.95;
        let sample = |rng: &mut Rng, i: usize| match (constant, tame) {
            (true, _) => (60 * i as i64, 1.0),
            (_, true) => (60 * i as i64, rng.uniform()),
            _ => (time(rng), value(rng)),
        };
        let samples = (0..n).map(|i| sample(rng, i)).collect();
        Series { entity, signal: pick(rng, &Signal::ALL), samples }
    });
    let series = series.collect();
    Case {
        id: "wild".into(),
        step_s: pick(rng, &[60, 60, 60, 1, 86_400, 0, i64::MAX]),
        span: (0, 20_000),
        relative: BTreeSet::from([Signal::Cpu]),
        workloads: workloads.clone(),
        pods,
        edges: vec![("a".into(), "b".into()), ("b".into(), "a".into()), ("a".into(), "a".into())],
        changes,
        series,
    }
}

#[test]
fn ten_thousand_entities_and_a_ring_of_calls_are_judged() {
    let names: Vec<String> = (0..10_000).map(|i| format!("w{i}")).collect();
    let mut rng = Rng::new(1);
    let line = |name: &String| Series {
        entity: Entity::Workload(name.clone()),
        signal: Signal::Latency,
        samples: (1..=90).map(|k| (60 * k, 0.1 + 0.01 * rng.uniform())).collect(),
    };
    let case = Case {
        id: "many".into(),
        step_s: 60,
        span: (60, 5_400),
        relative: BTreeSet::new(),
        workloads: names.clone(),
        pods: Vec::new(),
        edges: (0..names.len()).map(|i| (names[i].clone(), names[(i + 1) % names.len()].clone())).collect(),
        changes: vec![Change {
            id: "c".into(),
            kind: ChangeKind::Config,
            workload: names[0].clone(),
            start: 3_600,
            end: None,
            observe_until: i64::MAX >> 24,
            pods_new: None,
            pods_old: None,
        }],
        series: names.iter().map(line).collect(),
    };
    assert_eq!(judge(&case.check().expect("it is whole")).len(), 1);
}

#[test]
fn wild_cases_end_in_an_error_or_in_one_verdict_per_change() {
    let mut judged = 0;
    for seed in 0..600 {
        let case = wild(&mut Rng::new(seed));
        let changes = case.changes.len();
        if let Ok(case) = case.check() {
            let verdicts = judge(&case);
            assert_eq!(verdicts.len(), changes, "seed {seed}");
            let ranks: BTreeSet<usize> = verdicts.iter().map(|v| v.rank).collect();
            assert_eq!(ranks, (1..=changes).collect(), "seed {seed}");
            assert!(verdicts.iter().all(|v| (0.0..=1.0).contains(&v.probability_of_harm())), "seed {seed}");
            judged += 1;
        }
    }
    assert!(judged > 50, "only {judged} cases were valid: the fuzzer tests too little");
}
