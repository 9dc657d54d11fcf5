//! What the agent adds to its admin endpoint: `/probes`, the state of every probe as JSON.

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::driver::states::States;

#[derive(Serialize)]
struct Probe {
    probe: String,
    state: String,
    reason: String,
    missing: Vec<String>,
}

/// `GET /probes` → `[{"probe","state","reason","missing"}]`
pub(crate) fn router(states: States) -> Router {
    let probes = async move || {
        let all = states.now().into_iter().map(|state| {
            let proto::v1::ProbeState { probe, state, reason, missing } = state;
            Probe { probe, state, reason, missing }
        });
        Json(all.collect::<Vec<_>>())
    };
    Router::new().route("/probes", get(probes))
}
