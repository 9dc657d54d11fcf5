use super::{Found, Line, Print, Target, Write, Writes};
use crate::requests::context::Context;

const SECOND: u64 = 1_000_000_000;

fn found(number: u8) -> Found {
    Found { context: Context { trace_id: [number; 16], span_id: [number; 8], parent: None }, confidence: 0.9 }
}

fn write(target: Target, bytes: &[u8], start_ns: u64, number: u8) -> Write<'_> {
    Write {
        target,
        tid: u32::from(number),
        owner: 7,
        start_ns,
        bytes,
        total: bytes.len() as u64,
        found: found(number),
    }
}

fn file(start: u64) -> Target {
    Target::File { device: 1, inode: 2, start }
}

const PIPE: Target = Target::Stream { inode: 9 };

fn at(start: u64, text: &str) -> Line {
    let lines: Vec<&str> = text.split('\n').collect();
    Line {
        place: Some((1, 2, start)),
        first: Print::of(lines[0].as_bytes()),
        last: Print::of(lines[lines.len() - 1].as_bytes()),
        lines: u32::try_from(lines.len()).unwrap(),
        by_ns: 0,
    }
}

fn text(text: &str, by_ns: u64) -> Line {
    Line { place: None, by_ns, ..at(0, text) }
}

#[track_caller]
fn check(writes: &mut Writes, line: &Line, expected: Option<u8>) {
    let number = writes.find(line, |owner| owner == 7).map(|found| found.context.span_id[0]);
    assert_eq!(number, expected);
}

#[test]
fn a_line_of_a_file_is_found_by_its_place_and_only_with_its_text() {
    let mut writes = Writes::default();
    writes.push(&write(file(0), b"first\n", SECOND, 1));
    writes.push(&write(file(6), b"second\r\n", SECOND, 2));
    check(&mut writes, &at(0, "first"), Some(1));
    check(&mut writes, &at(6, "second"), Some(2));
    check(&mut writes, &at(0, "other"), None);
    check(&mut writes, &at(14, "first"), None);
    let elsewhere = Line { place: Some((1, 3, 0)), ..at(0, "first") };
    check(&mut writes, &elsewhere, None);
}

#[test]
fn a_line_written_in_pieces_is_one() {
    let mut writes = Writes::default();
    for (start, piece) in [(0, "took"), (4, " "), (5, "3 ms"), (9, "\n")] {
        writes.push(&write(file(start), piece.as_bytes(), SECOND, 1));
    }
    writes.push(&write(file(10), b"next\n", SECOND, 1));
    check(&mut writes, &at(0, "took 3 ms"), Some(1));
    check(&mut writes, &at(10, "next"), Some(1));
    for piece in ["took", " 4 ms", "\n"] {
        writes.push(&write(PIPE, piece.as_bytes(), SECOND, 2));
    }
    check(&mut writes, &text("took 4 ms", SECOND + 5), Some(2));
}

#[test]
fn several_lines_of_one_write_are_one_record_or_nobodys() {
    let mut writes = Writes::default();
    // a buffer with lines of several requests, and a trace of one
    writes.push(&write(file(0), b"of one\nof another\n", SECOND, 1));
    check(&mut writes, &at(0, "of one"), None);
    check(&mut writes, &at(7, "of another"), None);
    writes.push(&write(file(18), b"error\n  at a\n  at b\n", SECOND, 2));
    check(&mut writes, &at(31, "error\n  at a\n  at b"), Some(2));
    writes.push(&write(PIPE, b"error\n  at c\n", SECOND, 3));
    check(&mut writes, &text("error", SECOND + 1), None);
    check(&mut writes, &text("error\n  at c", SECOND + 1), Some(3));
}

#[test]
fn a_text_is_found_once_in_time_and_by_its_owner() {
    let mut writes = Writes::default();
    writes.push(&write(PIPE, b"GET /1\n", SECOND, 1));
    check(&mut writes, &text("GET /1", SECOND - 10_000), None);
    check(&mut writes, &text("GET /1", 4 * SECOND), None);
    assert!(writes.find(&text("GET /1", SECOND + 1), |owner| owner == 8).is_none());
    check(&mut writes, &text("GET /1", SECOND + 1), Some(1));
    check(&mut writes, &text("GET /1", SECOND + 2), None);
}

#[test]
fn the_same_text_of_two_spans_stays_open_and_of_one_does_not() {
    let mut writes = Writes::default();
    writes.push(&write(PIPE, b"done\n", SECOND, 1));
    writes.push(&write(PIPE, b"done\n", SECOND + 1, 2));
    check(&mut writes, &text("done", SECOND + 5), None);
    check(&mut writes, &text("done", SECOND + 6), None);
    writes.push(&write(PIPE, b"again\n", SECOND, 3));
    writes.push(&write(PIPE, b"again\n", SECOND, 3));
    check(&mut writes, &text("again", SECOND + 5), Some(3));
    check(&mut writes, &text("again", SECOND + 6), Some(3));
    check(&mut writes, &text("again", SECOND + 7), None);
}

#[test]
fn of_a_text_that_is_written_too_often_no_line_is_taken() {
    let mut writes = Writes::default();
    let count = 1_000_u64;
    for at in 0..count {
        writes.push(&write(PIPE, b"done\n", SECOND + at, 1));
    }
    // all are of one span, but what had no room may have been of others
    check(&mut writes, &text("done", SECOND + count), None);
    // a line of before may be late, as long as lines may be on their way
    writes.push(&write(PIPE, b"done\n", 2 * SECOND, 2));
    check(&mut writes, &text("done", 2 * SECOND + 1), None);
    let later = 6 * SECOND;
    writes.push(&write(PIPE, b"done\n", later, 2));
    check(&mut writes, &text("done", later + 1), Some(2));
    writes.push(&write(PIPE, b"done\n", 100 * SECOND, 3));
    assert_eq!((writes.kept.len(), writes.texts.len()), (1, 1));
}

#[test]
fn equal_lines_of_others_are_not_looked_at_without_end() {
    let mut writes = Writes::default();
    for at in 0..30_000_u64 {
        writes.push(&Write { owner: 8, ..write(PIPE, b"ok\n", SECOND + at, 1) });
    }
    let mut looked = 0;
    for at in 0..1_000 {
        let line = text("ok", SECOND + at);
        writes.find(&line, |owner| {
            looked += 1;
            owner == 7
        });
    }
    assert!(looked <= 1_000 * 128, "{looked}");
}

#[test]
fn what_is_old_or_too_much_is_forgotten_whole() {
    let mut writes = Writes::default();
    for number in 0..super::MOST_WRITES as u64 + 10 {
        writes.push(&write(file(number * 2), b"a\n", SECOND, 1));
    }
    assert_eq!(writes.kept.len(), super::MOST_WRITES);
    check(&mut writes, &at(0, "a"), None);
    check(&mut writes, &at(40, "a"), Some(1));
    writes.push(&write(PIPE, b"b\n", 60 * SECOND, 1));
    assert_eq!((writes.kept.len(), writes.files.len(), writes.texts.len()), (1, 0, 1));
}

#[test]
fn a_long_line_is_compared_by_its_begin_and_length() {
    let long = "x".repeat(2_000);
    let mut writes = Writes::default();
    let bytes = long.as_bytes();
    writes.push(&Write { total: 2_001, ..write(PIPE, &bytes[..512], SECOND, 1) });
    check(&mut writes, &text(&"x".repeat(1_999), SECOND + 1), None);
    check(&mut writes, &text(&long, SECOND + 1), Some(1));
}
