//! The HTTP API: REST and SQL under `/api/v1`, and its own description.
//!
//! An endpoint reads its parameters, makes one call inward and writes the answer; it decides nothing else. Bad input
//! is named by parameter and place; what is missing from an answer is said in it.

mod answer;
mod error;
mod events;
mod flows;
mod follow;
mod fuzz;
mod json;
mod logs;
mod newest;
mod openapi;
mod params;
mod patterns;
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
use axum::extract::{DefaultBodyLimit, FromRequestParts, Query as Given, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use daemon::clock::Clock;
use daemon::shutdown::Token;
use proto::error::ErrorCode;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::api::error::ApiError;
use crate::api::params::Params;
use crate::config::Config;
use crate::ingest::agents::Agents;
use crate::kube::Kube;
use crate::metrics::QueryMetrics;
use crate::query::Query;
use crate::query::session::Session;

pub(crate) use fuzz::query_string as fuzz;
pub use openapi::document;

/// The most bytes of a request's body.
const MOST_BODY_BYTES: usize = 512 << 10;

/// What every endpoint needs; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Api(Arc<Shared>);

/// The API once the store is open; before that, endpoints answer that it is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Late(Arc<OnceLock<Api>>);

impl Late {
    /// From here on endpoints answer.
    pub(crate) fn open(&self, api: Api) {
        // Opened once; a second API would not be served.
        drop(self.0.set(api));
    }
}

#[derive(Debug)]
struct Shared {
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

impl Api {
    pub(crate) fn new(
        config: &Config,
        query: Query,
        agents: Arc<Agents>,
        clock: Clock,
        metrics: QueryMetrics,
        token: Token,
    ) -> Self {
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
        Self(Arc::new(Shared {
            query,
            agents,
            clock,
            started_ns,
            limits,
            followers,
            metrics,
            stopping,
            kube,
        }))
    }

    /// The status tells of this cluster. Once.
    pub(crate) fn watches(&self, kube: Arc<Kube>) {
        drop(self.0.kube.set(kube));
    }

    fn now_ns(&self) -> i64 {
        i64::try_from(self.0.clock.now_unix_ns()).unwrap_or(i64::MAX)
    }

    /// Runs work with a session and the time and memory of one query.
    async fn answer<T, W, F>(&self, endpoint: &'static str, work: W) -> Result<T, ApiError>
    where
        T: Send + 'static,
        W: FnOnce(Session) -> F + Send + 'static,
        F: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        self.0.query.run(endpoint, work).await
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

    async fn from_request_parts(_parts: &mut Parts, late: &Late) -> Result<Self, ApiError> {
        late.0
            .get()
            .cloned()
            .ok_or_else(|| ApiError::new(ErrorCode::Unavailable, "the store is being opened"))
    }
}

impl FromRequestParts<Late> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, late: &Late) -> Result<Self, ApiError> {
        let api = Api::from_request_parts(parts, late).await?;
        let given: Given<Vec<(String, String)>> = Given::try_from_uri(&parts.uri)
            .map_err(|error| ApiError::invalid(format!("query string: {error}")))?;
        Self::new(given.0, api.now_ns())
    }
}

/// Every route.
pub(crate) fn router(late: Late) -> Router {
    let routes = Router::new()
        .route("/logs", get(logs::search))
        .route("/logs/follow", get(follow::follow))
        .route("/logs/histogram", get(logs::histogram))
        .route("/patterns", get(patterns::patterns))
        .route("/flows", get(flows::flows))
        .route("/drops", get(tables::drops))
        .route("/block", get(tables::block))
        .route("/usage", get(usage::usage))
        .route("/syscalls", get(syscalls::syscalls))
        .route("/events", get(events::events))
        .route("/kube/events", get(events::kube_events))
        .route("/changes", get(events::changes))
        .route("/traces", get(traces::search))
        .route("/traces/{trace_id}", get(traces::trace))
        .route("/workloads", get(workloads::workloads))
        .route("/losses", get(tables::losses))
        .route("/status", get(status::status))
        .route("/sql", post(sql::sql))
        .route("/admin/seal", post(status::seal))
        .route("/openapi.json", get(openapi::serve))
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .layer(from_fn_with_state(late.clone(), count_errors))
        .with_state(late);
    Router::new().route("/", get(index)).nest("/api/v1", routes).fallback(nowhere)
}

async fn count_errors(State(late): State<Late>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if let (Some(api), Some(code)) = (late.0.get(), response.extensions().get::<ErrorCode>()) {
        api.0.metrics.failed(*code);
    }
    response
}

async fn index() -> String {
    let mut text = String::from("wake-aggregator\n\n");
    for (path, methods) in document().paths.paths {
        for (method, operation) in [("GET", methods.get), ("POST", methods.post)] {
            if let Some(operation) = operation {
                let summary = operation.summary.unwrap_or_default();
                text.push_str(&format!("{method:<5}{path:<28}{summary}\n"));
            }
        }
    }
    text.push_str("GET  /metrics                    Metrics of the aggregator itself\n");
    text.push_str("GET  /healthz                    Whether the process runs\n");
    text.push_str("GET  /readyz                     Whether it serves, and what stands in the way\n");
    text
}

async fn nowhere(method: Method, uri: Uri) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("{method} {}: no such endpoint; GET / lists them", uri.path()))
}
