use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::shutdown::{Phase, Shutdown};
use proto::v1;
use proto::v1::agent_message::Kind as Sent;
use proto::v1::aggregator_message::Kind as Answer;
use proto::v1::ingest_server::{Ingest, IngestServer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::Client;
use crate::config::tls::TlsConfig;
use crate::doctor::Doctor;
use crate::driver::states::States;
use crate::export::SharedSpool;
use crate::export::batch::Packed;
use crate::export::credentials::{self, Credentials};
use crate::export::ledger::Ledger;
use crate::export::spool::Spool;
use crate::metrics::AgentMetrics;
use crate::metrics::export::ExportMetrics;
use crate::window::Window;

/// An aggregator that refuses, forgets to answer and breaks streams as it is told.
#[derive(Clone, Default)]
struct Fake {
    stored: Arc<Mutex<BTreeMap<u64, u64>>>,
    hellos: Arc<Mutex<Vec<v1::Hello>>>,
    statuses: Arc<Mutex<u64>>,
    refuse_once: Arc<Mutex<BTreeSet<u64>>>,
    refuse_always: Arc<Mutex<BTreeSet<u64>>>,
    break_after: Arc<Mutex<Vec<u64>>>,
}

#[tonic::async_trait]
impl Ingest for Fake {
    type StreamStream = ReceiverStream<Result<v1::AggregatorMessage, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let mut incoming = request.into_inner();
        let (answers, queue) = mpsc::channel(16);
        let fake = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                let batch = match message.kind {
                    Some(Sent::Hello(hello)) => {
                        fake.hellos.lock().unwrap().push(hello);
                        continue;
                    }
                    Some(Sent::Batch(batch)) => batch,
                    _ => {
                        *fake.statuses.lock().unwrap() += 1;
                        continue;
                    }
                };
                if fake.break_after.lock().unwrap().last() == Some(&batch.seq) {
                    fake.break_after.lock().unwrap().pop();
                    return;
                }
                let Some(kind) = fake.answer(&batch) else { continue };
                if answers.send(Ok(v1::AggregatorMessage { kind: Some(kind) })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(queue)))
    }
}

impl Fake {
    fn answer(&self, batch: &v1::Batch) -> Option<Answer> {
        let v1::Batch { epoch, seq, .. } = *batch;
        let refused = |retryable| v1::Refused {
            epoch,
            seq,
            code: if retryable { "wal_full".into() } else { "invalid".into() },
            retryable,
            retry_after_ms: 60,
            ..Default::default()
        };
        if self.refuse_once.lock().unwrap().remove(&seq) {
            return Some(Answer::Refused(refused(true)));
        }
        if self.refuse_always.lock().unwrap().contains(&seq) {
            return Some(Answer::Refused(refused(false)));
        }
        let repeated = self.stored.lock().unwrap().insert(seq, batch.unpacked_bytes).is_some();
        Some(Answer::Ack(v1::Ack { epoch, seq, repeated, ..Default::default() }))
    }
}

struct Rig {
    fake: Fake,
    spool: SharedSpool,
    ledger: Ledger,
    shutdown: Shutdown,
    flushed: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

async fn rig(fake: Fake, batches: u64) -> Rig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = IngestServer::new(fake.clone());
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(dir.path(), 1 << 24, 1).unwrap();
    for content in 1..=batches {
        let rows = BTreeMap::from([("log".to_owned(), content)]);
        let packed = Packed {
            zstd_payload: Bytes::from_static(b"x"),
            unpacked_bytes: content,
            rows,
            ..Default::default()
        };
        spool.append(&packed).unwrap();
    }
    let (_, ids) = spool.unsynced();
    spool.synced(&ids);
    let spool = SharedSpool::new(spool);
    let shutdown = Shutdown::new(Duration::from_secs(5));
    let (flushed, flushed_seen) = watch::channel(false);
    let ledger = Ledger::default();
    let metrics = ExportMetrics::register(&Registry::new());
    let states = States::new(AgentMetrics::register(&Registry::new()));
    let doctor = Doctor::new("/proc".into(), states, Some(metrics.clone()), false, Clock::system());
    let credentials = Credentials::new(
        TlsConfig::default(),
        credentials::Deps {
            endpoint: format!("http://{address}").parse().unwrap(),
            node: "n".into(),
            state_dir: dir.path().to_owned(),
            clock: Clock::system(),
            health: daemon::admin::Health::new(),
            metrics: metrics.clone(),
        },
    );
    let client = Client {
        credentials,
        hello: v1::Hello { node: "n".into(), ..Default::default() },
        names: None,
        probes: watch::channel(Vec::new()).1,
        doctor,
        flushed: flushed_seen,
        in_flight: 4,
        spool: spool.clone(),
        ledger: ledger.clone(),
        health: daemon::admin::Health::new(),
        metrics,
        clock: Clock::system(),
    };
    let task = tokio::spawn(client.run(shutdown.register(Phase::Buffers, "export")));
    Rig { fake, spool, ledger, shutdown, flushed, task, _dir: dir }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}

#[tokio::test]
async fn refusals_and_broken_streams_lose_no_batch() {
    let fake = Fake::default();
    fake.refuse_once.lock().unwrap().extend([2, 7]);
    fake.break_after.lock().unwrap().extend([9, 5]);
    let rig = rig(fake, 12).await;
    until("all are acknowledged", || rig.spool.lock().batches() == 0).await;
    let stored: Vec<_> =
        rig.fake.stored.lock().unwrap().iter().map(|(seq, content)| (*seq, *content)).collect();
    assert_eq!(stored, (1..=12).map(|seq| (seq, seq)).collect::<Vec<_>>());
    assert_eq!(rig.fake.hellos.lock().unwrap().len(), 3);
    assert!(*rig.fake.statuses.lock().unwrap() >= 3);
    rig.flushed.send_replace(true);
    assert!(rig.shutdown.run().await.is_empty());
    rig.task.await.unwrap();
}

#[tokio::test]
async fn a_batch_refused_for_good_is_dropped_and_booked() {
    let fake = Fake::default();
    fake.refuse_always.lock().unwrap().insert(3);
    let rig = rig(fake, 4).await;
    until("all are settled", || rig.spool.lock().batches() == 0).await;
    let losses = rig.ledger.take(Window { start_ns: 0, seconds: 10 });
    assert_eq!(losses.len(), 1);
    assert_eq!(
        (losses[0].signal.as_str(), losses[0].reason.as_str(), losses[0].count),
        ("log", "refused", 3)
    );
    assert!(!rig.fake.stored.lock().unwrap().contains_key(&3));
    rig.task.abort();
}

#[tokio::test]
async fn the_last_flush_is_delivered_before_the_end() {
    let rig = rig(Fake::default(), 1).await;
    until("the first is stored", || rig.spool.lock().batches() == 0).await;
    let shutdown = rig.shutdown.clone();
    let stopping = tokio::spawn(async move { shutdown.run().await });
    {
        let mut spool = rig.spool.lock();
        spool
            .append(&Packed {
                zstd_payload: Bytes::from_static(b"x"),
                unpacked_bytes: 77,
                ..Default::default()
            })
            .unwrap();
        let (_, ids) = spool.unsynced();
        spool.synced(&ids);
    }
    rig.spool.ready.notify_one();
    rig.flushed.send_replace(true);
    assert!(stopping.await.unwrap().is_empty());
    assert_eq!(rig.fake.stored.lock().unwrap().get(&2), Some(&77));
}
