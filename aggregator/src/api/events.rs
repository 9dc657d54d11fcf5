//! `GET /events`: processes that start, end and are killed.

use store::Table;

use crate::api::answer::{Answer, Body};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::openapi::{Event, RangeParams, Rows, WhereParams};
use crate::api::params::Params;
use crate::api::wheres::{Values, clause};
use crate::api::{Api, gap};

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
    let mut values = Values::default();
    let conditions = clause(Table::Process, range, &wheres, &mut values)?;
    let query = format!("SELECT * FROM process {conditions} ORDER BY ts DESC LIMIT {limit}");
    let max_rows = api.0.limits.max_rows;
    api.answer("events", move |session| async move {
        let mut answer = Answer::objects(max_rows);
        session.own(&query, values.0, &mut answer).await?;
        gap::losses(&session, range, &["process"]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}
