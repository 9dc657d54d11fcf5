//! `cargo xtask VERB`: the one entry for people and for CI.
//!
//! Each verb is a module that runs programs and reads files of the checkout; none links a crate of the
//! workspace, so that `xtask` itself builds in seconds.

#![forbid(unsafe_code)]

mod bpf;
mod out;
mod run;
mod sha256;
mod tree;

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
    /// Rebuild the committed eBPF objects (agent/ebpf-objects) with the pinned toolchain.
    Bpf(bpf::Args),
}

fn main() -> ExitCode {
    let result = bpf::rustc_if_called().and_then(|()| match Cli::parse().verb {
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
