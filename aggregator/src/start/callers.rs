//! Who may ask, send and enrol, made from the config: each way of proving it, and the client for the API server that
//! some need.

use std::time::Duration;

use anyhow::Context as _;
use daemon::clock::Clock;

use crate::access::Access;
use crate::access::kubernetes::Reviews;
use crate::access::tokens::TokenFile;
use crate::config::security::{AuthMode, TlsConfig, TlsMode};
use crate::config::{Config, Enabled, Kubernetes};
use crate::ingest::enrol::{self, Enroller};
use crate::ingest::otlp::senders::Senders;
use crate::kube;
use crate::tls::Tls;

/// A client for the API server, if certificates need one.
pub(crate) async fn client_for(config: &Config) -> anyhow::Result<Option<::kube::Client>> {
    let TlsConfig { mode, ca_secret, enrol_service_accounts, .. } = &config.tls;
    let is_needed = !ca_secret.is_empty() || !enrol_service_accounts.is_empty();
    Ok(if *mode == TlsMode::Issued && is_needed { Some(client(config).await?) } else { None })
}

/// Where agents get their certificates, if from here.
pub(crate) fn enroller(
    config: &Config,
    tls: Option<&Tls>,
    client: Option<::kube::Client>,
    clock: &Clock,
) -> Option<Enroller> {
    let (tls, client) = (tls?, client?);
    // each token is looked at once, for a certificate: no answer is used again
    let reviews = Reviews::new(client.clone(), Vec::new(), Duration::ZERO, clock.clone());
    Some(Enroller::new(enrol::Parts {
        ca: tls.ca.clone()?,
        reviews,
        client,
        audience: config.tls.enrol_audience.clone(),
        accounts: config.tls.enrol_service_accounts.clone(),
        clock: clock.clone(),
        metrics: tls.metrics.clone(),
    }))
}

/// A client for the API server, for what cannot do without.
async fn client(config: &Config) -> anyhow::Result<::kube::Client> {
    let wanted = Kubernetes { enabled: Enabled::On, ..config.kubernetes.clone() };
    let client = kube::connect(&wanted).await.context("reach the Kubernetes API server")?;
    client.context("reach the Kubernetes API server")
}

/// How callers prove who they are.
pub(crate) async fn access(config: &Config, clock: &Clock) -> anyhow::Result<Access> {
    let auth = &config.auth;
    Ok(match auth.mode {
        AuthMode::None => Access::Open,
        AuthMode::Tokens => {
            let opened = TokenFile::open(&auth.token_file, clock.clone());
            let file = auth.token_file.display();
            Access::Tokens(opened.with_context(|| format!("read auth.token_file {file}"))?)
        }
        AuthMode::Kubernetes => {
            let client = client(config).await?;
            let life = Duration::from_secs(u64::from(auth.cache_s));
            Access::Kubernetes(Reviews::new(client, auth.audiences.clone(), life, clock.clone()))
        }
    })
}

/// Who may send over OTLP.
pub(crate) async fn senders(config: &Config, clock: &Clock) -> anyhow::Result<Senders> {
    let auth = &config.otlp.auth;
    Ok(match auth.mode {
        AuthMode::None => Senders::Open,
        AuthMode::Tokens => {
            let opened = TokenFile::open(&auth.token_file, clock.clone());
            let file = auth.token_file.display();
            Senders::Tokens(opened.with_context(|| format!("read otlp.auth.token_file {file}"))?)
        }
        AuthMode::Kubernetes => {
            // answers are kept by `Senders`, for senders alone
            let reviews = Reviews::new(client(config).await?, Vec::new(), Duration::ZERO, clock.clone());
            let life = Duration::from_secs(u64::from(auth.cache_s));
            Senders::accounts(reviews, auth.audiences.clone(), auth.collectors.clone(), life, clock.clone())
        }
    })
}
