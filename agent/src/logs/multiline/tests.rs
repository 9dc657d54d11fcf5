//! Traces as the languages' own runtimes wrote them, logs that are only indented, and any lines at all.

use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

use super::{Group, MAX_BYTES, MAX_LINES, Multiline, Part, QUIET};
use crate::logs::random::Random;
use crate::logs::record::{Origin, SourceKey};

const ORIGIN: Origin = Origin { source: SourceKey::Journal, start: 0, end: 0 };
/// Stands between records in the recorded traces.
const MARK: &str = "%%";

fn records<'a>(mode: &Multiline, lines: impl IntoIterator<Item = (&'a [u8], Option<u64>)>) -> Vec<Vec<u8>> {
    let mut group = Group::default();
    let mut records = Vec::new();
    for (bytes, ts) in lines {
        let part = Part { bytes, ts, is_cut: false, is_bad: false, origin: ORIGIN };
        group.push(mode, part, Duration::ZERO, |text, _| records.push(text.to_vec()));
    }
    group.finish(|text, _| records.push(text.to_vec()));
    records
}

fn texts(mode: &Multiline, lines: &[&str]) -> Vec<String> {
    let records = records(mode, lines.iter().map(|line| (line.as_bytes(), None)));
    records.into_iter().map(|record| String::from_utf8(record).unwrap()).collect()
}

/// The text has a mark between its records.
#[track_caller]
fn check(marked: &str) {
    let marked = marked.strip_suffix('\n').unwrap_or(marked);
    let separator = format!("\n{MARK}\n");
    let expected: Vec<&str> = marked.split(separator.as_str()).collect();
    let lines: Vec<&str> = expected.iter().flat_map(|record| record.split('\n')).collect();
    assert_eq!(texts(&Multiline::Rules, &lines), expected);
}

#[test]
fn traces_of_java() {
    check(include_str!("traces/java.txt"));
}

#[test]
fn traces_of_python() {
    check(include_str!("traces/python.txt"));
}

#[test]
fn traces_of_go() {
    check(include_str!("traces/go.txt"));
}

#[test]
fn traces_of_node() {
    check(include_str!("traces/node.txt"));
}

#[test]
fn traces_of_rust() {
    check(include_str!("traces/rust.txt"));
}

#[test]
fn traces_of_dotnet_and_ruby() {
    check(concat!(
        "fail: Shop.Orders[0]\n      order 4711 failed\n",
        "      System.InvalidOperationException: no stock\n         at Shop.Order() in /app/Shop.cs:line 12\n%%\n",
        "Unhandled exception. System.InvalidOperationException: no stock\n ---> System.Exception: inner\n",
        "   at Shop.Stock()\n   --- End of inner exception stack trace ---\n   at Shop.Main()\n%%\n",
        "shop.rb:3:in `stock': no stock (RuntimeError)\n\tfrom shop.rb:7:in `order'\n\tfrom shop.rb:9:in `<main>'\n%%\n",
        "done"
    ));
}

#[test]
fn what_is_indented_below_a_line_belongs_to_it() {
    check(concat!(
        "2026-11-21T13:24:58Z INFO config:\n  server:\n    port: 80\n%%\nnext: 1\n%%\n",
        "{\n  \"a\": [\n    1\n  ]\n}\n%%\n{\"a\": 1}\n%%\n}\n%%\nlast"
    ));
}

#[test]
fn indentation_alone_does_not_make_one_record_of_a_log() {
    // a logger that indents every line, levels set flush right, and a table without a heading
    check("  one\n%%\n  two\n%%\n  three\n    below three");
    check(" INFO a\n%%\n WARN b\n%%\nERROR c\n%%\n INFO d\n%%\n  2026-11-21T13:24:58Z x\n%%\n  13:24:59 y");
    check("USER  PID\n%%\nroot  1\n%%\n\n%%\nroot  2");
}

#[test]
fn other_lines_are_not_drawn_into_traces() {
    check(
        "java.io.IOException: a\n%%\njava.io.IOException: b\n%%\nINFO x\n%%\njava.io.IOException: c\n\tat A.b(A.java:1)\n%%\nd",
    );
    check("panic: x\n%%\nordinary line\n%%\nfoo(bar)\n%%\nat home (now)");
    check(
        "2026-11-21 10:00:00 INFO fine\n%%\nTraceback (most recent call last):\n  File \"a\", line 1\nE: x\n%%\nE: y",
    );
    check("goroutines 5\n%%\ngoroutine pool started\n%%\nthread 'a' started\n%%\nfatal: x");
}

