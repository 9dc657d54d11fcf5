//! Which path is which endpoint, who gets to them, and what is said where there is none.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use proto::error::ErrorCode;

use crate::api::error::ApiError;
use crate::api::{
    Late, doctor, document, events, flows, follow, logs, map, openapi, patterns, sql, status, syscalls,
    tables, traces, usage, workloads,
};
use crate::audit::Asked;

/// What every route begins with.
const PREFIX: &str = "/api/v1";
/// The most bytes of a request's body.
const MOST_BODY_BYTES: usize = 512 << 10;

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
        .route("/map", get(map::map))
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
        .route("/doctor", get(doctor::doctor))
        .route("/sql", post(sql::sql))
        .route("/admin/seal", post(status::seal))
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .layer(from_fn_with_state(late.clone(), admit))
        // says only what the program is, not what it holds
        .route("/openapi.json", get(openapi::serve))
        .layer(from_fn_with_state(late.clone(), count_errors))
        .with_state(late);
    Router::new().route("/", get(index)).nest(PREFIX, routes).fallback(nowhere)
}

/// Nobody gets further without being known; what they asked is written down.
async fn admit(State(late): State<Late>, mut request: Request, next: Next) -> Response {
    let shared = match late.get() {
        Ok(shared) => Arc::clone(shared),
        Err(error) => return error.into_response(),
    };
    let started = shared.clock.monotonic();
    let asked = shared.audit.as_ref().map(|_| Asked::of(&request, PREFIX));
    let caller = shared.access.caller(request.headers()).await;
    let (caller, response) = match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            (Some(caller), next.run(request).await)
        }
        Err(denied) => (None, ApiError::from(denied).into_response()),
    };
    if let (Some(audit), Some(asked)) = (&shared.audit, asked) {
        let took = shared.clock.monotonic().saturating_sub(started);
        if let Some(record) = audit.record(asked, caller.as_ref(), &response, took) {
            audit.write(record).await;
        }
    }
    response
}

async fn count_errors(State(late): State<Late>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if let (Ok(shared), Some(code)) = (late.get(), response.extensions().get::<ErrorCode>()) {
        shared.metrics.failed(*code);
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
