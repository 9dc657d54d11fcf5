//! `GET /events`, `/kube/events`, `/changes`: what happened, row by row: processes that start, end and are killed, Events of
//! Kubernetes, changes of its objects.

use store::Table;

use crate::api::answer::{Answer, Body};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::openapi::{Event, KubeEvent, ObjectChange, RangeParams, Rows, TextParams, WhereParams};
use crate::api::params::Params;
use crate::api::wheres::{Values, clause, says};
use crate::api::{Api, newest};
use crate::query::gap;

/// Rows unless the request says otherwise.
const ROWS: u64 = 100;

/// Process events, newest first: exec with arguments, exit with code or signal, OOM kill.
///
/// The last 24 hours by default. `where=event=exec`, `where=pid=42`, `where=workload=…` narrow it; `contains` and `word` look
/// at the executable and the arguments.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "processes", params(RangeParams, WhereParams, TextParams),
    responses((status = 200, body = Rows<Event>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn events(api: Api, params: Params) -> Result<Body, ApiError> {
    newest_rows(api, params, "events", Table::Process).await
}

/// Events of Kubernetes, newest first, each time that one was repeated.
///
/// The last 24 hours by default. `where=reason=BackOff`, `where=type=Warning`, `where=regarding_name=…` narrow it; `contains`
/// and `word` look at reason, note and the name of what it is about.
#[utoipa::path(
    get, path = "/api/v1/kube/events", tag = "kubernetes", params(RangeParams, WhereParams, TextParams),
    responses((status = 200, body = Rows<KubeEvent>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn kube_events(api: Api, params: Params) -> Result<Body, ApiError> {
    newest_rows(api, params, "kube_events", Table::KubeEvent).await
}

/// Objects of Kubernetes that were created, updated or deleted, newest first, and what changed in them.
///
/// The last 24 hours by default. `where=kind=deployment`, `where=name=…`, `where=change=deleted` narrow it; `contains` and
/// `word` look at the object's name and at what changed.
#[utoipa::path(
    get, path = "/api/v1/changes", tag = "kubernetes", params(RangeParams, WhereParams, TextParams),
    responses((status = 200, body = Rows<ObjectChange>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn changes(api: Api, params: Params) -> Result<Body, ApiError> {
    newest_rows(api, params, "changes", Table::ObjectChange).await
}

async fn newest_rows(
    api: Api,
    mut params: Params,
    endpoint: &'static str,
    table: Table,
) -> Result<Body, ApiError> {
    let range = params.range(86_400)?;
    let wheres = params.wheres()?;
    let says = says(&mut params)?;
    let limit = params.number("limit", ROWS, api.0.limits.max_rows as u64)?;
    params.end()?;
    // a mistake in a condition is found before anything runs
    clause(table, range, &wheres, &mut Values::default())?;
    let max_rows = api.0.limits.max_rows;
    api.answer(endpoint, move |session| async move {
        let mut answer = Answer::objects(max_rows);
        newest::rows(&session, table, range, (wheres, says), limit, &mut answer).await?;
        gap::note(&session, range.ns(), &[table]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}
