//! Injected effects of known place and size are found, and what did nothing is left alone.

use effects::ingredient::Ingredient;
use effects::judge::{judge, judge_without};
use effects::simulate::{Scenario, World, simulate};
use effects::watch::Verdict;

/// Seeds per scenario; the journal has more.
const SEEDS: u64 = 3;

#[track_caller]
fn check(scenario: Scenario, expect: &[Verdict]) {
    for seed in 0..SEEDS {
        let (case, _) = simulate(scenario, &World::USUAL, 100 + seed);
        let judged = judge(&case.check().expect("simulated cases are valid"));
        let verdicts: Vec<Verdict> = judged.iter().map(|j| j.verdict).collect();
        assert_eq!(verdicts, expect, "{scenario:?} seed {seed}: {judged:#?}");
    }
}

#[test]
fn failures_slowness_leaks_and_lost_traffic_are_harm() {
    for scenario in [
        Scenario::ErrorBurst,
        Scenario::Slower,
        Scenario::MuchSlower,
        Scenario::Leak,
        Scenario::Config,
        Scenario::BadRollback,
        Scenario::TwoHops,
        Scenario::LostTraffic,
        Scenario::Silent,
    ] {
        check(scenario, &[Verdict::Harm]);
    }
}

#[test]
fn of_two_changes_only_the_guilty_one_is_blamed() {
    check(Scenario::OneOfTwo, &[Verdict::Harm, Verdict::None]);
}

#[test]
fn a_rollback_that_ends_failures_is_an_improvement() {
    check(Scenario::GoodRollback, &[Verdict::Improvement]);
}

#[test]
fn a_good_rollback_mends_nearly_all_and_a_change_of_another_kind_has_no_score() {
    for seed in 0..SEEDS {
        let (case, _) = simulate(Scenario::GoodRollback, &World::USUAL, 100 + seed);
        let judged = judge(&case.check().expect("simulated cases are valid"));
        let score = judged[0].mended.expect("failures were broken before it");
        assert!(score.value > 0.9 && score.interval.0 > 0.8, "{score:?}");
        let (case, _) = simulate(Scenario::ErrorBurst, &World::USUAL, 100 + seed);
        assert_eq!(judge(&case.check().unwrap())[0].mended, None);
        let (case, _) = simulate(Scenario::BadRollback, &World::USUAL, 100 + seed);
        assert_eq!(judge(&case.check().unwrap())[0].mended, None, "nothing was broken");
    }
}

#[test]
fn more_traffic_from_outside_is_nobodys_doing() {
    check(Scenario::Surge, &[Verdict::None]);
}

#[test]
fn less_traffic_everywhere_is_nobodys_doing_where_others_show_it_too() {
    for world in World::ALL {
        let (case, _) = simulate(Scenario::Quiet, &world, 100);
        let judged = judge(&case.check().expect("simulated cases are valid"));
        assert_ne!(judged[0].verdict, Verdict::Harm, "{}: {judged:#?}", world.name);
    }
    let (mut case, _) = simulate(Scenario::Quiet, &World::USUAL, 100);
    case.series.retain(|s| !["side", "far"].contains(&s.entity.to_string().as_str()));
    let alone = judge(&case.check().unwrap());
    assert_eq!(alone[0].verdict, Verdict::Harm, "without the others, the loss looks like the change's");
}

#[test]
fn where_all_latencies_move_together_the_others_tell_what_is_ones_own() {
    let world = World::named("shared").expect("it is a world");
    for seed in 0..SEEDS {
        let (case, _) = simulate(Scenario::MuchSlower, &world, 100 + seed);
        let case = case.check().expect("simulated cases are valid");
        let harmed = |left_out| judge_without(&case, left_out)[0].verdict == Verdict::Harm;
        assert!(harmed(None), "seed {seed}");
        assert!(
            !harmed(Some(Ingredient::Synthetic)),
            "seed {seed}: half as much again is within what all do"
        );
    }
}

#[test]
fn of_one_harmful_change_people_are_told_and_of_one_as_likely_by_chance_among_many_they_are_not() {
    let (case, _) = simulate(Scenario::ErrorBurst, &World::USUAL, 100);
    let judged = judge(&case.check().unwrap());
    assert!(judged[0].verdict == Verdict::Harm && judged[0].alarm);
    let (case, _) = simulate(Scenario::Nothing, &World::USUAL, 100);
    assert!(!judge(&case.check().unwrap())[0].alarm);
}

#[test]
fn nothing_is_nothing_in_any_world() {
    for world in World::ALL {
        for seed in 0..SEEDS {
            let (case, _) = simulate(Scenario::Nothing, &world, 100 + seed);
            let judged = judge(&case.check().expect("simulated cases are valid"));
            assert_eq!(judged[0].verdict, Verdict::None, "{} seed {seed}: {judged:#?}", world.name);
        }
    }
}

#[test]
fn failures_are_harm_in_any_world_with_requests_enough() {
    // of three requests a minute one in ten is one failure in three minutes: found in two runs of five
    for world in World::ALL.into_iter().filter(|w| w.rate >= 1.0) {
        let (case, _) = simulate(Scenario::ErrorBurst, &world, 101);
        let judged = judge(&case.check().expect("simulated cases are valid"));
        assert_eq!(judged[0].verdict, Verdict::Harm, "{}: {judged:#?}", world.name);
    }
}
