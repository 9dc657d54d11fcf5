//! The CA: signs this aggregator's certificate and those of agents. Names in them are given here, never taken from a
//! request.

use std::net::IpAddr;
use std::time::Duration;

use daemon::tls::certificate::{Described, is_name};
use daemon::tls::{NODE_URI, pem};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// How long a CA is valid that was made here: ten years.
const CA_LIFE_S: i64 = 10 * 365 * 86_400;
/// Certificates are valid from a while ago: clocks differ. Of a short life at most half of it, or the time to renew,
/// which counts from there, would be over at once.
const BEFORE_S: i64 = 300;
/// The longest request for a certificate, bytes.
const MOST_CSR_BYTES: usize = 16 << 10;

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaError {
    #[error("the CA's certificate or key cannot be used: {0}")]
    Unusable(String),
    #[error("the CA expires at Unix time {0}, before any certificate of it would")]
    Expired(i64),
    #[error("sign a certificate: {0}")]
    Sign(String),
    #[error("the request for a certificate cannot be understood: {0}")]
    Request(String),
    #[error("{0:?} is no node's name")]
    Name(String),
}

/// A CA's certificates and key, as they are kept.
#[derive(Clone)]
pub(crate) struct Kept {
    /// PEM; the first signs, all are trusted.
    pub(crate) certificates: String,
    /// PEM.
    pub(crate) key: String,
}

/// A CA.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificates: Vec<CertificateDer<'static>>,
    pem: String,
    not_after_s: i64,
    life_s: i64,
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ca").field("not_after_s", &self.not_after_s).finish_non_exhaustive()
    }
}

/// A certificate that was made.
#[derive(Debug)]
pub(crate) struct Issued {
    /// It alone: agents have the CA already.
    pub(crate) certificate: CertificateDer<'static>,
    /// Until when it is valid, Unix seconds.
    pub(crate) not_after_s: i64,
}

/// A new CA.
///
/// # Errors
/// If there is no randomness.
pub(crate) fn make(now_s: i64) -> Result<Kept, CaError> {
    let sign = |error: rcgen::Error| CaError::Sign(error.to_string());
    let key = KeyPair::generate().map_err(sign)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = named("wake CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut params, now_s - BEFORE_S, now_s + CA_LIFE_S);
    let certificate = params.self_signed(&key).map_err(sign)?;
    Ok(Kept { certificates: certificate.pem(), key: key.serialize_pem() })
}

impl Ca {
    /// `life_s` is how long its certificates are valid.
    ///
    /// # Errors
    /// If certificate and key are none.
    pub(crate) fn new(kept: &Kept, life_s: i64) -> Result<Self, CaError> {
        let bad = |why: String| CaError::Unusable(why);
        let certificates = pem::certificates("the CA", kept.certificates.as_bytes());
        let certificates = certificates.map_err(|error| bad(error.to_string()))?;
        let key = KeyPair::from_pem(&kept.key).map_err(|error| bad(format!("key: {error}")))?;
        let first = certificates.first().ok_or_else(|| bad(String::from("no certificate")))?;
        let described = Described::of(first).map_err(|error| bad(error.to_string()))?;
        let issuer = Issuer::from_ca_cert_der(first, key).map_err(|error| bad(error.to_string()))?;
        let (pem, not_after_s) = (kept.certificates.clone(), described.not_after_s);
        Ok(Self { issuer, certificates, pem, not_after_s, life_s })
    }

    /// Every certificate that is trusted, PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Every certificate that is trusted.
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// A certificate of this aggregator, with a new key.
    ///
    /// # Errors
    /// If a name is none, or the CA has expired.
    pub(crate) fn server(
        &self,
        names: &[String],
        now_s: i64,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), CaError> {
        let sign = |error: rcgen::Error| CaError::Sign(error.to_string());
        let all = ["localhost", "127.0.0.1", "::1"].into_iter().chain(names.iter().map(String::as_str));
        let mut params = CertificateParams::default();
        for name in all {
            let name = match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.to_owned().try_into().map_err(sign)?),
            };
            if !params.subject_alt_names.contains(&name) {
                params.subject_alt_names.push(name);
            }
        }
        params.distinguished_name = named("wake-aggregator");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let not_after_s = self.life(&mut params, now_s)?;
        tracing::info!(not_after_s, "certificate made for this aggregator");
        let key = KeyPair::generate().map_err(sign)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(sign)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((certificate.der().clone(), key))
    }

    /// A certificate for a node's agent: the key is the request's, everything else is decided here.
    ///
    /// # Errors
    /// If the request is none or not signed by its key, the name is none, or the CA has expired.
    pub(crate) fn agent(&self, csr: &[u8], node: &str, now_s: i64) -> Result<Issued, CaError> {
        let sign = |error: rcgen::Error| CaError::Sign(error.to_string());
        if csr.len() > MOST_CSR_BYTES {
            return Err(CaError::Request(format!("{} bytes; at most {MOST_CSR_BYTES}", csr.len())));
        }
        if !is_name(node) {
            return Err(CaError::Name(node.to_owned()));
        }
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr));
        let request = request.map_err(|error| CaError::Request(error.to_string()))?;
        let mut params = CertificateParams::default();
        let uri = format!("{NODE_URI}{node}").try_into().map_err(sign)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.distinguished_name = named("wake-agent");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let not_after_s = self.life(&mut params, now_s)?;
        let certificate = params.signed_by(&request.public_key, &self.issuer).map_err(sign)?;
        Ok(Issued { certificate: certificate.der().clone(), not_after_s })
    }

    /// No certificate outlives its CA.
    fn life(&self, params: &mut CertificateParams, now_s: i64) -> Result<i64, CaError> {
        let not_after_s = now_s.saturating_add(self.life_s).min(self.not_after_s);
        if not_after_s <= now_s {
            return Err(CaError::Expired(self.not_after_s));
        }
        valid(params, now_s - BEFORE_S.min((not_after_s - now_s) / 2), not_after_s);
        Ok(not_after_s)
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn valid(params: &mut CertificateParams, from_s: i64, to_s: i64) {
    let at = |seconds: i64| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    };
    (params.not_before, params.not_after) = (at(from_s), at(to_s));
}

#[cfg(test)]
mod tests;
