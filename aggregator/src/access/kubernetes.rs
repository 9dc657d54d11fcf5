//! Kubernetes says who a token belongs to (TokenReview) and in which namespaces they may `get pods/log`
//! (SubjectAccessReview). Who may do so in the whole cluster is an operator.
//!
//! Answers are used again for a short time, by the token's hash; every cache is bounded. Without the API server nobody
//! new is let in. Tokens that nobody has cost others little: refusals have a small cache of their own, tokens that were
//! never seen few questions at the same time, and who asks with the same token at the same time waits for one answer.

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use futures::StreamExt as _;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams, PostParams};
use store::Scope;
use tokio::sync::Semaphore;

use crate::access::cache::Cache;
use crate::access::digest::{self, Digest};
use crate::access::once::Once;
use crate::access::{Caller, Denied, MOST_TOKEN_BYTES, Token};

/// How long the API server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions to the API server at the same time, of all callers together.
const AT_ONCE: usize = 16;
/// Of these, questions about tokens that were never seen.
const NEW_AT_ONCE: usize = 4;
/// The most tokens whose answers are kept.
const MOST_TOKENS: usize = 4_096;
/// The most tokens that are nobody's of which that is remembered.
const MOST_REFUSALS: usize = 256;
/// The most namespaces that a caller's rights are asked for.
const MOST_NAMESPACES: usize = 5_000;

/// What was answered about a token.
type Answer = Result<Caller, Denied>;

/// Asks the API server; clones share its answers.
#[derive(Clone)]
pub(crate) struct Reviews(Arc<Shared>);

struct Shared {
    client: kube::Client,
    audiences: Vec<String>,
    life: Duration,
    clock: Clock,
    answers: Answers,
    asking: Once<Digest, Answer>,
    namespaces: Cache<(), Arc<Vec<String>>>,
    room: Semaphore,
    room_for_new: Semaphore,
}

/// What was answered before.
struct Answers {
    /// Of tokens that are somebody's.
    known: Cache<Digest, Answer>,
    refused: Cache<Digest, Answer>,
}

impl Answers {
    fn new() -> Self {
        Self { known: Cache::new(MOST_TOKENS), refused: Cache::new(MOST_REFUSALS) }
    }

    fn get(&self, token: &Digest, now: Duration) -> Option<Answer> {
        self.known.get(token, now).or_else(|| self.refused.get(token, now))
    }

    fn put(&self, token: Digest, answer: &Answer, until: Duration) {
        match answer {
            // what could not be asked is asked again by the next request
            Err(Denied::Unavailable(_)) => {}
            Err(Denied::Invalid(_)) => self.refused.put(token, answer.clone(), until),
            _ => self.known.put(token, answer.clone(), until),
        }
    }
}

impl std::fmt::Debug for Reviews {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reviews").field("audiences", &self.0.audiences).finish_non_exhaustive()
    }
}

impl Reviews {
    /// `life` is how long an answer is used again.
    pub(crate) fn new(client: kube::Client, audiences: Vec<String>, life: Duration, clock: Clock) -> Self {
        let (answers, asking, namespaces) = (Answers::new(), Once::new(), Cache::new(1));
        let (room, room_for_new) = (Semaphore::new(AT_ONCE), Semaphore::new(NEW_AT_ONCE));
        let shared =
            Shared { client, audiences, life, clock, answers, asking, namespaces, room, room_for_new };
        Self(Arc::new(shared))
    }

    /// Who has this token, and what they may see.
    pub(crate) async fn caller(&self, token: &Token) -> Answer {
        let shared = &self.0;
        let digest = digest::of(token);
        if let Some(known) = shared.answers.get(&digest, shared.clock.monotonic()) {
            return known;
        }
        let question = async {
            let room = if shared.answers.known.had(&digest) { &shared.room } else { &shared.room_for_new };
            let answer = self.ask(token, room).await;
            shared.answers.put(digest, &answer, shared.clock.monotonic() + shared.life);
            answer
        };
        shared.asking.ask(digest, question).await
    }

    async fn ask(&self, token: &Token, room: &Semaphore) -> Answer {
        let user = self.review_in(room, token, &self.0.audiences).await?;
        let scope = self.scope(&user).await?;
        let name = user.username.unwrap_or_default();
        Ok(Caller::new(name, user.groups.unwrap_or_default(), scope))
    }

    /// Whose token this is, if it is meant for one of the audiences (the API server's own without any).
    pub(crate) async fn review(&self, token: &Token, audiences: &[String]) -> Result<UserInfo, Denied> {
        self.review_in(&self.0.room, token, audiences).await
    }

    /// The same of a token that was never seen: few of these are asked about at the same time.
    pub(crate) async fn review_new(&self, token: &Token, audiences: &[String]) -> Result<UserInfo, Denied> {
        self.review_in(&self.0.room_for_new, token, audiences).await
    }

