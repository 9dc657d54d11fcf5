//! How `wake` proves who asks, and checks whom it asks.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use reqwest::{Certificate, ClientBuilder, Url};

/// A token, and the CA of the aggregator's certificate.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Access {
    /// Token to ask with; --token-file keeps it out of the list of processes
    #[arg(long, env = "WAKE_TOKEN", hide_env_values = true, global = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// File that holds the token
    #[arg(long, env = "WAKE_TOKEN_FILE", global = true, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// CA certificates (PEM) that an https aggregator's certificate must come from; else the system's
    #[arg(long, env = "WAKE_CA", global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The same, as the cluster says it.
    #[arg(skip)]
    pub(crate) ca_pem: Option<String>,
}

impl Access {
    /// The token, if there is one and it may be sent to this server.
    pub(crate) fn token_for(&self, server: &str) -> Result<Option<String>> {
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(path)) => std::fs::read_to_string(path)
                .with_context(|| format!("read the token in {}", path.display()))?,
            (None, None) => return Ok(None),
        };
        let token = token.trim().to_owned();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!("the token is empty, or has what no token has: spaces, line ends, letters beyond ASCII");
        }
        if !is_private(server) {
            bail!("{server} is reached in plain text, where everybody could read the token: use https://");
        }
        Ok(Some(token))
    }

    /// Adds the CA.
    pub(crate) fn trust(&self, builder: ClientBuilder) -> Result<ClientBuilder> {
        // there is one provider; a second call changes nothing
        drop(rustls::crypto::ring::default_provider().install_default());
        let (pem, place) = match (&self.ca, &self.ca_pem) {
            (Some(path), _) => {
                let pem = std::fs::read(path);
                let pem = pem.with_context(|| format!("read the CA in {}", path.display()))?;
                (pem, path.display().to_string())
            }
            (None, Some(pem)) => (pem.clone().into_bytes(), String::from("the cluster's ConfigMap")),
            (None, None) => return Ok(builder),
        };
        let certificates =
            Certificate::from_pem_bundle(&pem).with_context(|| format!("read the CA in {place}"))?;
        if certificates.is_empty() {
            bail!("{place} holds no certificate in PEM");
        }
        Ok(builder.tls_certs_only(certificates))
    }
}

/// Whether nobody on the way can read along.
fn is_private(server: &str) -> bool {
    let Ok(url) = Url::parse(server) else { return true };
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || is_here
}

#[cfg(test)]
mod tests {
    use super::Access;

    #[test]
    fn a_token_is_not_sent_in_plain_text_to_others() {
        let access = Access { token: Some(String::from(" abc\n")), ..Access::default() };
        for server in
            ["http://127.0.0.1:9401", "http://localhost:1", "https://wake.example", "http://[::1]:1"]
        {
            assert_eq!(access.token_for(server).unwrap().as_deref(), Some("abc"), "{server}");
        }
        assert!(access.token_for("http://wake.example:9401").is_err());
        let bad = Access { token: Some(String::from("a b")), ..Access::default() };
        assert!(bad.token_for("https://wake.example").is_err());
    }
}
