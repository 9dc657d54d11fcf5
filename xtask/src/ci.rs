//! `cargo xtask ci`: lint, tidy, test, kernels, cluster, in this order, with the time that each took.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::{bpf, clock, cluster, kernels, lint, out, test, tidy};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// More kernels, more kill rounds, and the eBPF objects rebuilt even if this machine has found them right before.
    #[arg(long)]
    full: bool,
}

/// Runs every step even if one fails, so that one run shows all that is wrong.
pub(crate) fn main(args: &Args) -> Result<()> {
    let began = clock::now();
    let mut done: Vec<(&str, Duration, Result<()>)> = Vec::new();
    let mut step = |name: &'static str, work: &dyn Fn() -> Result<()>| {
        out::step(&format!("ci: {name}"));
        let began = clock::now();
        let result = work();
        if let Err(error) = &result {
            out::error(&format!("{name}: {error:#}"));
        }
        done.push((name, began.elapsed(), result));
    };
    step("lint", &lint::main);
    step("tidy", &tidy::main);
    step("test", &|| test::main(&test::Args { full: args.full, minutes: None, cargo: Vec::new() }));
    step("kernels", &|| kernels::main(&kernels::Args::in_ci(args.full)));
    step("cluster", &|| cluster::in_ci(&|| began.elapsed()));
    if args.full || bpf::unverified()? {
        step("bpf --check", &|| bpf::main(&bpf::Args::CHECK));
    }
    out::step("ci");
    let mut failed = Vec::new();
    for (name, took, result) in &done {
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        out::note(&format!("{name:<12} {verdict:<7} {:>6.0} s", took.as_secs_f64()));
        if result.is_err() {
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        bail!("ci: {}", failed.join(", "));
    }
    Ok(())
}
