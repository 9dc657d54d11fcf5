//! `wake judge`: what did a recorded change do? And the hidden `wake eval`: every recorded case of a directory.
//!
//! Flow: files → a checked case → `effects::judge` → a report, or answer lines for a scorer. No aggregator is
//! asked; nothing leaves the machine.

mod ablation;
mod ahead;
mod answers;
mod calibration;
mod evaluate;
pub(crate) mod export;
pub(crate) mod read;
mod report;
pub(crate) mod simulated;
mod words;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use effects::case::{ChangeKind, Signal};
use effects::ingredient::Ingredient;

use crate::out::Out;

/// `wake judge`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wake judge recording/                     a directory with case.json and series.csv
  wake judge --change-at 2026-11-20T14:05:00Z --workload checkout before.csv after.csv
                                            two exports: columns time,value, or query_range JSON
Give days of history if you can: what the series did at times when nothing changed is the yardstick.")]
pub(crate) struct JudgeArgs {
    /// A directory with a recorded case, or exports with --change-at
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// When the change began: RFC 3339 or Unix seconds
    #[arg(long, value_name = "TIME", requires = "workload")]
    change_at: Option<String>,
    /// What was changed, for the report
    #[arg(long, value_name = "NAME", requires = "change_at")]
    workload: Option<String>,
    /// What the exports hold; a gauge counts as harmed by any material change
    #[arg(long, default_value = "gauge", value_name = "SIGNAL", value_parser = signal)]
    signal: Signal,
    /// What kind of act the change was
    #[arg(long, default_value = "rollout", value_name = "KIND", value_parser = kind)]
    kind: ChangeKind,
    /// A limit that the signal must not meet, in its own unit: warns if growth since the change leads there within a
    /// day
    #[arg(long, value_name = "VALUE", requires = "change_at")]
    limit: Option<f64>,
}

fn kind(name: &str) -> Result<ChangeKind, String> {
    let names = || ChangeKind::ALL.map(ChangeKind::name).join(", ");
    let found = ChangeKind::ALL.into_iter().find(|k| k.name() == name);
    found.ok_or_else(|| format!("expected one of {}", names()))
}

fn signal(name: &str) -> Result<Signal, String> {
    let names = || Signal::ALL.map(Signal::name).join(", ");
    Signal::named(name).ok_or_else(|| format!("expected one of {}", names()))
}

/// Prints the report of one case.
pub(crate) fn judge(args: &JudgeArgs, out: &Out) -> anyhow::Result<()> {
    let case = match (&args.change_at, &args.workload) {
        (Some(at), Some(workload)) => export::case(&args.paths, at, workload, (args.signal, args.kind))?,
        _ => {
            let [path] = &args.paths[..] else {
                bail!("several paths: exports need --change-at TIME and --workload NAME");
            };
            let named = path.file_name().is_some_and(|name| name == "case.json");
            if path.is_file() && !named {
                bail!("{} is an export: add --change-at TIME and --workload NAME", path.display());
            }
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            read::case(if named { parent } else { path })?
        }
    };
    let judged = effects::judge::judge(&case);
    let note = args.change_at.as_ref().and_then(|_| export::note(&case));
    let ahead = args.limit.and_then(|limit| ahead::warning(&case, limit));
    if out.is_json() {
        let mut report = report::json(&case, &judged);
        if args.limit.is_some() {
            report["ahead"] = ahead::json(ahead);
        }
        report["note"] = note.into();
        out.line(&serde_json::to_string(&report)?)?;
    } else {
        out.text(&report::markdown(&case, &judged)?)?;
        if let (Some(limit), Some(warning)) = (args.limit, ahead) {
            out.text(&ahead::text(args.signal, limit, warning))?;
        }
        if let Some(note) = note {
            out.text(&format!("Note: {note}\n"))?;
        }
    }
    Ok(())
}

/// The hidden `wake eval`.
#[derive(Debug, clap::Args)]
pub(crate) struct EvalArgs {
    /// Every directory below with a case.json is a case
    #[arg(value_name = "DIR")]
    cases: PathBuf,
    /// Threads; the answers do not depend on it
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Everything that is known about each change, one JSON object per case, instead of answers
    #[arg(long)]
    diagnose: bool,
    /// Leave one part of the judgement out, to measure what it is worth
    #[arg(long, value_name = "PART", value_parser = ingredient, conflicts_with = "diagnose")]
    without: Option<Ingredient>,
    /// Truth of the cases: prints nominal against realised false alarms, and precision and recall on each half of
    /// the cases, instead of answers
    #[arg(long, value_name = "DIR", conflicts_with = "diagnose")]
    calibrate: Option<PathBuf>,
    /// Truth of the cases: prints what each part of the judgement is worth on each suite, instead of answers
    #[arg(long, value_name = "DIR", conflicts_with_all = ["diagnose", "calibrate", "without"])]
    ablate: Option<PathBuf>,
}

fn ingredient(name: &str) -> Result<Ingredient, String> {
    let names = || Ingredient::ALL.map(Ingredient::name).join(", ");
    let found = Ingredient::ALL.into_iter().find(|i| i.name() == name);
    found.ok_or_else(|| format!("expected one of {}", names()))
}

/// Prints an answer line per change; progress goes to standard error.
pub(crate) fn eval(args: &EvalArgs, out: &Out) -> anyhow::Result<()> {
    let dirs =
        evaluate::find(&args.cases, "case.json").with_context(|| format!("list {}", args.cases.display()))?;
    if dirs.is_empty() {
        bail!("no case.json below {}", args.cases.display());
    }
    let watched = std::io::stderr().is_terminal();
    let progress = |done: usize| {
        if watched || done.is_multiple_of(50) || done == dirs.len() {
            out.error(&format!("{done} of {} cases", dirs.len()));
        }
    };
    if let Some(truth) = &args.ablate {
        let known = calibration::truths(truth)?;
        let judge = |left_out| {
            let work = |dir: &Path| calibration::judge(dir, &known, left_out);
            let outcomes = evaluate::each(&dirs, threads(args), work, progress);
            Ok(outcomes.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat())
        };
        return Ok(out.text(&ablation::table(judge)?)?);
    }
    if let Some(truth) = &args.calibrate {
        let known = calibration::truths(truth)?;
        let work = |dir: &Path| calibration::judge(dir, &known, args.without);
        let threads = threads(args);
        let outcomes = evaluate::each(&dirs, threads, work, progress);
        let judged = outcomes.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        return Ok(out.text(&calibration::table(&judged.concat())?)?);
    }
    let work = |dir: &Path| if args.diagnose { diagnose(dir) } else { evaluate::answer(dir, args.without) };
    let mut failed = 0;
    for (dir, outcome) in dirs.iter().zip(evaluate::each(&dirs, threads(args), work, progress)) {
        match outcome {
            Ok(lines) => lines.iter().try_for_each(|line| out.line(line))?,
            Err(error) => {
                failed += 1;
                out.error(&format!("{}: {error:#}", dir.display()));
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} cases could not be read", dirs.len());
    }
    Ok(())
}

fn threads(args: &EvalArgs) -> usize {
    let all = || std::thread::available_parallelism().ok().map(usize::from);
    args.threads.or_else(all).unwrap_or(1)
}

fn diagnose(dir: &Path) -> evaluate::Outcome<Vec<String>> {
    let case = read::case(dir)?;
    let judged = effects::judge::judge(&case);
    Ok(vec![serde_json::to_string(&report::json(&case, &judged))?])
}
