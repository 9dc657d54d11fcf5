//! What an answer may hold in memory at once, and when a reader whose caller has gone stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::Array as _;
use futures::StreamExt as _;
use proto::error::ErrorCode;
use proto::v1;

use super::damage::files;
use super::fixture::{NOW, SECOND, batch, collect, identity, lines, newest, open};
use crate::search::{self, HistogramPlan, Plan};
use crate::snapshot::StopOnDrop;
use crate::{
    HistogramBy, HistogramRequest, LogRequest, Order, RequestError, RowStream, ScanRequest, Store, Table,
};

/// Bytes of bodies that are held for one batch, at most; and how many rows there were.
async fn most_held(mut rows: RowStream) -> (usize, usize) {
    let (mut most, mut count) = (0, 0);
    while let Some(batch) = rows.next().await {
        let batch = batch.unwrap();
        count += batch.num_rows();
        let body = batch.column_by_name("body").unwrap();
        most = most.max(body.to_data().buffers().iter().map(|buffer| buffer.len()).sum::<usize>());
    }
    (most, count)
}

async fn fill(store: &Store, batches: u64) {
    for seq in 0..batches {
        let long: Vec<String> = (0..3_u64)
            .map(|at| format!("{seq} {at} needle ").repeat((1 << 20) / format!("{seq} {at} needle ").len()))
            .collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        let payload = lines(NOW + i64::try_from(seq).unwrap() * 10_000_000, &long);
        store.append(&batch("n", 1, seq + 1, &payload), NOW).await.unwrap();
    }
}

#[tokio::test]
async fn long_lines_are_held_a_few_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 17).await;
    for sealed in [false, true] {
        if sealed {
            store.seal(NOW).await.unwrap();
        }
        let snapshot = store.snapshot();
        let request = LogRequest { contains: vec![b"needle".to_vec()], ..newest(1_000) };
        let unlimited = LogRequest { limit: None, ..request.clone() };
        for request in [request, unlimited] {
            let (most, rows) = most_held(snapshot.logs(request.clone()).unwrap()).await;
            assert_eq!(rows, 51);
            assert!(most <= 34 << 20, "sealed {sealed}, {request:?}: {most}");
        }
    }
    let (most, rows) = most_held(store.snapshot().scan(Table::Log, ScanRequest::default()).unwrap()).await;
    assert_eq!(rows, 51);
    assert!(most <= 34 << 20, "scan: {most}");
}

#[tokio::test]
async fn a_reader_whose_caller_has_gone_reads_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&batch("n", 1, 1, &lines(NOW, &["one", "two"])), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    let snapshot = store.snapshot();
    let request = LogRequest { contains: vec![b"o".to_vec()], ..newest(10) };
    let plan = Plan::new(request.clone()).unwrap();
    drop(StopOnDrop(plan.stop.clone()));
    search::run(&snapshot, &plan, &mut |_| panic!("an answer for nobody"));
    let request = HistogramRequest { logs: request, step_ns: None, by: HistogramBy::Time };
    let plan = HistogramPlan::new(request.clone(), usize::MAX).unwrap();
    drop(StopOnDrop(plan.logs.stop.clone()));
    assert!(search::histogram(&snapshot, &plan).unwrap().buckets.is_empty());
    assert_eq!(snapshot.log_histogram(request).await.unwrap().buckets[0].count, 2);
}

