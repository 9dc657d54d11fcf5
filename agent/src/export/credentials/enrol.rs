//! One attempt to get a certificate: a new key, a request signed with it, the token, over TLS that checks the aggregator.

use std::time::Duration;

use daemon::tls::certificate::Described;
use daemon::tls::pem;
use proto::v1::enrolment_client::EnrolmentClient;
use proto::v1::{EnrolRequest, EnrolResponse};
use rcgen::{CertificateParams, KeyPair};
use tonic::transport::{ClientTlsConfig, Endpoint};

use super::CredentialsError;
use super::kept::Kept;
use crate::config::tls::TlsConfig;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The most certificates that an answer may have.
const MOST: usize = 16;

pub(super) async fn enrol(
    config: &TlsConfig,
    endpoint: &Endpoint,
    trust: ClientTlsConfig,
    node: &str,
) -> Result<Kept, CredentialsError> {
    let made = |error: rcgen::Error| CredentialsError::Key(error.to_string());
    let key = KeyPair::generate().map_err(made)?;
    let csr = CertificateParams::default().serialize_request(&key).map_err(made)?.der().to_vec();
    let token = pem::read(&config.token)?;
    let token = String::from_utf8_lossy(&token).trim().to_owned();
    let endpoint = endpoint.clone().tls_config(trust).map_err(CredentialsError::Setup)?;
    let channel = endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT).connect().await;
    let channel = channel.map_err(CredentialsError::Connect)?;
    let mut client = EnrolmentClient::new(channel).max_decoding_message_size(1 << 20);
    let answered = client.enrol(EnrolRequest { csr, token }).await;
    let answered = answered
        .map_err(|status| CredentialsError::Refused(format!("{:?}: {}", status.code(), status.message())))?;
    let EnrolResponse { certificates, ca, not_after_s: _, node: token_node } = answered.into_inner();
    if token_node != node {
        return Err(CredentialsError::OtherNode { token: token_node, own: node.to_owned() });
    }
    let chain: String = certificates.iter().take(MOST).map(|der| pem::encode("CERTIFICATE", der)).collect();
    let ca: String = ca.iter().take(MOST).map(|der| pem::encode("CERTIFICATE", der)).collect();
    let first = pem::certificates("the answer to the enrolment", chain.as_bytes())?;
    let Some(first) = first.first() else {
        return Err(CredentialsError::Refused(String::from("the answer has no certificate")));
    };
    let described = Described::of(first)?;
    Ok(Kept { chain, ca, key: key.serialize_pem(), described })
}
