//! The agent under load: what each program costs, what a request costs, what memory holds.
//!
//! A real wake-agent at default settings (`export: none`) runs beside fixed work. Time per event is the kernel's own
//! (`kernel.bpf_stats_enabled`, run time and count of each program), beside an empty program at the same hook.

mod empty;
mod load;
mod programs;
mod server;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use crate::report::Report;
use load::Load;
use programs::{Programs, StatsEnabled};
use server::AgentUnderTest;

#[derive(Args, Debug)]
pub(crate) struct AgentArgs {
    /// Live flows to hold while memory is read (two per loopback connection).
    #[arg(long, default_value_t = 50_000)]
    flows: usize,
    /// Short processes to start within a minute.
    #[arg(long, default_value_t = 10_000)]
    processes: u32,
    /// Seconds of idling that CPU is measured over.
    #[arg(long, default_value_t = 30)]
    idle: u64,
    /// Write the figures and the machine's facts to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) async fn run(args: AgentArgs) -> Result<()> {
    let mut report = Report::default();
    costs(&mut report).await?;
    memory(&args, &mut report).await?;
    report.write(args.json.as_deref())
}

/// Wall time per operation and run time per program: alone, with empty programs, with the agent.
async fn costs(report: &mut Report) -> Result<()> {
    let _stats = StatsEnabled::switch_on()?;
    let alone = Load::run_all().await?;
    alone.report("alone", report);
    {
        let empty = empty::Empty::attach()?;
        let before = Programs::of_own_process()?;
        Load::run_all().await?.report("empty programs", report);
        Programs::of_own_process()?.report_since(&before, "empty", report);
        drop(empty);
    }
    let agent = AgentUnderTest::start().await?;
    report.figure("agent: CPU s until every probe is attached", agent.start_cpu.as_secs_f64());
    report.figure("agent: wall s until ready", agent.start_wall.as_secs_f64());
    let before = Programs::of_process(agent.process.pid())?;
    let cpu = agent.process.cpu()?;
    let with = Load::run_all().await?;
    with.report("with the agent", report);
    report.figure("agent: own CPU s during the load", (agent.process.cpu()? - cpu).as_secs_f64());
    Programs::of_process(agent.process.pid())?.report_since(&before, "agent", report);
    with.report_added(&alone, report);
    report.figure("agent: stop s", agent.process.stop().await?.as_secs_f64());
    Ok(())
}

/// Idle CPU, then memory with many live flows and with many short processes.
async fn memory(args: &AgentArgs, report: &mut Report) -> Result<()> {
    let agent = AgentUnderTest::start().await?;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let (cpu, wall) = (agent.process.cpu()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(args.idle)).await;
    let idle = (agent.process.cpu()? - cpu).as_secs_f64() * 1e3 / wall.elapsed().as_secs_f64();
    report.figure("agent: idle CPU ms per s", idle);
    agent.report_memory("idle", report)?;
    for flows in [5_000, args.flows] {
        let held = load::hold_connections(flows / 2).await?;
        tokio::time::sleep(Duration::from_secs(22)).await;
        agent.report_memory(&format!("{flows} live flows"), report)?;
        drop(held);
    }
    let cpu = agent.process.cpu()?;
    load::short_processes(args.processes, Duration::from_secs(60)).await?;
    let used = (agent.process.cpu()? - cpu).as_secs_f64() * 1e3 / 60.0;
    report.figure(&format!("agent: CPU ms per s at {} short processes a minute", args.processes), used);
    agent.report_memory("short processes", report)?;
    report.figure("agent: peak anonymous memory MiB", agent.process.peak_anon_mib());
    agent.process.stop().await?;
    Ok(())
}
