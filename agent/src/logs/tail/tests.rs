use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use super::content::holds;
use super::{LINE_BYTES, Round, Tail};

fn append(path: &Path, text: &[u8]) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text).unwrap();
}

fn round(tail: &mut Tail) -> (Round, Vec<(Vec<u8>, u64, u64)>) {
    let mut lines = Vec::new();
    let mut buffer = vec![0; 4096];
    let round =
        tail.round(&mut buffer, |line| lines.push((line.bytes.to_vec(), line.start, line.end))).unwrap();
    (round, lines)
}

#[test]
fn lines_come_with_their_ranges_and_only_whole() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a");
    append(&path, b"one\n\ntw");
    let mut tail = Tail::new(File::open(&path).unwrap(), 0).unwrap();
    assert_eq!(round(&mut tail), (Round::Read, vec![(b"one".to_vec(), 0, 4), (Vec::new(), 4, 5)]));
    assert_eq!(round(&mut tail), (Round::AtEnd, Vec::new()));
    append(&path, b"o\n");
    assert_eq!(round(&mut tail), (Round::Read, vec![(b"two".to_vec(), 5, 9)]));
    assert_eq!((tail.line_start(), tail.read_to()), (9, 9));
}

#[test]
fn a_start_at_the_end_is_a_start_behind_a_line() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a");
    append(&path, b"one\ntw");
    let mut tail = Tail::at_end(File::open(&path).unwrap()).unwrap();
    append(&path, b"o\nthree\n");
    let (_, lines) = round(&mut tail);
    assert_eq!(lines.iter().map(|(line, ..)| line.as_slice()).collect::<Vec<_>>(), [&b"two"[..], b"three"]);
}

#[test]
fn a_shorter_or_other_text_is_told_and_nothing_of_it_handed_out() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a");
    append(&path, b"one\n");
    let mut tail = Tail::new(File::open(&path).unwrap(), 0).unwrap();
    round(&mut tail);
    File::create(&path).unwrap();
    assert_eq!(round(&mut tail), (Round::Replaced, Vec::new()));
    append(&path, b"another text, longer than the first\n");
    assert_eq!(round(&mut tail), (Round::Replaced, Vec::new()));
    assert!(!tail.is_same().unwrap());
}

#[test]
fn a_file_is_known_again_by_its_beginning_and_what_is_before_the_offset() {
    let root = tempfile::tempdir().unwrap();
    let (path, other) = (root.path().join("a"), root.path().join("b"));
    append(&path, b"one\ntwo\n");
    append(&other, b"one\ntWo\nmore\n");
    let mut tail = Tail::new(File::open(&path).unwrap(), 0).unwrap();
    round(&mut tail);
    let is =
        |path: &Path| holds(&File::open(path).unwrap(), tail.head(), tail.tail(), tail.line_start()).unwrap();
    assert!(is(&path) && !is(&other));
}

#[test]
fn memory_for_an_endless_line_is_bounded() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a");
    append(&path, &vec![b'x'; 3 * LINE_BYTES]);
    let mut tail = Tail::new(File::open(&path).unwrap(), 0).unwrap();
    while round(&mut tail).0 == Round::Read {}
    assert!(tail.held() <= 2 * LINE_BYTES && tail.read_to() == 3 * LINE_BYTES as u64);
    tail.forget_partial();
    assert_eq!((tail.held(), tail.read_to()), (0, 0));
}

#[test]
fn the_hole_that_a_truncation_leaves_is_no_text() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a");
    append(&path, &[&vec![0; 10_000][..], b"one\n\0\0two\nthree\0\n"].concat());
    let mut tail = Tail::new(File::open(&path).unwrap(), 0).unwrap();
    let mut lines = Vec::new();
    while let (Round::Read, read) = round(&mut tail) {
        lines.extend(read.into_iter().map(|(line, ..)| line));
    }
    assert_eq!(lines, [&b"one"[..], b"two", b"three\0"]);
    assert_eq!(tail.line_start(), 10_000 + 4 + 6 + 7);
}
