//! Who may connect, who may ask, and what is written down about it.

use std::net::SocketAddr;
use std::path::PathBuf;

use daemon::config::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Certificates of `ingest.listen` and `api.listen`, and of the agents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Whether both listeners speak TLS, and where certificates come from.
    pub mode: TlsMode,
    /// `files`: certificate chain of this aggregator, PEM. Read again when it changes.
    pub certificate: PathBuf,
    /// `files`: its private key, PEM.
    pub key: PathBuf,
    /// `files`: the CA certificates that agents' certificates must come from, PEM.
    pub client_ca: PathBuf,
    /// `issued`, outside Kubernetes: directory of the CA, `ca.crt` and `ca.key`; made when missing.
    pub ca_dir: PathBuf,
    /// `issued`, in Kubernetes: the Secret with the CA (`tls.crt`, `tls.key`), as namespace/name; made when missing.
    pub ca_secret: String,
    /// `issued`, in Kubernetes: the ConfigMap whose `ca.crt` agents check this aggregator with, as namespace/name; kept
    /// up to date. Empty: none is written.
    pub ca_config_map: String,
    /// `issued`: DNS names and addresses by which agents and people reach this aggregator; `localhost`, `127.0.0.1` and
    /// `::1` are always among them.
    pub names: Vec<String>,
    /// `issued`: hours that a certificate is valid, 0.1 (six minutes) at least. It is renewed after two thirds of them; of
    /// minutes, after half.
    #[schemars(range(min = 0.1, max = 8_760.0))]
    pub lifetime_h: f64,
    /// `issued`: the audience of the service account tokens that agents enrol with.
    pub enrol_audience: String,
    /// `issued`: the service accounts whose pods may enrol as agents, as namespace/name.
    pub enrol_service_accounts: Vec<String>,
}

/// Where certificates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Plain text; both listeners must be on loopback.
    None,
    /// The files `certificate`, `key` and `client_ca`, e.g. from cert-manager. An agent's certificate must carry
    /// `spiffe://wake/node/NODE` as a URI name.
    Files,
    /// This aggregator has a CA, gives itself a certificate, and gives agents theirs when they enrol.
    Issued,
}

/// Who may ask on `api.listen`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// How callers prove who they are, always by `Authorization: Bearer`.
    pub mode: AuthMode,
    /// `tokens`: the file that names each token's holder and namespaces. Read again when it changes.
    pub token_file: PathBuf,
    /// `kubernetes`: audiences that a token must have one of; the API server's own when empty.
    pub audiences: Vec<String>,
    /// `kubernetes`: seconds that an answer of the API server about a token or its rights is used again.
    #[schemars(range(min = 1, max = 600))]
    pub cache_s: u32,
    /// Whether `/metrics` on `api.listen` answers without a token. It holds no workload's data, only figures about the
    /// aggregator itself.
    pub open_metrics: bool,
}

/// How callers prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// Nobody is asked, everybody sees everything; `api.listen` must be on loopback.
    None,
    /// By the tokens of `token_file`.
    Tokens,
    /// By Kubernetes: TokenReview, then SubjectAccessReview for `get pods/log` in each namespace; who may do so in the
    /// whole cluster is an operator.
    Kubernetes,
}

/// Metrics and health apart from the API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Address of a further HTTP endpoint, host:port, in plain text and for everybody: /metrics, /healthz, /readyz; no
    /// workload's data. Without it they are on `api.listen` alone.
    pub listen: String,
}

