//! `GET /doctor`: what works here and what does not, of the aggregator and of every agent, with what to do.

use axum::Json;
use daemon::doctor::{Check, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::{ApiError, ErrorBody};
use crate::api::params::Params;
use crate::api::{Api, json};
use crate::config::Config;
use crate::doctor;
use crate::ingest::agents::Agent;
use crate::metrics::{ExportMetrics, TlsMetrics};
use crate::tls::unix_s;

/// A clock that differs by more is said, ns; by much more, rows are refused.
const SKEW_NS: i128 = 5_000_000_000;
const MUCH_SKEW_NS: i128 = 300_000_000_000;

/// What the checks look at.
pub(crate) struct Doctor {
    pub(crate) config: Config,
    /// `None` where Kubernetes is not used.
    pub(crate) client: Option<kube::Client>,
    /// `None` in plain text.
    pub(crate) tls: Option<TlsMetrics>,
    pub(crate) export: ExportMetrics,
}

impl std::fmt::Debug for Doctor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Doctor").finish_non_exhaustive()
    }
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Diagnosis {
    /// The aggregator's time.
    now: String,
    /// Each check.
    checks: Vec<Finding>,
}

/// One check.
#[derive(Debug, Serialize, ToSchema)]
struct Finding {
    /// `aggregator`, or the agent's node.
    who: String,
    /// What was looked at.
    area: String,
    /// `ok`, `warn` or `fail`.
    state: &'static str,
    /// What was found.
    found: String,
    /// What to do; empty when all is well.
    advice: String,
}

fn finding(who: &str, check: Check) -> Finding {
    let Check { area, state, found, advice } = check;
    Finding { who: who.to_owned(), area, state: state.as_str(), found, advice }
}

/// What works and what does not, here and on every node, in words, with what to do; for operators.
#[utoipa::path(
    get, path = "/api/v1/doctor", tag = "self",
    responses((status = 200, body = Diagnosis), (status = "default", body = ErrorBody))
)]
pub(crate) async fn doctor(api: Api, params: Params) -> Result<Json<Diagnosis>, ApiError> {
    params.end()?;
    api.operator("ask how every node stands")?;
    let Doctor { config, client, tls, export } = &api.0.doctor;
    let valid_s = tls.as_ref().map(TlsMetrics::valid_s);
    let mut checks = doctor::store(&api.0.query.stats());
    checks.extend(doctor::security(config, valid_s, unix_s(&api.0.clock)));
    checks.extend(doctor::export(&export.state()));
    checks.extend(doctor::kubernetes(config, client.clone()).await);
    let agents = api.0.agents.list();
    if agents.is_empty() {
        let advice = "start agents; their /readyz says why one does not come";
        checks.push(Check::warn("agents", "none has connected yet", advice));
    }
    let mut found: Vec<Finding> = checks.into_iter().map(|check| finding("aggregator", check)).collect();
    for agent in agents {
        let node = agent.hello.node.clone();
        found.extend(of_agent(agent).into_iter().map(|check| finding(&node, check)));
    }
    Ok(Json(Diagnosis { now: json::rfc3339(i128::from(api.now_ns())), checks: found }))
}

/// What an agent said of itself, and what is seen of it from here.
fn of_agent(agent: Agent) -> Vec<Check> {
    let Agent { hello: _, streams, status, heard_ns, .. } = agent;
    let mut checks = Vec::new();
    if streams == 0 {
        let advice = "see that its pod runs; its /readyz says why it does not connect";
        checks.push(Check::fail("stream", "the agent is away", advice));
    }
    if let Some(heard_ns) = heard_ns.filter(|_| status.now_ns > 0) {
        checks.push(clock(i128::from(status.now_ns) - i128::from(heard_ns)));
    }
    // how the agent is connected is seen better from here: what it said was written before it was
    let told = status.checks.into_iter().filter(|check| streams == 0 || check.area != "aggregator");
    checks.extend(told.map(|check| Check {
        area: check.area,
        state: match check.state.as_str() {
            "ok" => State::Ok,
            "fail" => State::Fail,
            _ => State::Warn,
        },
        found: check.found,
        advice: check.advice,
    }));
    checks
}

fn clock(ahead_ns: i128) -> Check {
    let seconds = ahead_ns as f64 / 1e9;
    let side = if ahead_ns >= 0 { "ahead of" } else { "behind" };
    let found = format!("{:.1} s {side} the aggregator's", seconds.abs());
    let advice = "set the clocks right (chrony, ntpd): times of rows and certificates depend on them";
    let skew_ns = ahead_ns.abs();
    if skew_ns <= SKEW_NS {
        Check::ok("clock", found)
    } else if skew_ns <= MUCH_SKEW_NS {
        Check::warn("clock", found, advice)
    } else {
        Check::fail("clock", found, advice)
    }
}

#[cfg(test)]
mod tests {
    use daemon::doctor::State;

    use super::clock;

    #[test]
    fn an_hour_of_skew_fails() {
        for (seconds, state) in
            [(0, State::Ok), (-4, State::Ok), (60, State::Warn), (3_600, State::Fail), (-3_600, State::Fail)]
        {
            let check = clock(i128::from(seconds) * 1_000_000_000);
            assert_eq!(check.state, state, "{check:?}");
        }
        assert!(clock(-3_600_000_000_000).found.contains("3600.0 s behind"));
    }
}
