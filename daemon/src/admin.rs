//! The admin endpoint of a process: `/metrics`, `/healthz`, `/readyz`, and what the binary adds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::http::{self, Door};
use crate::metrics::{Registry, open_metrics_of, prometheus_text_of};
use crate::shutdown::Token;

#[cfg(test)]
mod tests;

/// Why the process is not ready, by part; clones share it. Ready when nothing is named.
#[derive(Clone, Debug, Default)]
pub struct Health {
    not_ready: Arc<Mutex<Parts>>,
    notes: Arc<Mutex<Parts>>,
}

type Parts = BTreeMap<&'static str, String>;

impl Health {
    /// Nothing stands in the way.
    pub fn new() -> Self {
        Self::default()
    }

    /// This part is not ready, and why.
    pub fn not_ready(&self, part: &'static str, why: impl Into<String>) {
        self.lock().insert(part, why.into());
    }

    /// This part is ready.
    pub fn ready(&self, part: &'static str) {
        self.lock().remove(part);
    }

    /// What people should know although the process is ready, such as data that was lost; `/readyz` shows it.
    pub fn note(&self, part: &'static str, what: impl Into<String>) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(part, what.into());
    }

    /// What was noted of this part no longer holds.
    pub fn forget(&self, part: &'static str) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// What stands in the way, `part: why` each.
    pub fn reasons(&self) -> Vec<String> {
        lines(&self.lock())
    }

    /// What was noted, `part: what` each.
    pub fn notes(&self) -> Vec<String> {
        lines(&self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.not_ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lines(parts: &Parts) -> Vec<String> {
    parts.iter().map(|(part, text)| format!("{part}: {text}")).collect()
}

/// `/metrics`, `/healthz` and `/readyz`, to be merged into a server of one's own.
pub fn router(registry: Registry, health: Health) -> Router {
    metrics_router(registry).merge(health_router(health))
}

/// `/metrics` alone.
pub fn metrics_router(registry: Registry) -> Router {
    Router::new().route("/metrics", get(metrics).with_state(registry))
}

/// `/healthz` and `/readyz` alone.
pub fn health_router(health: Health) -> Router {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(readyz).with_state(health))
}

/// Serves `router` and `extra` until the token's phase begins; then the process is not ready, open requests get half
/// a second, and the token is dropped.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    door: Door,
    registry: Registry,
    extra: Router,
    health: Health,
    token: Token,
) -> std::io::Result<()> {
    let app = router(registry, health.clone()).merge(extra);
    serve_app(door, app, health, token).await
}

/// The same for an app that has what it needs of metrics and health.
///
/// # Errors
/// When the listener fails.
pub async fn serve_app(door: Door, app: Router, health: Health, token: Token) -> std::io::Result<()> {
    http::serve(door, app, token, || health.not_ready("shutdown", "stopping")).await
}

async fn metrics(State(registry): State<Registry>, headers: HeaderMap) -> Response {
    metrics_answer(&[&registry], &headers)
}

/// What `/metrics` answers with these registries, in the format that is asked for.
pub fn metrics_answer(registries: &[&Registry], headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("application/openmetrics-text") {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(CONTENT_TYPE, kind)], open_metrics_of(registries)).into_response()
    } else {
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        ([(CONTENT_TYPE, kind)], prometheus_text_of(registries)).into_response()
    }
}

async fn readyz(State(health): State<Health>) -> Response {
    let (reasons, notes) = (health.reasons(), health.notes());
    if reasons.is_empty() {
        let lines = [String::from("ready")].into_iter().chain(notes);
        return format!("{}\n", lines.collect::<Vec<_>>().join("\n")).into_response();
    }
    let lines: Vec<String> = reasons.into_iter().chain(notes).collect();
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", lines.join("\n"))).into_response()
}
