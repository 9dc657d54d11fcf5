//! Ingest: from the first batch on the wire to the settled segments, in CPU time of the server.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use proto::v1::agent_message::Kind;
use proto::v1::aggregator_message::Kind as Answer;
use proto::v1::ingest_client::IngestClient;
use proto::v1::{AgentMessage, Batch, Hello};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::pack::next_batch;
use super::server::Server;
use super::truth::Truth;
use crate::report::Report;

/// Batches on the wire that no ack has come for yet.
const IN_FLIGHT: usize = 8;

pub(crate) async fn run(server: &Server, packed: &Path, truth: &Truth, report: &mut Report) -> Result<()> {
    let (cpu, wall) = (server.process.cpu()?, Instant::now());
    let sent = send(server, packed).await?;
    let acked = server.process.cpu()? - cpu;
    report.figure("ingest: wall s to the last ack", wall.elapsed().as_secs_f64());
    report.figure("ingest: CPU s to the last ack", acked.as_secs_f64());
    report.figure("ingest: ack p50 ms", quantile(&sent.ack_ms, 0.5));
    report.figure("ingest: ack p99 ms", quantile(&sent.ack_ms, 0.99));
    report.figure("ingest: batches refused for a while", sent.refused);
    server.post("/api/v1/admin/seal", &serde_json::json!({})).await?;
    server.process.settle().await?;
    let settled = (server.process.cpu()? - cpu).as_secs_f64();
    report.figure("ingest: CPU s to settled", settled);
    report.figure("ingest: lines per CPU-second, settled", truth.lines as f64 / settled);
    report.figure("ingest: MB of text per CPU-second, settled", truth.text_bytes as f64 / 1e6 / settled);
    report.figure("ingest: peak anonymous memory MiB", server.process.peak_anon_mib());
    Ok(())
}

/// What sending took.
#[derive(Debug, Default)]
struct Sent {
    /// From the first time that a batch was sent to its ack, milliseconds.
    ack_ms: Vec<f64>,
    /// Times that a batch was refused and sent again: the server had no room yet.
    refused: u64,
}

/// Sends every batch over its node's stream, and again what was refused for a while.
async fn send(server: &Server, packed: &Path) -> Result<Sent> {
    let mut streams = AckedStreams::new(server);
    let mut input = BufReader::with_capacity(1 << 20, File::open(packed)?);
    let mut waiting: BTreeMap<(u64, u64), (Batch, Instant)> = BTreeMap::new();
    let mut sent = Sent::default();
    loop {
        while waiting.len() < IN_FLIGHT
            && let Some(batch) = next_batch(&mut input)?
        {
            waiting.insert((batch.epoch, batch.seq), (batch.clone(), Instant::now()));
            streams.send(batch).await?;
        }
        if waiting.is_empty() {
            return Ok(sent);
        }
        match streams.answer().await? {
            Answer::Ack(ack) if ack.rejected_rows == 0 => {
                let (_, at) = waiting.remove(&(ack.epoch, ack.seq)).context("an ack of nothing")?;
                sent.ack_ms.push(at.elapsed().as_secs_f64() * 1e3);
            }
            Answer::Ack(ack) => {
                bail!("batch {} lost {} rows: {:?}", ack.seq, ack.rejected_rows, ack.rejected.first())
            }
            Answer::Refused(refused) if refused.retryable => {
                sent.refused += 1;
                tokio::time::sleep(Duration::from_millis(refused.retry_after_ms)).await;
                let (batch, _) =
                    waiting.get(&(refused.epoch, refused.seq)).context("a refusal of nothing")?;
                streams.send(batch.clone()).await?;
            }
            Answer::Refused(refused) => bail!("refused {}: {}", refused.code, refused.detail),
        }
    }
}

/// A stream for each node that batches come from, as agents have them; their answers in one queue.
pub(super) struct AckedStreams {
    endpoint: String,
    streams: BTreeMap<String, mpsc::Sender<AgentMessage>>,
    answers: (mpsc::Sender<Result<Answer>>, mpsc::Receiver<Result<Answer>>),
}

impl AckedStreams {
    pub(super) fn new(server: &Server) -> Self {
        let endpoint = server.ingest.clone();
        Self { endpoint, streams: BTreeMap::new(), answers: mpsc::channel(IN_FLIGHT) }
    }

    pub(super) async fn send(&mut self, batch: Batch) -> Result<()> {
        if !self.streams.contains_key(&batch.node) {
            let stream = self.greet(&batch.node).await?;
            self.streams.insert(batch.node.clone(), stream);
        }
        let stream = self.streams.get(&batch.node).context("a stream that was just opened")?;
        Ok(stream.send(AgentMessage { kind: Some(Kind::Batch(batch)) }).await?)
    }

    async fn greet(&self, node: &str) -> Result<mpsc::Sender<AgentMessage>> {
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        let hello = Hello { node: node.to_owned(), wire_version: proto::WIRE_VERSION, ..Default::default() };
        sender.send(AgentMessage { kind: Some(Kind::Hello(hello)) }).await?;
        // a connection of its own, as every agent has
        let endpoint = self.endpoint.clone();
        let mut client = IngestClient::connect(endpoint).await.context("connect to the aggregator")?;
        let mut told = client.stream(ReceiverStream::new(receiver)).await?.into_inner();
        let answers = self.answers.0.clone();
        tokio::spawn(async move {
            loop {
                let answer = match told.message().await {
                    Ok(Some(message)) => message.kind.context("an answer of no kind"),
                    Ok(None) => return,
                    Err(status) => Err(status.into()),
                };
                let is_over = answer.is_err();
                if answers.send(answer).await.is_err() || is_over {
                    return;
                }
            }
        });
        Ok(sender)
    }

    pub(super) async fn answer(&mut self) -> Result<Answer> {
        self.answers.1.recv().await.context("the aggregator closed the streams")?
    }
}

pub(crate) fn quantile(values: &[f64], fraction: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = ((sorted.len() as f64 * fraction) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(0.0)
}
