//! Certificates: this aggregator's own, which change without a restart, and those that it gives to agents.
//!
//! `ca` signs; `place` keeps the CA (a directory, or a Secret); `renew` replaces what listeners serve with, from files or
//! from the CA, before it expires. Does not: decide who may enrol (`ingest::enrol`).

pub(crate) mod ca;
mod place;
mod renew;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::shutdown::{Phase, Shutdown};
use daemon::tls::accept::OnFailure;
use daemon::tls::pem;
use daemon::tls::server::{Material, ServerTls};

use self::ca::Ca;
use self::renew::{Renewing, Source};
use crate::config::security::{TlsConfig, TlsMode};
use crate::metrics::TlsMetrics;

/// Between two attempts to reach the API server.
const AGAIN: Duration = Duration::from_secs(3);

/// What both listeners speak.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// For agents: gRPC.
    pub(crate) ingest: ServerTls,
    /// For people: HTTP/1.1.
    pub(crate) api: ServerTls,
    /// Where agents get their certificates.
    pub(crate) ca: Option<Arc<Ca>>,
    /// What is counted of handshakes.
    pub(crate) metrics: TlsMetrics,
}

impl Tls {
    /// Reads or makes what the config names, and keeps it up to date until the shutdown. `None` for plain text.
    ///
    /// # Errors
    /// If certificates cannot be read, made, or do not go together.
    pub(crate) async fn start(
        config: &TlsConfig,
        client: Option<kube::Client>,
        clock: &Clock,
        registry: &Registry,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Option<Self>> {
        daemon::tls::install();
        let now_s = unix_s(clock);
        let source = match config.mode {
            TlsMode::None => return Ok(None),
            TlsMode::Files => Source::Files {
                certificate: config.certificate.clone(),
                key: config.key.clone(),
                client_ca: config.client_ca.clone(),
            },
            TlsMode::Issued => {
                let kept = keep_trying(config, client.as_ref(), clock, shutdown).await?;
                Source::Ca { ca: Arc::new(kept), names: config.names.clone() }
            }
        };
        let ca = match &source {
            Source::Ca { ca, .. } => Some(Arc::clone(ca)),
            Source::Files { .. } => None,
        };
        let material = source.material(now_s).context("read or make the certificate")?;
        let metrics = TlsMetrics::register(registry, clock);
        let ingest = ServerTls::new(&material, &["h2"]).context("set up TLS for agents")?;
        // people come with tokens
        let people = Material { client_ca: Vec::new(), ..material };
        let api = ServerTls::new(&people, &["http/1.1"]).context("set up TLS for the API")?;
        let tls = Self { ingest, api, ca, metrics };
        let renewing = Renewing::new(source, &people, tls.clone(), clock.clone());
        tokio::spawn(renewing.run(shutdown.register(Phase::Servers, "certificates")));
        Ok(Some(tls))
    }

    /// Counts a handshake that failed, and says so now and then.
    pub(crate) fn on_failure(&self, listener: &'static str) -> OnFailure {
        let metrics = self.metrics.clone();
        Arc::new(move |reason, detail| {
            if let Some(held_back) = metrics.handshake_failed(reason) {
                tracing::warn!(listener, reason, detail, held_back, "TLS handshake failed");
            }
        })
    }
}

/// While the API server is away the CA is waited for; what is wrong with a CA that was read ends the start.
async fn keep_trying(
    config: &TlsConfig,
    client: Option<&kube::Client>,
    clock: &Clock,
    shutdown: &Shutdown,
) -> anyhow::Result<Ca> {
    loop {
        let failed = match place::ca(config, client, unix_s(clock)).await {
            Ok(ca) => return Ok(ca),
            Err(error) => error.context("read or make the CA"),
        };
        if config.ca_secret.is_empty() || failed.downcast_ref::<ca::CaError>().is_some() {
            return Err(failed);
        }
        tracing::warn!(error = format!("{failed:#}"), "no CA yet, tried again");
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = shutdown.requested() => return Err(failed),
        }
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn unix_s(clock: &Clock) -> i64 {
    i64::try_from(clock.now_unix_ns() / 1_000_000_000).unwrap_or(i64::MAX)
}

/// The certificates of a PEM text.
fn bundle(
    what: &str,
    text: &[u8],
) -> Result<Vec<rustls_pki_types::CertificateDer<'static>>, daemon::tls::TlsError> {
    pem::certificates(what, text)
}
