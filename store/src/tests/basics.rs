use std::sync::Arc;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use proto::error::ErrorCode;
use proto::v1;

use super::fixture::{
    NOW, SECOND, batch, bodies, collect, identity, limits, line, lines, newest, open, render,
};
use crate::{HistogramBy, HistogramRequest, LogRequest, OpenError, ScanRequest, Store, Table};

#[tokio::test]
async fn what_is_acknowledged_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let appended =
        store.append(&batch("n", 1, 1, &lines(NOW, &["hello world", "good bye"])), NOW).await.unwrap();
    assert_eq!((appended.rows, appended.repeated), (2, false));
    assert_eq!(bodies(&store.snapshot(), newest(10)).await, ["good bye", "hello world"]);
    let world = LogRequest { words: vec![b"world".to_vec()], ..newest(10) };
    assert_eq!(bodies(&store.snapshot(), world).await, ["hello world"]);
}

#[tokio::test]
async fn a_repeat_is_acknowledged_and_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = batch("n", 1, 1, &lines(NOW, &["once"]));
    let (first, second) = tokio::join!(store.append(&batch, NOW), store.append(&batch, NOW));
    assert_eq!([first.unwrap().repeated, second.unwrap().repeated], [false, true]);
    assert!(store.append(&batch, NOW).await.unwrap().repeated);
    assert_eq!(bodies(&store.snapshot(), newest(10)).await, ["once"]);
}

#[tokio::test]
async fn what_is_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let first = batch("n", 1, 1, &lines(NOW, &["before"]));
    store.append(&first, NOW).await.unwrap();
    store.close().await;
    drop(store);
    let store = open(dir.path());
    assert!(store.append(&first, NOW).await.unwrap().repeated);
    store.append(&batch("n", 1, 2, &lines(NOW + SECOND, &["after"])), NOW).await.unwrap();
    assert_eq!(bodies(&store.snapshot(), newest(10)).await, ["after", "before"]);
}

#[tokio::test]
async fn bad_rows_are_named_and_the_rest_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut payload = lines(NOW, &["good"]);
    payload.logs.push(line(0, NOW - 25 * 3_600 * SECOND, "info", b"old"));
    payload.logs.push(line(0, NOW + 3_600 * SECOND, "info", b"new"));
    payload.logs.push(line(9, NOW, "info", b"whose"));
    payload.usage.push(v1::UsageRow {
        ts: NOW.cast_unsigned(),
        run_queue_hist: vec![1],
        ..v1::UsageRow::default()
    });
    let appended = store.append(&batch("n", 1, 1, &payload), NOW).await.unwrap();
    let named: Vec<_> = appended.rejected.iter().map(|row| (row.table, row.index, row.reason)).collect();
    let expected = [
        (Table::Log, 1, "too_old"),
        (Table::Log, 2, "too_new"),
        (Table::Log, 3, "unknown_identity"),
        (Table::Usage, 0, "invalid"),
    ];
    assert_eq!(named, expected);
    assert_eq!((appended.rows, appended.rejected_rows), (1, 4));
    assert_eq!(bodies(&store.snapshot(), newest(10)).await, ["good"]);
}

