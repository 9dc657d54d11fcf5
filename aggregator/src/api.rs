//! The HTTP API: REST and SQL under `/api/v1`, and its own description.
//!
//! An endpoint reads its parameters, makes one call inward and writes the answer; it decides nothing else. Bad input
//! is named by parameter and place; what is missing from an answer is said in it.

mod answer;
mod doctor;
mod error;
mod events;
mod flows;
mod follow;
mod fuzz;
mod json;
mod logs;
mod map;
mod newest;
mod openapi;
mod params;
mod patterns;
mod routes;
mod sql;
mod status;
mod syscalls;
mod tables;
mod time;
mod traces;
mod usage;
mod wheres;
mod workloads;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{FromRequestParts, Query as Given, State};
use axum::http;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::shutdown::Token;
use proto::error::ErrorCode;
use store::Scope;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Caller, Denied};
pub(crate) use crate::api::doctor::Doctor;
use crate::api::error::ApiError;
use crate::api::params::Params;
use crate::audit::Audit;
use crate::config::Config;
use crate::ingest::agents::Agents;
use crate::kube::Kube;
use crate::metrics::QueryMetrics;
use crate::query::Query;
use crate::query::session::Session;

pub(crate) use fuzz::query_string as fuzz;
pub use openapi::document;
pub(crate) use routes::router;

/// What every endpoint needs: what there is, and for whom it is asked. There is none without a caller, and no view of
/// the store but through it, so that no endpoint can forget whose rows it may show.
#[derive(Clone, Debug)]
pub(crate) struct Api(Arc<Shared>, Caller);

/// The API once the store is open; before that, endpoints answer that it is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Late(Arc<OnceLock<Arc<Shared>>>);

impl Late {
    /// From here on endpoints answer.
    pub(crate) fn open(&self, shared: Shared) {
        // Opened once; a second API would not be served.
        drop(self.0.set(Arc::new(shared)));
    }

    fn get(&self) -> Result<&Arc<Shared>, ApiError> {
        self.0.get().ok_or_else(|| ApiError::new(ErrorCode::Unavailable, "the store is being opened"))
    }
}

/// What all callers have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    access: Access,
    audit: Option<Audit>,
    doctor: Doctor,
    query: Query,
    agents: Arc<Agents>,
    clock: Clock,
    started_ns: u64,
    limits: Limits,
    followers: Arc<Semaphore>,
    metrics: QueryMetrics,
    /// Streams end when it is cancelled.
    stopping: CancellationToken,
    /// The watched cluster, if there is one.
    kube: OnceLock<Arc<Kube>>,
}

/// How much an answer may hold.
#[derive(Clone, Copy, Debug)]
struct Limits {
    max_rows: usize,
    default_log_lines: u64,
    max_log_lines: u64,
    followers: usize,
}

/// What the API stands on.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) query: Query,
    pub(crate) agents: Arc<Agents>,
    pub(crate) access: Access,
    pub(crate) audit: Option<Audit>,
    pub(crate) doctor: Doctor,
    pub(crate) clock: Clock,
    pub(crate) metrics: QueryMetrics,
    /// Until it is stopped, streams go on.
    pub(crate) token: Token,
}

impl Shared {
    pub(crate) fn new(config: &Config, parts: Parts) -> Self {
        let Parts { query, agents, access, audit, doctor, clock, metrics, token } = parts;
        let followers = config.api.max_followers as usize;
        let limits = Limits {
            max_rows: config.query.max_rows as usize,
            default_log_lines: u64::from(config.query.default_log_lines),
            max_log_lines: u64::from(config.query.max_log_lines),
            followers,
        };
        let started_ns = clock.now_unix_ns();
        let (followers, stopping) = (Arc::new(Semaphore::new(followers)), CancellationToken::new());
        tokio::spawn(end_streams(token, stopping.clone(), Arc::clone(&followers)));
        let kube = OnceLock::new();
        Self {
            access,
            audit,
            doctor,
            query,
            agents,
            clock,
            started_ns,
            limits,
            followers,
            metrics,
            stopping,
            kube,
        }
    }

