//! Who may send over OTLP, and for which namespaces.
//!
//! In: the `Authorization` header. Out: the namespaces whose records are taken from this sender, or a refusal. A token of
//! the file sends for the namespaces that it may read; a service account for its own namespace, one of the collectors
//! for all.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use daemon::clock::Clock;
use proto::error::ErrorCode;
use store::{Refused, Scope};

use crate::access::cache::Cache;
use crate::access::digest::{self, Digest};
use crate::access::kubernetes::Reviews;
use crate::access::once::Once;
use crate::access::tokens::TokenFile;
use crate::access::{Denied, Token, bearer};

/// The most tokens whose answers are kept.
const MOST_TOKENS: usize = 4_096;
/// The most tokens that are nobody's of which that is remembered.
const MOST_REFUSALS: usize = 256;
/// A sender whose token cannot be checked now tries again after so long, ms.
const AGAIN_MS: u64 = 5_000;

/// Who may send.
#[derive(Clone, Debug)]
pub(crate) enum Senders {
    /// Nobody is asked.
    Open,
    /// By a file of tokens.
    Tokens(TokenFile),
    /// By the API server.
    Kubernetes(Arc<Accounts>),
}

/// Service accounts, as the API server knows them by their tokens.
pub(crate) struct Accounts {
    pub(crate) reviews: Reviews,
    /// One of these must be among a token's; the API server's own when empty.
    pub(crate) audiences: Vec<String>,
    /// Who may send for every namespace, `namespace/name`.
    pub(crate) collectors: Vec<String>,
    /// How long an answer is used again.
    pub(crate) life: Duration,
    pub(crate) clock: Clock,
    /// Of tokens that are somebody's.
    pub(crate) answers: Cache<Digest, Result<Scope, Denied>>,
    /// Of the others, so that these push nobody out.
    pub(crate) refused: Cache<Digest, Result<Scope, Denied>>,
    /// Who comes with the same token at the same time waits for one answer.
    pub(crate) asking: Once<Digest, Result<Scope, Denied>>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Accounts").field("collectors", &self.collectors).finish_non_exhaustive()
    }
}

impl Senders {
    /// By the API server.
    pub(crate) fn accounts(
        reviews: Reviews,
        audiences: Vec<String>,
        collectors: Vec<String>,
        life: Duration,
        clock: Clock,
    ) -> Self {
        let (answers, refused) = (Cache::new(MOST_TOKENS), Cache::new(MOST_REFUSALS));
        let asking = Once::new();
        let accounts = Accounts { reviews, audiences, collectors, life, clock, answers, refused, asking };
        Self::Kubernetes(Arc::new(accounts))
    }

    /// The namespaces that the sender of these headers may send for.
    ///
    /// # Errors
    /// If they do not say who they are, or it is not true, or it cannot be checked now.
    pub(crate) async fn scope(&self, headers: &HeaderMap) -> Result<Scope, Refused> {
        let answer = match self {
            Self::Open => return Ok(Scope::All),
            Self::Tokens(file) => {
                bearer(headers).and_then(|token| file.caller(&token)).map(|caller| caller.scope)
            }
            Self::Kubernetes(accounts) => match bearer(headers) {
                Ok(token) => accounts.scope(&token).await,
                Err(denied) => Err(denied),
            },
        };
        answer.map_err(|denied| {
            let retry_after_ms = if denied.code() == ErrorCode::Unavailable { AGAIN_MS } else { 0 };
            Refused { code: denied.code(), detail: denied.to_string(), retry_after_ms }
        })
    }
}

impl Accounts {
    async fn scope(&self, token: &Token) -> Result<Scope, Denied> {
        let digest = digest::of(token);
        let now = self.clock.monotonic();
        if let Some(known) = self.answers.get(&digest, now).or_else(|| self.refused.get(&digest, now)) {
            return known;
        }
        self.asking.ask(digest, self.asked(token, digest)).await
    }

    async fn asked(&self, token: &Token, digest: Digest) -> Result<Scope, Denied> {
        let user = match self.answers.had(&digest) {
            true => self.reviews.review(token, &self.audiences).await,
            false => self.reviews.review_new(token, &self.audiences).await,
        };
        let answer =
            user.and_then(|user| scope_of(user.username.as_deref().unwrap_or_default(), &self.collectors));
        let until = self.clock.monotonic() + self.life;
        match &answer {
            // what could not be asked is asked again by the next request
            Err(Denied::Unavailable(_)) => {}
            Err(Denied::Invalid(_)) => self.refused.put(digest, answer.clone(), until),
            _ => self.answers.put(digest, answer.clone(), until),
        }
        answer
    }
}

fn scope_of(user: &str, collectors: &[String]) -> Result<Scope, Denied> {
    let account = user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'));
    let Some((namespace, name)) = account else {
        let message = format!("{user} is no service account; only these send over OTLP");
        return Err(Denied::Forbidden(message));
    };
    if collectors.iter().any(|known| known.split_once('/') == Some((namespace, name))) {
        return Ok(Scope::All);
    }
    Ok(Scope::namespaces([namespace]))
}

#[cfg(test)]
mod tests {
    use store::Scope;

    use super::scope_of;

    #[test]
    fn a_service_account_sends_for_its_own_namespace_and_a_collector_for_all() {
        let collectors = ["observability/collector".to_owned()];
        let of = |user: &str| scope_of(user, &collectors);
        assert_eq!(of("system:serviceaccount:shop:default").unwrap(), Scope::namespaces(["shop"]));
        assert_eq!(of("system:serviceaccount:observability:collector").unwrap(), Scope::All);
        assert_eq!(of("system:serviceaccount:shop:collector").unwrap(), Scope::namespaces(["shop"]));
        for user in ["alice", "system:node:n", "system:serviceaccount:x", ""] {
            assert!(of(user).is_err(), "{user}");
        }
    }
}
