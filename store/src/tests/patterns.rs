//! Patterns as things: counted at the seal, summed up by merges, known after their lines have gone.

use super::fixture::{NOW, SECOND, batch, lines, open, open_with};
use crate::{Limits, Pattern, PatternRequest, Retention, Scope, Store, Table};

const ALL: PatternRequest = PatternRequest {
    from_ns: i64::MIN,
    to_ns: i64::MAX,
    namespace: None,
    workload: None,
    version: None,
    ever: false,
    scope: Scope::All,
};

async fn patterns(store: &Store, request: &PatternRequest) -> Vec<Pattern> {
    let answer = store.snapshot().log_patterns(request.clone()).await.unwrap();
    assert!(answer.errors.is_empty() && answer.dropped_lines == 0);
    answer.patterns
}

/// Two hundred lines of two patterns, a second apart.
async fn add(store: &Store, seq: u64, ts: i64) {
    let bodies: Vec<String> = (0..200)
        .map(|at| match at % 3 {
            0 => format!("{seq} jobs done in {at} ms"),
            _ => format!("cache miss for key=k{at}"),
        })
        .collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let mut payload = lines(ts, &bodies);
    for (row, at) in payload.logs.iter_mut().zip(0..) {
        row.ts = (ts + at * SECOND).cast_unsigned();
    }
    store.append(&batch("n", 1, seq, &payload), NOW).await.unwrap();
}

#[tokio::test]
async fn merged_segments_have_the_patterns_of_their_inputs() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for seq in 1..=4 {
        add(&store, seq, NOW - 1_200 * SECOND).await;
        store.seal(NOW).await.unwrap();
    }
    let minute = 60 * SECOND;
    // on a minute, within one, and past everything
    let ranges =
        [(NOW - 1_140 * SECOND, NOW), (NOW - 1_111 * SECOND, NOW - 1_070 * SECOND), (NOW, NOW + minute)];
    let requests: Vec<PatternRequest> = ranges
        .iter()
        .map(|(from_ns, to_ns)| PatternRequest { from_ns: *from_ns, to_ns: *to_ns, ..ALL })
        .collect();
    let mut before = vec![patterns(&store, &ALL).await];
    for request in &requests {
        before.push(patterns(&store, request).await);
    }
    assert_eq!(before[0].iter().map(|pattern| pattern.lines).sum::<u64>(), 800);
    assert_eq!(before[1].iter().map(|pattern| pattern.lines).sum::<u64>(), 4 * 140);
    assert_eq!(before[2].iter().map(|pattern| pattern.lines).sum::<u64>(), 4 * 41);
    assert!(before[3].is_empty());
    store.compact(NOW).await.unwrap().unwrap();
    let mut after = vec![patterns(&store, &ALL).await];
    for request in &requests {
        after.push(patterns(&store, request).await);
    }
    for (before, after) in before.iter_mut().zip(&mut after) {
        // which line is the example is not said
        before.iter_mut().chain(after).for_each(|pattern| pattern.example.clear());
    }
    assert_eq!(before, after);
    store.close().await;
}

#[tokio::test]
async fn lines_that_came_late_are_counted_where_a_range_cuts_their_minute() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // two pods of one workload: the second one's lines come last, and are the oldest and the newest
    let bodies: Vec<String> = (0..120).map(|at| format!("jobs done in {at} ms")).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let first = NOW - 1_200 * SECOND;
    let second_of = |at: i64| if at < 60 { 30 + at } else { (at * 77) % 120 };
    let mut payload = lines(first, &bodies);
    for (row, at) in payload.logs.iter_mut().zip(0..) {
        row.ts = (first + second_of(at) * SECOND).cast_unsigned();
    }
    store.append(&batch("n", 1, 1, &payload), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    for (from, to) in [(0, 10), (10, 50), (35, 36), (70, 110), (95, 119), (118, 120)] {
        let range = PatternRequest { from_ns: first + from * SECOND, to_ns: first + to * SECOND, ..ALL };
        let lines: u64 = patterns(&store, &range).await.iter().map(|pattern| pattern.lines).sum();
        let truth = (0..120).filter(|at| (from..to).contains(&second_of(*at))).count();
        assert_eq!(lines, truth as u64, "{from}..{to}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_pattern_is_known_after_a_restart_and_after_its_lines_have_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut limits = Limits { delete_after_s: 0, ..super::fixture::limits() };
    limits.retention[Table::Log as usize] = Retention { age_s: 3_600, max_bytes: u64::MAX };
    let store = open_with(dir.path(), limits).unwrap().0;
    let first = NOW - 7_200 * SECOND;
    add(&store, 1, first).await;
    store.seal(NOW).await.unwrap();
    assert_eq!(store.maintain(NOW).await.unwrap().expired_segments, 1);
    add(&store, 2, NOW - 300 * SECOND).await;
    store.seal(NOW).await.unwrap();
    let known = |patterns: Vec<Pattern>| {
        let miss = patterns.into_iter().find(|pattern| pattern.text.starts_with("cache miss")).unwrap();
        (miss.lines, miss.first_ns > first, miss.known_since_ns)
    };
    let expected = (133, true, first + SECOND);
    assert_eq!(known(patterns(&store, &ALL).await), expected);
    store.close().await;
    drop(store);
    let store = open_with(dir.path(), limits).unwrap().0;
    assert_eq!(known(patterns(&store, &ALL).await), expected);
    store.close().await;
    drop(store);
    // without the file only what is still there is known, and nothing else is lost
    std::fs::write(dir.path().join("patterns"), b"these bytes are no registry").unwrap();
    let store = open_with(dir.path(), limits).unwrap().0;
    assert_eq!(known(patterns(&store, &ALL).await), (133, true, NOW - 299 * SECOND));
    let aside = std::fs::read(dir.path().join("patterns.corrupt")).unwrap();
    assert_eq!(aside, b"these bytes are no registry");
    store.close().await;
}

#[tokio::test]
async fn the_patterns_of_a_newer_release_are_left_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("patterns");
    let store = open_with(dir.path(), super::fixture::limits()).unwrap().0;
    add(&store, 1, NOW - 300 * SECOND).await;
    store.seal(NOW).await.unwrap();
    store.close().await;
    drop(store);
    let mut newer = std::fs::read(&path).unwrap();
    let json = zstd::bulk::decompress(&newer[16..], 1 << 20).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["written_by"], env!("CARGO_PKG_VERSION"));
    newer[8] += 1;
    std::fs::write(&path, &newer).unwrap();
    let store = open_with(dir.path(), super::fixture::limits()).unwrap().0;
    add(&store, 2, NOW - 200 * SECOND).await;
    store.seal(NOW).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), newer);
    let miss = patterns(&store, &ALL).await;
    assert_eq!(miss.iter().find(|pattern| pattern.text.starts_with("cache miss")).unwrap().lines, 266);
    store.close().await;
}

