use super::{Entry, Stream, decode};

fn entry<'a>(text: &'a str, stream: Stream, is_part: bool) -> Entry<'a> {
    let ts = crate::logs::line::time::rfc3339(b"2026-11-21T13:24:59.5Z");
    Entry { ts, stream, is_part, text: text.as_bytes().into(), is_bad: false }
}

#[test]
fn cri_lines() {
    let cases = [
        ("2026-11-21T13:24:59.5Z stdout F hello world", entry("hello world", Stream::Stdout, false)),
        ("2026-11-21T14:24:59.500000000+01:00 stderr P hel", entry("hel", Stream::Stderr, true)),
        ("2026-11-21T13:24:59.5Z stdout F:tag x", entry("x", Stream::Stdout, false)),
        ("2026-11-21T13:24:59.5Z stdout F ", entry("", Stream::Stdout, false)),
        ("2026-11-21T13:24:59.5Z stdout F", entry("", Stream::Stdout, false)),
        ("2026-11-21T13:24:59.5Z stdout F  two spaces", entry(" two spaces", Stream::Stdout, false)),
    ];
    for (line, expected) in cases {
        assert_eq!(decode(line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn docker_lines() {
    let cases = [
        (
            r#"{"log":"hello\n","stream":"stdout","time":"2026-11-21T13:24:59.5Z"}"#,
            entry("hello", Stream::Stdout, false),
        ),
        (
            r#"{"log":"a part","stream":"stderr","time":"2026-11-21T13:24:59.5Z"}"#,
            entry("a part", Stream::Stderr, true),
        ),
        (
            r#"{"log":"\u001b[0m\"q\"\n","stream":"stdout","attrs":{"a":"b"},"time":"2026-11-21T13:24:59.5Z"}"#,
            entry("\u{1b}[0m\"q\"", Stream::Stdout, false),
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(decode(line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn other_lines_are_text_with_a_mark() {
    for line in [
        "",
        " ",
        "hello",
        "{",
        r#"{"message":"x"}"#,
        "2026-11-21T13:24:59.5Z stdin F x",
        "2026-11-21T13:24:59.5Z stdout X x",
        "2026-11-21 stdout F x",
        "2026-11-21T13:24:59.5Z stdout",
    ] {
        let entry = decode(line.as_bytes());
        assert!(entry.is_bad && !entry.is_part && *entry.text == *line.as_bytes(), "{line}");
    }
}

#[test]
fn any_bytes_are_taken() {
    let pieces: [&[u8]; 12] = [
        b"2026-11-21T13:24:59.5Z",
        b" ",
        b"stdout",
        b"stderr",
        b"P",
        b"F",
        b"{\"log\":\"",
        b"\\n",
        b"\"",
        b",\"stream\":",
        b"}",
        b"\\u00",
    ];
    let mut random = crate::logs::random::Random::new(3);
    for _ in 0..20_000 {
        decode(&random.mix(&pieces, 12));
    }
}
