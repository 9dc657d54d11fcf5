//! `cargo xtask bench agent|l7|store|effects|kube`: the benchmarks in `bench/`, on a release build.

use anyhow::Result;

use crate::{out, run, tree};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `agent`, `l7`, `store`, `logs`, `effects`, `kube`, or `--help`; what follows is passed on, e.g. `--json FILE`, `--data DIR`.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    bench: Vec<String>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    out::step("release build of the programs and the benchmarks (long, once)");
    let mut build = run::clean("cargo");
    build.current_dir(tree::root()).args(["build", "--locked", "--release", "-p", "bench"]);
    // the benchmarks start the programs that lie beside them; effects and encodings are libraries
    let is_library = |bench: &String| matches!(bench.as_str(), "effects" | "logs" | "kube");
    if !args.bench.first().is_some_and(is_library) {
        build.args(["-p", "agent", "-p", "aggregator"]);
    }
    run::check(&mut build)?;
    let program = tree::target().join("release/bench");
    run::check(std::process::Command::new(program).args(&args.bench))
}
