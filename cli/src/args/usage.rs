//! What `wake top` and `wake syscalls` are told.

use clap::{Args, ValueEnum};

use super::Scope;

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Only rows where a column has this value, e.g. namespace=shop
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// What comes first
    #[arg(long, value_enum, default_value_t = TopSort::Cpu)]
    pub(crate) sort: TopSort,
    /// At most N rows (default: what fits the terminal)
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Seconds between two looks
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) interval: u32,
    /// Show it once and end; so it is without a terminal and with -o json
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopSort {
    Cpu,
    Memory,
    Io,
    Net,
    Delay,
}

#[derive(Debug, Args)]
pub(crate) struct Syscalls {
    /// Only rows where a column has this value, e.g. workload=nginx or syscall=openat
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// What comes first
    #[arg(long, value_enum, default_value_t = SyscallSort::Count)]
    pub(crate) sort: SyscallSort,
    /// At most N rows
    #[arg(short = 'n', long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SyscallSort {
    Count,
    Errors,
    P99,
}
