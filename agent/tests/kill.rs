//! The real binary, killed at random points while a log rotates: what the aggregator stored holds every line once.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "what is wrong fails the test; its deadlines are the machine's time"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proto::v1;
use proto::v1::agent_message::Kind as Sent;
use proto::v1::aggregator_message::Kind as Answer;
use proto::v1::ingest_server::{Ingest, IngestServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// Lines by content, how often stored; batches by number, with a checksum of their content.
#[derive(Clone, Default)]
struct Store {
    lines: Arc<Mutex<BTreeMap<String, u64>>>,
    batches: Arc<Mutex<BTreeMap<(u64, u64), u32>>>,
}

#[tonic::async_trait]
impl Ingest for Store {
    type StreamStream = ReceiverStream<Result<v1::AggregatorMessage, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let mut incoming = request.into_inner();
        let (answers, queue) = mpsc::channel(16);
        let store = self.clone();
        tokio::spawn(async move {
            let mut count = 0;
            while let Ok(Some(message)) = incoming.message().await {
                let Some(Sent::Batch(batch)) = message.kind else { continue };
                let repeated = store.append(&batch);
                count += 1;
                // now and then the stream breaks between storing and acknowledging
                if count % 7 == 0 {
                    return;
                }
                let ack = v1::Ack { epoch: batch.epoch, seq: batch.seq, repeated, ..Default::default() };
                let answer = v1::AggregatorMessage { kind: Some(Answer::Ack(ack)) };
                if answers.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(queue)))
    }
}

impl Store {
    fn append(&self, batch: &v1::Batch) -> bool {
        let checksum = crc32c::crc32c(&batch.zstd_payload);
        let before = self.batches.lock().unwrap().insert((batch.epoch, batch.seq), checksum);
        assert!(before.is_none_or(|known| known == checksum), "one number, two contents");
        if before.is_some() {
            return true;
        }
        let payload = agent::export::batch::unpack(&batch.zstd_payload, batch.unpacked_bytes).unwrap();
        let mut lines = self.lines.lock().unwrap();
        for row in payload.logs {
            *lines.entry(String::from_utf8(row.body.to_vec()).unwrap()).or_default() += 1;
        }
        false
    }
}

fn start(config: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wake-agent"));
    command.arg("--config").arg(config).env("WAKE_LOG", "error").stdin(Stdio::null());
    command.spawn().unwrap()
}

fn random(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// Writes lines for a while, rotating now and then.
struct Writer {
    log: std::path::PathBuf,
    written: u64,
    rotations: u64,
}

impl Writer {
    fn write_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if self.written % 400 == 399 {
                self.rotations += 1;
                std::fs::rename(&self.log, self.log.with_extension(format!("log.{}", self.rotations)))
                    .unwrap();
            }
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
            for _ in 0..3 {
                writeln!(file, "line {} of a log that is written while its reader dies", self.written)
                    .unwrap();
                self.written += 1;
            }
            std::thread::park_timeout(Duration::from_millis(3));
        }
    }
}

#[test]
fn lines_arrive_exactly_once_whenever_the_agent_is_killed() {
    let rounds = if std::env::var_os("WAKE_FULL").is_some() { 50 } else { 10 };
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = Store::default();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(IngestServer::new(store.clone()));
    runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let config = at("agent.yaml");
    let off: String = ["flows", "syscalls", "sched", "block", "process", "cgroups"]
        .iter()
        .map(|probe| format!("  {probe}: {{enabled: false}}\n"))
        .collect();
    let text = format!(
        "version: 1\nstate_dir: {}\nwindow: {{seconds: 1}}\nadmin: {{listen: '127.0.0.1:0'}}\n\
         export: {{endpoint: 'http://{address}'}}\nprobes:\n{off}\
         logs: {{globs: ['{}'], from: beginning, containers: [], journal: {{enabled: false}}}}\n",
        at("state").display(),
        at("logs/*.log").display(),
    );
    std::fs::write(&config, text).unwrap();
    std::fs::create_dir(at("logs")).unwrap();

    let seed = std::env::var("WAKE_SEED").ok().and_then(|text| text.parse().ok());
    let mut state = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("WAKE_SEED={state}");
    let mut writer = Writer { log: at("logs/app.log"), written: 0, rotations: 0 };
    for _ in 0..rounds {
        let mut agent = start(&config);
        writer.write_for(Duration::from_millis(300 + random(&mut state, 2_500)));
        agent.kill().unwrap();
        agent.wait().unwrap();
        writer.write_for(Duration::from_millis(random(&mut state, 100)));
    }
    let mut agent = start(&config);
    let deadline = Instant::now() + Duration::from_secs(60);
    while (store.lines.lock().unwrap().len() as u64) < writer.written && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    agent.kill().unwrap();
    agent.wait().unwrap();
    let lines = store.lines.lock().unwrap();
    let doubled: Vec<_> = lines.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{} doubled, e.g. {:?}", doubled.len(), doubled.first());
    let line = |number: &u64| format!("line {number} of a log that is written while its reader dies");
    let missing: Vec<u64> = (0..writer.written).filter(|number| !lines.contains_key(&line(number))).collect();
    assert!(
        missing.is_empty(),
        "{} of {} lines are missing, {:?} to {:?}; {} rotations",
        missing.len(),
        writer.written,
        missing.first(),
        missing.last(),
        writer.rotations
    );
    assert!(writer.written > 500 && writer.rotations > 0);
}
