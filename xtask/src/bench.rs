//! `cargo xtask bench agent|store`: the benchmarks in `bench/`, on a release build.

use anyhow::Result;

use crate::{out, run, tree};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `agent`, `store`, or `--help`; what follows is passed on, e.g. `--json FILE`, `--data DIR`.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    bench: Vec<String>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    out::step("release build of the programs and the benchmarks (long, once)");
    let cargo = || {
        let mut cargo = run::clean("cargo");
        cargo.current_dir(tree::root());
        cargo
    };
    // the benchmarks start the programs that lie beside them
    run::check(cargo().args([
        "build",
        "--locked",
        "--release",
        "-p",
        "agent",
        "-p",
        "aggregator",
        "-p",
        "bench",
    ]))?;
    let program = tree::target().join("release/bench");
    run::check(std::process::Command::new(program).args(&args.bench))
}
