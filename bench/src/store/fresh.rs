//! Freshness on an idle server: from the ack of a line to the first answer of a query that has it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use proto::v1;
use proto::v1::aggregator_message::Kind as Answer;

use super::ingest::{AckedStreams, quantile};
use super::pack::batch_of;
use super::server::Server;
use crate::report::Report;

const PROBES: u64 = 200;
/// An epoch that no packed batch has.
const EPOCH: u64 = 1 << 40;
/// A line that is not found after this time counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn run(server: &Server, report: &mut Report) -> Result<()> {
    let mut stream = AckedStreams::new(server);
    let (mut ack_ms, mut found_ms, mut at_once) = (Vec::new(), Vec::new(), 0_u64);
    for probe in 1..=PROBES {
        // about ten a second, on a server that does nothing else
        tokio::time::sleep(Duration::from_millis(100)).await;
        let word = format!("fresh{probe:06}probe");
        let sent = Instant::now();
        stream.send(batch_of("bench", EPOCH, probe, &payload(&word)?)?).await?;
        match stream.answer().await? {
            Answer::Ack(ack) if ack.rejected_rows == 0 && !ack.repeated => {}
            other => bail!("a fresh line was not stored: {other:?}"),
        }
        ack_ms.push(sent.elapsed().as_secs_f64() * 1e3);
        let acked = Instant::now();
        let mut asked = 0;
        loop {
            let answer = server.get("/api/v1/logs", &[("word", &word), ("limit", "1")]).await?;
            asked += 1;
            let rows = answer.get("rows").and_then(serde_json::Value::as_array).context("rows")?;
            if !rows.is_empty() {
                break;
            }
            if acked.elapsed() > PATIENCE {
                bail!("{word} was acknowledged and is not found");
            }
        }
        found_ms.push(acked.elapsed().as_secs_f64() * 1e3);
        at_once += u64::from(asked == 1);
    }
    report.figure("fresh: ack p50 ms", quantile(&ack_ms, 0.5));
    report.figure("fresh: ack p99 ms", quantile(&ack_ms, 0.99));
    report.figure("fresh: ack to answer that has the line p50 ms", quantile(&found_ms, 0.5));
    report.figure("fresh: ack to answer that has the line p99 ms", quantile(&found_ms, 0.99));
    report.figure(&format!("fresh: found by the first query, of {PROBES}"), at_once);
    Ok(())
}

fn payload(word: &str) -> Result<v1::Payload> {
    let now = u64::try_from(jiff::Timestamp::now().as_nanosecond())?;
    let identity =
        v1::Identity { node: "bench".to_owned(), workload: "fresh".to_owned(), ..Default::default() };
    let line = v1::LogRow {
        ts: now,
        observed_ts: now,
        body: format!("a line that was written just now: {word}").into_bytes().into(),
        level: "info".to_owned(),
        ..Default::default()
    };
    Ok(v1::Payload { identities: vec![identity], logs: vec![line], ..Default::default() })
}
