//! What `wake flows` and `wake map` are told.

use clap::{Args, ValueEnum};

use super::Scope;

#[derive(Debug, Args)]
pub(crate) struct Flows {
    /// Only rows where a column has this value, e.g. workload=nginx or peer_address=10.0.0.7
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// What comes first
    #[arg(long, value_enum, default_value_t = FlowSort::Bytes)]
    pub(crate) sort: FlowSort,
    /// At most N rows
    #[arg(short = 'n', long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FlowSort {
    Bytes,
    Retransmits,
    Rtt,
    Failures,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wake map                                       the busiest edges of the last 15 minutes
  wake map workload=cart --since 1h              who asks cart, and whom cart asks
  wake map --draw dot | dot -Tsvg > map.svg      as a picture")]
pub(crate) struct Map {
    /// Only edges with an end that is so: namespace=NAME or workload=NAME
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// As the text of a picture instead of a table
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) draw: Option<Draw>,
    /// At most N edges, those with the most requests and bytes
    #[arg(short = 'n', long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Draw {
    /// Graphviz
    Dot,
    /// Mermaid, as Markdown renderers draw it
    Mermaid,
}
