//! When an effect began: the interval that a finding names holds the truth, and is short.

use std::collections::BTreeSet;

use effects::case::{Case, Change, ChangeKind, Entity, Series, Signal};
use effects::finding::What;
use effects::judge::judge;
use effects::simulate::Rng;
use effects::watch::Verdict;

const START: i64 = 8 * 3_600;
const UNTIL: i64 = START + 1_800;

/// A workload whose processor doubles `after` seconds behind the change.
fn doubled(step_s: i64, after: i64, seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let value = |time: i64| if time > START + after { 0.4 } else { 0.2 };
    let samples = (1..=UNTIL / step_s).map(|n| n * step_s);
    Case {
        id: "onset".to_owned(),
        step_s,
        span: (0, UNTIL),
        relative: BTreeSet::new(),
        workloads: vec!["shop".to_owned()],
        pods: Vec::new(),
        edges: Vec::new(),
        changes: vec![Change {
            id: "c1".to_owned(),
            kind: ChangeKind::Config,
            workload: "shop".to_owned(),
            start: START,
            end: None,
            observe_until: UNTIL,
            pods_new: None,
            pods_old: None,
        }],
        series: vec![Series {
            entity: Entity::Workload("shop".to_owned()),
            signal: Signal::Cpu,
            samples: samples.map(|time| (time, value(time) * (1.0 + 0.03 * rng.normal()))).collect(),
        }],
    }
}

#[test]
fn the_onset_of_a_step_is_within_the_interval_named_at_every_spacing() {
    for step_s in [10, 20, 60, 120, 300] {
        for after in [0, 60, 300, 420, 600] {
            for seed in 0..3 {
                let judged = judge(&doubled(step_s, after, seed).check().expect("the case is valid"));
                let about = format!("every {step_s} s, {after} s after, seed {seed}");
                assert_eq!(judged[0].verdict, Verdict::Harm, "{about}");
                let weighed = judged[0].weighed.as_ref().expect("it was looked at");
                let cpu = weighed.own.iter().find(|(own, _)| own.what == What::Signal(Signal::Cpu));
                let (from, to) = cpu.and_then(|(own, _)| own.onset).expect("a step has an onset");
                let truth = START + after;
                assert!(from <= truth && truth <= to, "{about}: {from}..{to}, truth {truth}");
                assert!(to - from <= (3 * step_s).max(240), "{about}: {from}..{to} is long");
            }
        }
    }
}
