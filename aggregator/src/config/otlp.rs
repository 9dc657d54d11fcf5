//! `otlp:` what applications send, and who may.

use std::net::SocketAddr;
use std::path::PathBuf;

use daemon::config::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::security::{AuthMode, TlsMode, split};

/// What applications send over OTLP: logs and traces. By default in plain text and without asking who they are, so both
/// addresses are on loopback; beyond it with `tls` and `auth`, or where something else keeps strangers out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// Address of OTLP/gRPC, host:port, or `off`. The default address is done without if another program has it.
    pub grpc_listen: String,
    /// Address of OTLP/HTTP, host:port, or `off`. The default address is done without if another program has it.
    pub http_listen: String,
    /// The largest request, unpacked, MiB; a larger one is refused (`too_large`).
    #[schemars(range(min = 1, max = 64))]
    pub max_request_mib: u32,
    /// Whether OTLP comes in over TLS, with the certificate of `tls`.
    pub tls: bool,
    /// Who may send.
    pub auth: OtlpAuth,
    /// Whether to listen beyond loopback although OTLP comes in plain text, or nobody is asked who sends and for whom.
    pub accept_from_anyone: bool,
}

/// Who may send over OTLP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpAuth {
    /// How senders prove who they are, by `Authorization: Bearer TOKEN`. With `kubernetes` a service account sends for its
    /// own namespace; with `tokens` each token for the namespaces of its file, an operator's for all.
    pub mode: AuthMode,
    /// `tokens`: the file, as that of `auth.token_file`. Read again when it changes.
    pub token_file: PathBuf,
    /// `kubernetes`: audiences that a token must have one of; the API server's own when empty.
    pub audiences: Vec<String>,
    /// `kubernetes`: service accounts that may send for every namespace, `namespace/name`.
    pub collectors: Vec<String>,
    /// `kubernetes`: seconds that an answer of the API server about a token is used again.
    #[schemars(range(min = 1, max = 600))]
    pub cache_s: u32,
}

impl Otlp {
    /// What an address says when nothing shall listen.
    pub const OFF: &str = "off";

    pub(super) fn problems(&self, tls: TlsMode) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        let Self { grpc_listen, http_listen, auth, .. } = self;
        let is_guarded = self.tls && auth.mode != AuthMode::None;
        for (path, text) in [("otlp.grpc_listen", grpc_listen), ("otlp.http_listen", http_listen)] {
            if text == Self::OFF {
                continue;
            }
            match text.parse::<SocketAddr>() {
                Ok(at) if at.ip().is_loopback() || is_guarded || self.accept_from_anyone => {}
                Ok(_) => {
                    let detail = "is not on loopback, where everybody could read and send: set otlp.tls and \
                                  otlp.auth.mode, or see otlp.accept_from_anyone";
                    problems.push(ConfigError::new(path, detail));
                }
                Err(error) => {
                    let detail = format!("{text:?} is neither `off` nor an address and port: {error}");
                    problems.push(ConfigError::new(path, detail));
                }
            }
        }
        if self.tls && tls == TlsMode::None {
            problems.push(ConfigError::new("otlp.tls", "needs a certificate: set tls.mode"));
        }
        if auth.mode == AuthMode::Tokens && auth.token_file.as_os_str().is_empty() {
            let detail = "is empty; otlp.auth.mode: tokens needs it";
            problems.push(ConfigError::new("otlp.auth.token_file", detail));
        }
        for name in auth.collectors.iter().filter(|name| split(name).is_none()) {
            let detail = format!("{name:?} is not namespace/name");
            problems.push(ConfigError::new("otlp.auth.collectors", detail));
        }
        problems
    }
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            grpc_listen: String::from("127.0.0.1:4317"),
            http_listen: String::from("127.0.0.1:4318"),
            max_request_mib: 16,
            tls: false,
            auth: OtlpAuth::default(),
            accept_from_anyone: false,
        }
    }
}

impl Default for OtlpAuth {
    fn default() -> Self {
        let (audiences, collectors) = (Vec::new(), Vec::new());
        Self { mode: AuthMode::None, token_file: PathBuf::new(), audiences, collectors, cache_s: 60 }
    }
}
