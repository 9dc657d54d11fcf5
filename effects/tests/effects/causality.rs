//! Both ways in are one, and no verdict depends on what came after it.

use effects::case::{Case, Entity};
use effects::judge::judge;
use effects::simulate::{Scenario, World, simulate};
use effects::watch::{Judgement, Watch};

/// Looks after every sample time, by hand; the judgements after each.
fn steps(case: &Case) -> Vec<(i64, Vec<Judgement>)> {
    let mut watch = Watch::new(case.clone());
    let mut rows: Vec<_> = case
        .series
        .iter()
        .flat_map(|s| s.samples.iter().map(move |x| (x.0, &s.entity, s.signal, x.1)))
        .collect();
    rows.sort_by_key(|r| r.0);
    let mut out = Vec::new();
    for chunk in rows.chunk_by(|a, b| a.0 == b.0) {
        for &(time, entity, signal, value) in chunk {
            assert!(watch.observe(entity, signal, time, value));
        }
        watch.look(chunk[0].0);
        if chunk[0].0 > case.changes[0].start {
            out.push((chunk[0].0, watch.judgements()));
        }
    }
    out
}

fn cut(case: &Case, at: i64) -> Case {
    let mut case = case.clone();
    for series in &mut case.series {
        series.samples.retain(|s| s.0 <= at);
    }
    for pod in &mut case.pods {
        pod.created = pod.created.filter(|c| *c <= at).or(pod.created.map(|_| 999_999_999_999));
        pod.deleted = pod.deleted.filter(|d| *d <= at);
    }
    for change in &mut case.changes {
        change.end = change.end.filter(|e| *e <= at);
    }
    case.span.1 = case.span.1.min(at);
    case
}

#[test]
fn judging_a_cut_case_gives_what_the_steps_gave_at_that_time() {
    for scenario in [Scenario::ErrorBurst, Scenario::OneOfTwo, Scenario::Silent, Scenario::Nothing] {
        let (case, _) = simulate(scenario, &World::USUAL, 7);
        let case = case.check().unwrap();
        let all = steps(&case);
        for (time, stepwise) in all.iter().step_by(23) {
            assert_eq!(&judge(&cut(&case, *time)), stepwise, "{scenario:?} at {time}");
        }
        assert_eq!(&judge(&case), &all.last().unwrap().1);
    }
}

#[test]
fn a_standing_verdict_stands_when_the_case_ends_where_it_was_reached() {
    for scenario in Scenario::ALL {
        let (case, _) = simulate(scenario, &World::USUAL, 11);
        let case = case.check().unwrap();
        for judged in judge(&case) {
            let Some(since) = judged.since else { continue };
            let then = judge(&cut(&case, since));
            let same = then.iter().find(|j| j.change == judged.change).unwrap();
            assert_eq!((same.verdict, same.since), (judged.verdict, judged.since), "{scenario:?}");
        }
    }
}

#[test]
fn units_names_order_and_weeks_do_not_matter() {
    let (case, _) = simulate(Scenario::Neighbour, &World::USUAL, 3);
    let case = case.check().unwrap();
    let plain: Vec<_> = judge(&case).into_iter().map(|j| (j.verdict, j.since, j.affected().len())).collect();
    let mut other = case.clone();
    let week = 7 * 86_400;
    // what came first in the alphabet comes last
    let renamed = |name: &String| format!("{}-{}", 9 - name.len(), name.chars().rev().collect::<String>());
    other.series.reverse();
    other.workloads = other.workloads.iter().rev().map(renamed).collect();
    other.edges = other.edges.iter().rev().map(|(from, to)| (renamed(from), renamed(to))).collect();
    other.pods.reverse();
    for pod in &mut other.pods {
        pod.workload = renamed(&pod.workload);
        pod.node = pod.node.as_ref().map(renamed);
    }
    for series in &mut other.series {
        if let Entity::Workload(name) = &mut series.entity {
            *name = renamed(name);
        }
        let factor = match series.signal {
            effects::case::Signal::Latency | effects::case::Signal::Memory => 1000.0,
            _ => 1.0,
        };
        for sample in &mut series.samples {
            *sample = (sample.0 + week, sample.1 * factor);
        }
    }
    for change in &mut other.changes {
        change.start += week;
        change.observe_until += week;
        change.id = format!("renamed-{}", change.id);
        change.workload = renamed(&change.workload);
    }
    let moved: Vec<_> = judge(&other)
        .into_iter()
        .map(|j| (j.verdict, j.since.map(|s| s - week), j.affected().len()))
        .collect();
    assert_eq!(plain, moved);
}
