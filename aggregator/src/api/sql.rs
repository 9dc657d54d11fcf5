//! `POST /sql`: read-only SQL over every table.

use axum::body::Bytes;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::answer::{Answer, ReasonBody};
use crate::api::error::{ApiError, ErrorBody};
use crate::audit::Told;

/// A query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlRequest {
    /// One statement: SELECT, EXPLAIN, SHOW or DESCRIBE. `SHOW TABLES` lists the tables, `DESCRIBE log` its columns.
    #[schema(
        example = "SELECT workload, count(*) AS lines FROM log GROUP BY workload ORDER BY lines DESC LIMIT 10"
    )]
    query: String,
    /// The most rows of the answer; the configured most without.
    max_rows: Option<u64>,
}

/// A table: columns, then rows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SqlAnswer {
    /// The columns, in order.
    columns: Vec<SqlColumn>,
    /// The rows; a value per column, null where absent. Times are RFC 3339, UTC.
    rows: Vec<Vec<serde_json::Value>>,
    /// Whether this is the whole answer.
    complete: bool,
    /// Why it is not.
    reasons: Vec<ReasonBody>,
}

/// A column of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SqlColumn {
    /// Its name.
    name: String,
    /// Its Arrow type.
    #[serde(rename = "type")]
    kind: String,
}

/// Read-only SQL over every table, limited in time, memory and rows.
///
/// The dialect is DataFusion's. Beside its functions there are `hist_sum(hist)`, which merges latency histograms,
/// `hist_quantile(hist, 0.99)`, which reads one in µs, and `hist_count(hist)`.
#[utoipa::path(
    post, path = "/api/v1/sql", tag = "sql", request_body = SqlRequest,
    responses((status = 200, body = SqlAnswer), (status = "default", body = ErrorBody))
)]
pub(crate) async fn sql(api: Api, body: Bytes) -> Result<Response, ApiError> {
    let SqlRequest { query, max_rows } = serde_json::from_slice(&body).map_err(|error| {
        ApiError::invalid(format!("the body is not {{\"query\": \"…\", \"max_rows\": n}}: {error}"))
    })?;
    let most = api.0.limits.max_rows;
    let max_rows = max_rows.map_or(most, |rows| usize::try_from(rows).unwrap_or(usize::MAX).min(most));
    let text = query.clone();
    let answered = api.answer("sql", move |session| async move {
        let mut answer = Answer::arrays(max_rows);
        session.query(&query, &mut answer).await?;
        Ok(answer.end(&session.reasons.list()))
    });
    let mut response = answered.await.into_response();
    response.extensions_mut().get_or_insert_default::<Told>().text = Some(text);
    Ok(response)
}
