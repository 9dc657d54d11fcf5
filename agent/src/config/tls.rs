//! How the aggregator and the agent prove to each other who they are.

use std::net::IpAddr;
use std::path::PathBuf;

use daemon::config::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::transport::Endpoint;

/// TLS to `export.endpoint`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Whether TLS is spoken, and where the agent's certificate comes from.
    pub mode: TlsMode,
    /// The CA certificates that the aggregator's certificate must come from, PEM. Read again at every connection.
    pub ca: PathBuf,
    /// The name that the aggregator's certificate must have; the host of `export.endpoint` when empty.
    pub server_name: String,
    /// `files`: the agent's certificate chain, PEM, with `spiffe://wake/node/NODE` as a URI name. Read again when it
    /// changes.
    pub certificate: PathBuf,
    /// `files`: its private key, PEM.
    pub key: PathBuf,
    /// `enrol`: the projected service account token to enrol with, its audience being the aggregator's
    /// `tls.enrol_audience`. Read anew each time.
    pub token: PathBuf,
}

/// Where the agent's certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Plain text, to an aggregator on loopback only.
    None,
    /// The files `certificate` and `key`.
    Files,
    /// From the aggregator, for `token`; kept below `state_dir` and renewed after two thirds of its life.
    Enrol,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            mode: TlsMode::None,
            ca: PathBuf::new(),
            server_name: String::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            token: PathBuf::from("/var/run/secrets/wake/token"),
        }
    }
}

impl TlsConfig {
    pub(super) fn problems(&self, endpoint: &str) -> Vec<ConfigError> {
        let mut found = Vec::new();
        let scheme = if self.mode == TlsMode::None { "http" } else { "https" };
        if endpoint.parse::<Endpoint>().is_err() || !endpoint.starts_with(&format!("{scheme}://")) {
            let message = format!("'{endpoint}' is not of the form {scheme}://host:port");
            found.push(ConfigError::new("export.endpoint", message));
        } else if self.mode == TlsMode::None && !is_loopback(endpoint) {
            let message =
                format!("'{endpoint}' is not on loopback, where everybody could read: set tls.mode");
            found.push(ConfigError::new("export.endpoint", message));
        }
        let needed: &[(&str, &PathBuf)] = match self.mode {
            TlsMode::None => &[],
            TlsMode::Files => &[("ca", &self.ca), ("certificate", &self.certificate), ("key", &self.key)],
            TlsMode::Enrol => &[("ca", &self.ca), ("token", &self.token)],
        };
        for (key, path) in needed {
            if path.as_os_str().is_empty() {
                found.push(ConfigError::new(format!("tls.{key}"), "is empty; this tls.mode needs it"));
            }
        }
        found
    }
}

fn is_loopback(endpoint: &str) -> bool {
    let uri = endpoint.parse::<tonic::codegen::http::Uri>().ok();
    let host = uri.as_ref().and_then(|uri| uri.host()).unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|at| at.is_loopback())
}
