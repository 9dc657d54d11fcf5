//! What a listener serves new connections with; replaced without a restart, open connections go on as they are.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{TlsError, provider};

/// A certificate, its key, and the CA that clients' certificates must come from.
#[derive(Debug)]
pub struct Material {
    /// The chain, the server's own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// Clients may come without a certificate, but not with one of another CA; nobody is asked without any here.
    pub client_ca: Vec<CertificateDer<'static>>,
}

/// What new connections are served with; clones share it.
#[derive(Clone, Debug)]
pub struct ServerTls {
    protocols: Vec<Vec<u8>>,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl ServerTls {
    /// With these protocols to be agreed on (`h2`, `http/1.1`).
    ///
    /// # Errors
    /// If the parts do not go together.
    pub fn new(material: &Material, protocols: &[&str]) -> Result<Self, TlsError> {
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let config = config(material, &protocols)?;
        Ok(Self { protocols, current: Arc::new(RwLock::new(Arc::new(config))) })
    }

    /// From now on new connections are served with this; on an error with what was before.
    ///
    /// # Errors
    /// If the parts do not go together.
    pub fn replace(&self, material: &Material) -> Result<(), TlsError> {
        let config = Arc::new(config(material, &self.protocols)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// What holds now.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn config(material: &Material, protocols: &[Vec<u8>]) -> Result<ServerConfig, TlsError> {
    let Material { chain, key, client_ca } = material;
    let bad = |what| move |error: rustls::Error| TlsError::Material { what, why: error.to_string() };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(bad("the protocol versions"))?;
    let builder = if client_ca.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for certificate in client_ca {
            roots.add(certificate.clone()).map_err(bad("the clients' CA"))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| TlsError::Material { what: "the clients' CA", why: error.to_string() })?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config = builder
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(bad("the certificate and its key"))?;
    config.alpn_protocols = protocols.to_vec();
    // a resumed session would show a certificate that has been replaced or has expired since
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
