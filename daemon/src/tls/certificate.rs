//! What a certificate says: whose it is, from when and until when.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{NODE_URI, TlsError};

/// The most bytes of a node's name.
const MOST_NAME_BYTES: usize = 253;

/// A certificate in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its subject.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Its DNS names, addresses and URIs.
    pub names: Vec<String>,
    /// The node whose agent it is; `None` where it is nobody's, or names more than one.
    pub node: Option<String>,
    /// From when it is valid, Unix seconds.
    pub not_before_s: i64,
    /// Until when, Unix seconds.
    pub not_after_s: i64,
}

impl Described {
    /// Reads a certificate.
    ///
    /// # Errors
    /// If it is none.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, TlsError> {
        let bad = |why: String| TlsError::Material { what: "certificate", why };
        let (_, read) = X509Certificate::from_der(der).map_err(|error| bad(error.to_string()))?;
        let extension = read.subject_alternative_name().map_err(|error| bad(error.to_string()))?;
        let mut names = Vec::new();
        let mut nodes = Vec::new();
        for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::URI(uri) => {
                    nodes.extend(uri.strip_prefix(NODE_URI).map(str::to_owned));
                    names.push((*uri).to_owned());
                }
                GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                _ => {}
            }
        }
        let node = match nodes.as_slice() {
            [node] if is_name(node) => Some(node.clone()),
            _ => None,
        };
        Ok(Self {
            subject: read.subject().to_string(),
            issuer: read.issuer().to_string(),
            names,
            node,
            not_before_s: read.validity().not_before.timestamp(),
            not_after_s: read.validity().not_after.timestamp(),
        })
    }

    /// When it should be replaced: after two thirds of its life, Unix seconds.
    pub fn renew_at_s(&self) -> i64 {
        let life = self.not_after_s.saturating_sub(self.not_before_s).max(0);
        self.not_before_s.saturating_add(life / 3 * 2)
    }
}

/// Whether a text may be a node's name, as Kubernetes and hosts have them.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MOST_NAME_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(bytes).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())
}