/// The record of who asked what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// Whether it is written; by default it is whenever `auth.mode` is not `none`.
    pub enabled: Option<bool>,
    /// The file, one JSON object per line; `audit.log` in `data_dir` when empty.
    pub file: PathBuf,
    /// MiB after which the file is set aside and a new one begun.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_mib: u64,
    /// Files set aside that are kept; the oldest goes.
    #[schemars(range(min = 1, max = 1_000))]
    pub keep: u32,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            mode: TlsMode::None,
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            client_ca: PathBuf::new(),
            ca_dir: PathBuf::new(),
            ca_secret: String::new(),
            ca_config_map: String::new(),
            names: Vec::new(),
            lifetime_h: 24.0,
            enrol_audience: String::from("wake-aggregator"),
            enrol_service_accounts: Vec::new(),
        }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        let (mode, token_file, audiences) = (AuthMode::None, PathBuf::new(), Vec::new());
        Self { mode, token_file, audiences, cache_s: 30, open_metrics: false }
    }
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { enabled: None, file: PathBuf::new(), max_mib: 64, keep: 4 }
    }
}

impl TlsConfig {
    /// What is missing for its mode.
    fn problems(&self, found: &mut Vec<ConfigError>) {
        let mut need = |key: &str, is_given: bool, what: &str| {
            if !is_given {
                found.push(ConfigError::new(format!("tls.{key}"), format!("is empty; {what}")));
            }
        };
        match self.mode {
            TlsMode::None => {}
            TlsMode::Files => {
                for (key, path) in
                    [("certificate", &self.certificate), ("key", &self.key), ("client_ca", &self.client_ca)]
                {
                    need(key, !path.as_os_str().is_empty(), "tls.mode: files needs it");
                }
            }
            TlsMode::Issued => {
                let (in_dir, in_secret) = (!self.ca_dir.as_os_str().is_empty(), !self.ca_secret.is_empty());
                need("ca_secret", in_dir || in_secret, "tls.mode: issued needs it, or tls.ca_dir");
                need(
                    "enrol_service_accounts",
                    !in_secret || !self.enrol_service_accounts.is_empty(),
                    "with tls.ca_secret: agents could not enrol",
                );
                if in_dir && in_secret {
                    found.push(ConfigError::new("tls.ca_dir", "and tls.ca_secret: the CA has one place"));
                }
            }
        }
        let names = [("ca_secret", &self.ca_secret), ("ca_config_map", &self.ca_config_map)];
        let accounts = self.enrol_service_accounts.iter().map(|name| ("enrol_service_accounts", name));
        for (key, name) in names.into_iter().chain(accounts) {
            if !name.is_empty() && split(name).is_none() {
                let message = format!("{name:?} is not namespace/name");
                found.push(ConfigError::new(format!("tls.{key}"), message));
            }
        }
    }
}

/// `namespace/name`.
pub(crate) fn split(name: &str) -> Option<(&str, &str)> {
    name.split_once('/')
        .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/'))
}

/// What of who may connect and ask contradicts itself, or leaves a door open.
pub(super) fn problems(
    (ingest, api): (&str, &str),
    tls: &TlsConfig,
    auth: &AuthConfig,
    admin: &AdminConfig,
) -> Vec<ConfigError> {
    let mut found = Vec::new();
    tls.problems(&mut found);
    let open = |address: &str| address.parse::<SocketAddr>().is_ok_and(|at| !at.ip().is_loopback());
    if open(ingest) && tls.mode == TlsMode::None {
        let message = "is not on loopback, where everybody could send and read: set tls.mode";
        found.push(ConfigError::new("ingest.listen", message));
    }
    if open(api) && (tls.mode == TlsMode::None || auth.mode == AuthMode::None) {
        let message = "is not on loopback, where everybody could ask and read: set tls.mode and auth.mode";
        found.push(ConfigError::new("api.listen", message));
    }
    if !admin.listen.is_empty()
        && let Err(error) = admin.listen.parse::<SocketAddr>()
    {
        let message = format!("{:?} is no address and port: {error}", admin.listen);
        found.push(ConfigError::new("admin.listen", message));
    }
    if auth.mode == AuthMode::Tokens && auth.token_file.as_os_str().is_empty() {
        found.push(ConfigError::new("auth.token_file", "is empty; auth.mode: tokens needs it"));
    }
    found
}