#[test]
fn lines_that_are_apart_in_time_are_apart() {
    let second = |count: u64| Some(count * 1_000_000_000);
    let lines: [(&[u8], _); 4] =
        [(b"a", second(10)), (b" b", second(11)), (b" c", second(13)), (b" d", None)];
    assert_eq!(records(&Multiline::Rules, lines), [&b"a\n b"[..], b" c", b" d"]);
}

#[test]
fn a_pattern_of_first_lines_decides_alone() {
    let mode = Multiline::FirstLine(Arc::new(Regex::new("^#").unwrap()));
    assert_eq!(texts(&mode, &["x", "y", "# a", "b", "  c", "", "# d"]), ["x\ny", "# a\nb\n  c\n", "# d"]);
    assert_eq!(texts(&Multiline::Off, &["a", " b"]), ["a", " b"]);
}

#[test]
fn a_record_is_bounded_in_lines_and_bytes_and_nothing_is_lost() {
    let lines = vec![" x"; MAX_LINES as usize + 10];
    let mut all = vec!["first"];
    all.extend(&lines);
    let found = texts(&Multiline::Rules, &all);
    assert_eq!(found[0].lines().count(), MAX_LINES as usize);
    assert_eq!(found.iter().map(|record| record.lines().count()).sum::<usize>(), all.len());
    let wide = format!(" {}", "w".repeat(MAX_BYTES / 3));
    let found = texts(&Multiline::Rules, &["a", &wide, &wide, &wide, &wide]);
    assert!(found.len() > 1 && found.iter().all(|record| record.len() <= MAX_BYTES));
    let longest = "l".repeat(MAX_BYTES + 5);
    assert_eq!(texts(&Multiline::Rules, &["a", &longest, " b"]).concat().len(), MAX_BYTES + 5 + 3);
}

#[test]
fn a_quiet_record_is_due_and_memory_is_given_back() {
    let mut group = Group::default();
    let big = vec![b'x'; MAX_BYTES];
    let part = Part { bytes: &big, ts: None, is_cut: false, is_bad: false, origin: ORIGIN };
    group.push(&Multiline::Rules, part, Duration::from_secs(9), |_, _| ());
    let at = |millis: u64| Duration::from_secs(9) + Duration::from_millis(millis);
    assert!(!group.is_quiet(at(0)) && group.is_quiet(Duration::from_secs(9) + QUIET));
    assert!(group.held() >= MAX_BYTES);
    assert!(group.finish(|_, _| ()) && !group.finish(|_, _| ()));
    assert!(!group.is_quiet(at(9000)) && group.held() == 0 && group.bytes.capacity() < MAX_BYTES);
}

/// Whatever comes, and wherever a reader begins again: every line once, in order, in the same records.
#[test]
fn any_lines_come_out_as_they_went_in_and_a_new_start_makes_no_difference() {
    let traces = [
        include_str!("traces/java.txt"),
        include_str!("traces/python.txt"),
        include_str!("traces/go.txt"),
        include_str!("traces/node.txt"),
        include_str!("traces/rust.txt"),
    ];
    let known: Vec<&[u8]> = traces.iter().flat_map(|trace| trace.lines()).map(str::as_bytes).collect();
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut lines: Vec<Vec<u8>> = Vec::new();
        for _ in 0..random.below(200) {
            let line = match random.below(3) {
                0 => random.mix(&[b" ", b"\t", b"at ", b"panic: ", b"goroutine 1 [x]:", b"}", b"E: "], 6),
                _ => known[random.below(known.len())].to_vec(),
            };
            lines.push(line.split(|&byte| byte == b'\n').next().unwrap().to_vec());
        }
        lines.iter_mut().filter(|line| line.ends_with(b"\r")).for_each(|line| line.push(b'.'));
        let input = |lines: &[Vec<u8>]| -> Vec<Vec<u8>> {
            records(&Multiline::Rules, lines.iter().map(|line| (line.as_slice(), None)))
        };
        let whole = input(&lines);
        assert_eq!(whole.join(&b'\n'), lines.join(&b'\n'), "seed {seed}");
        let mut first = 0;
        for (index, record) in whole.iter().enumerate() {
            assert_eq!(input(&lines[first..]), whole[index..], "seed {seed}, from line {first}");
            first += record.split(|&byte| byte == b'\n').count();
            if random.below(4) > 0 {
                // a few beginnings suffice
                break;
            }
        }
    }
}
