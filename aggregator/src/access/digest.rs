//! SHA-256, from the cryptography that TLS brings along. What is kept of a token is this.

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

use crate::access::Token;

/// What stands for a token.
pub(crate) type Digest = [u8; 32];

/// SHA-256 of a token.
pub(crate) fn of(token: &Token) -> Digest {
    sha256(token.secret().as_bytes())
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let mut digest = Digest::default();
    if let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 {
        let made = suite.common.hash_provider.hash(bytes);
        digest.copy_from_slice(made.as_ref());
    }
    digest
}

/// As hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{hex, sha256};

    #[test]
    fn it_is_sha256() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(b"abc")), known);
    }
}
