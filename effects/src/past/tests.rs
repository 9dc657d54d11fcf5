use super::*;
use crate::case::Entity;
use crate::simulate::{Noise, Rng, Scenario, World, simulate};

/// A day of one line, and how many lines were learnt for windows of an hour that begin at these times.
fn learnt(starts: &[i64]) -> usize {
    let (facts, _) = simulate(Scenario::Nothing, &World::USUAL, 1);
    let mut samples = Samples::default();
    let entity = Entity::Workload("front".to_owned());
    for (i, v) in Noise::Ar(0.6).series(&mut Rng::new(1), 1_600, 0, 60).into_iter().enumerate() {
        samples.add(&facts, &entity, Signal::Gauge, (i as i64 + 1) * 60, v);
    }
    let mut pasts = Pasts::new(None);
    for start in starts {
        let window = (*start, start + 3_600);
        let (past, grid, _) = pasts
            .of(&facts, &samples, ("front", Signal::Gauge), window, Asked::Either)
            .expect("there is a past");
        assert!(past.start <= *start, "nothing later than the change is used");
        assert_eq!(grid.cell(*start), grid.cells() - 1, "the grid ends where the change begins");
    }
    pasts.learnt
}

#[test]
fn a_past_serves_until_its_history_has_grown_by_a_part() {
    // nineteen hours after the first sample, before any earlier day could serve as a control
    let day = 70_000;
    assert_eq!(learnt(&[day]), 1);
    assert_eq!(learnt(&[day, day, day + 5, day + 600, day + 2_900]), 1);
    assert_eq!(learnt(&[day, day + 3_000]), 2);
    // never backwards: what was learnt for a later change knows too much
    assert_eq!(learnt(&[day, day - 600]), 2);
}
