use std::time::Duration;

use super::{Current, Extent};

const SECOND: u64 = 1_000_000_000;
/// Wall time is this much ahead of monotonic time.
const AHEAD: u64 = 1_000_000 * SECOND;

/// A window of 10 s opened at `began_ms` after an aligned moment, closed at `ended_ms`.
fn closed(began_ms: u64, ended_ms: u64) -> ((u64, u32), Extent, Current) {
    let wall = |ms: u64| AHEAD + ms * 1_000_000;
    let current = Current::begin(wall(began_ms), Duration::from_millis(began_ms), 10);
    let (window, extent, next) = current.close(wall(ended_ms), Duration::from_millis(ended_ms));
    (((window.start_ns - AHEAD) / SECOND, window.seconds), extent, next)
}

#[test]
fn a_window_closed_at_its_end_is_whole() {
    assert_eq!((closed(0, 10_000).0, closed(0, 10_000).1), ((0, 10), Extent::Whole));
    assert_eq!((closed(0, 10_850).0, closed(0, 10_850).1), ((0, 10), Extent::Whole));
}

#[test]
fn the_first_and_the_last_say_what_they_covered() {
    assert_eq!((closed(3_400, 10_020).0, closed(3_400, 10_020).1), ((3, 7), Extent::Partial));
    assert_eq!((closed(0, 4_200).0, closed(0, 4_200).1), ((0, 5), Extent::Partial));
    assert_eq!((closed(3_400, 3_500).0, closed(3_400, 3_500).1), ((3, 1), Extent::Partial));
    // attaching took longer than what was left of the window
    assert_eq!((closed(9_500, 13_100).0, closed(9_500, 13_100).1), ((9, 5), Extent::Partial));
}

#[test]
fn a_stall_stretches_the_window_and_the_next_one_goes_on_behind_it() {
    let (window, extent, next) = closed(0, 25_300);
    assert_eq!((window, extent), ((0, 26), Extent::Stretched));
    let (after, extent, _) = next.close(AHEAD + 30 * SECOND, Duration::from_secs(30));
    assert_eq!(((after.start_ns - AHEAD) / SECOND, after.seconds, extent), (26, 4, Extent::Partial));
}

#[test]
fn windows_tile_time_whatever_happens() {
    let mut now_ms = 1_234;
    let wall = |ms: u64| AHEAD + ms * 1_000_000;
    let mut current = Current::begin(wall(now_ms), Duration::from_millis(now_ms), 10);
    let mut expected_start = 1;
    let mut random = 7_u64;
    for _ in 0..2_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // now and then a stall
        let stall = if random >> 60 == 0 { (random >> 40) % 40_000 } else { (random >> 40) % 300 };
        now_ms += u64::try_from(current.left(wall(now_ms)).as_millis()).unwrap() + stall;
        let (window, _, next) = current.close(wall(now_ms), Duration::from_millis(now_ms));
        assert_eq!((window.start_ns - AHEAD) / SECOND, expected_start);
        expected_start += u64::from(window.seconds);
        assert!(expected_start * 1000 + 1_000 >= now_ms && expected_start * 1000 <= now_ms + 1_000);
        current = next;
    }
}

#[test]
fn a_clock_that_is_set_does_not_make_hours() {
    let current = Current::begin(AHEAD, Duration::ZERO, 10);
    // an hour ahead
    let (window, extent, next) = current.close(AHEAD + 3_605 * SECOND, Duration::from_secs(5));
    assert_eq!((window.seconds, extent), (5, Extent::Partial));
    assert_eq!(next.left(AHEAD + 3_605 * SECOND), Duration::from_secs(5));
    // an hour back
    assert_eq!(current.left(AHEAD - 3_600 * SECOND), Duration::ZERO);
    let (window, extent, next) = current.close(AHEAD - 3_600 * SECOND, Duration::from_secs(5));
    assert_eq!((window.seconds, extent), (5, Extent::Partial));
    assert_eq!(next.left(AHEAD - 3_600 * SECOND), Duration::from_secs(10));
}
