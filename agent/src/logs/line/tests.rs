use std::borrow::Cow;
use std::sync::Arc;

use super::{Lines, Source, Text};
use crate::logs::container::Stream;
use crate::logs::redact::Rules;

/// 2026-11-21T13:24:59Z
const NOW: u64 = 1_795_267_499_000_000_000;

fn lines() -> Lines {
    Lines::new(Arc::new(Rules::build(&[]).unwrap()))
}

fn text(bytes: &[u8]) -> Text<'_> {
    Text {
        bytes: Cow::Borrowed(bytes),
        stream: Stream::None,
        ts: None,
        level: None,
        is_plain: false,
        is_cut: false,
        is_bad: false,
        lines: 1,
    }
}

#[test]
fn a_line_becomes_a_row() {
    let source = Source { name: "/var/log/app.log".to_owned(), attributes: vec![("k", "v".to_owned())] };
    let line = b"2026-11-21T13:24:58Z ERROR trace_id=4bf92f3577b34da6a3ce929d0e0e4736 password=x\r";
    let row = lines().row(&source, &text(line), NOW, &mut false);
    assert_eq!(row.ts, NOW - 1_000_000_000);
    assert_eq!(row.observed_ts, NOW);
    assert_eq!(row.level, "error");
    assert_eq!(row.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(row.body.ends_with(b"password=[redacted:password]"));
    assert_eq!(row.attributes["k"], "v");
}

#[test]
fn bad_utf_8_is_kept() {
    let row = lines().row(&Source::default(), &text(b"caf\xe9 \xff"), NOW, &mut false);
    assert_eq!(&row.body[..], b"caf\xe9 \xff");
}

#[test]
fn a_runtimes_time_counts_only_within_a_day() {
    let at = |ts| {
        let text = Text { ts: Some(ts), ..text(b"2026-11-21T13:24:58Z x") };
        lines().row(&Source::default(), &text, NOW, &mut false).ts
    };
    assert_eq!(at(NOW - 5), NOW - 5);
    assert_eq!(at(5), NOW);
}

#[test]
fn a_body_is_never_longer_than_a_mebibyte() {
    let long = vec![b'a'; proto::MAX_LOG_BODY_BYTES + 1];
    let row = lines().row(&Source::default(), &text(&long), NOW, &mut false);
    assert_eq!((row.body.len(), row.truncated), (proto::MAX_LOG_BODY_BYTES, true));
    let row = lines().row(&Source::default(), &text(&long[1..]), NOW, &mut false);
    assert_eq!((row.body.len(), row.truncated), (proto::MAX_LOG_BODY_BYTES, false));
}

#[test]
fn a_private_key_of_several_lines_is_hidden_and_what_follows_is_not() {
    let mut in_key = false;
    let mut lines = lines();
    let mut body = |line: &str| {
        let row = lines.row(&Source::default(), &text(line.as_bytes()), NOW, &mut in_key);
        String::from_utf8(row.body.to_vec()).unwrap()
    };
    assert_eq!(body("-----BEGIN PRIVATE KEY-----"), "[redacted:private_key]");
    assert_eq!(body("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"), "[redacted:private_key]");
    assert_eq!(body("-----END PRIVATE KEY-----"), "[redacted:private_key]");
    assert_eq!(body("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"), "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC");
    assert_eq!(body("expected -----BEGIN PRIVATE KEY-----"), "expected [redacted:private_key]");
    assert_eq!(body("the next line is prose, not a key"), "the next line is prose, not a key");
}

#[test]
fn any_line_is_taken() {
    let pieces: [&[u8]; 16] = [
        b"2026-11-21T13:24:59",
        b"Z",
        b"Nov 21 13:24:59",
        b"[21/Nov/2026:13:24:59 +0000]",
        b"<13>",
        b"1 ",
        b"{",
        b"\"level\"",
        b":",
        b"\"",
        b"trace_id=",
        b"4bf92f3577b34da6a3ce929d0e0e4736",
        b" ",
        b"traceparent=00-",
        b"\\",
        b"E1121 13",
    ];
    let mut random = crate::logs::random::Random::new(11);
    let mut lines = lines();
    let mut in_key = false;
    for _ in 0..20_000 {
        let line = random.mix(&pieces, 10);
        let row = lines.row(&Source::default(), &text(&line), NOW, &mut in_key);
        assert!(row.ts.abs_diff(NOW) <= super::DAY_NS);
    }
}
