//! `cargo xtask eval effects`: judge recorded changes, and score the answers if their truth is there.
//!
//! It runs `wake eval` (release build) and the scorer it is given; it links neither.

use std::fs;
use std::path::PathBuf;

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
    #[arg(long, value_name = "FILE", requires_all = ["truth", "answers"])]
    scorer: Option<PathBuf>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let What::Effects(args) = &args.what;
    let mut judge = run::clean("cargo");
    judge.current_dir(tree::root()).args([
        "run",
        "--quiet",
        "--release",
        "--locked",
        "-p",
        "cli",
        "--",
        "eval",
    ]);
    judge.arg(absolute(&args.cases)?);
    if args.diagnose {
        judge.arg("--diagnose");
    }
    if let (Some(truth), None) = (&args.truth, &args.scorer) {
        let table = if args.ablate { "--ablate" } else { "--calibrate" };
        judge.arg(table).arg(absolute(truth)?);
    }
    if let Some(answers) = &args.answers {
        let file = fs::File::create(answers).with_context(|| format!("create {}", answers.display()))?;
        judge.stdout(file);
    }
    run::check(&mut judge)?;
    if let (Some(answers), Some(truth), Some(scorer)) = (&args.answers, &args.truth, &args.scorer) {
        out::step("score");
        run::check(run::clean("python3").arg(scorer).arg(answers).arg(truth))?;
    }
    Ok(())
}

/// The caller's paths hold in the caller's directory, the programs run in the checkout's.
fn absolute(path: &PathBuf) -> Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("find {}", path.display()))
}
