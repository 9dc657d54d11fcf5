//! The agent under load: what each program costs, what a request costs, what memory holds.
//!
//! A real wake-agent at default settings (`export: none`) runs beside fixed work. Time per event is the kernel's own
//! (`kernel.bpf_stats_enabled`, run time and count of each program), beside an empty program at the same hook; they are
//! switched on for that part alone, since they cost time themselves.

pub(crate) mod empty;
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
    /// Only hold this many connections until standard input ends: one process may not have enough descriptors.
    #[arg(long, hide = true)]
    hold: Option<usize>,
    /// Write the figures and the machine's facts to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) async fn run(args: AgentArgs) -> Result<()> {
    if let Some(count) = args.hold {
        return load::hold_until_eof(count).await;
    }
    let mut report = Report::default();
    costs(&mut report).await?;
    memory(&args, &mut report).await?;
    report.write(args.json.as_deref())
}

/// Programs of the agent, and the empty program at the same hook.
const SAME_HOOK: [(&str, &str); 5] = [
    ("syscalls_enter", "empty_sys_enter"),
    ("syscalls_exit", "empty_sys_exit"),
    ("sched_switch", "empty_switch"),
    ("flows_ingress", "empty_ingress"),
    ("flows_egress", "empty_egress"),
];

/// What the work takes alone, with empty programs, and with the agent; then what each program takes.
async fn costs(report: &mut Report) -> Result<()> {
    // the first round warms caches and clocks
    Load::run_all().await?;
    let alone = Load::run_all().await?;
    alone.report("alone", report);
    let empty = empty::Empty::attach()?;
    let with_empty = Load::run_all().await?;
    with_empty.report("empty programs", report);
    drop(empty);
    let agent = AgentUnderTest::start().await?;
    report.figure("agent: CPU s until every probe is attached", agent.start_cpu.as_secs_f64());
    report.figure("agent: wall s until ready", agent.start_wall.as_secs_f64());
    let cpu = agent.process.cpu()?;
    let with = Load::run_all().await?;
    with.report("with the agent", report);
    report.figure("agent: own CPU s during the load", (agent.process.cpu()? - cpu).as_secs_f64());
    with.report_above(&alone, "added to alone", report);
    with.report_above(&with_empty, "added to empty programs", report);
    programs(&agent, report).await?;
    report.figure("agent: stop s", agent.process.stop().await?.as_secs_f64());
    let early = AgentUnderTest::start_and_stop().await?;
    report.figure("agent: stop s, 50 ms after its start", early.as_secs_f64());
    Ok(())
}

/// The kernel's own statistics of every program under the same work, empty ones beside them.
async fn programs(agent: &AgentUnderTest, report: &mut Report) -> Result<()> {
    let _empty = empty::Empty::attach()?;
    let _stats = StatsEnabled::switch_on()?;
    let pid = agent.process.pid();
    let (own, agents) = (Programs::of_own_process()?, Programs::of_process(pid)?);
    Load::run_all().await?;
    load::connections(2_000).await?;
    load::short_processes(1_000, Duration::from_secs(5)).await?;
    let (own_after, agents_after) = (Programs::of_own_process()?, Programs::of_process(pid)?);
    agents_after.report_since(&agents, report);
    own_after.report_since(&own, report);
    for (program, empty) in SAME_HOOK {
        if let (Some((_, program_ns)), Some((_, empty_ns))) =
            (agents_after.per_run(&agents, program), own_after.per_run(&own, empty))
        {
            report.figure(&format!("{program}: ns above {empty}"), program_ns - empty_ns);
        }
    }
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
        let held = load::hold_connections(flows / 2)?;
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
