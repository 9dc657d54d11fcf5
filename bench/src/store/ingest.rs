//! Ingest: from the first batch on the wire to the settled segments, in CPU time of the server.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use proto::v1::agent_message::Kind;
use proto::v1::aggregator_message::Kind as Answer;
use proto::v1::ingest_client::IngestClient;
use proto::v1::{AgentMessage, Hello};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::pack::next_batch;
use super::server::Server;
use super::truth::Truth;
use crate::process::disk_bytes;
use crate::report::Report;

/// Batches on the wire that no ack has come for yet.
const IN_FLIGHT: usize = 8;

pub(crate) async fn run(server: &Server, packed: &Path, truth: &Truth, report: &mut Report) -> Result<()> {
    let (cpu, wall) = (server.process.cpu()?, Instant::now());
    let latencies = send(server, packed).await?;
    let acked = server.process.cpu()? - cpu;
    report.figure("ingest: wall s to the last ack", wall.elapsed().as_secs_f64());
    report.figure("ingest: CPU s to the last ack", acked.as_secs_f64());
    report.figure("ingest: ack p50 ms", quantile(&latencies, 0.5));
    report.figure("ingest: ack p99 ms", quantile(&latencies, 0.99));
    server.post("/api/v1/admin/seal", &serde_json::json!({})).await?;
    server.process.settle().await?;
    let settled = (server.process.cpu()? - cpu).as_secs_f64();
    report.figure("ingest: CPU s to settled", settled);
    report.figure("ingest: lines per CPU-second, settled", truth.lines as f64 / settled);
    report.figure("ingest: MB of text per CPU-second, settled", truth.text_bytes as f64 / 1e6 / settled);
    let disk = disk_bytes(&server.data)? as f64;
    report.figure("disk: MB", disk / 1e6);
    report.figure("disk: bytes per line", disk / truth.lines as f64);
    report.figure("disk: share of text, %", 100.0 * disk / truth.text_bytes as f64);
    Ok(())
}

/// Sends every batch over one stream; returns the ack latencies in milliseconds.
async fn send(server: &Server, packed: &Path) -> Result<Vec<f64>> {
    let mut client =
        IngestClient::connect(server.ingest.clone()).await.context("connect to the aggregator")?;
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let hello = Hello { node: "bench".to_owned(), wire_version: proto::WIRE_VERSION, ..Default::default() };
    sender.send(AgentMessage { kind: Some(Kind::Hello(hello)) }).await?;
    let mut answers = client.stream(ReceiverStream::new(receiver)).await?.into_inner();
    let mut input = BufReader::with_capacity(1 << 20, File::open(packed)?);
    let mut sent = std::collections::VecDeque::new();
    let mut latencies = Vec::new();
    loop {
        while sent.len() < IN_FLIGHT
            && let Some(batch) = next_batch(&mut input)?
        {
            sent.push_back(Instant::now());
            sender.send(AgentMessage { kind: Some(Kind::Batch(batch)) }).await?;
        }
        let Some(at) = sent.pop_front() else { return Ok(latencies) };
        match answers.message().await?.and_then(|message| message.kind) {
            Some(Answer::Ack(ack)) if ack.rejected_rows == 0 => {
                latencies.push(at.elapsed().as_secs_f64() * 1e3)
            }
            Some(Answer::Ack(ack)) => {
                bail!("batch {} lost {} rows: {:?}", ack.seq, ack.rejected_rows, ack.rejected.first())
            }
            Some(Answer::Refused(refused)) => bail!("refused {}: {}", refused.code, refused.detail),
            None => bail!("the aggregator closed the stream"),
        }
    }
}

pub(crate) fn quantile(values: &[f64], fraction: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = ((sorted.len() as f64 * fraction) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(0.0)
}
