//! The effects engine: time and memory of one look over many workloads and changes, and of one whole case.
//!
//! Changes are open on every workload's neighbourhood; the worst look is the first, which calibrates every line
//! against its own past. In a live system those references are kept per series and day.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context as _, Result};
use effects::case::{Case, Change, ChangeKind, Entity, Signal};
use effects::simulate::{Rng, Scenario, simulate};
use effects::watch::Watch;

use crate::report::Report;

#[derive(clap::Args, Debug)]
pub(crate) struct EffectsArgs {
    /// Numbers of workloads
    #[arg(long, value_delimiter = ',', default_value = "10,100,500")]
    workloads: Vec<usize>,
    /// Changes open at once
    #[arg(long, default_value_t = 20)]
    changes: usize,
    /// Also write the figures here
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
}

const STEP_S: i64 = 10;
/// Six hours of ten-second windows: what a head keeps in memory.
const BEFORE: i64 = 6 * 360;
const AFTER: i64 = 60;
const SIGNALS: [Signal; 5] =
    [Signal::RequestRate, Signal::SuccessRatio, Signal::Latency, Signal::Cpu, Signal::Memory];

pub(crate) fn run(args: &EffectsArgs) -> Result<()> {
    let mut report = Report::default();
    for &workloads in &args.workloads {
        looks(&mut report, workloads, args.changes)?;
    }
    let (case, _) = simulate(Scenario::ErrorBurst, 1, 5.0);
    let begun = Instant::now();
    let judged = effects::judge::judge(&case.check().context("check the simulated case")?);
    report.figure("case of 4 workloads, 3 days at 60 s: seconds", begun.elapsed().as_secs_f64());
    report.figure("case: verdicts", judged.len());
    report.write(args.json.as_deref())
}

fn looks(report: &mut Report, workloads: usize, changes: usize) -> Result<()> {
    let name = |w: usize| format!("w{w}");
    let start = BEFORE * STEP_S;
    let change = |i: usize| Change {
        id: format!("c{i}"),
        kind: ChangeKind::Rollout,
        workload: name(i * workloads / changes.max(1) % workloads),
        start,
        end: None,
        observe_until: start + 1_800,
        pods_new: None,
        pods_old: None,
    };
    let facts = Case {
        id: "bench".to_owned(),
        step_s: STEP_S,
        span: (0, start),
        relative: BTreeSet::new(),
        workloads: (0..workloads).map(name).collect(),
        pods: Vec::new(),
        // each workload calls ten others
        edges: (0..workloads)
            .flat_map(|w| (1..=10).map(move |k| (name(w), name((w + k * 7) % workloads))))
            .collect(),
        changes: (0..changes).map(change).collect(),
        series: Vec::new(),
    };
    let mut watch = Watch::new(facts.check().context("check the facts")?);
    let mut rng = Rng::new(1);
    let entities: Vec<Entity> = (0..workloads).map(|w| Entity::Workload(name(w))).collect();
    let resident = rustix::process::getpid();
    let before = memory(resident)?;
    let mut times = Vec::new();
    for step in 1..=BEFORE + AFTER {
        let time = step * STEP_S;
        for entity in &entities {
            for signal in SIGNALS {
                let noise = (0.1 * rng.normal()).exp();
                let value =
                    if signal == Signal::SuccessRatio { 1.0 - 0.01 * rng.uniform() } else { 10.0 * noise };
                watch.observe(entity, signal, time, value);
            }
        }
        if step > BEFORE {
            let begun = Instant::now();
            watch.look(time);
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    let first = times.first().copied().unwrap_or_default();
    let mut later: Vec<f64> = times.iter().skip(1).copied().collect();
    later.sort_by(f64::total_cmp);
    let named = |what: &str| format!("{workloads} workloads, {changes} changes: {what}");
    report.figure(&named("first look, seconds"), first);
    report.figure(&named("later looks, median seconds"), later[later.len() / 2]);
    report.figure(&named("later looks, worst seconds"), later[later.len() - 1]);
    report.figure(&named("memory, MiB"), (memory(resident)? - before) / f64::from(1 << 20));
    Ok(())
}

/// Resident bytes of this process.
fn memory(pid: rustix::process::Pid) -> Result<f64> {
    let path = format!("/proc/{}/statm", pid.as_raw_nonzero());
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let pages: f64 = text.split_whitespace().nth(1).context("statm has no resident size")?.parse()?;
    Ok(pages * rustix::param::page_size() as f64)
}
