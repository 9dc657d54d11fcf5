//! The effects engine: time and memory of one look over many workloads and changes, and of one whole case.
//!
//! The worst that may happen: every change begins within one window, each with up to 200 neighbours. Times are
//! seconds of one core as the scheduler counts them, so a busy machine does not lengthen them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use effects::case::{Case, Change, ChangeKind, Entity, Pod, Signal};
use effects::simulate::{Rng, Scenario, World, simulate};
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
    /// Pods per workload; each adds eight series to the workload's own eight
    #[arg(long, default_value_t = 4)]
    pods: usize,
    /// Also write the figures here
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
}

const STEP_S: i64 = 10;
/// Six hours of ten-second windows: what a head keeps in memory.
const BEFORE: i64 = 6 * 360;
/// Half an hour after it: as long as a change is watched here.
const AFTER: i64 = 180;
/// Callers and callees together; the limit of the engine.
const AROUND: usize = 200;

pub(crate) fn run(args: &EffectsArgs) -> Result<()> {
    let mut report = Report::default();
    for &workloads in &args.workloads {
        looks(&mut report, workloads.max(1), args)?;
    }
    let (case, _) = simulate(Scenario::ErrorBurst, &World::USUAL, 1);
    let case = case.check().context("check the simulated case")?;
    let begun = worked()?;
    let judged = effects::judge::judge(&case);
    report.figure("case of 4 workloads, 3 days at 60 s: core seconds", worked()? - begun);
    report.figure("case: verdicts", judged.len());
    report.write(args.json.as_deref())
}

fn facts(workloads: usize, changes: usize, pods: usize) -> Case {
    let name = |w: usize| format!("w{w}");
    let start = BEFORE * STEP_S;
    let change = |i: usize| Change {
        id: format!("c{i}"),
        kind: ChangeKind::Config,
        workload: name(i * workloads / changes.max(1) % workloads),
        // all within one window, no two at the same second where that is possible
        start: start + (i as i64 % STEP_S),
        end: None,
        observe_until: start + AFTER * STEP_S,
        pods_new: None,
        pods_old: None,
    };
    let calls = (AROUND / 2).min(workloads.saturating_sub(1) / 2);
    let pod = |w: usize, i: usize| Pod {
        id: format!("w{w}-{i}"),
        workload: name(w),
        node: None,
        created: None,
        deleted: None,
    };
    Case {
        id: "bench".to_owned(),
        step_s: STEP_S,
        span: (0, start),
        relative: BTreeSet::new(),
        workloads: (0..workloads).map(name).collect(),
        pods: (0..workloads).flat_map(|w| (0..pods).map(move |i| pod(w, i))).collect(),
        edges: (0..workloads)
            .flat_map(|w| (1..=calls).map(move |k| (name(w), name((w + k) % workloads))))
            .collect(),
        changes: (0..changes).map(change).collect(),
        series: Vec::new(),
    }
}

fn looks(report: &mut Report, workloads: usize, args: &EffectsArgs) -> Result<()> {
    let facts = facts(workloads, args.changes, args.pods).check().context("check the facts")?;
    let of_pods = facts.pods.iter().map(|pod| Entity::Pod(pod.id.clone()));
    let of_workloads = facts.workloads.iter().map(|name| Entity::Workload(name.clone()));
    let entities: Vec<Entity> = of_workloads.chain(of_pods).collect();
    let mut watch = Watch::new(facts);
    let mut rng = Rng::new(1);
    let resident = rustix::process::getpid();
    let empty = memory(resident)?;
    let mut filled = empty;
    let mut times = Vec::new();
    for step in 1..=BEFORE + AFTER {
        let time = step * STEP_S;
        for entity in &entities {
            for signal in Signal::ALL {
                let noise = (0.1 * rng.normal()).exp();
                let value =
                    if signal == Signal::SuccessRatio { 1.0 - 0.01 * rng.uniform() } else { 10.0 * noise };
                watch.observe(entity, signal, time, value);
            }
        }
        if step == BEFORE {
            filled = memory(resident)?;
        }
        if step > BEFORE {
            let begun = worked()?;
            watch.look(time);
            times.push(worked()? - begun);
        }
    }
    let named = |what: &str| {
        format!("{workloads} workloads x {} series, {} changes: {what}", 8 * (args.pods + 1), args.changes)
    };
    report.figure(&named("first look, core seconds"), times[0]);
    times.sort_by(f64::total_cmp);
    report.figure(&named("median look, core seconds"), times[times.len() / 2]);
    report.figure(&named("worst look, core seconds"), times[times.len() - 1]);
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    report.figure(&named("samples, MiB"), mib(filled - empty));
    report.figure(&named("open changes and what was learnt, MiB"), mib(memory(resident)? - filled));
    Ok(())
}

/// Seconds that this thread has had a core.
fn worked() -> Result<f64> {
    let path = "/proc/thread-self/schedstat";
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let nanos: f64 = text.split_whitespace().next().context("schedstat is empty")?.parse()?;
    Ok(nanos / 1e9)
}

/// Resident bytes of this process.
fn memory(pid: rustix::process::Pid) -> Result<f64> {
    let path = format!("/proc/{}/statm", pid.as_raw_nonzero());
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let pages: f64 = text.split_whitespace().nth(1).context("statm has no resident size")?.parse()?;
    Ok(pages * rustix::param::page_size() as f64)
}
