use super::*;

fn case() -> Case {
    Case {
        id: "a".into(),
        step_s: 60,
        span: (0, 600),
        relative: BTreeSet::new(),
        workloads: vec!["w1".into(), "w2".into()],
        pods: vec![Pod { id: "p1".into(), workload: "w1".into(), node: None, created: None, deleted: None }],
        edges: vec![("w1".into(), "w2".into()), ("w2".into(), "w1".into())],
        changes: vec![Change {
            id: "c1".into(),
            kind: ChangeKind::Rollout,
            workload: "w1".into(),
            start: 300,
            end: None,
            observe_until: 600,
            pods_new: None,
            pods_old: None,
        }],
        series: vec![Series {
            entity: Entity::Workload("w1".into()),
            signal: Signal::Gauge,
            samples: vec![(120, 2.0), (60, 1.0), (120, 3.0)],
        }],
    }
}

#[test]
fn samples_are_sorted_and_the_later_row_of_one_time_stands() {
    assert_eq!(case().check().unwrap().series[0].samples, [(60, 1.0), (120, 3.0)]);
}

#[test]
fn what_cannot_be_is_named() {
    let mut c = case();
    c.series[0].samples.push((180, f64::NAN));
    assert!(c.check().unwrap_err().to_string().starts_with("w1 gauge: value NaN at 180"));
    let mut c = case();
    c.changes[0].workload = "w9".into();
    assert_eq!(c.check().unwrap_err().to_string(), "change \"c1\" names the unknown workload \"w9\"");
    let mut c = case();
    c.step_s = 0;
    assert_eq!(c.check().unwrap_err(), CaseError::Step(0));
    let mut c = case();
    c.changes[0].observe_until = 200;
    assert!(matches!(c.check(), Err(CaseError::Window { .. })));
    let mut c = case();
    c.series[0].signal = Signal::Cpu;
    c.series[0].samples.push((180, -1.0));
    assert!(matches!(c.check(), Err(CaseError::Value { value: -1.0, .. })));
}

#[test]
fn every_signal_is_found_by_its_name() {
    for signal in Signal::ALL {
        assert_eq!(Signal::named(signal.name()), Some(signal));
    }
    assert_eq!(Signal::named("nothing"), None);
}
