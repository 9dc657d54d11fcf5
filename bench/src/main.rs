//! Benchmarks: what Wake costs and how fast it is, measured on the real programs and the real server.
//!
//! `store` (generate or read data → batches → a real wake-aggregator → queries), `agent` (the kernel's own
//! statistics per program, a load with and without the agent), `l7` (requests of real servers). Figures go to the screen and, with `--json`, to a
//! file together with the machine's facts. Nothing here is a test: figures differ between machines.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod agent;
mod effect;
mod kube;
mod l7;
mod logs;
mod machine;
mod process;
mod report;
mod store;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser, Debug)]
#[command(name = "bench", about = "Benchmarks of Wake; run by `cargo xtask bench`")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Log lines, flows and usage into a real aggregator, and questions to it.
    Store(store::StoreArgs),
    /// Encodings of log bodies: size by part and source, encode and decode per core, each class of question.
    Logs(logs::LogsArgs),
    /// Cost of each eBPF program and of the whole agent.
    Agent(agent::AgentArgs),
    /// Requests under load: throughput, latency and CPU of real servers, and spans by what was sent.
    L7(l7::L7Args),
    /// The aggregator's caches of a simulated Kubernetes: memory, and time to resolve a flow's peer.
    Kube(kube::KubeArgs),
    /// One look of the effects engine over many workloads and changes, and one whole case.
    Effects(effect::EffectsArgs),
}

#[tokio::main]
async fn main() -> Result<()> {
    // the HTTP client has no provider of its own; an error is that there is one already
    drop(rustls::crypto::ring::default_provider().install_default());
    match Args::parse().what {
        What::Store(args) => store::run(args).await,
        What::Logs(args) => logs::run(&args),
        What::Agent(args) => agent::run(args).await,
        What::L7(args) => l7::run(args).await,
        What::Kube(args) => kube::run(&args),
        What::Effects(args) => effect::run(&args),
    }
}
