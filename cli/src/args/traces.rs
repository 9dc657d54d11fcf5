//! What `wake traces` and `wake trace` are told.

use clap::Args;

use super::{Scope, Texts};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wake traces --service checkout --errors        failed requests, newest first
  wake traces --min 500ms http.route=/cart       slow ones, by an attribute
  wake traces --protocol postgresql --workload cart
  wake trace 4bf92f3577b34da6a3ce929d0e0e4736    one of them")]
pub(crate) struct Traces {
    /// Only traces with a span where a column or an attribute has this value, e.g. namespace=shop
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Of this service
    #[arg(long, value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Of this workload
    #[arg(long, value_name = "WORKLOAD")]
    pub(crate) workload: Option<String>,
    /// With this name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// That speak this: http, grpc, dns, postgresql, mysql, redis, kafka
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) protocol: Option<String>,
    /// That failed
    #[arg(long)]
    pub(crate) errors: bool,
    /// That took at least so long: 10ms, 1s
    #[arg(long, value_name = "DURATION")]
    pub(crate) min: Option<String>,
    /// That took at most so long
    #[arg(long, value_name = "DURATION")]
    pub(crate) max: Option<String>,
    #[command(flatten)]
    pub(crate) texts: Texts,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// The newest N traces
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The trace's id, hex
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}
