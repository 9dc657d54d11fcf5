//! Enrolment: an agent's service account token for a certificate of its node.
//!
//! The API server says whose token it is (TokenReview, with our audience); the account must be one of the config's. The
//! node is the one that the token is bound to: Kubernetes 1.32 and later write it into the token; before, the pod that
//! the token is bound to is looked up. What an agent says of itself is not asked.

use std::sync::Arc;

use daemon::clock::Clock;
use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use proto::error::ErrorCode;
use proto::v1::enrolment_server::Enrolment;
use proto::v1::{EnrolRequest, EnrolResponse};
use tonic::{Request, Response, Status};

use crate::access::kubernetes::Reviews;
use crate::access::{Denied, Token};
use crate::ingest::{peer, status};
use crate::metrics::TlsMetrics;
use crate::tls::ca::{Ca, CaError};
use crate::tls::unix_s;

/// The extra fields of a token that is bound to a pod.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// The most bytes of a token.
const MOST_TOKEN_BYTES: usize = 16 << 10;

/// Gives agents their certificates.
#[derive(Clone, Debug)]
pub(crate) struct Enroller(Arc<Parts>);

/// What it needs.
pub(crate) struct Parts {
    pub(crate) ca: Arc<Ca>,
    pub(crate) reviews: Reviews,
    pub(crate) client: kube::Client,
    pub(crate) audience: String,
    /// namespace/name
    pub(crate) accounts: Vec<String>,
    pub(crate) clock: Clock,
    pub(crate) metrics: TlsMetrics,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parts").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

/// Why an agent gets no certificate.
#[derive(Debug, thiserror::Error)]
enum EnrolError {
    #[error("enrolment is over TLS only")]
    PlainText,
    #[error("the token is empty or too long")]
    NoToken,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("{0:?} is no service account that may enrol (tls.enrol_service_accounts)")]
    Account(String),
    #[error(
        "the token is bound to no pod: it must be a projected one (serviceAccountToken volume), not a Secret's"
    )]
    Unbound,
    #[error("look up pod {0}, which the token is bound to: {1}")]
    Pod(String, String),
    #[error(transparent)]
    Ca(#[from] CaError),
}

impl EnrolError {
    /// Its code, and the word in metrics.
    fn code(&self) -> (ErrorCode, &'static str) {
        match self {
            Self::PlainText => (ErrorCode::Forbidden, "plain_text"),
            Self::NoToken => (ErrorCode::Unauthenticated, "no_token"),
            Self::Denied(denied) => match denied.code() {
                ErrorCode::Unavailable => (ErrorCode::Unavailable, "api_server"),
                code => (code, "token"),
            },
            Self::Account(_) => (ErrorCode::Forbidden, "account"),
            Self::Unbound => (ErrorCode::Forbidden, "unbound"),
            Self::Pod(..) => (ErrorCode::Unavailable, "pod"),
            Self::Ca(CaError::Request(_) | CaError::Name(_)) => (ErrorCode::Invalid, "request"),
            Self::Ca(_) => (ErrorCode::Internal, "ca"),
        }
    }
}

impl Enroller {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    async fn certificate(&self, request: EnrolRequest) -> Result<EnrolResponse, EnrolError> {
        let EnrolRequest { csr, token } = request;
        if token.is_empty() || token.len() > MOST_TOKEN_BYTES {
            return Err(EnrolError::NoToken);
        }
        let parts = &self.0;
        let audiences = std::slice::from_ref(&parts.audience);
        let user = parts.reviews.review(&Token::new(token), audiences).await?;
        let name = user.username.clone().unwrap_or_default();
        let account = account(&name).ok_or_else(|| EnrolError::Account(name.clone()))?;
        if !parts.accounts.contains(&account) {
            return Err(EnrolError::Account(account));
        }
        let namespace = account.split('/').next().unwrap_or_default();
        let node = self.node(&user, namespace).await?;
        let issued = parts.ca.agent(&csr, &node, unix_s(&parts.clock))?;
        tracing::info!(node, not_after_s = issued.not_after_s, "agent enrolled");
        let ca = parts.ca.certificates().iter().map(|certificate| certificate.to_vec());
        Ok(EnrolResponse {
            certificates: vec![issued.certificate.to_vec()],
            ca: ca.collect(),
            not_after_s: issued.not_after_s,
            node,
        })
    }

    /// The node that the token is bound to.
    async fn node(&self, user: &UserInfo, namespace: &str) -> Result<String, EnrolError> {
        let one = |key: &str| {
            let values = user.extra.as_ref()?.get(key)?;
            values.first().filter(|text| !text.is_empty()).cloned()
        };
        if let Some(node) = one(NODE_NAME) {
            return Ok(node);
        }
        let (Some(pod), Some(uid)) = (one(POD_NAME), one(POD_UID)) else { return Err(EnrolError::Unbound) };
        let pods: Api<Pod> = Api::namespaced(self.0.client.clone(), namespace);
        let failed = |why: String| EnrolError::Pod(format!("{namespace}/{pod}"), why);
        let found = pods.get(&pod).await.map_err(|error| failed(crate::chain(&error)))?;
        if found.metadata.uid.as_deref() != Some(uid.as_str()) {
            return Err(failed(String::from("another pod has its name now")));
        }
        let node = found.spec.and_then(|spec| spec.node_name);
        node.ok_or_else(|| failed(String::from("it is on no node yet")))
    }
}

/// namespace/name of `system:serviceaccount:NAMESPACE:NAME`.
fn account(user: &str) -> Option<String> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some(format!("{namespace}/{name}"))
}

#[tonic::async_trait]
impl Enrolment for Enroller {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let is_private = peer::of(request.extensions()).is_some_and(|peer| peer.is_tls);
        let answered = match is_private {
            true => self.certificate(request.into_inner()).await,
            false => Err(EnrolError::PlainText),
        };
        match answered {
            Ok(response) => {
                self.0.metrics.enrolled("ok");
                Ok(Response::new(response))
            }
            Err(error) => {
                let (code, reason) = error.code();
                if let Some(held_back) = self.0.metrics.enrolled(reason) {
                    tracing::warn!(%error, reason, held_back, "agent not enrolled");
                }
                Err(status(code, error.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::account;

    #[test]
    fn only_service_accounts_enrol() {
        assert_eq!(account("system:serviceaccount:wake:wake-agent").as_deref(), Some("wake/wake-agent"));
        for other in ["alice", "system:node:n1", "system:serviceaccount:wake", ""] {
            assert_eq!(account(other), None, "{other}");
        }
    }
}
