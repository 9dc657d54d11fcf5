//! What the agent adds to its admin endpoint, as JSON: `/probes`, the state of every probe; `/doctor`, what works here.

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::doctor::Doctor;
use crate::driver::states::States;

#[derive(Serialize)]
struct Probe {
    probe: String,
    state: String,
    reason: String,
    missing: Vec<String>,
}

/// `GET /doctor` → `[{"area","state","found","advice"}]`; `GET /probes` → `[{"probe","state","reason","missing"}]`
pub(crate) fn router(states: States, doctor: Doctor) -> Router {
    let probes = async move || {
        let all = states.now().into_iter().map(|state| {
            let proto::v1::ProbeState { probe, state, reason, missing } = state;
            Probe { probe, state, reason, missing }
        });
        Json(all.collect::<Vec<_>>())
    };
    let checks = async move || Json(doctor.checks());
    Router::new().route("/probes", get(probes)).route("/doctor", get(checks))
}
