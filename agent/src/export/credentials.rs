//! What the agent proves itself with to the aggregator, and checks the aggregator with.
//!
//! `none`: plain text. `files`: a certificate that others renew. `enrol`: the agent makes a key, gets a certificate for
//! its service account token, keeps both below the state directory, and gets the next one after two thirds of its life.
//! A new certificate is announced; the client then finishes what is in flight and connects anew.

mod enrol;
mod kept;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::shutdown::Token;
use daemon::tls::certificate::Described;
use daemon::tls::{TlsError, pem};
use tokio::sync::watch;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::config::tls::{TlsConfig, TlsMode};
use crate::metrics::export::ExportMetrics;
use kept::Kept;

/// How often it is looked whether a certificate is to be replaced.
const LOOK: Duration = Duration::from_secs(5);
/// Between two attempts to enrol.
const PAUSE: Duration = Duration::from_secs(10);
/// After so many streams that never began, a certificate that looks good is replaced all the same.
const DOUBTS: u32 = 3;

/// Why there is nothing to connect with.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read, or is none.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Certificate and key do not go together, or the CA is none.
    #[error("set up TLS")]
    Setup(#[source] tonic::transport::Error),
    /// A key or a request for a certificate cannot be made.
    #[error("make a key: {0}")]
    Key(String),
    /// The aggregator cannot be reached for it.
    #[error("connect to enrol")]
    Connect(#[source] tonic::transport::Error),
    /// The aggregator refused.
    #[error("enrol: {0}")]
    Refused(String),
    /// What was answered is not for us.
    #[error(
        "the token is of node {token:?}, this agent calls itself {own:?}: set node.name to the node's name"
    )]
    OtherNode {
        /// The token's.
        token: String,
        /// Ours.
        own: String,
    },
    /// Not tried again yet.
    #[error("no certificate yet; the last attempt to enrol failed a moment ago: {0}")]
    Waiting(String),
}

/// Clones share it.
#[derive(Clone, Debug)]
pub struct Credentials(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: TlsConfig,
    endpoint: Endpoint,
    node: String,
    path: PathBuf,
    clock: Clock,
    health: Health,
    metrics: ExportMetrics,
    state: Mutex<State>,
    /// One attempt at a time.
    enrolling: tokio::sync::Mutex<()>,
    renewed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    doubts: u32,
    /// On the clock's monotonic scale.
    last_attempt: Option<Duration>,
    last_error: String,
}

/// What it is built from.
#[derive(Debug)]
pub struct Deps {
    /// Where to.
    pub endpoint: Endpoint,
    /// Who we are.
    pub node: String,
    /// Where an enrolled certificate is kept.
    pub state_dir: PathBuf,
    /// Time.
    pub clock: Clock,
    /// `/readyz` says when there is no certificate.
    pub health: Health,
    /// Expiry, enrolments.
    pub metrics: ExportMetrics,
}

impl Credentials {
    /// Reads what was kept; asks nobody.
    pub fn new(config: TlsConfig, deps: Deps) -> Self {
        let Deps { endpoint, node, state_dir, clock, health, metrics } = deps;
        if config.mode != TlsMode::None {
            daemon::tls::install();
        }
        let path = state_dir.join("tls/agent.pem");
        let kept = match config.mode {
            TlsMode::Enrol => Kept::read(&path).filter(|kept| kept.described.node.as_deref() == Some(&node)),
            TlsMode::None | TlsMode::Files => None,
        };
        if let Some(kept) = &kept {
            metrics.certificate(&kept.described);
        }
        let state = Mutex::new(State { kept, ..State::default() });
        let (enrolling, renewed) = (tokio::sync::Mutex::new(()), watch::Sender::new(0));
        Self(Arc::new(Shared {
            config,
            endpoint,
            node,
            path,
            clock,
            health,
            metrics,
            state,
            enrolling,
            renewed,
        }))
    }

    /// Changes when there is a new certificate.
    pub fn renewed(&self) -> watch::Receiver<u64> {
        self.0.renewed.subscribe()
    }

    /// What to connect with now. Enrols when there is no certificate.
    ///
    /// # Errors
    /// If there is none, or files cannot be used.
    pub async fn endpoint(&self) -> Result<Endpoint, CredentialsError> {
        let shared = &self.0;
        let endpoint = shared.endpoint.clone();
        let identity = match shared.config.mode {
            TlsMode::None => return Ok(endpoint),
            TlsMode::Files => self.of_files()?,
            TlsMode::Enrol => {
                if self.is_lacking()
                    && let Err(error) = self.enrol().await
                    && !self.is_valid()
                {
                    return Err(error);
                }
                let state = self.state();
                let Some(kept) = &state.kept else {
                    return Err(CredentialsError::Waiting(state.last_error.clone()));
                };
                Identity::from_pem(kept.chain.clone(), kept.key.clone())
            }
        };
        endpoint.tls_config(self.trust()?.identity(identity)).map_err(CredentialsError::Setup)
    }

