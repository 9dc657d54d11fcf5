//! From a line in a file to a line on the terminal.

use crate::fleet::{Fleet, Part};

#[test]
fn lines_are_found_through_rotation_exactly_once() {
    let mut fleet = Fleet::logs_only();
    fleet.write_lines("app.log", 100);
    fleet.start(Part::Aggregator);
    fleet.start(Part::Agent);
    fleet.ready(Part::Aggregator);
    fleet.expect_every_line_once();
    for _ in 0..5 {
        fleet.write_lines("app.log", 500);
        fleet.rotate("app.log");
        fleet.write_lines("app.log", 50);
        // a reader of the old name must not have to be quick, but a rotation in a rotation is another test
        fleet.expect_every_line_once();
    }
}

#[test]
fn a_person_finds_the_line_and_is_told_what_to_do_when_there_is_none() {
    let mut fleet = Fleet::logs_only();
    let output = fleet.wake(&["logs", "fox"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("no aggregator answers") && told.contains("cargo xtask up"), "{told}");

    fleet.write_lines("app.log", 20);
    fleet.start(Part::Aggregator);
    fleet.start(Part::Agent);
    fleet.ready(Part::Aggregator);
    fleet.expect_every_line_once();
    let found = |args: &[&str]| fleet.rows(args).unwrap().len();
    assert_eq!(
        found(&["logs", "number=00000007", "--text", "number=00000007"]),
        0,
        "no attribute of that name"
    );
    assert_eq!(found(&["logs", "-t", "number=00000007"]), 1);
    assert_eq!(found(&["logs", "FOX"]), 0);
    assert_eq!(found(&["logs", "-i", "FOX"]), 20);
    assert_eq!(found(&["logs", "-w", "brow"]), 0);
    assert_eq!(found(&["logs", "-e", "number=0000000[1-3]"]), 3);
    assert_eq!(found(&["logs", "fox", "-v", "number=0000001", "workload=e2e", "level=info"]), 10);
    assert_eq!(found(&["logs", "fox", "workload=other"]), 0);
    assert_eq!(found(&["logs", "fox", "-n", "3"]), 3);

    let shown = fleet.wake(&["logs", "-t", "number=00000019"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("info  e2e  level=info number=00000019 the quick brown fox"), "{text}");
    let wrong = fleet.wake(&["logs", "-e", "a(b"]);
    assert_eq!(wrong.status.code(), Some(1));
    let told = String::from_utf8(wrong.stderr).unwrap();
    assert!(told.contains("  a(b\n") && told.contains('^'), "{told}");
}

#[test]
fn the_histogram_counts_every_line() {
    let mut fleet = Fleet::logs_only();
    fleet.write_lines("app.log", 200);
    fleet.start(Part::Aggregator);
    fleet.start(Part::Agent);
    fleet.ready(Part::Aggregator);
    fleet.expect_every_line_once();
    let total = |args: &[&str]| -> u64 {
        fleet.rows(args).unwrap().iter().map(|row| row["count"].as_u64().unwrap()).sum()
    };
    assert_eq!(total(&["logs", "--histogram", "level"]), 200);
    assert_eq!(total(&["logs", "--histogram", "workload"]), 200);
    assert_eq!(total(&["logs", "-t", "number=0000001", "--histogram"]), 10);
}
