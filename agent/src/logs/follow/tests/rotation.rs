//! Logs that are renamed, copied and truncated, or were so before the reader looked.

use super::*;

#[test]
fn rotation_by_renaming_reads_the_old_file_to_its_end() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", "one\n");
    bench.settle();
    bench.append("a.log", "two\n");
    fs::rename(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    bench.append("a.log", "four\n");
    bench.append("a.log.1", "three\n");
    bench.expect(&["one", "two", "three", "four"]);
    bench.append("a.log.1", "late\n");
    bench.expect(&["one", "two", "three", "four", "late"]);
}

#[test]
fn the_last_line_of_a_closed_file_survives_a_kill_though_its_record_is_open() {
    let mut bench = Bench::new(|_, config| config.multiline.files = true);
    bench.append("a.log", "");
    bench.append("b.log", "");
    bench.start();
    bench.append("a.log", "one\ntwo without end");
    bench.settle();
    fs::rename(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    bench.append("a.log", "three\n");
    bench.settle();
    bench.clock.advance(Duration::from_secs(301));
    bench.tick();
    // a row of another log takes the marks with it
    bench.append("b.log", "b\nc\n");
    assert!(bench.in_flight.is_empty());
    while bench.read() {}
    bench.ack(1);
    bench.persist();
    bench.kill();
    bench.start();
    bench.settle();
    bench.bodies.sort();
    let found: Vec<&str> =
        bench.bodies.iter().map(String::as_str).filter(|body| body.contains("two")).collect();
    assert_eq!(found, ["two without end"]);
}

#[test]
fn two_rotations_between_two_looks_lose_nothing() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", "one\n");
    fs::rename(bench.path("a.log"), bench.path("a.log.2")).unwrap();
    bench.append("a.log.1", "two\n");
    bench.append("a.log", "three\n");
    bench.expect(&["one", "two", "three"]);
}

#[test]
fn copy_and_truncate_goes_on_in_the_copy_and_joins_the_cut_line() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", "one\n");
    bench.settle();
    bench.append("a.log", "two\nthr");
    fs::copy(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    File::create(bench.path("a.log")).unwrap();
    bench.append("a.log", "ee\nfour, longer than all that was there before\n");
    bench.expect(&["one", "two", "three", "four, longer than all that was there before"]);
    bench.kill();
    bench.start();
    bench.expect(&["one", "two", "three", "four, longer than all that was there before"]);
}

#[test]
fn copy_and_truncate_while_stopped() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", "one, with some text so that it can be known again\n");
    bench.settle();
    bench.kill();
    bench.append("a.log", "two\n");
    fs::copy(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    File::create(bench.path("a.log")).unwrap();
    bench.append("a.log", "three\n");
    bench.start();
    bench.expect(&["one, with some text so that it can be known again", "two", "three"]);
}

#[test]
fn files_rotated_away_before_the_first_look_are_read_first() {
    let mut bench = Bench::plain();
    bench.append("b.log", "b\n");
    bench.start();
    bench.append("a.log", "one\n");
    fs::rename(bench.path("a.log"), bench.path("a.log.2")).unwrap();
    bench.append("a.log", "two\n");
    fs::rename(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    bench.append("a.log", "three\n");
    bench.expect(&["one", "two", "three"]);
    bench.kill();
    bench.start();
    bench.append("a.log", "four\n");
    bench.expect(&["one", "two", "three", "four"]);
}

#[test]
fn a_log_that_comes_back_does_not_read_its_rotated_files_again() {
    let mut bench = Bench::plain();
    bench.start();
    bench.append("a.log", "one\n");
    bench.settle();
    fs::rename(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    bench.clock.advance(Duration::from_secs(400));
    bench.settle();
    bench.append("a.log", "two\n");
    bench.expect(&["one", "two"]);
}

#[test]
fn rotated_files_that_are_older_than_the_agent_stay_unread() {
    let mut bench = Bench::plain();
    bench.append("a.log.1", "history\n");
    // files get their time of birth from the real clock, the reader is ahead of it
    bench.clock.advance(Duration::from_secs(50 * 365 * 86_400));
    bench.start();
    bench.append("a.log", "one\n");
    bench.expect(&["one"]);
}
