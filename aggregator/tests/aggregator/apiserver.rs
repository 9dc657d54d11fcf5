//! A stand-in for the API server: it answers reviews by a table, and can be away. What a real one answers is held in
//! `tests/cluster`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

/// What it knows, and what it was asked.
#[derive(Clone, Default)]
pub(crate) struct ApiServer {
    /// Answers to TokenReviews by token: `status` as it is.
    pub(crate) tokens: Arc<Mutex<Vec<(String, Value)>>>,
    /// (user, namespace) that may get pods/log; '' is the whole cluster.
    pub(crate) rights: Arc<Mutex<Vec<(String, String)>>>,
    pub(crate) is_away: Arc<AtomicBool>,
    pub(crate) reviews: Arc<AtomicU64>,
}

impl ApiServer {
    /// Starts it; where its kubeconfig is.
    pub(crate) async fn start(&self, dir: &std::path::Path) -> std::path::PathBuf {
        let router = Router::new()
            .route("/apis/authentication.k8s.io/v1/tokenreviews", post(token))
            .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(access))
            .route("/api/v1/namespaces", get(namespaces))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let path = dir.join("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{address}")}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {}}],
        });
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }

    pub(crate) fn knows(&self, token: &str, status: Value) {
        self.tokens.lock().unwrap().push((token.to_owned(), status));
    }

    pub(crate) fn allows(&self, user: &str, namespace: &str) {
        self.rights.lock().unwrap().push((user.to_owned(), namespace.to_owned()));
    }

    fn away(&self) -> Option<Response> {
        let away = (StatusCode::SERVICE_UNAVAILABLE, "away").into_response();
        self.is_away.load(Ordering::Relaxed).then_some(away)
    }
}

/// The status of a user, as a TokenReview has it.
pub(crate) fn user(name: &str, extra: Value, audience: &str) -> Value {
    json!({
        "authenticated": true,
        "audiences": [audience],
        "user": {"username": name, "uid": "1", "groups": ["system:authenticated"], "extra": extra},
    })
}

async fn token(State(server): State<ApiServer>, Json(review): Json<Value>) -> Response {
    if let Some(away) = server.away() {
        return away;
    }
    server.reviews.fetch_add(1, Ordering::Relaxed);
    let given = review["spec"]["token"].as_str().unwrap();
    let tokens = server.tokens.lock().unwrap();
    let known = tokens.iter().find(|(token, _)| token == given).map(|(_, status)| status.clone());
    let status = known.unwrap_or_else(|| json!({"authenticated": false, "error": "invalid bearer token"}));
    Json(json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "metadata": {}, "spec": review["spec"], "status": status,
    }))
    .into_response()
}

async fn access(State(server): State<ApiServer>, Json(review): Json<Value>) -> Response {
    if let Some(away) = server.away() {
        return away;
    }
    let attributes = &review["spec"]["resourceAttributes"];
    assert_eq!(
        (&attributes["verb"], &attributes["resource"], &attributes["subresource"]),
        (&json!("get"), &json!("pods"), &json!("log"))
    );
    let asked = (
        review["spec"]["user"].as_str().unwrap().to_owned(),
        attributes["namespace"].as_str().unwrap_or_default().to_owned(),
    );
    let allowed = server.rights.lock().unwrap().contains(&asked);
    Json(json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "metadata": {}, "spec": review["spec"], "status": {"allowed": allowed},
    }))
    .into_response()
}

async fn namespaces(State(server): State<ApiServer>) -> Response {
    if let Some(away) = server.away() {
        return away;
    }
    let item = |name: &str| {
        json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": name},
        })
    };
    Json(json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
        "metadata": {"resourceVersion": "1"},
        "items": [item("shop"), item("bank"), item("empty")],
    }))
    .into_response()
}