/// signal, stage, reason, count and time of the ledger.
async fn ledger(store: &crate::Store) -> Vec<(String, i64, i64)> {
    let rows = store.snapshot().scan(Table::Loss, ScanRequest::default()).unwrap();
    let mut found = Vec::new();
    for batch in collect(rows).await {
        let text = render(std::slice::from_ref(&batch));
        let counts = batch.column_by_name("count").unwrap().as_primitive::<Int64Type>().clone();
        let times = batch.column_by_name("ts").unwrap();
        let times = arrow::compute::cast(times, &arrow::datatypes::DataType::Int64).unwrap();
        for (row, line) in text.lines().enumerate() {
            let word = |name: &str| {
                let text = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
                text.unwrap_or_default().to_owned()
            };
            assert_eq!(word("node"), "n", "{line}");
            let place = [word("signal"), word("stage"), word("reason")].join("/");
            found.push((place, counts.value(row), times.as_primitive::<Int64Type>().value(row)));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn rows_that_are_left_out_are_in_the_ledger_once_whatever_happens_to_the_answer() {
    const DAY: i64 = 86_400 * SECOND;
    let loss = |ts: i64, count| v1::LossRow {
        ts: ts.cast_unsigned(),
        signal: "flow".to_owned(),
        stage: "kernel".to_owned(),
        reason: "map_full".to_owned(),
        count,
        ..v1::LossRow::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut payload = lines(NOW, &["good"]);
    for age in 0..150 {
        payload.logs.push(line(0, NOW - 2 * DAY - age * SECOND, "info", b"old"));
    }
    payload.logs.push(line(9, NOW, "info", b"whose"));
    payload.spans.push(v1::SpanRow { identity: 9, ts: 5, ..v1::SpanRow::default() });
    payload.losses = vec![loss(NOW - 3 * DAY, 7), loss(NOW - 9 * DAY, 8), loss(NOW + DAY, 9)];
    let sent = batch("n", 1, 1, &payload);
    let appended = store.append(&sent, NOW).await.unwrap();
    assert_eq!((appended.rows, appended.rejected_rows, appended.rejected.len()), (4, 152, 100));
    let by: Vec<_> = appended.rejected_by.iter().map(|one| (one.table, one.reason, one.rows)).collect();
    let too_old = (Table::Log, "too_old", 150);
    let others = [(Table::Log, "unknown_identity", 1), (Table::Span, "unknown_identity", 1)];
    assert_eq!(by, [&[too_old][..], &others].concat());
    // the answer was lost: the sender repeats
    assert!(store.append(&sent, NOW).await.unwrap().repeated);
    let expected = [
        ("flow/kernel/map_full", 7, NOW - 3 * DAY),
        ("flow/kernel/map_full", 8, NOW - 7 * DAY),
        ("flow/kernel/map_full", 9, NOW + 600 * SECOND),
        ("log/store/too_old", 150, NOW - 2 * DAY - 149 * SECOND),
        ("log/store/unknown_identity", 1, NOW),
        ("span/store/unknown_identity", 1, NOW - 7 * DAY),
    ];
    let expected: Vec<_> =
        expected.into_iter().map(|(place, count, ts)| (place.to_owned(), count, ts)).collect();
    assert_eq!(ledger(&store).await, expected);
    store.close().await;
    drop(store);
    let store = open(dir.path());
    assert_eq!(ledger(&store).await, expected, "a replay books the same");
    store.seal(NOW).await.unwrap();
    assert_eq!(ledger(&store).await, expected);
}

#[tokio::test]
async fn a_batch_that_lies_about_its_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let honest = batch("n", 1, 1, &lines(NOW, &["x"]));
    let bomb = v1::Batch {
        zstd_payload: zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap().into(),
        ..honest.clone()
    };
    let refused = store.append(&bomb, NOW).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after_ms), (ErrorCode::Invalid, 0));
    let huge = v1::Batch { unpacked_bytes: 1 << 40, ..honest.clone() };
    assert_eq!(store.append(&huge, NOW).await.unwrap_err().code, ErrorCode::TooLarge);
    let garbage = v1::Batch { zstd_payload: b"garbage".to_vec().into(), ..honest.clone() };
    assert_eq!(store.append(&garbage, NOW).await.unwrap_err().code, ErrorCode::Invalid);
    assert!(!store.append(&honest, NOW).await.unwrap().repeated);
}

#[tokio::test]
async fn every_table_yields_its_schema() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&batch("n", 1, 1, &everything(NOW)), NOW).await.unwrap();
    for table in Table::ALL {
        let batches = collect(store.snapshot().scan(table, ScanRequest::default()).unwrap()).await;
        assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1, "{}", table.name());
        assert_eq!(batches[0].schema(), table.schema(), "{}", table.name());
    }
    let count = ScanRequest { columns: Some(Vec::new()), ..ScanRequest::default() };
    let batches = collect(store.snapshot().scan(Table::Flow, count).unwrap()).await;
    assert_eq!((batches[0].num_rows(), batches[0].num_columns()), (1, 0));
    let request = ScanRequest {
        columns: Some(vec!["bytes_sent".to_owned()]),
        equals: vec![
            ("workload".to_owned(), "cart".to_owned()),
            ("server_port".to_owned(), "443".to_owned()),
        ],
        ..ScanRequest::default()
    };
    let batches = collect(store.snapshot().scan(Table::Flow, request).unwrap()).await;
    assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().values(), &[5]);
}