struct Held(Arc<AtomicBool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[tokio::test]
async fn a_guard_is_held_until_the_last_reader_ends() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // more batches than may wait for a slow caller, so that the thread is held up
    for seq in 0..12 {
        store.append(&batch("n", 1, seq, &lines(NOW, &["one", "two"])), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
    }
    let freed = Arc::new(AtomicBool::new(false));
    let snapshot = store.snapshot().holding(Held(Arc::clone(&freed)));
    let mut rows = snapshot.scan(Table::Log, ScanRequest::default()).unwrap();
    drop(snapshot);
    rows.next().await.unwrap().unwrap();
    assert!(!freed.load(Ordering::Acquire), "the thread still reads");
    drop(rows);
    let ends = async {
        while !freed.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ends).await.expect("the thread ends");
}

#[tokio::test]
async fn a_histogram_of_too_many_steps_is_refused_however_its_range_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&batch("n", 1, 1, &lines(NOW, &["one"])), NOW).await.unwrap();
    store.append(&batch("n", 1, 2, &lines(NOW + 100 * SECOND, &["two"])), NOW).await.unwrap();
    let ask = async |from_ns, to_ns, step_ns| {
        let logs = LogRequest { from_ns, to_ns, ..LogRequest::default() };
        let request = HistogramRequest { logs, step_ns: Some(step_ns), by: HistogramBy::Time };
        store.snapshot().log_histogram(request).await
    };
    for (from, to) in [(i64::MIN, i64::MAX), (NOW - SECOND, i64::MAX), (i64::MIN, NOW + 200 * SECOND)] {
        assert!(matches!(ask(from, to, 1_000).await, Err(RequestError::Step(_))), "{from} {to}");
        assert_eq!(ask(from, to, SECOND).await.unwrap().buckets.len(), 2);
    }
    // what there is decides, not what is asked about
    assert_eq!(ask(NOW, NOW + 1_000, 1).await.unwrap().buckets.len(), 1);
    assert_eq!(ask(0, i64::MAX - 1, 2_000_000).await.unwrap().buckets.len(), 2);
}

#[tokio::test]
async fn a_batch_of_too_many_rows_is_refused_before_it_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // an empty row of the log is two bytes, an empty identity as well
    for (field, most) in [(2_u8, 131_072), (1, 65_536)] {
        for (count, code) in [(most + 1, Some(ErrorCode::TooLarge)), (most, None)] {
            let payload = [field << 3 | 2, 0].repeat(count);
            let unpacked_bytes = payload.len() as u64;
            let zstd_payload = zstd::bulk::compress(&payload, 1).unwrap().into();
            let seq = unpacked_bytes;
            let batch = v1::Batch { node: "n".to_owned(), epoch: 1, seq, unpacked_bytes, zstd_payload };
            let refused = store.append(&batch, NOW).await.err().map(|refused| refused.code);
            assert_eq!(refused, code, "{count} of field {field}");
        }
    }
}

#[tokio::test]
async fn the_first_rows_of_an_order_are_found_without_reading_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut times = Vec::new();
    for seq in 0..6_i64 {
        // the times of segments and of the head overlap
        let ts: Vec<i64> = (0..20).map(|at| NOW - (seq * 7 % 5) * 40 * SECOND - at * 3 * SECOND).collect();
        let flow = |ts: &i64| v1::FlowRow { ts: ts.cast_unsigned(), ..v1::FlowRow::default() };
        let flows = ts.iter().map(flow).collect();
        let identities = vec![identity("shop", "cart")];
        let payload = v1::Payload { identities, flows, ..v1::Payload::default() };
        store.append(&batch("n", 1, seq.cast_unsigned(), &payload), NOW).await.unwrap();
        times.extend(ts);
        if seq < 5 {
            store.seal(NOW).await.unwrap();
        }
    }
    let ask = |order, limit| {
        let request = ScanRequest { order, limit: Some(limit), ..ScanRequest::default() };
        store.snapshot().scan(Table::Flow, request).unwrap()
    };
    for limit in [1, 7, 45, 500] {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            times.sort_unstable();
            if order == Order::NewestFirst {
                times.reverse();
            }
            let found: Vec<i64> =
                collect(ask(order, limit)).await.iter().flat_map(crate::rows::times).copied().collect();
            assert_eq!(found, times[..limit.min(times.len())], "{order:?} {limit}");
        }
    }
    // the oldest segment cannot be read: who asks for the newest rows does not notice
    let oldest = files(dir.path(), "data.parquet");
    let segments = store.snapshot();
    let segments = segments.segments(Table::Flow).iter();
    let folder = segments.min_by_key(|segment| segment.times().1).unwrap().folder.clone();
    let file = oldest.iter().find(|path| path.starts_with(&folder)).unwrap();
    std::fs::write(file, b"gone").unwrap();
    store.close().await;
    drop(store);
    let store = open(dir.path());
    let ask = |order| {
        let request = ScanRequest { order, limit: Some(3), ..ScanRequest::default() };
        store.snapshot().scan(Table::Flow, request).unwrap()
    };
    assert!(ask(Order::NewestFirst).all(async |item| item.is_ok()).await);
    assert!(ask(Order::OldestFirst).any(async |item| item.is_err()).await);
}