    /// A stream never began: what we prove ourselves with may be the reason.
    pub fn doubt(&self) {
        self.state().doubts += 1;
    }

    /// A stream was answered.
    pub fn trusted(&self) {
        self.state().doubts = 0;
    }

    /// Replaces certificates before they expire, and announces it; until the token's phase begins.
    pub async fn keep(self, token: Token) {
        if self.0.config.mode == TlsMode::None {
            return;
        }
        let mut seen = self.versions();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = token.stopped() => return,
            }
            match self.0.config.mode {
                TlsMode::None => return,
                TlsMode::Files => {
                    let versions = self.versions();
                    // a pair that is half written does not go together: it is looked at again
                    if versions != seen && self.of_files().is_ok() {
                        seen = versions;
                        self.announce();
                    }
                }
                TlsMode::Enrol => {
                    // between two attempts the old one is kept, and still due
                    if self.is_due() && self.enrol().await.is_ok() && !self.is_due() {
                        self.announce();
                    }
                }
            }
        }
    }

    fn announce(&self) {
        tracing::info!("new certificate");
        self.0.renewed.send_modify(|version| *version += 1);
    }

    /// How the aggregator is checked.
    fn trust(&self) -> Result<ClientTlsConfig, CredentialsError> {
        let TlsConfig { ca, server_name, .. } = &self.0.config;
        let text = pem::read(ca)?;
        pem::certificates(&ca.display().to_string(), &text)?;
        let mut trust = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(text));
        if let Some(kept) = &self.state().kept {
            trust = trust.ca_certificate(Certificate::from_pem(kept.ca.clone()));
        }
        Ok(if server_name.is_empty() { trust } else { trust.domain_name(server_name.clone()) })
    }

    fn of_files(&self) -> Result<Identity, CredentialsError> {
        let TlsConfig { certificate, key, .. } = &self.0.config;
        let (chain, secret) = (pem::read(certificate)?, pem::read(key)?);
        let read = pem::certificates(&certificate.display().to_string(), &chain)?;
        pem::key(&key.display().to_string(), &secret)?;
        if let Some(Ok(described)) = read.first().map(Described::of) {
            self.0.metrics.certificate(&described);
        }
        Ok(Identity::from_pem(chain, secret))
    }

    fn versions(&self) -> Vec<Option<(std::time::SystemTime, u64)>> {
        let TlsConfig { certificate, key, .. } = &self.0.config;
        let version = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        [certificate, key].into_iter().map(version).collect()
    }

    /// Whether there is a certificate that has not expired.
    fn is_valid(&self) -> bool {
        let (state, now_s) = (self.state(), self.now_s());
        state.kept.as_ref().is_some_and(|kept| kept.described.not_after_s > now_s)
    }

    /// Whether there is none, or one that seems not to be accepted.
    fn is_lacking(&self) -> bool {
        !self.is_valid() || self.state().doubts >= DOUBTS
    }

    /// Whether it is time for the next one.
    fn is_due(&self) -> bool {
        let (state, now_s) = (self.state(), self.now_s());
        state.kept.as_ref().is_some_and(|kept| kept.described.renew_at_s() <= now_s)
    }

    /// Gets a certificate, at most one attempt per pause.
    async fn enrol(&self) -> Result<(), CredentialsError> {
        let shared = &self.0;
        let _one = shared.enrolling.lock().await;
        let now = shared.clock.monotonic();
        {
            let mut state = self.state();
            if state.last_attempt.is_some_and(|last| now.saturating_sub(last) < PAUSE) {
                // a certificate that is doubted is still better than none
                return match state.kept {
                    Some(_) => Ok(()),
                    None => Err(CredentialsError::Waiting(state.last_error.clone())),
                };
            }
            state.last_attempt = Some(now);
        }
        let trust = self.trust()?;
        match enrol::enrol(&shared.config, &shared.endpoint, trust, &shared.node).await {
            Ok(kept) => {
                if let Err(error) = kept.write(&shared.path) {
                    tracing::warn!(%error, "certificate not kept: the next start enrols anew");
                }
                shared.metrics.enrolments.inc();
                shared.metrics.certificate(&kept.described);
                shared.health.forget("tls");
                tracing::info!(not_after_s = kept.described.not_after_s, "enrolled");
                *self.state() = State { kept: Some(kept), last_attempt: Some(now), ..State::default() };
                Ok(())
            }
            Err(error) => {
                let text = daemon::log::chain(&error);
                shared.metrics.enrolment_errors.inc();
                shared.health.note("tls", format!("no new certificate: {text}"));
                self.state().last_error = text;
                Err(error)
            }
        }
    }

    fn now_s(&self) -> i64 {
        i64::try_from(self.0.clock.now_unix_ns() / 1_000_000_000).unwrap_or(i64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
