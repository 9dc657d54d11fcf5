//! Stores of every released format are read for ever: `test-data/v<N>/`.
//!
//! `WAKE_WRITE_TEST_DATA=1 cargo test -p store test_data` writes the current one anew, before its first release only.

use std::fs;
use std::path::{Path, PathBuf};

use super::basics::everything;
use super::fixture::{NOW, SECOND, batch, collect, lines, newest, open, render};
use crate::{LogRequest, ScanRequest, Store, Table};

fn place(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("test-data/v{version}"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Sealed rows of every table and of two hours, then rows that are only in the log.
async fn fill(store: &Store) {
    store.append(&batch("n", 1, 1, &everything(NOW)), NOW).await.unwrap();
    let words: Vec<String> =
        (0..200).map(|at| format!("request {at} took {} ms user=u{}", at * 7 % 90, at % 5)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut words = lines(NOW - 3_600 * SECOND, &words);
    for (row, at) in words.logs.iter_mut().zip(0..) {
        row.attributes.insert("service.version".to_owned(), format!("1.{}", at / 150));
    }
    store.append(&batch("n", 1, 2, &words), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    store.append(&batch("m", 4, 9, &everything(NOW + SECOND)), NOW).await.unwrap();
}

/// All that the store answers, as text.
async fn answers(store: &Store) -> String {
    let mut text = String::new();
    for table in Table::ALL {
        let request = ScanRequest { order: crate::Order::OldestFirst, ..ScanRequest::default() };
        text += &format!("{}\n", table.name());
        text += &render(&collect(store.snapshot().scan(table, request).unwrap()).await);
    }
    let request =
        LogRequest { words: vec![b"u3".to_vec()], contains: vec![b"took 2".to_vec()], ..newest(20) };
    text + &render(&collect(store.snapshot().logs(request).unwrap()).await)
}

/// The answers without the columns that were added since, all of which must be null; nothing is left of a table that was.
async fn known_answers(store: &Store, expected: &str) -> String {
    let mut text = answers(store).await;
    for table in Table::ALL {
        for field in table.schema().fields() {
            if !expected.contains(&format!("{}=", field.name())) {
                text = text.replace(&format!("{}=null ", field.name()), "");
            }
        }
        if !expected.lines().any(|line| line == table.name()) {
            text = text.replace(&format!("{}\n", table.name()), "");
        }
    }
    text
}

/// The newest of the versions in `test-data`: 1 has plain pages and pods counted without levels, 2 blocks of templates,
/// patterns, and pods by level, 3 terms, and patterns by version, 4 log rows by position, with delays.
const NEWEST: u32 = 4;

#[tokio::test]
async fn test_data_of_every_version_is_read() {
    if std::env::var_os("WAKE_WRITE_TEST_DATA").is_some() {
        let kept = place(NEWEST);
        drop(fs::remove_dir_all(&kept));
        fs::create_dir_all(&kept).unwrap();
        let store = open(&kept);
        fill(&store).await;
        let text = answers(&store).await;
        store.close().await;
        fs::write(kept.join("answers.txt"), text).unwrap();
    }
    for version in 1..=NEWEST {
        check(&place(version), version).await;
    }
}

async fn check(kept: &Path, version: u32) {
    let dir = tempfile::tempdir().unwrap();
    copy(kept, dir.path());
    let store = open(dir.path());
    let expected = fs::read_to_string(kept.join("answers.txt")).unwrap();
    assert_eq!(known_answers(&store, &expected).await, expected);
    let counted =
        |patterns: &crate::Patterns| patterns.patterns.iter().map(|pattern| pattern.lines).sum::<u64>();
    let all =
        crate::PatternRequest { from_ns: i64::MIN, to_ns: i64::MAX, ..crate::PatternRequest::default() };
    let lines_of_patterns = counted(&store.snapshot().log_patterns(all.clone()).await.unwrap());
    assert!(lines_of_patterns >= 200);
    // since the third the lines of a version are counted at the seal, and the registry knows them without their segment
    let of = |version: &str, from_ns: i64| crate::PatternRequest {
        from_ns,
        version: Some(version.to_owned()),
        ever: true,
        ..all.clone()
    };
    for (name, lines, since) in [("1.0", 150, 0), ("1.1", 50, 150)] {
        let expected = if version < 3 { 0 } else { lines };
        assert_eq!(counted(&store.snapshot().log_patterns(of(name, i64::MIN)).await.unwrap()), expected);
        let known = store.snapshot().log_patterns(of(name, NOW + 7_200 * SECOND)).await.unwrap().patterns;
        let known = known.iter().flat_map(|pattern| &pattern.versions).find(|known| known.version == name);
        let since = (version >= 3).then_some(NOW - 3_600 * SECOND + since * 1_000_000);
        assert_eq!(known.map(|known| known.first_ns), since);
    }
    assert!(store.append(&batch("n", 1, 2, &lines(NOW, &["again"])), NOW).await.unwrap().repeated);
    store.seal(NOW).await.unwrap();
    assert_eq!(known_answers(&store, &expected).await, expected);
    while store.compact(NOW + 96 * 3_600 * SECOND).await.unwrap().is_some() {}
    assert!(store.stats().tables.iter().all(|table| table.segments <= 1));
    assert_eq!(known_answers(&store, &expected).await, expected);
    assert_eq!(counted(&store.snapshot().log_patterns(all).await.unwrap()), lines_of_patterns);
    store.close().await;
}
