//! `cargo xtask eval effects`: judge recorded changes, and score the answers if their truth is there.
//!
//! It runs `wake eval` (release build) and the scorer it is given; it links neither.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::{Args as ClapArgs, Subcommand};

use crate::{out, run, tree};

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What recorded changes did: one answer line per change on standard output, or in a file.
    Effects(Effects),
    /// Write simulated cases and their truth, to be judged like recordings.
    Simulate(Simulate),
}

#[derive(Debug, ClapArgs)]
struct Simulate {
    /// Gets `cases/` and `truth/`.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Cases per world and scenario.
    #[arg(long, value_name = "N", default_value_t = 5)]
    seeds: u64,
}

#[derive(Debug, ClapArgs)]
struct Effects {
    /// Every directory below with a case.json is a case.
    #[arg(long, value_name = "DIR")]
    cases: PathBuf,
    /// Write the answers here instead of to standard output.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Everything known about each change, one JSON object per case, instead of answers.
    #[arg(long, conflicts_with_all = ["truth", "scorer"])]
    diagnose: bool,
    /// Print what each part of the judgement is worth on each suite, instead of answers.
    #[arg(long, requires = "truth", conflicts_with_all = ["diagnose", "scorer", "answers"])]
    ablate: bool,
    /// Truth of the cases: for the scorer, or without one for a table of nominal and realised false alarms.
    #[arg(long, value_name = "DIR")]
    truth: Option<PathBuf>,
    /// A Python program that takes answers and truth, and prints a table.
    #[arg(long, value_name = "FILE", requires = "truth")]
    scorer: Option<PathBuf>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    match &args.what {
        What::Effects(args) => effects(args),
        What::Simulate(args) => {
            fs::create_dir_all(&args.into).with_context(|| format!("create {}", args.into.display()))?;
            let mut simulate = wake("simulate");
            simulate.arg(absolute(&args.into)?).arg("--seeds").arg(args.seeds.to_string());
            run::check(&mut simulate)
        }
    }
}

/// A hidden verb of a release build of `wake`.
fn wake(verb: &str) -> Command {
    let mut wake = run::clean("cargo");
    let build = ["run", "--quiet", "--release", "--locked", "-p", "cli", "--bin", "wake", "--", verb];
    wake.current_dir(tree::root()).args(build);
    wake
}

fn effects(args: &Effects) -> Result<()> {
    let mut judge = wake("eval");
    judge.arg(absolute(&args.cases)?);
    if args.diagnose {
        judge.arg("--diagnose");
    }
    if let (Some(truth), None) = (&args.truth, &args.scorer) {
        let table = if args.ablate { "--ablate" } else { "--calibrate" };
        judge.arg(table).arg(absolute(truth)?);
    }
    // a scorer reads a file, whether the caller wants one or not
    let unasked = args.scorer.as_ref().filter(|_| args.answers.is_none());
    let unasked = unasked.map(|_| std::env::temp_dir().join(format!("answers-{}.jsonl", std::process::id())));
    let answers = args.answers.as_ref().or(unasked.as_ref());
    if let Some(answers) = answers {
        let file = fs::File::create(answers).with_context(|| format!("create {}", answers.display()))?;
        judge.stdout(file);
    }
    run::check(&mut judge)?;
    if let (Some(answers), Some(truth), Some(scorer)) = (answers, &args.truth, &args.scorer) {
        out::step("score");
        run::check(run::clean("python3").arg(scorer).arg(answers).arg(truth))?;
    }
    if let Some(unasked) = unasked {
        fs::remove_file(&unasked).with_context(|| format!("remove {}", unasked.display()))?;
    }
    Ok(())
}

/// The caller's paths hold in the caller's directory, the programs run in the checkout's.
fn absolute(path: &PathBuf) -> Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("find {}", path.display()))
}
