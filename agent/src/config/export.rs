//! Where rows go.

use std::path::PathBuf;

use daemon::config::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where rows go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExportConfig {
    /// To a wake-aggregator, to an OTLP endpoint, or nowhere.
    pub kind: ExportKind,
    /// The aggregator's ingest address: http://host:port on loopback, https://host:port with `tls`; with `otlp` the
    /// base URL of an OTLP/HTTP endpoint, such as `https://collector:4318`, below which `/v1/logs` and `/v1/metrics`
    /// lie.
    pub endpoint: String,
    /// What `kind: otlp` needs beside the endpoint.
    pub otlp: OtlpConfig,
    /// Most batches that are sent and not yet acknowledged; each is at most 1 MiB unpacked.
    #[schemars(range(min = 1, max = 64))]
    pub in_flight: usize,
}

/// What `kind: otlp` needs beside the endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// Headers of each request, such as an API key.
    pub headers: std::collections::BTreeMap<String, String>,
    /// PEM file with the certificates that `https` is checked against; those of the system when empty.
    pub ca_file: PathBuf,
    /// Seconds until a request without an answer is repeated.
    #[schemars(range(min = 1, max = 300))]
    pub timeout_s: u64,
}

/// Where rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportKind {
    /// Over gRPC to `endpoint`, acknowledged batch by batch, through the spool.
    Wake,
    /// As OTLP/HTTP to `endpoint`, through the spool, at least once: log lines and process events as logs, spans as
    /// traces, the sums of each window as metrics of delta temporality under the names of `/metrics`; latency histograms are not sent.
    Otlp,
    /// Nowhere: only `/metrics` is served, nothing is written to disk, logs are not read.
    None,
}

impl ExportConfig {
    /// What is wrong with the endpoint of `kind: otlp`.
    pub(super) fn endpoint_problem(&self) -> Option<ConfigError> {
        let endpoint = &self.endpoint;
        let is_http = endpoint.starts_with("http://") || endpoint.starts_with("https://");
        let message = format!("'{endpoint}' is not of the form http(s)://host:port");
        (endpoint.parse::<tonic::transport::Endpoint>().is_err() || !is_http)
            .then(|| ConfigError::new("export.endpoint", message))
    }
}
