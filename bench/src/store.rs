//! The store under load: data → batches (packed before the clock starts) → a real wake-aggregator → questions.

mod fresh;
pub(crate) mod generate;
mod ingest;
pub(crate) mod otlp;
mod pack;
mod query;
mod server;
mod sizes;
pub(crate) mod truth;

pub(crate) use ingest::quantile;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::report::Report;

#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    /// Log lines to generate.
    #[arg(long, default_value_t = 10_000_000)]
    lines: u64,
    /// Seed of the generator.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Take `bodies.otlp` and `truth.json` from this folder instead of generating.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Memory profile of the aggregator.
    #[arg(long, default_value = "small")]
    profile: String,
    /// Keep the aggregator's data in this folder (else a temporary one).
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Write the figures and the machine's facts to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) async fn run(args: StoreArgs) -> Result<()> {
    let work = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| work.path().join("data"));
    let mut report = Report::default();
    let packed = work.path().join("batches");
    let truth = match &args.data {
        Some(data) => otlp::pack_bodies(data, &packed)?,
        None => generate::pack_generated(args.lines, args.seed, &packed)?,
    };
    report.figure("log lines", truth.lines);
    report.figure("log text MB", truth.text_bytes as f64 / 1e6);
    let server = server::Server::start(&dir, &args.profile, work.path()).await?;
    ingest::run(&server, &packed, &truth, &mut report).await?;
    sizes::run(&server, &truth, &mut report)?;
    query::run(&server, &truth, &mut report).await?;
    fresh::run(&server, &mut report).await?;
    report.figure("peak anonymous memory MiB", server.process.peak_anon_mib());
    report.figure("stop s", server.process.stop().await?.as_secs_f64());
    report.write(args.json.as_deref())
}