    async fn review_in(
        &self,
        room: &Semaphore,
        token: &Token,
        audiences: &[String],
    ) -> Result<UserInfo, Denied> {
        if !may_be_token(token) {
            return Err(Denied::Invalid(String::from("it has letters that no token has, or too many")));
        }
        let spec = TokenReviewSpec {
            token: Some(token.secret().to_owned()),
            audiences: (!audiences.is_empty()).then(|| audiences.to_vec()),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews: Api<TokenReview> = Api::all(self.0.client.clone());
        let params = PostParams::default();
        let asked = reviews.create(&params, &review);
        let answered = within(room, "TokenReview", asked).await?;
        let status = answered.status.unwrap_or_default();
        if status.authenticated != Some(true) {
            let why = status.error.unwrap_or_else(|| String::from("the API server does not know it"));
            return Err(Denied::Invalid(why));
        }
        if !audiences.is_empty() {
            let found = status.audiences.unwrap_or_default();
            if !found.iter().any(|audience| audiences.contains(audience)) {
                let message = format!("it is meant for {found:?}, not for {audiences:?}");
                return Err(Denied::Invalid(message));
            }
        }
        Ok(status.user.unwrap_or_default())
    }

    async fn scope(&self, user: &UserInfo) -> Result<Scope, Denied> {
        if self.may(user, None).await? {
            return Ok(Scope::All);
        }
        let names = self.names().await?;
        let ask = |name: String| async move {
            let may = self.may(user, Some(&name)).await;
            (name, may)
        };
        let mut asked = futures::stream::iter(names.to_vec()).map(ask).buffer_unordered(AT_ONCE);
        let mut allowed = Vec::new();
        while let Some((name, may)) = asked.next().await {
            if may? {
                allowed.push(name);
            }
        }
        if allowed.is_empty() {
            let name = user.username.as_deref().unwrap_or_default();
            let message = format!(
                "{name} may not `get pods/log` in any namespace; a RoleBinding to a Role with that rule gives access"
            );
            return Err(Denied::Forbidden(message));
        }
        Ok(Scope::namespaces(allowed))
    }

    /// The namespaces that there are now.
    async fn names(&self) -> Result<Arc<Vec<String>>, Denied> {
        let shared = &self.0;
        if let Some(known) = shared.namespaces.get(&(), shared.clock.monotonic()) {
            return Ok(known);
        }
        let namespaces: Api<Namespace> = Api::all(shared.client.clone());
        let params = ListParams::default().limit(u32::try_from(MOST_NAMESPACES + 1).unwrap_or(u32::MAX));
        let listed = within(&shared.room, "list namespaces", namespaces.list_metadata(&params)).await?;
        if listed.items.len() > MOST_NAMESPACES {
            let message =
                format!("there are more than {MOST_NAMESPACES} namespaces; only operators are served");
            return Err(Denied::Forbidden(message));
        }
        let names = listed.items.into_iter().filter_map(|namespace| namespace.metadata.name).collect();
        let names: Arc<Vec<String>> = Arc::new(names);
        shared.namespaces.put((), Arc::clone(&names), shared.clock.monotonic() + shared.life);
        Ok(names)
    }

    /// Whether they may `get pods/log` in the namespace; in all of them if `None`.
    async fn may(&self, user: &UserInfo, namespace: Option<&str>) -> Result<bool, Denied> {
        let attributes = ResourceAttributes {
            namespace: namespace.map(str::to_owned),
            verb: Some(String::from("get")),
            resource: Some(String::from("pods")),
            subresource: Some(String::from("log")),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            user: user.username.clone(),
            groups: user.groups.clone(),
            uid: user.uid.clone(),
            extra: user.extra.clone(),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviews: Api<SubjectAccessReview> = Api::all(self.0.client.clone());
        let params = PostParams::default();
        let asked = reviews.create(&params, &review);
        let answered = within(&self.0.room, "SubjectAccessReview", asked).await?;
        Ok(answered.status.is_some_and(|status| status.allowed))
    }
}

/// Whether the API server may know it: tokens of webhooks need not be JWTs, but each goes into a header.
fn may_be_token(token: &Token) -> bool {
    let text = token.secret();
    text.len() <= MOST_TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// One question, with its place and time.
async fn within<T>(
    room: &Semaphore,
    what: &str,
    question: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Denied> {
    let asked = tokio::time::timeout(PATIENCE, async {
        let place = room.acquire().await;
        let answered = question.await;
        drop(place);
        answered
    });
    match asked.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Denied::Unavailable(format!("{what}: {}", crate::chain(&error)))),
        Err(_elapsed) => Err(Denied::Unavailable(format!("{what}: no answer within {PATIENCE:?}"))),
    }
}

#[cfg(test)]
mod tests;
