//! Where nothing happens, alarms are as rare as promised; where something does, they come.

use effects::grid::Grid;
use effects::simulate::{Noise, Rng};
use effects::stats::betting::Betting;
use effects::track::{Least, Level, Plan, Reference, Side, Tracker};

/// No floor to speak of: the noise of these series is their own.
const LEAST: Least = Least { noise: 1e-9, largest: 1e-9, lasting: 1e-9, width: 1 };

/// One day of minutes, and the hour after it.
const DAY: (usize, usize) = (1_500, 60);
/// Three hours, and the hour after them.
const YOUNG: (usize, usize) = (180, 60);

/// Share of `runs` series with `shift` after the change whose p over the whole window falls to `alpha`.
fn alarms((before, after): (usize, usize), noise: Noise, runs: u64, alpha: f64, shift: f64) -> f64 {
    let mut hits = 0;
    for run in 0..runs {
        let values = noise.series(&mut Rng::new(run), before + after, 0, 60);
        let mut grid = Grid::new(60, before as i64 * 60, 60);
        for (i, v) in values[..before].iter().enumerate() {
            grid.put((i as i64 + 1) * 60, *v);
        }
        let last = before as i64;
        let plan =
            Plan::at(&grid, last, Level::Hour).expect("there is a past").calibrated(&grid, last, after, 10);
        let reference = Reference::build(&grid, &plan, last, after, (&[Side::Both], LEAST), None).remove(0);
        let mut tracker = Tracker::open(&grid, &plan, last, reference).expect("there is a past");
        for v in &values[before..] {
            tracker.push(&grid, v + shift);
        }
        hits += u64::from(tracker.ratio().expect("values were pushed").p <= alpha);
    }
    hits as f64 / runs as f64
}

#[test]
fn placebo_calibration_holds_its_level_under_every_noise() {
    for noise in [Noise::White, Noise::Ar(0.6), Noise::Ar(0.9), Noise::Bursty, Noise::Seasonal] {
        // 200 runs: three standard errors above .05 are .10, above .01 are .03
        let five = alarms(DAY, noise, 200, 0.05, 0.0);
        let one = alarms(DAY, noise, 200, 0.01, 0.0);
        assert!(five <= 0.10 && one <= 0.031, "{noise:?}: {five} at .05, {one} at .01");
    }
}

#[test]
fn three_hours_of_history_keep_the_level_and_find_six_deviations() {
    for noise in [Noise::White, Noise::Ar(0.6), Noise::Ar(0.9), Noise::Bursty, Noise::Seasonal] {
        let one = alarms(YOUNG, noise, 200, 0.01, 0.0);
        assert!(one <= 0.031, "{noise:?}: {one} at .01");
    }
    assert!(alarms(YOUNG, Noise::White, 40, 0.01, 6.0) >= 0.85);
    assert!(alarms(YOUNG, Noise::Ar(0.6), 40, 0.01, 6.0) >= 0.6);
}

#[test]
fn a_lasting_shift_of_two_deviations_is_found_where_samples_are_independent() {
    assert!(alarms(DAY, Noise::White, 40, 0.01, 2.0) >= 0.85);
}

#[test]
fn a_shift_of_four_deviations_is_found_and_of_five_where_noise_is_correlated() {
    assert!(alarms(DAY, Noise::White, 40, 0.01, 4.0) >= 0.85);
    assert!(alarms(DAY, Noise::Ar(0.6), 40, 0.01, 5.0) >= 0.85);
}

#[test]
fn bets_on_failures_rarely_win_under_the_null_however_long_they_run() {
    for mean in [0.01, 0.05, 0.2] {
        let mut hits = 0;
        for run in 0..1000 {
            let mut rng = Rng::new(run);
            let mut bet = Betting::default();
            // bursts of failures: the hardest bounded values are zeros and ones
            hits += u64::from((0..200).any(|_| {
                bet.push(f64::from(u8::from(rng.uniform() < mean)), mean);
                bet.e() >= 20.0
            }));
        }
        assert!(hits <= 50, "{hits} of 1000 crossed 20 at mean {mean}");
    }
}
