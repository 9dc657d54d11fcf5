//! `cargo xtask test`: every test that this machine can run, and which it could not.
//!
//! A test that cannot run appends `wake-skip: <test>: <reason>` to the file that `WAKE_SKIPS` names and returns.
//! A test that hangs ends the run after `--minutes`, named, so that a caller with a limit of its own still learns why.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{out, run, tree};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// More rounds of the tests that kill processes at random points.
    #[arg(long)]
    pub(crate) full: bool,
    /// How long the tests may run, in minutes [default: 45, with --full 180].
    #[arg(long, value_name = "N")]
    pub(crate) minutes: Option<u64>,
    /// Passed on to `cargo test`, e.g. a test's name or `-p store`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) cargo: Vec<String>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let skips = tree::target().join("wake-skips");
    fs::create_dir_all(tree::target()).with_context(|| format!("create {}", tree::target().display()))?;
    fs::write(&skips, "").with_context(|| format!("write {}", skips.display()))?;
    let mut cargo = run::clean("cargo");
    cargo.current_dir(tree::root()).env("WAKE_SKIPS", &skips);
    if args.full {
        cargo.env("WAKE_FULL", "1");
    }
    if args.cargo.is_empty() {
        // tests/e2e runs the binaries of other packages; built together with the tests they are built once
        out::step("cargo build --workspace --all-targets");
        run::check(run::clean("cargo").current_dir(tree::root()).args([
            "build",
            "--locked",
            "--workspace",
            "--all-targets",
        ]))?;
        out::step("cargo test --workspace");
        cargo.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    } else {
        cargo.args(["test", "--locked"]).args(&args.cargo);
    }
    let minutes = args.minutes.unwrap_or(if args.full { 180 } else { 45 });
    let result = run::check_within(&mut cargo, Duration::from_secs(minutes.saturating_mul(60)));
    report(&fs::read_to_string(&skips).unwrap_or_default());
    result
}

fn report(skips: &str) {
    let mut lines: Vec<&str> = skips.lines().filter_map(|line| line.strip_prefix("wake-skip: ")).collect();
    lines.sort_unstable();
    lines.dedup();
    if lines.is_empty() {
        out::note("no test was left out");
        return;
    }
    out::step(&format!("{} tests could not run on this machine:", lines.len()));
    for line in lines {
        out::note(line);
    }
}
