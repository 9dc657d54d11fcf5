//! Reading a table through from position to position, as an exporter does.

use arrow::array::AsArray as _;

use super::basics::everything;
use super::fixture::{NOW, SECOND, batch, collect, limits, lines, open_with};
use crate::{Retention, ScanRequest, Store, Table};

/// Bodies of the log, or as many as there are rows, in windows of so many positions.
async fn windows(store: &Store, table: Table, step: i64) -> Vec<String> {
    let mut found = Vec::new();
    let snapshot = store.snapshot();
    let mut after = -1;
    while after < snapshot.last_lsn() {
        let upto = (after + step).min(snapshot.last_lsn());
        let request = ScanRequest { after_lsn: Some(after), upto_lsn: Some(upto), ..ScanRequest::default() };
        let batches = collect(snapshot.scan(table, request).unwrap()).await;
        let mut rows = 0;
        for batch in batches {
            rows += batch.num_rows();
            match batch.column_by_name("body") {
                Some(bodies) => found.extend(bodies.as_string::<i32>().iter().flatten().map(str::to_owned)),
                None => found.extend((0..batch.num_rows()).map(|_| String::new())),
            }
        }
        assert!(rows <= usize::try_from(step).unwrap(), "a window has no more rows than positions");
        after = upto;
    }
    found
}

#[tokio::test]
async fn every_row_is_in_one_window_whatever_was_sealed_or_merged() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), limits()).unwrap();
    let mut expected = Vec::new();
    for seq in 0..12_u64 {
        let bodies: Vec<String> = (0..50).map(|at| format!("line {}", seq * 50 + at)).collect();
        let texts: Vec<&str> = bodies.iter().map(String::as_str).collect();
        store.append(&batch("n", 1, seq * 2 + 1, &lines(NOW - 90 * SECOND, &texts)), NOW).await.unwrap();
        store.append(&batch("n", 1, seq * 2 + 2, &everything(NOW)), NOW).await.unwrap();
        expected.extend(bodies);
        if seq % 3 == 1 {
            store.seal(NOW).await.unwrap();
        }
    }
    let others = windows(&store, Table::Flow, i64::MAX / 2).await.len();
    for step in [7, 64, 1_000_000] {
        let mut found = windows(&store, Table::Log, step).await;
        found.retain(|body| body.starts_with("line "));
        found.sort_by_key(|body| body[5..].parse::<u32>().unwrap());
        assert_eq!(found, expected, "step {step}");
        assert_eq!(windows(&store, Table::Flow, step).await.len(), others);
    }
    store.seal(NOW).await.unwrap();
    while store.compact(NOW + 96 * 3_600 * SECOND).await.unwrap().is_some() {}
    let mut found = windows(&store, Table::Log, 64).await;
    found.retain(|body| body.starts_with("line "));
    found.sort_by_key(|body| body[5..].parse::<u32>().unwrap());
    assert_eq!(found, expected, "merged");
    store.close().await;
}

#[tokio::test]
async fn what_is_dropped_before_it_was_read_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut limits = limits();
    limits.retention[Table::Log.index()] = Retention { age_s: 3_600, max_bytes: u64::MAX };
    let (store, _) = open_with(dir.path(), limits).unwrap();
    let late = NOW + 7_200 * SECOND;
    let fill = async |seq: u64, ts: i64| {
        store.append(&batch("n", 1, seq, &lines(ts, &["a", "b", "c", "d"])), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
        store.snapshot().last_lsn()
    };
    fill(1, NOW).await;
    assert_eq!(store.maintain(late).await.unwrap().expired_segments, 1);
    assert_eq!(store.dropped_unread(Table::Log), 0, "nobody reads");
    let read = fill(2, NOW).await;
    store.read_through(Table::Log, read);
    fill(3, NOW + SECOND).await;
    assert_eq!(store.maintain(late).await.unwrap().expired_segments, 2);
    assert_eq!(store.dropped_unread(Table::Log), 4, "what was read is not missed");
    let last = fill(4, NOW + SECOND).await;
    store.read_through(Table::Log, last - 2);
    assert_eq!(store.maintain(late).await.unwrap().expired_segments, 1);
    assert_eq!(store.dropped_unread(Table::Log), 6, "one that was read in part");
    store.close().await;
}
