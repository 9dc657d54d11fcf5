use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::shutdown::{Phase, Shutdown};
use prost::Message as _;
use proto::v1::{Batch, Identity, LogRow, Payload};
use store::{LogRequest, ScanError, Store};
use tokio::sync::mpsc;

use super::{AGAIN, End, Reader, Told};
use crate::access::Access;
use crate::access::tokens::TokenFile;
use crate::api::{Api, Doctor, Parts, Shared};
use crate::config::Config;
use crate::ingest::agents::Agents;
use crate::metrics::QueryMetrics;
use crate::query::{Limits, Query};

const NOW: u64 = 1_795_267_499_000_000_000;
/// Pages of `past`, and lines of each.
const BATCHES: u64 = 8;
const LINES: u64 = 5_000;

fn batch(seq: u64) -> Batch {
    let identity = |namespace: &str| Identity {
        node: String::from("n"),
        namespace: namespace.to_owned(),
        workload: String::from("w"),
        ..Identity::default()
    };
    let line = |number: u64| LogRow {
        identity: u32::try_from(number % 2).unwrap(),
        ts: NOW - 1_000_000_000 + seq * LINES + number,
        body: format!("line {number} of {seq}").into_bytes().into(),
        ..LogRow::default()
    };
    let payload = Payload {
        identities: vec![identity("shop"), identity("bank")],
        logs: (0..LINES).map(line).collect(),
        ..Payload::default()
    };
    let bytes = payload.encode_to_vec();
    Batch {
        node: String::from("n"),
        epoch: 1,
        seq,
        zstd_payload: zstd::bulk::compress(&bytes, 1).unwrap().into(),
        unpacked_bytes: bytes.len() as u64,
    }
}

struct Fixture {
    dir: tempfile::TempDir,
    store: Arc<Store>,
    clock: Clock,
    api: Api,
    // a part that is dropped is a part that has stopped
    _shutdown: Shutdown,
}

impl Fixture {
    /// A caller who sees both namespaces, and lines of both.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(NOW);
        let now_ns = NOW.cast_signed();
        let (store, _) = Store::open(&dir.path().join("data"), store::Limits::small(), now_ns).unwrap();
        for seq in 1..=BATCHES {
            store.append(&batch(seq), now_ns).await.unwrap();
        }
        let limits = Limits {
            timeout: Duration::from_secs(30),
            memory_bytes: 64 << 20,
            spill_bytes: 1 << 20,
            running: 2,
            retention_s: [86_400; store::Table::COUNT],
        };
        let (metrics, config) = (QueryMetrics::register(&Registry::new()), Config::default());
        let spill = dir.path().join("spill");
        let query = Query::build(Arc::clone(&store), limits, &spill, clock.clone(), metrics.clone()).unwrap();
        let tokens = dir.path().join("tokens.yaml");
        write_tokens(&tokens, "shop, bank");
        let access = Access::Tokens(TokenFile::open(&tokens, clock.clone()).unwrap());
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {TOKEN}").parse().unwrap());
        let caller = access.caller(&headers).await.unwrap();
        let shutdown = Shutdown::new(Duration::from_secs(1));
        let parts = Parts {
            query,
            agents: Arc::new(Agents::new(1)),
            access,
            audit: None,
            doctor: Doctor {
                config: config.clone(),
                client: None,
                tls: None,
                export: crate::metrics::ExportMetrics::register(&Registry::new()),
            },
            clock: clock.clone(),
            metrics,
            token: shutdown.register(Phase::Intake, "api streams"),
        };
        let api = Api(Arc::new(Shared::new(&config, parts)), caller);
        Self { dir, store, clock, api, _shutdown: shutdown }
    }

    fn reader(&self, patience: Duration) -> (Reader, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(1);
        let asked_at = self.clock.monotonic();
        (Reader { api: self.api.clone(), asked_at, sender, patience }, receiver)
    }

    /// A minute later the caller may see these.
    fn later(&self, namespaces: &str) {
        write_tokens(&self.dir.path().join("tokens.yaml"), namespaces);
        self.clock.advance(AGAIN);
    }
}

const TOKEN: &str = "dev-token-of-16-letters";

fn write_tokens(path: &std::path::Path, namespaces: &str) {
    let text = format!("version: 1\ntokens:\n- {{name: dev, token: {TOKEN}, namespaces: [{namespaces}]}}\n");
    std::fs::write(path, text).unwrap();
}

fn everything() -> LogRequest {
    LogRequest { from_ns: i64::MIN, to_ns: i64::MAX, ..LogRequest::default() }
}

fn lines(piece: &[u8]) -> u64 {
    piece.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// How a stream ends whose caller loses a namespace after its first piece, and how many lines it had by then.
async fn narrowed(fixture: &Fixture, of_the_past: bool) -> (End, u64) {
    let (mut reader, mut receiver) = fixture.reader(Duration::from_secs(60));
    let past = of_the_past.then(|| fixture.store.snapshot());
    let read = tokio::spawn(async move { reader.read(past, everything(), 0).await });
    let mut count = lines(&receiver.recv().await.unwrap());
    fixture.later("shop");
    while let Some(piece) = receiver.recv().await {
        count += lines(&piece);
    }
    (read.await.unwrap(), count)
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_taken_away_end_a_stream_that_has_much_to_send() {
    let fixture = Fixture::new().await;
    for of_the_past in [true, false] {
        fixture.later("shop, bank");
        let (end, count) = narrowed(&fixture, of_the_past).await;
        let is_forbidden = matches!(end, End::Error(proto::error::ErrorCode::Forbidden, _));
        assert!(is_forbidden && count < BATCHES * LINES, "{of_the_past}: {end:?} after {count}");
    }
    // who may see more than before goes on
    fixture.later("shop");
    let (mut reader, mut receiver) = fixture.reader(Duration::from_secs(60));
    reader.renew().await.unwrap();
    fixture.later("shop, bank");
    reader.send(Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(receiver.recv().await.unwrap(), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_is_left() {
    let fixture = Fixture::new().await;
    for past in [Some(fixture.store.snapshot()), None] {
        let (mut reader, mut receiver) = fixture.reader(Duration::from_millis(50));
        let end = reader.read(past, everything(), 0).await;
        let End::Error(code, message) = end else { panic!("{end:?}") };
        assert_eq!(code, proto::error::ErrorCode::Timeout);
        // and is told so should it come back
        let piece = receiver.recv().await.unwrap();
        reader.tell(code, &message).await;
        let last = receiver.recv().await.unwrap();
        assert!(lines(&piece) > 0 && last.starts_with(b"{\"error\":{\"code\":\"timeout\""), "{last:?}");
    }
}

#[test]
fn what_cannot_be_read_is_told_once_with_its_range() {
    let mut told = Told::default();
    let error = ScanError::SegmentUnreadable {
        segment: "log/7".to_owned(),
        from_ns: 0,
        to_ns: 1_000_000_000,
        detail: "bad checksum".to_owned(),
    };
    let line = String::from_utf8(told.incomplete(&error).unwrap().to_vec()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    let reason = &value["incomplete"];
    assert!(line.ends_with('\n') && reason["code"] == "segment_unreadable", "{line}");
    assert_eq!(
        (&reason["from"], &reason["to"]),
        (&"1970-01-01T00:00:00.000000000Z".into(), &"1970-01-01T00:00:01.000000000Z".into())
    );
    assert!(told.incomplete(&error).is_none(), "it is known");
}
