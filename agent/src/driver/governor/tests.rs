use std::time::Duration;

use super::{Cost, Decision, Governor, Part};

const WINDOW: Duration = Duration::from_secs(10);

/// A cost that each part has its share of.
fn cost(total: Duration) -> Cost {
    let share = total / 5;
    Cost { total, latency: share, run_queue: share, peers: share, ..Cost::default() }
}

/// Feeds windows of this cost, as ms per second, and returns what was decided, but for `Keep`.
fn decided(governor: &mut Governor, ms_per_s: u64, windows: usize) -> Vec<Decision> {
    let used = Duration::from_millis(ms_per_s) * 10;
    let all = (0..windows).map(|_| governor.observe(&cost(used), WINDOW));
    all.filter(|decision| *decision != Decision::Keep).collect()
}

fn governor() -> Governor {
    Governor::new(Duration::from_millis(100))
}

#[test]
fn within_the_budget_nothing_is_shed() {
    let mut governor = governor();
    assert!(decided(&mut governor, 100, 1_000).is_empty());
    // a burst that does not last
    assert!(decided(&mut governor, 5_000, 1).is_empty());
    assert!(decided(&mut governor, 90, 10).is_empty() && governor.shed().is_empty());
}

#[test]
fn parts_are_shed_one_by_one_in_their_order_and_no_others() {
    let mut governor = governor();
    assert_eq!(decided(&mut governor, 101, 2), [Decision::Shed(Part::SyscallLatency)]);
    assert!(governor.is_shed(Part::SyscallLatency) && !governor.is_shed(Part::RunQueue));
    assert_eq!(decided(&mut governor, 101, 1), []);
    let rest = [Decision::Shed(Part::RunQueue), Decision::Shed(Part::Peers)];
    assert_eq!(decided(&mut governor, 900, 100), rest);
    // spans and requests cost nothing here
    assert_eq!(governor.shed(), [Part::SyscallLatency, Part::RunQueue, Part::Peers]);
}

#[test]
fn what_was_shed_last_comes_back_first_when_there_is_room() {
    let mut governor = governor();
    decided(&mut governor, 900, 100);
    // below the budget, and too near to it
    assert_eq!(decided(&mut governor, 80, 100), []);
    assert_eq!(decided(&mut governor, 10, 6), [Decision::Restore(Part::Peers)]);
    let rest = [Decision::Restore(Part::RunQueue), Decision::Restore(Part::SyscallLatency)];
    assert_eq!(decided(&mut governor, 10, 12), rest);
    assert!(governor.shed().is_empty());
    assert_eq!(decided(&mut governor, 10, 100), []);
}

#[test]
fn a_part_that_must_go_again_at_once_stays_away_longer_each_time() {
    let mut governor = governor();
    let mut waits = Vec::new();
    decided(&mut governor, 200, 2);
    for _ in 0..8 {
        let mut wait = 0;
        while governor.observe(&cost(Duration::from_millis(100)), WINDOW) == Decision::Keep {
            wait += 10;
        }
        waits.push(wait + 10);
        assert_eq!(decided(&mut governor, 200, 2), [Decision::Shed(Part::SyscallLatency)]);
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
}

#[test]
fn windows_of_any_length_count_by_their_time() {
    let mut governor = governor();
    let second = Duration::from_secs(1);
    let decisions: Vec<Decision> = (0..20).map(|_| governor.observe(&cost(second), second)).collect();
    assert_eq!(decisions.iter().filter(|decision| **decision != Decision::Keep).count(), 1);
    assert_eq!(decisions[19], Decision::Shed(Part::SyscallLatency));
    assert_eq!(governor.observe(&cost(second), Duration::ZERO), Decision::Keep);
}

#[test]
fn only_what_the_cost_comes_from_is_shed() {
    let mut governor = governor();
    let second = Duration::from_secs(1);
    let mut cost = Cost { total: second * 2, latency: second / 1000, ..Cost::default() };
    let mut decided = |cost: &Cost| {
        let all: Vec<Decision> = (0..100).map(|_| governor.observe(cost, WINDOW)).collect();
        all.into_iter().filter(|decision| *decision != Decision::Keep).collect::<Vec<_>>()
    };
    assert_eq!(decided(&cost), []);
    cost.run_queue = second;
    assert_eq!(decided(&cost), [Decision::Shed(Part::RunQueue)]);
    cost.latency = second;
    assert_eq!(decided(&cost), [Decision::Shed(Part::SyscallLatency)]);
    cost.total = Duration::ZERO;
    let back = [Decision::Restore(Part::SyscallLatency), Decision::Restore(Part::RunQueue)];
    assert_eq!(decided(&cost), back);
}