#[tokio::test]
async fn lines_are_counted_by_level() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut payload = lines(NOW, &["a", "b"]);
    payload.logs.push(line(0, NOW + 61 * SECOND, "error", b"c"));
    store.append(&batch("n", 1, 1, &payload), NOW).await.unwrap();
    let request =
        HistogramRequest { logs: LogRequest::default(), step_ns: Some(60 * SECOND), by: HistogramBy::Level };
    let histogram = store.snapshot().log_histogram(request).await.unwrap();
    let counts: Vec<_> =
        histogram.buckets.iter().map(|bucket| (bucket.start_ns, bucket.key.as_str(), bucket.count)).collect();
    assert_eq!(counts, [(NOW, "info", 2), (NOW + 60 * SECOND, "error", 1)]);
}

/// One row of each table.
pub(crate) fn everything(now: i64) -> v1::Payload {
    let ts = now.cast_unsigned();
    v1::Payload {
        identities: vec![identity("", "cart")],
        logs: vec![v1::LogRow {
            attributes: [("k".to_owned(), "v".to_owned())].into(),
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            ..line(0, now, "warn", b"caf\xc3\xa9 \xff")
        }],
        flows: vec![v1::FlowRow {
            ts,
            window_s: 10,
            role: "client".to_owned(),
            server_port: 443,
            bytes_sent: 5,
            rtt_hist: vec![1; 106],
            ..v1::FlowRow::default()
        }],
        drops: vec![v1::DropRow { ts, reason: "NETFILTER_DROP".to_owned(), ..v1::DropRow::default() }],
        usage: vec![v1::UsageRow { ts, cpu_usage_ns: Some(3), ..v1::UsageRow::default() }],
        syscalls: vec![v1::SyscallRow {
            ts,
            syscall: "openat".to_owned(),
            count: 2,
            errnos: [("ENOENT".to_owned(), 1)].into(),
            ..v1::SyscallRow::default()
        }],
        syscall_latency: vec![v1::SyscallLatencyRow {
            ts,
            sample_every: 16,
            ..v1::SyscallLatencyRow::default()
        }],
        block: vec![v1::BlockRow { ts, device: "vda".to_owned(), ..v1::BlockRow::default() }],
        processes: vec![v1::ProcessRow {
            ts,
            event: "exec".to_owned(),
            arguments: vec!["ls".to_owned(), "-l".to_owned()],
            ..v1::ProcessRow::default()
        }],
        resolved: None,
        losses: vec![v1::LossRow { ts, signal: "log".to_owned(), count: 1, ..v1::LossRow::default() }],
        kube_events: vec![v1::KubeEventRow {
            ts,
            reason: "BackOff".to_owned(),
            count: 3,
            ..Default::default()
        }],
        object_changes: vec![v1::ObjectChangeRow { ts, change: "created".to_owned(), ..Default::default() }],
        spans: vec![v1::SpanRow {
            ts,
            duration_ns: 7,
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            span_id: "00f067aa0ba902b7".to_owned(),
            name: "GET /cart".to_owned(),
            attributes: [("http.route".to_owned(), "/cart".to_owned())].into(),
            ..v1::SpanRow::default()
        }],
        requests: vec![v1::RequestRow {
            ts,
            name: "GET /cart".to_owned(),
            count: 3,
            duration_hist: vec![0; 106],
            ..v1::RequestRow::default()
        }],
    }
}

