//! `export:` what is sent on to others.

use std::path::PathBuf;

use daemon::config::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is sent on to others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// Over OTLP/HTTP with protobuf, to any endpoint that takes it.
    pub otlp: OtlpExport,
}

/// Over OTLP/HTTP with protobuf. Records are read from the store, so that what the endpoint does not take waits there, for
/// as long as the store keeps it; what it drops before it was sent is counted as lost. At least once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpExport {
    /// The endpoint's base, such as `https://collector:4318`; nothing is sent when empty.
    pub endpoint: String,
    /// Whether `http://` may lead beyond loopback: log lines then cross the network for everybody to read.
    pub plain_text: bool,
    /// What is sent: log lines and spans.
    pub signals: Vec<ExportSignal>,
    /// Whether what came in over OTLP is sent as well. Two aggregators that do so to each other send the same records in a
    /// circle for ever.
    pub include_received: bool,
    /// Where the first start begins. Later ones go on where the last one ended.
    pub from: ExportFrom,
    /// A file of headers, such as an API key: a line `Name: value` each. Read again when it changes.
    pub headers_file: PathBuf,
    /// The CA certificates that the endpoint's must come from, PEM; the system's when empty.
    pub ca_file: PathBuf,
    /// Seconds that the endpoint may take for a request.
    #[schemars(range(min = 1, max = 300))]
    pub timeout_s: u64,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportSignal {
    /// Log lines.
    Logs,
    /// Spans.
    Spans,
}

/// Where the first start begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFrom {
    /// With what comes in from then on.
    #[default]
    Now,
    /// With the oldest that the store has.
    Beginning,
}

impl Default for OtlpExport {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            plain_text: false,
            signals: vec![ExportSignal::Logs, ExportSignal::Spans],
            include_received: false,
            from: ExportFrom::Now,
            headers_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            timeout_s: 10,
        }
    }
}

impl Export {
    pub(super) fn problems(&self) -> Vec<ConfigError> {
        let Self { otlp: OtlpExport { endpoint, plain_text, .. } } = self;
        if endpoint.is_empty() {
            return Vec::new();
        }
        let problem = |message: String| vec![ConfigError::new("export.otlp.endpoint", message)];
        let Ok(url) = reqwest::Url::parse(endpoint) else {
            return problem(format!("{endpoint:?} is not of the form https://host:port"));
        };
        match url.scheme() {
            "https" => Vec::new(),
            "http" if *plain_text || is_loopback(&url) => Vec::new(),
            "http" => problem(format!(
                "{endpoint:?} sends log lines in plain text beyond loopback: https, or export.otlp.plain_text"
            )),
            _ => problem(format!("{endpoint:?} is neither https nor http")),
        }
    }
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
