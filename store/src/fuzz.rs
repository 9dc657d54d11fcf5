//! What the fuzz targets in `fuzz/` call: batches as agents send them, and every file of the store.
//!
//! No input may make any of these panic or break what is asserted. The tests replay the corpus through the same table, so
//! that a finding stays found. Hidden: no program uses this.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::batch::{Arrival, admit};
use crate::dedupe::BatchKey;
use crate::measure::{Bodies, Coder};
use crate::scan::{Filter, Test};
use crate::search::{LogRequest, Matcher};
use crate::segment::{BodyFile, PatternCounts, Sketch, Terms};
use crate::{Limits, catalog, wal};

/// A target's name in `fuzz/`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this crate.
pub const TARGETS: [Target; 10] = [
    ("ingest_batch", ingest_batch),
    ("wal", write_ahead_log),
    ("manifest", manifest),
    ("segment_body", segment_body),
    ("log_block", log_block),
    ("segment_sketch", segment_sketch),
    ("segment_patterns", segment_patterns),
    ("segment_terms", segment_terms),
    ("pattern_registry", pattern_registry),
    ("log_field", log_field),
];

/// 2026-11-21, so that times in a corpus are near it.
const NOW_NS: i64 = 1_795_262_400_000_000_000;

/// A batch's payload: with an odd first byte unpacked, else as zstd.
pub fn ingest_batch(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let (packed, unpacked_bytes) = match kind % 2 {
        1 => (zstd::bulk::compress(bytes, 1).unwrap_or_default(), bytes.len() as u64),
        _ => (bytes.to_vec(), 4_096),
    };
    let key = BatchKey { node: Arc::from("node"), epoch: 1, seq: 1 };
    let limits = Limits::small();
    let from = if *kind < 128 { Arrival::Log } else { Arrival::Sender(None) };
    let Ok(admitted) = admit(key, Bytes::from(packed), unpacked_bytes, NOW_NS, &limits, from) else { return };
    let rows = admitted.logs.iter().map(crate::rows::LogRows::len).sum::<usize>() as u64;
    let rows = rows + admitted.tables.iter().map(|(_, rows)| rows.rows() as u64).sum::<u64>();
    let places = admitted.places.unsigned_abs();
    let answer = &admitted.answer;
    assert!(answer.rows + answer.rejected_rows <= places, "every row has one place, taken or not");
    assert_eq!(rows, answer.rows + answer.rejected_by.len() as u64, "what is left out is booked");
    assert_eq!(answer.rejected_by.iter().map(|rejected| rejected.rows).sum::<u64>(), answer.rejected_rows);
}

/// A file of the write-ahead log.
pub fn write_ahead_log(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    wal::fuzz(bytes, kind % 2 == 1);
}

/// A manifest of the catalog.
pub fn manifest(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    catalog::fuzz(bytes, kind % 2 == 1);
}

/// `body.bin`; with an odd first byte the checksums of its footer and blooms are made right, so that what lies behind them
/// is reached.
pub fn segment_body(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    if kind % 2 == 0 {
        in_file(bytes, read_body);
    } else if let Some(repaired) = repaired(bytes) {
        in_file(&repaired, read_body);
    }
}

/// The tail of a body file: length and checksum of the footer, checksum of the blooms, version, magic.
const TAIL: usize = 24;

fn repaired(bytes: &[u8]) -> Option<Vec<u8>> {
    let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let tail_at = bytes.len().checked_sub(TAIL)?;
    let footer_len = u32::try_from(number(tail_at)? & 0xffff_ffff).ok()?;
    let footer_at = tail_at.checked_sub(footer_len as usize)?;
    // a footer begins with where the blooms lie
    let start = usize::try_from(number(footer_at)?).ok()?;
    let end = start.checked_add(usize::try_from(number(footer_at + 8)?).ok()?)?;
    let (footer, blooms) =
        (crc32c::crc32c(&bytes[footer_at..tail_at]), crc32c::crc32c(bytes.get(start..end)?));
    let mut file = bytes.to_vec();
    file[tail_at + 4..tail_at + 8].copy_from_slice(&footer.to_le_bytes());
    file[tail_at + 8..tail_at + 12].copy_from_slice(&blooms.to_le_bytes());
    Some(file)
}

fn read_body(path: &Path) {
    let Ok(body) = BodyFile::open(path) else { return };
    let rows: u64 = body.runs().iter().map(|run| u64::from(run.rows)).sum();
    assert_eq!(rows, u64::from(body.rows()), "a row lies in one run");
    for at in 0..body.rows().min(64) as usize {
        body.texts(at, &|rows, some| Ok(vec![0; some.map_or(rows.len(), <[u32]>::len)])).ok();
    }
    body.blooms().ok();
}

