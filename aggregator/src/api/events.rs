//! `GET /events`: processes that start, end and are killed.

use store::Table;

use crate::api::answer::{Answer, Body};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::openapi::{Event, RangeParams, Rows, WhereParams};
use crate::api::params::Params;
use crate::api::wheres::{Values, clause};
use crate::api::{Api, newest};
use crate::query::gap;

/// Rows unless the request says otherwise.
const ROWS: u64 = 100;

/// Process events, newest first: exec with arguments, exit with code or signal, OOM kill.
///
/// The last 24 hours by default. `where=event=exec`, `where=pid=42`, `where=workload=…` narrow it.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "processes", params(RangeParams, WhereParams),
    responses((status = 200, body = Rows<Event>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn events(api: Api, mut params: Params) -> Result<Body, ApiError> {
    let range = params.range(86_400)?;
    let wheres = params.wheres()?;
    let limit = params.number("limit", ROWS, api.0.limits.max_rows as u64)?;
    params.end()?;
    // a mistake in a condition is found before anything runs
    clause(Table::Process, range, &wheres, &mut Values::default())?;
    let max_rows = api.0.limits.max_rows;
    api.answer("events", move |session| async move {
        let mut answer = Answer::objects(max_rows);
        newest::rows(&session, Table::Process, range, wheres, limit, &mut answer).await?;
        gap::note(&session, range.ns(), &[Table::Process]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}
