//! `cargo xtask VERB`: the one entry for people and for CI.
//!
//! Each verb is a module that runs programs and reads files of the checkout; none links a crate of the
//! workspace, so that `xtask` itself builds in seconds.

#![forbid(unsafe_code)]

mod bench;
mod bpf;
mod ci;
mod clock;
mod cluster;
mod codegen;
mod docs;
mod eval;
mod fuzz;
mod http;
mod image;
mod kernels;
mod lint;
mod out;
mod run;
mod sha256;
mod test;
mod tidy;
mod tree;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, starts, tests and checks Wake.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build Wake and run it on this host until Ctrl-C.
    Up(up::Args),
    /// Run every test that this machine can run, and say which it could not.
    Test(test::Args),
    /// What CI runs: lint, tidy, test, kernels.
    Ci(ci::Args),
    /// Format, clippy with warnings denied, licences and duplicate dependencies.
    Lint,
    /// Layer rules, file sizes, module docs, generated files fresh.
    Tidy,
    /// Regenerate docs/reference from the programs.
    Docs(docs::Args),
    /// Measure what Wake costs and how fast it is, on a release build.
    Bench(bench::Args),
    /// Regenerate the Rust code of the .proto files.
    Codegen,
    /// Load every probe and run its tests on other kernels, in emulated machines.
    Kernels(kernels::Args),
    /// A real Kubernetes on this machine, with Wake in it: up, test, down.
    Cluster(cluster::Args),
    /// Images of both programs, without a Docker daemon.
    Image(image::Args),
    /// Run the fuzz targets of every decoder for some seconds each; needs nightly and cargo-fuzz.
    Fuzz(fuzz::Args),
    /// Judge recorded cases and score the answers.
    Eval(eval::Args),
    /// Rebuild the committed eBPF objects (agent/ebpf-objects) with the pinned toolchain.
    Bpf(bpf::Args),
}

fn main() -> ExitCode {
    let result = bpf::rustc_if_called().and_then(|()| match Cli::parse().verb {
        Verb::Up(args) => up::main(&args),
        Verb::Test(args) => test::main(&args),
        Verb::Ci(args) => ci::main(&args),
        Verb::Lint => lint::main(),
        Verb::Tidy => tidy::main(),
        Verb::Docs(args) => docs::main(&args),
        Verb::Bench(args) => bench::main(&args),
        Verb::Codegen => codegen::main(),
        Verb::Kernels(args) => kernels::main(&args),
        Verb::Cluster(args) => cluster::main(&args),
        Verb::Image(args) => image::main(&args),
        Verb::Fuzz(args) => fuzz::main(&args),
        Verb::Eval(args) => eval::main(&args),
        Verb::Bpf(args) => bpf::main(&args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
