//! `GET /workloads`: who was there, since when, until when, seen by which signals.

use store::Table;

use crate::api::Api;
use crate::api::answer::{Answer, Body};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::openapi::{RangeParams, Rows, WhereParams, Workload};
use crate::api::params::Params;
use crate::api::wheres::{Values, clause, shared};
use crate::query::gap;

/// Rows unless the request says otherwise.
const ROWS: u64 = 1_000;
const SEEN_BY: [Table; 7] =
    [Table::Log, Table::Flow, Table::Drop, Table::Usage, Table::Syscall, Table::Block, Table::Process];

/// Workloads with rows in the range, the one seen last first.
///
/// The last hour by default.
#[utoipa::path(
    get, path = "/api/v1/workloads", tag = "resources", params(RangeParams, WhereParams),
    responses((status = 200, body = Rows<Workload>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn workloads(api: Api, mut params: Params) -> Result<Body, ApiError> {
    let range = params.range(3_600)?;
    let wheres = params.wheres()?;
    let limit = params.number("limit", ROWS, api.0.limits.max_rows as u64)?;
    params.end()?;
    let mut values = Values::default();
    let mut parts = Vec::new();
    for table in SEEN_BY {
        let known = shared(table, &wheres);
        if known.len() < wheres.len() && table != Table::Usage {
            continue;
        }
        let conditions = clause(table, range, &wheres, &mut values)?;
        let name = table.name();
        parts.push(format!(
            "SELECT '{name}' AS signal, \"cluster\", namespace, workload, workload_kind, node, min(ts) AS first_ts, \
             max(ts) AS last_ts FROM \"{name}\" {conditions} \
             GROUP BY \"cluster\", namespace, workload, workload_kind, node"
        ));
    }
    let query = format!(
        "SELECT \"cluster\", namespace, workload, workload_kind, min(first_ts) AS first_ts, max(last_ts) AS last_ts, \
         array_sort(array_agg(DISTINCT signal)) AS signals, array_sort(array_agg(DISTINCT CAST(node AS VARCHAR))) AS nodes \
         FROM ({}) WHERE workload IS NOT NULL GROUP BY \"cluster\", namespace, workload, workload_kind \
         ORDER BY last_ts DESC, workload LIMIT {limit}",
        parts.join(" UNION ALL ")
    );
    let max_rows = api.0.limits.max_rows;
    api.answer("workloads", move |session| async move {
        let mut answer = Answer::objects(max_rows);
        session.own(&query, values.0, &mut answer).await?;
        gap::note(&session, range.ns(), &SEEN_BY).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}
