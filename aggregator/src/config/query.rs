//! What a query may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a query may use. What is reached ends the query with a typed error or a stated partial answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueryConfig {
    /// Seconds a query may take, waiting included; then it ends with `timeout`.
    #[schemars(range(min = 1, max = 300))]
    pub timeout_s: u32,
    /// MiB that an SQL query's operators may hold before they spill to disk, and past that it ends with `memory`; the
    /// profile's own when 0. What its expressions make may take half as much beside it. Reading logs is bounded apart from
    /// it, to pieces of 32 MiB.
    pub memory_mib: u64,
    /// MiB of spill files of all queries together.
    pub spill_mib: u64,
    /// Rows of one answer; a longer one is cut and says so (`row_limit`).
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_rows: u32,
    /// Log lines of one answer unless the request asks for another number.
    #[schemars(range(min = 1, max = 100_000))]
    pub default_log_lines: u32,
    /// The most log lines that a request may ask for.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_log_lines: u32,
    /// Queries that run at the same time; as many as there are cores when 0. Four times as many may wait.
    #[schemars(range(min = 0, max = 1_024))]
    pub running: u32,
}
