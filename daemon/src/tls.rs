//! TLS as Wake's programs speak it: certificates that change without a restart, and names of nodes in them.
//!
//! `pem` reads files; `certificate` says what a certificate is and for whom; `server` holds what new connections are
//! served with; `accept` turns a listener into finished connections, plain or TLS, of bounded number.
//! One provider of cryptography: ring.

pub mod accept;
pub mod certificate;
pub mod pem;
mod places;
pub mod server;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// What a URI name of an agent's certificate begins with; the node's name follows.
pub const NODE_URI: &str = "spiffe://wake/node/";

/// The cryptography of this process.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Makes it that of libraries which ask for the process's own. May be called more than once.
pub fn install() {
    // the first call wins, and all calls give the same
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A text holds no such thing in PEM.
    #[error("{what}: {why}")]
    Pem {
        /// What was looked for, and where.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// Certificate, key and CA do not go together.
    #[error("use {what}: {why}")]
    Material {
        /// What.
        what: &'static str,
        /// Why not.
        why: String,
    },
}
