//! Certificates and keys from PEM, given as text or as files.

use std::path::Path;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// The most bytes of a file of certificates.
const MOST_BYTES: u64 = 4 << 20;

/// Every certificate of a PEM text; at least one.
///
/// # Errors
/// If there is none, or one is no PEM.
pub fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |why: String| TlsError::Pem { what: what.to_owned(), why };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| bad(error.to_string()))?;
    if found.is_empty() {
        return Err(bad(String::from("no certificate in PEM")));
    }
    Ok(found)
}

/// The private key of a PEM text.
///
/// # Errors
/// If there is none.
pub fn key(what: &str, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| TlsError::Pem { what: what.to_owned(), why: error.to_string() })
}

/// A file's bytes.
///
/// # Errors
/// If it cannot be read, or is far too long for what it should be.
pub fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MOST_BYTES {
        let why = format!("{bytes} bytes; at most {MOST_BYTES} are read");
        return Err(TlsError::Pem { what: path.display().to_string(), why });
    }
    std::fs::read(path).map_err(failed)
}

/// DER as PEM.
pub fn encode(label: &str, der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

#[cfg(test)]
mod tests {
    use super::{certificates, encode};

    #[test]
    fn what_is_encoded_is_read_again() {
        for length in 1..200_usize {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
            let read = certificates("test", encode("CERTIFICATE", &bytes).as_bytes()).unwrap();
            assert_eq!(read[0].as_ref(), bytes, "{length}");
        }
        assert!(certificates("test", b"no PEM").is_err());
    }
}