/// Bodies, 0xff between them, encoded as a block: every byte comes back, and every question is answered as each body alone
/// answers it. The first byte says how it is asked, the second how much of what follows is looked for.
pub fn log_block(data: &[u8]) {
    let [way, len, rest @ ..] = data else { return };
    let (needle, rest) = rest.split_at(usize::from(len % 32).min(rest.len()));
    let lines: Vec<&[u8]> = rest.split(|byte| *byte == 0xff).collect();
    let mut bodies = Bodies::default();
    for (line, at) in lines.iter().zip(0..) {
        bodies.push(line, NOW_NS + at * 1_000_000);
    }
    let Ok(Some(coded)) = Coder::new().and_then(|mut coder| coder.encode(&bodies)) else { return };
    assert!(coded.is_exact(&bodies).unwrap_or(false), "every byte comes back");
    let text = std::str::from_utf8(needle);
    // halves of characters have no case
    let asked = LogRequest {
        ignore_case: way & 1 != 0 && text.is_ok(),
        as_shown: way & 2 != 0,
        ..LogRequest::default()
    };
    let (one, regexes) = (vec![needle.to_vec()], text.map(|text| vec![text.to_owned()]).unwrap_or_default());
    for request in [
        LogRequest { contains: one.clone(), ..asked.clone() },
        LogRequest { words: one.clone(), ..asked.clone() },
        LogRequest { excludes: one, ..asked.clone() },
        LogRequest { regexes, ..asked },
    ] {
        let Ok(matcher) = Matcher::new(&request) else { continue };
        let expected = lines.iter().filter(|line| matcher.matches(line)).count();
        assert_eq!(coded.count(&bodies, &request).ok(), Some(expected), "{request:?}");
    }
}

/// `sketch.parquet`.
pub fn segment_sketch(data: &[u8]) {
    in_file(data, |path| {
        if let Ok(sketch) = Sketch::open(path) {
            assert!(sketch.groups().all(|(_, minutes)| !minutes.is_empty()), "a group has a minute");
        }
    });
}

/// `patterns.parquet`.
pub fn segment_patterns(data: &[u8]) {
    in_file(data, |path| {
        if let Ok(patterns) = PatternCounts::read(path) {
            assert!(
                patterns.iter().all(|(_, _, counted)| !counted.minutes.is_empty()),
                "a pattern has a minute"
            );
        }
    });
}

/// `terms.bin`; the first byte says of how many thousand rows.
pub fn segment_terms(data: &[u8]) {
    let Some((thousands, bytes)) = data.split_first() else { return };
    let rows = u32::from(*thousands) * 1_000;
    in_file(bytes, |path| {
        let Ok(terms) = Terms::open(path, u64::from(rows)) else { return };
        let test = Test::Entry(String::from("key"), String::from("value"));
        let entry = Filter { column: 0, name: String::from("attributes"), test };
        let says = crate::Says { columns: Vec::new(), text: String::from("some word"), whole: true };
        let says = says.filter(crate::Table::Span, &crate::Table::Span.schema());
        for filter in std::iter::once(entry).chain(says.ok()) {
            let all: Vec<_> = std::iter::once(0..rows).collect();
            if let Ok(possible) = terms.possible(crate::Table::Span, all, &[filter]) {
                assert!(possible.iter().all(|rows| rows.start < rows.end), "a range has a row");
            }
        }
    });
}

/// The registry of patterns; with an odd first byte its JSON alone.
pub fn pattern_registry(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    crate::registry::fuzz(bytes, kind % 2 == 1);
}

/// A line and the name of a field, which is what comes before its first newline: what is found lies in the line, or is
/// text that was escaped there.
pub fn log_field(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (name, line) = data.split_at(at);
    let name = String::from_utf8_lossy(name);
    for format in [crate::FieldFormat::Json, crate::FieldFormat::Logfmt] {
        if let Some(value) = crate::field(format, line, &name) {
            assert!(value.len() <= line.len() * 3, "a value is no longer than its line");
        }
        crate::search::place(format, line, name.as_bytes(), true);
    }
}

/// These bytes as a file in memory.
fn in_file(data: &[u8], read: impl FnOnce(&Path)) {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    let Ok(file) = memfd_create("fuzz", MemfdFlags::CLOEXEC) else { return };
    let mut file = std::fs::File::from(file);
    if file.write_all(data).is_ok() {
        read(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())));
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_and_changes_of_it_do_no_harm() {
        super::replay::all(&super::TARGETS);
    }
}
