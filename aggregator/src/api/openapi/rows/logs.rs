//! Rows of the API: what is written.
#![expect(dead_code, reason = "these types only describe what is written row by row")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

row! {
    /// A log line.
    LogLine {
        /// The line's own time, else when it was read.
        ts: String,
        /// When the agent read it.
        observed_ts: String,
        /// `trace`, `debug`, `info`, `warn`, `error` or `fatal`, where one was recognised.
        level: Option<String>,
        /// The line; what is not UTF-8 as U+FFFD.
        body: String,
        /// The line's bytes in base64, when it is not UTF-8.
        body_raw: Option<String>,
        /// The file, or `journald:<unit>`.
        source: Option<String>,
        /// `stdout` or `stderr`.
        stream: Option<String>,
        /// Whether the line was longer than 1 MiB and was cut.
        truncated: bool,
        trace_id: Option<String>,
        span_id: Option<String>,
        attributes: BTreeMap<String, String>,
    }
}

/// Lines of one bucket.
#[derive(ToSchema)]
pub(crate) struct LogCount {
    /// Where the bucket starts; absent when there is only one.
    ts: Option<String>,
    /// With `by=level`: the level, '' where none was recognised.
    level: Option<String>,
    /// With `by=workload`: the workload.
    workload: Option<String>,
    /// With `by=namespace`: the namespace.
    namespace: Option<String>,
    count: u64,
}

/// A kind of line that a workload writes.
#[derive(ToSchema)]
pub(crate) struct LogPattern {
    /// The same wherever the pattern occurs, 16 hex digits.
    id: String,
    namespace: String,
    workload: String,
    /// Lines in the range.
    lines: u64,
    /// With `show`: lines in the range before; with `version` too, of earlier versions in both.
    lines_before: Option<u64>,
    first_ts: String,
    last_ts: String,
    /// The first line of this pattern and workload that the store remembers, kept or not.
    known_since: String,
    /// The version of the workload that had the first such line; absent where that line did not say one.
    first_version: Option<String>,
    /// The version that had the last one.
    last_version: Option<String>,
    /// The versions that had such lines, in the order of their first one: the first, and the latest 15.
    versions: Option<Vec<PatternVersion>>,
    /// The line, `<*>` for each part that varies.
    pattern: String,
    /// One such line of any version, cut at 1,000 bytes.
    example: String,
}

/// A version of a workload that wrote a kind of line.
#[derive(ToSchema)]
pub(crate) struct PatternVersion {
    version: String,
    /// Its first such line that the store remembers.
    first_ts: String,
    /// Its last one.
    last_ts: String,
}
