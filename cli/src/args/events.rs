//! What `wake events` and `wake changes` are told.

use clap::Args;

use super::{Scope, Texts};

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Only rows where a column has this value, e.g. event=oom_kill or executable=/usr/bin/curl
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Events of Kubernetes instead of processes, e.g. with reason=BackOff or type=Warning
    #[arg(short, long)]
    pub(crate) kubernetes: bool,
    #[command(flatten)]
    pub(crate) texts: Texts,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// The newest N events
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// Only rows where a column has this value, e.g. kind=deployment, name=cart or change=deleted
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    #[command(flatten)]
    pub(crate) texts: Texts,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// The newest N changes
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}