#[tokio::test]
async fn what_went_before_its_time_is_said_after_a_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut limits = super::fixture::limits();
    limits.retention[Table::Log as usize] = Retention { age_s: u64::MAX, max_bytes: 1 };
    let store = open_with(dir.path(), limits).unwrap().0;
    assert_eq!(store.snapshot().gone_before_ns(Table::Log), None);
    add(&store, 1, NOW - 300 * SECOND).await;
    store.seal(NOW).await.unwrap();
    assert_eq!(store.maintain(NOW).await.unwrap().crowded_segments, 1);
    let expected = Some(NOW - 101 * SECOND + 1);
    assert_eq!(store.snapshot().gone_before_ns(Table::Log), expected);
    assert_eq!(store.snapshot().gone_before_ns(Table::Flow), None);
    store.close().await;
    drop(store);
    let store = open_with(dir.path(), limits).unwrap().0;
    assert_eq!(store.snapshot().gone_before_ns(Table::Log), expected);
    store.close().await;
}

#[tokio::test]
async fn patterns_are_found_by_their_text() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    add(&store, 1, NOW - 300 * SECOND).await;
    let found = async |contains: &[&str]| -> Vec<String> {
        let contains: Vec<String> = contains.iter().map(|text| (*text).to_owned()).collect();
        let found = patterns(&store, &ALL).await.into_iter().filter(|pattern| pattern.contains(&contains));
        found.map(|pattern| pattern.text).collect()
    };
    for sealed in [false, true] {
        if sealed {
            store.seal(NOW).await.unwrap();
        }
        // slots of digits within a word are slots as well
        assert_eq!(found(&["cache", "miss"]).await, ["cache miss for key=<*>"], "sealed {sealed}");
        assert_eq!(found(&["jobs"]).await, ["<*> jobs done in <*> ms"]);
        assert_eq!(found(&["jobs", "miss"]).await, [""; 0]);
        assert_eq!(found(&["Jobs"]).await, [""; 0]);
        assert_eq!(found(&[]).await.len(), 2);
    }
    store.close().await;
}

#[test]
fn a_pattern_covers_those_that_have_words_in_its_slots() {
    let pattern = |text: &str| Pattern {
        id: 0,
        namespace: "shop".to_owned(),
        workload: "cart".to_owned(),
        text: text.to_owned(),
        lines: 1,
        first_ns: 0,
        last_ns: 0,
        ..Pattern::default()
    };
    for (general, special, expected) in [
        ("user <*> logged in", "user alice logged in", true),
        ("user alice logged in", "user <*> logged in", false),
        ("user <*> logged in", "user <*> logged in", true),
        ("user <*> logged in", "user alice b logged in", false),
        ("k=<*>, l=<*>;", "k=a, l=<*>;", true),
        ("k=<*>, l=<*>;", "k=a, m=<*>;", false),
        ("<*>-<*>.log", "a-b.log", true),
        ("<*>-<*>.log", "ab.log", false),
        ("a<*>a", "a", false),
        ("<*><*>", "x", false),
        ("<*> - <*>", "a - b", false),
        ("<*> - <*>", "<*> - <*>", true),
    ] {
        assert_eq!(pattern(general).covers(&pattern(special)), expected, "{general} {special}");
    }
    let other = Pattern { workload: "till".to_owned(), ..pattern("x") };
    assert!(!pattern("x").covers(&other));
}