    /// The status tells of this cluster. Once.
    pub(crate) fn watches(&self, kube: Arc<Kube>) {
        drop(self.kube.set(kube));
    }

    fn now_ns(&self) -> i64 {
        i64::try_from(self.clock.now_unix_ns()).unwrap_or(i64::MAX)
    }
}

impl Api {
    fn now_ns(&self) -> i64 {
        self.0.now_ns()
    }

    /// Whose rows the caller may see.
    fn scope(&self) -> &Scope {
        &self.1.scope
    }

    /// Refuses who does not see everything.
    ///
    /// # Errors
    /// If the caller is limited to namespaces.
    fn operator(&self, what: &str) -> Result<(), ApiError> {
        if self.1.is_operator() {
            return Ok(());
        }
        let name = self.1.user.as_deref().unwrap_or_default();
        Err(ApiError::new(ErrorCode::Forbidden, format!("{name} may not {what}: that is for operators")))
    }

    /// The same as of now: a stream goes on only as long as its caller may see it.
    ///
    /// # Errors
    /// If they may not any more.
    async fn again(&self) -> Result<Self, ApiError> {
        let caller = self.0.access.again(&self.1).await?;
        Ok(Self(Arc::clone(&self.0), caller))
    }

    /// Runs work with a session and the time and memory of one query.
    async fn answer<T, W, F>(&self, endpoint: &'static str, work: W) -> Result<T, ApiError>
    where
        T: Send + 'static,
        W: FnOnce(Session) -> F + Send + 'static,
        F: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        self.0.query.run(endpoint, self.scope().clone(), work).await
    }
}

/// With the shutdown every stream ends; the token is kept until they have.
async fn end_streams(token: Token, stopping: CancellationToken, followers: Arc<Semaphore>) {
    let all = followers.available_permits();
    token.stopped().await;
    stopping.cancel();
    drop(followers.acquire_many(u32::try_from(all).unwrap_or(u32::MAX)).await);
    drop(token);
}

impl FromRequestParts<Late> for Api {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut http::request::Parts, late: &Late) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| ApiError::from(Denied::Missing))?;
        Ok(Self(Arc::clone(late.get()?), caller))
    }
}

impl FromRequestParts<Late> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut http::request::Parts, late: &Late) -> Result<Self, ApiError> {
        let given: Given<Vec<(String, String)>> = Given::try_from_uri(&parts.uri)
            .map_err(|error| ApiError::invalid(format!("query string: {error}")))?;
        Self::new(given.0, late.get()?.now_ns())
    }
}

/// `/metrics`: figures about the aggregator itself for operators, or for everybody; those about workloads' requests, which
/// name them, for operators alone.
#[derive(Clone, Debug)]
pub(crate) struct Scraped {
    pub(crate) late: Late,
    pub(crate) own: Registry,
    pub(crate) requests: Registry,
    /// Its own figures are for everybody.
    pub(crate) is_open: bool,
}

impl Scraped {
    pub(crate) fn router(self) -> Router {
        Router::new().route("/metrics", get(scrape)).with_state(self)
    }

    async fn operator(&self, headers: &http::HeaderMap) -> Result<(), ApiError> {
        let caller = self.late.get()?.access.caller(headers).await?;
        match caller.is_operator() {
            true => Ok(()),
            false => Err(ApiError::new(ErrorCode::Forbidden, "/metrics is for operators")),
        }
    }
}

async fn scrape(State(scraped): State<Scraped>, headers: http::HeaderMap) -> Response {
    let Scraped { own, requests, is_open, .. } = &scraped;
    match scraped.operator(&headers).await {
        Ok(()) => daemon::admin::metrics_answer(&[own, requests], &headers),
        Err(_) if *is_open => daemon::admin::metrics_answer(&[own], &headers),
        Err(error) => error.into_response(),
    }
}

/// A time as answers show it.
pub(crate) fn rfc3339(ns: u64) -> String {
    json::rfc3339(i128::from(ns))
}
