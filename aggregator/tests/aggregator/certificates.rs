//! Certificates of a test's own making: a CA, a server, agents; valid, expired, not valid yet.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use proto::v1::AgentMessage;
use proto::v1::agent_message::Kind;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::agent::{Agent, hello};
use crate::server::now_ns;

const HOUR_S: i64 = 3_600;

/// A CA.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// From and until when, hours from now.
fn valid(params: &mut CertificateParams, (from_h, to_h): (i64, i64)) {
    let now_s = i64::try_from(now_ns() / 1_000_000_000).unwrap();
    let at = |hours: i64| {
        let seconds = u64::try_from(now_s + hours * HOUR_S).unwrap();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    (params.not_before, params.not_after) = (at(from_h), at(to_h));
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        valid(&mut params, (-24, 24));
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, mut params: CertificateParams, hours: (i64, i64)) -> Pair {
        valid(&mut params, hours);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    pub(crate) fn server(&self) -> Pair {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, (-1, 1))
    }

    /// With this URI as its name.
    pub(crate) fn agent(&self, uri: &str, hours: (i64, i64)) -> Pair {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.to_owned().try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, hours)
    }

    pub(crate) fn node(&self, node: &str) -> Pair {
        self.agent(&format!("spiffe://wake/node/{node}"), (-1, 1))
    }
}

/// Replaces a file as a whole.
pub(crate) fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Where an agent connects to, what it trusts and what it shows.
pub(crate) fn endpoint(address: SocketAddr, ca: &str, own: Option<&Pair>) -> Endpoint {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name("localhost");
    if let Some(Pair { certificate, key }) = own {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint: Endpoint = format!("https://{address}").parse().unwrap();
    endpoint.tls_config(tls).unwrap()
}

/// Connects and says hello for this node; an error when either is refused.
pub(crate) async fn connect(
    address: SocketAddr,
    ca: &str,
    own: Option<&Pair>,
    node: &str,
) -> Result<Agent, String> {
    let channel = endpoint(address, ca, own).connect().await.map_err(|error| format!("{error:?}"))?;
    let first = AgentMessage { kind: Some(Kind::Hello(hello(node))) };
    Agent::over(channel, first, node).await.map_err(|status| format!("{status:?}"))
}
