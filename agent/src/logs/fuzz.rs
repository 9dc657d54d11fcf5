//! Text that others write, as `crate::fuzz` gives it: framing, time, level, redaction, the journal, checkpoints.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::logs::container::{Join, Stream, decode, of_path};
use crate::logs::journal::{Entry, Parser};
use crate::logs::line::{Lines, Source, Text};
use crate::logs::multiline::{Group, Multiline, Part};
use crate::logs::record::{Origin, SourceKey};
use crate::logs::redact::{RawText, Rules, redact, redact_arguments};
use crate::logs::{checkpoint, redact::redact_key_line, wishes as annotations};

/// 2026-11-21, so that times in a corpus are near it.
const NOW_NS: u64 = 1_795_262_400_000_000_000;

static RULES: LazyLock<Arc<Rules>> =
    LazyLock::new(|| Arc::new(Rules::build(&[]).expect("the built-in rules are regular expressions")));

/// Lines of a file, plain and with a container's framing, to rows.
pub fn lines(data: &[u8]) {
    let mut lines = Lines::new(Arc::clone(&RULES));
    let (mut join, mut in_key) = (Join::default(), false);
    let source = Source::default();
    for line in data.split(|&byte| byte == b'\n') {
        let entry = decode(line);
        assert!(!entry.is_bad || entry.text == line, "what is no container's line is kept as it is");
        let (stream, is_bad) = (entry.stream, entry.is_bad);
        if let Some(joined) = join.push(entry) {
            let text = Text {
                bytes: joined.text,
                stream,
                ts: joined.ts,
                level: None,
                is_plain: false,
                is_cut: joined.is_cut,
                is_bad,
                lines: 1,
            };
            check(&lines.row(&source, &text, NOW_NS, &mut in_key));
        }
        let plain = Cow::Borrowed(line);
        let text = Text {
            bytes: plain,
            stream: Stream::None,
            ts: None,
            level: None,
            is_plain: false,
            is_cut: false,
            is_bad: false,
            lines: 1,
        };
        check(&lines.row(&source, &text, NOW_NS, &mut in_key));
        of_path(Path::new(&*String::from_utf8_lossy(line)));
    }
    join.finish();
    records(data);
}

/// What a pod's annotations say of its logs.
pub(crate) fn wishes(pod: &proto::v1::KubePod) {
    for container in pod.containers.iter().map(|container| container.name.as_str()).chain([""]) {
        let (wishes, wrong) = annotations::of(pod, container);
        let is_understood = |key: &str| match pod.settings.get(key).map(|value| value.trim()) {
            Some(value) => ["on", "true", "yes"].contains(&value.to_ascii_lowercase().as_str()),
            None => true,
        };
        let is_read = is_understood("logs") || is_understood(&format!("{container}.logs"));
        assert!(wishes.is_off || is_read, "what is not understood means off");
        assert!(wrong.len() <= pod.settings.len(), "each is told once");
    }
}

/// Lines to records: whatever they are, they come out as they went in.
fn records(data: &[u8]) {
    let mut group = Group::default();
    let mut found = Vec::new();
    let origin = Origin { source: SourceKey::Journal, start: 0, end: 0 };
    for bytes in data.split(|&byte| byte == b'\n') {
        let part = Part { bytes, ts: None, is_cut: false, is_bad: false, origin };
        group.push(&Multiline::Rules, part, Duration::ZERO, |text, head| {
            found.push((text.to_vec(), head.lines))
        });
    }
    group.finish(|text, head| found.push((text.to_vec(), head.lines)));
    let lines: Vec<&[u8]> =
        data.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    let joined: Vec<&[u8]> = found.iter().map(|(text, _)| text.as_slice()).collect();
    assert_eq!(joined.join(&b'\n'), lines.join(&b'\n'), "no line is lost, changed or moved");
    assert_eq!(
        found.iter().map(|(_, lines)| *lines as usize).sum::<usize>(),
        lines.len(),
        "each is counted once"
    );
}

fn check(row: &proto::v1::LogRow) {
    assert!(row.ts.abs_diff(NOW_NS) <= 86_400 * 1_000_000_000, "a time that is a day off is not believed");
    assert!(row.body.len() <= proto::MAX_LOG_BODY_BYTES, "a body is bounded");
    assert!(matches!(row.trace_id.len(), 0 | 16 | 32), "an id is an id: {:?}", row.trace_id);
}

/// Redaction: what is not touched is as it was; what is redacted once is not redacted again.
pub fn redaction(data: &[u8]) {
    let redacted = redact(RawText::new(data), &RULES);
    assert!(redacted.hits() > 0 || redacted.as_bytes() == data, "no hit, no change");
    redact_key_line(RawText::new(data));
    let arguments: Vec<RawText<'_>> = data.split(|&byte| byte == 0).map(RawText::new).collect();
    assert_eq!(redact_arguments(&arguments, &RULES).len(), arguments.len(), "an argument is never lost");
}

/// The journal's export format: the same entries in whatever pieces it comes.
pub fn journal(data: &[u8]) {
    let Some((size, data)) = data.split_first() else { return };
    let whole = entries(data, data.len().max(1));
    let pieces = entries(data, usize::from(*size).max(1));
    assert_eq!(whole, pieces, "pieces do not matter");
}

fn entries(data: &[u8], size: usize) -> Option<Vec<Entry>> {
    let (mut parser, mut entries) = (Parser::default(), Vec::new());
    for piece in data.chunks(size) {
        parser.feed(piece, |entry| entries.push(entry)).ok()?;
    }
    Some(entries)
}

/// The checkpoint file.
pub fn checkpoints(data: &[u8]) {
    checkpoint::fuzz(data);
}
