//! `wake`: what runs on the hosts, who talks to whom, what the logs say.
//!
//! Flow: arguments → one request to the aggregator's REST API → rows → a table for people or JSON lines for machines.
//! It decides nothing about the data; what it cannot show it says, with what to do about it.

#![forbid(unsafe_code)]

mod access;
mod args;
mod client;
mod cluster;
mod command;
#[doc(hidden)]
pub mod fuzz;
mod judge;
mod out;
mod reference;
mod show;

use std::process::ExitCode;

use clap::Parser as _;

/// The program: reads its arguments, asks, shows.
pub fn main() -> ExitCode {
    begin(args::Cli::parse())
}

/// The same as a plug-in of kubectl: it asks the aggregator in the kubeconfig's cluster.
pub fn kubectl_main() -> ExitCode {
    begin(args::Cli::of_kubectl(std::env::args_os()).unwrap_or_else(|error| error.exit()))
}

fn begin(args: args::Cli) -> ExitCode {
    let out = out::Out::new(args.output);
    match run(args, &out) {
        Ok(()) => ExitCode::SUCCESS,
        // whoever read our output has gone: `wake logs x | head`
        Err(error) if out::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            out.error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: args::Cli, out: &out::Out) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command::run(args, out))
}
