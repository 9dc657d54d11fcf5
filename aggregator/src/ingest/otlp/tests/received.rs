//! Requests with a store behind them: what is counted, what room they take, and what of them is stored.

use std::sync::Arc;

use axum::body::Body;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::shutdown::{Phase, Shutdown};
use futures::StreamExt as _;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use proto::error::ErrorCode;
use store::{Limits, ScanRequest, Store, Table};
use tokio::sync::Semaphore;
use tonic::codec::CompressionEncoding;

use super::*;
use crate::ingest::otlp::Context;
use crate::ingest::otlp::arrive::arrive;
use crate::ingest::otlp::receive::{Format, Packing, Request, receive};
use crate::ingest::otlp::senders::Senders;
use crate::metrics::OtlpMetrics;

const KIB: usize = 1 << 10;

fn context(dir: &tempfile::TempDir, limits: Limits, room_kib: usize) -> Context {
    let limits = Limits { disk_drop_percent: 100, disk_refuse_percent: 100, ..limits };
    let (store, _) = Store::open(dir.path(), limits, NOW_NS.cast_signed()).unwrap();
    let clock = Clock::manual(NOW_NS);
    let metrics = OtlpMetrics::register(&Registry::new(), &clock);
    let room = Arc::new(Semaphore::new(room_kib));
    Context { store, clock, metrics, max_request_bytes: MOST, room, senders: Senders::Open }
}

fn request(bytes: Vec<u8>) -> Request {
    let (format, packing) = (Format::Protobuf, Packing::Plain);
    Request { signal: Signal::Logs, format, packing, bytes: Bytes::from(bytes), scope: Scope::All }
}

async fn stored(context: &Context) -> usize {
    let mut rows = context.store.snapshot().scan(Table::Log, ScanRequest::default()).unwrap();
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        count += batch.unwrap().num_rows();
    }
    count
}

#[tokio::test]
async fn rows_that_the_store_leaves_out_are_counted_by_their_own_reason() {
    let dir = tempfile::tempdir().unwrap();
    let context = context(&dir, Limits::small(), 1 << 10);
    let at = |time_unix_nano| LogRecord { time_unix_nano, ..LogRecord::default() };
    let hour = 3_600_000_000_000;
    let records: Vec<LogRecord> = std::iter::repeat_n(at(NOW_NS - 48 * hour), 120)
        .chain(std::iter::repeat_n(at(NOW_NS + hour), 80))
        .chain([at(NOW_NS)])
        .collect();
    let rejected = receive(&context, request(logs_of(None, records))).await.unwrap();
    assert_eq!(rejected.describe(), "80 too_new, 120 too_old");
    assert_eq!(stored(&context).await, 1);
    // the sender is told: nobody's ledger has it
    let mut losses = context.store.snapshot().scan(Table::Loss, ScanRequest::default()).unwrap();
    assert!(losses.next().await.is_none());
    context.store.close().await;
}

#[tokio::test]
async fn a_request_that_finds_no_room_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let context = context(&dir, Limits { head_bytes: 12 << 20, ..Limits::small() }, 1 << 20);
    let records = |count| {
        let record = |at| LogRecord {
            body: Some(text(&format!("{at} {}", "x".repeat(200 * KIB)))),
            ..LogRecord::default()
        };
        request(logs_of(None, (0..count).map(record).collect()))
    };
    receive(&context, records(36)).await.unwrap();
    assert_eq!(stored(&context).await, 36);
    let refused = receive(&context, records(40)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::HeadFull);
    assert_eq!(stored(&context).await, 36, "a part would be there twice after the repetition");
    receive(&context, records(1)).await.unwrap();
    context.store.close().await;
}

#[tokio::test]
async fn exports_over_grpc_arrive_plain_and_packed() {
    let dir = tempfile::tempdir().unwrap();
    let context = context(&dir, Limits::small(), 32 << 10);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = Shutdown::new(std::time::Duration::from_secs(5));
    let token = shutdown.register(Phase::Intake, "otlp");
    let served = tokio::spawn(crate::ingest::otlp::serve_grpc(listener, None, context.clone(), token));
    let large = |at: usize| LogRecord {
        body: Some(text(&format!("{at} {}", "x".repeat(700 * KIB)))),
        ..LogRecord::default()
    };
    let request = |records| ExportLogsServiceRequest::decode(&*logs_of(None, records)).unwrap();
    let client = LogsServiceClient::connect(address).await.unwrap();
    let mut packed = client.clone().send_compressed(CompressionEncoding::Gzip);
    for mut client in [client.clone(), packed.clone()] {
        // larger than the windows of a stream
        let answer = client.export(request((0..3).map(large).collect())).await.unwrap().into_inner();
        assert!(answer.partial_success.is_none());
        assert!(
            client
                .export(ExportLogsServiceRequest::default())
                .await
                .unwrap()
                .into_inner()
                .partial_success
                .is_none()
        );
    }
    assert_eq!(stored(&context).await, 6);
    let refused = packed.export(request((0..30).map(large).collect())).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused:?}");
    let mut plain = client;
    let refused = plain.export(request((0..30).map(large).collect())).await.unwrap_err();
    assert!(refused.message().contains("max_request_mib"), "{refused:?}");
    drop((plain, packed));
    assert_eq!((stored(&context).await, context.room.available_permits()), (6, 32 << 10));
    assert!(shutdown.run().await.is_empty());
    served.await.unwrap().unwrap();
    context.store.close().await;
}

#[tokio::test]
async fn senders_who_stall_keep_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let context = context(&dir, Limits::small(), 64);
    let body = |bytes: usize, ends: bool| {
        let sent = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![0; bytes]))]);
        match ends {
            true => Body::from_stream(sent).into_data_stream(),
            false => Body::from_stream(sent.chain(futures::stream::pending())).into_data_stream(),
        }
    };
    let stalled: Vec<_> = (0..16)
        .map(|_| {
            let (context, mut body) = (context.clone(), body(KIB, false));
            tokio::spawn(async move { arrive(&context, &mut body, MOST).await.is_ok() })
        })
        .collect();
    while context.room.available_permits() > 48 {
        tokio::task::yield_now().await;
    }
    let mut arrived = arrive(&context, &mut body(40 * KIB, true), MOST).await.unwrap();
    assert_eq!((arrived.bytes.len(), context.room.available_permits()), (40 * KIB, 8));
    arrived.reserve(&context, 48 * KIB).await.unwrap();
    assert_eq!(context.room.available_permits(), 0);
    let refused = arrive(&context, &mut body(KIB, true), MOST).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Busy);
    drop(arrived);
    stalled.iter().for_each(tokio::task::JoinHandle::abort);
    let refused = arrive(&context, &mut body(3 * KIB, true), 2 * KIB).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TooLarge);
    for task in stalled {
        task.await.unwrap_err();
    }
    assert_eq!(context.room.available_permits(), 64);
    context.store.close().await;
}