#[tokio::test]
async fn rows_without_a_batchs_name_are_stored_each_time_and_survive() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for _ in 0..3 {
        let appended = store.append_payload(everything(NOW), NOW).await.unwrap();
        assert_eq!((appended.repeated, appended.rows), (false, Table::COUNT as u64));
    }
    let trace = || ScanRequest {
        equals: vec![("trace_id".to_owned(), "4bf92f3577b34da6a3ce929d0e0e4736".to_owned())],
        ..ScanRequest::default()
    };
    let rows = async |store: &crate::Store, request: ScanRequest| -> usize {
        let batches = collect(store.snapshot().scan(Table::Span, request).unwrap()).await;
        batches.iter().map(|batch| batch.num_rows()).sum()
    };
    assert_eq!(rows(&store, trace()).await, 3);
    let store = reopen(&store, dir.path()).await;
    assert_eq!(rows(&store, trace()).await, 3, "the log has them");
    assert_eq!(store.append_payload(everything(NOW), NOW).await.unwrap().rows, Table::COUNT as u64);
    store.seal(NOW).await.unwrap();
    assert_eq!(rows(&store, trace()).await, 4, "a new opening gives new names");
    let other = vec![("trace_id".to_owned(), "ab".repeat(16))];
    assert_eq!(rows(&store, ScanRequest { equals: other, ..ScanRequest::default() }).await, 0);
    let own = v1::Batch { node: "/store".to_owned(), ..batch("n", 1, 1, &everything(NOW)) };
    assert!(store.append(&own, NOW).await.is_err(), "that name is the store's own");
    store.close().await;
}

#[tokio::test]
async fn a_seal_changes_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut payload = everything(NOW);
    payload.logs.push(line(0, NOW - 3_600 * SECOND, "info", b"an hour before"));
    store.append(&batch("n", 1, 1, &payload), NOW).await.unwrap();
    store.append(&batch("m", 1, 1, &lines(NOW + SECOND, &["alpha beta", "beta gamma"])), NOW).await.unwrap();
    let requests = [
        newest(10),
        LogRequest { contains: vec![b"bet".to_vec()], ..newest(10) },
        LogRequest { words: vec![b"alpha".to_vec()], ..newest(10) },
        LogRequest { equals: vec![("k".to_owned(), "v".to_owned())], ..newest(10) },
    ];
    let mut before = Vec::new();
    for request in &requests {
        before.push(collect(store.snapshot().logs(request.clone()).unwrap()).await);
    }
    let sealed = store.seal(NOW).await.unwrap();
    assert_eq!(sealed.len(), Table::COUNT);
    assert_eq!(store.stats().head_bytes, 0);
    for again in 0..2 {
        let store = if again == 0 { std::sync::Arc::clone(&store) } else { reopen(&store, dir.path()).await };
        for (request, before) in requests.iter().zip(&before) {
            let after = collect(store.snapshot().logs(request.clone()).unwrap()).await;
            assert_eq!(render(before), render(&after), "{request:?}");
        }
        for table in Table::ALL {
            let batches = collect(store.snapshot().scan(table, ScanRequest::default()).unwrap()).await;
            let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
            assert_eq!(rows, if table == Table::Log { 4 } else { 1 }, "{}", table.name());
            assert_eq!(batches[0].schema(), table.schema(), "{}", table.name());
        }
        store.close().await;
    }
}

async fn reopen(store: &std::sync::Arc<crate::Store>, dir: &std::path::Path) -> std::sync::Arc<crate::Store> {
    store.close().await;
    open(dir)
}

#[test]
fn the_folder_is_held_until_work_whose_caller_gave_up_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let store = runtime.block_on(async { open(dir.path()) });
    let shared = Arc::clone(&store.shared);
    let running = shared.running.lock().unwrap();
    let closing = runtime.spawn(async move { store.close().await });
    // it comes as far as it can
    while !shared.closing.load(std::sync::atomic::Ordering::Relaxed) {
        std::thread::yield_now();
    }
    for _ in 0..1_000 {
        std::thread::yield_now();
        let opened = Store::open(dir.path(), limits(), NOW);
        assert!(matches!(opened, Err(OpenError::Locked { .. })), "open to another while it works");
    }
    drop(running);
    runtime.block_on(closing).unwrap();
    runtime.block_on(async { open(dir.path()).close().await });
}
