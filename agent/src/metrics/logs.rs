//! Metrics of the log reader.

use daemon::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

/// Metrics of the log reader.
#[derive(Clone, Debug)]
pub struct LogMetrics {
    /// Lines read.
    pub lines: Counter,
    /// Bytes of their bodies.
    pub body_bytes: Counter,
    /// Lines that were cut.
    pub truncated: Counter,
    /// Lines not in their file's format.
    pub malformed: Counter,
    /// Files replaced under their name.
    pub replaced: Counter,
    /// Files rotated away.
    pub rotated: Counter,
    /// Files followed.
    pub open_files: Gauge,
    /// Files beyond the limit.
    pub unfollowed_files: Gauge,
    /// Bytes not yet read.
    pub lag_bytes: Gauge,
    /// Lines that their pods want not to be read.
    pub passed_over: Counter,
    /// Logs that their pods want not to be read.
    pub left_out_logs: Gauge,
    /// Logs of pods that are not known yet.
    pub waiting_logs: Gauge,
}

impl LogMetrics {
    /// Registers them under the root's prefix.
    pub fn register(root: &Registry) -> Self {
        let counter = |name, help| root.register(name, help, Counter::default());
        let gauge = |name, help| root.register(name, help, Gauge::default());
        Self {
            lines: counter("logs_lines", "Log lines read"),
            body_bytes: root.register_with_unit(
                "logs_body",
                "Bytes of log lines read",
                Unit::Bytes,
                Counter::default(),
            ),
            truncated: counter("logs_truncated_lines", "Log lines longer than 1 MiB, cut and marked"),
            malformed: counter(
                "logs_malformed_lines",
                "Lines of container logs that are not in their runtime's format",
            ),
            replaced: counter("logs_replaced_files", "Log files truncated or replaced under their name"),
            rotated: counter("logs_rotated_files", "Log files rotated away and read to their end"),
            open_files: gauge("logs_open_files", "Log files that are followed"),
            unfollowed_files: gauge(
                "logs_unfollowed_files",
                "Log files beyond logs.max_files, which are not read",
            ),
            lag_bytes: root.register_with_unit(
                "logs_lag",
                "Bytes of followed files that are not yet read",
                Unit::Bytes,
                Gauge::default(),
            ),
            passed_over: counter(
                "logs_passed_over_lines",
                "Lines that were not handed on since an annotation of their pod says so",
            ),
            left_out_logs: gauge("logs_left_out", "Logs that an annotation of their pod leaves out"),
            waiting_logs: gauge(
                "logs_waiting",
                "Logs that wait in their files until the aggregator has told of their pod",
            ),
        }
    }
}
