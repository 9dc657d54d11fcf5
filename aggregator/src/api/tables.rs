//! `GET /drops`, `/block`, `/losses`: tables whose answer is one sum.

use store::Table;

use crate::api::Api;
use crate::api::answer::{Answer, Body};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::openapi::{BlockSum, DropSum, LossSum, RangeParams, Rows, WhereParams};
use crate::api::params::Params;
use crate::api::wheres::{Values, clause};
use crate::query::gap;

/// Rows unless the request says otherwise.
const ROWS: u64 = 1_000;

/// Packets that the kernel dropped, by workload and the kernel's reason.
///
/// Summed over the range (the last hour by default), most packets first.
#[utoipa::path(
    get, path = "/api/v1/drops", tag = "network", params(RangeParams, WhereParams),
    responses((status = 200, body = Rows<DropSum>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn drops(api: Api, params: Params) -> Result<Body, ApiError> {
    let sum = Sum {
        table: Table::Drop,
        groups: "\"cluster\", node, namespace, workload, workload_kind, pod, container, reason, protocol",
        sums: "sum(packets) AS packets, sum(bytes) AS bytes",
        order: "packets",
    };
    answer(api, params, sum).await
}

/// Block I/O by workload, device and operation, with latency.
///
/// Summed over the range (the last hour by default), most bytes first.
#[utoipa::path(
    get, path = "/api/v1/block", tag = "resources", params(RangeParams, WhereParams),
    responses((status = 200, body = Rows<BlockSum>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn block(api: Api, params: Params) -> Result<Body, ApiError> {
    let sum = Sum {
        table: Table::Block,
        groups: "\"cluster\", node, namespace, workload, workload_kind, pod, container, device, operation",
        sums: "sum(operations) AS operations, sum(bytes) AS bytes, \
               hist_quantile(hist_sum(latency_hist), 0.5) AS p50_us, \
               hist_quantile(hist_sum(latency_hist), 0.99) AS p99_us",
        order: "bytes",
    };
    answer(api, params, sum).await
}

/// What was lost between the kernel and the store, by node, signal, stage and reason.
///
/// Summed over the range (the last hour by default), most first.
#[utoipa::path(
    get, path = "/api/v1/losses", tag = "self", params(RangeParams, WhereParams),
    responses((status = 200, body = Rows<LossSum>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn losses(api: Api, params: Params) -> Result<Body, ApiError> {
    let sum = Sum {
        table: Table::Loss,
        groups: "node, signal, stage, reason",
        sums: "sum(\"count\") AS \"count\", min(ts) AS first_ts, max(ts) AS last_ts",
        order: "\"count\"",
    };
    answer(api, params, sum).await
}

struct Sum {
    table: Table,
    groups: &'static str,
    sums: &'static str,
    order: &'static str,
}

async fn answer(api: Api, mut params: Params, sum: Sum) -> Result<Body, ApiError> {
    let Sum { table, groups, sums, order } = sum;
    let range = params.range(3_600)?;
    let wheres = params.wheres()?;
    let limit = params.number("limit", ROWS, api.0.limits.max_rows as u64)?;
    params.end()?;
    let mut values = Values::default();
    let conditions = clause(table, range, &wheres, &mut values)?;
    let query = format!(
        "SELECT {groups}, {sums} FROM \"{}\" {conditions} GROUP BY {groups} ORDER BY {order} DESC LIMIT {limit}",
        table.name()
    );
    let max_rows = api.0.limits.max_rows;
    api.answer(table.name(), move |session| async move {
        let mut answer = Answer::objects(max_rows);
        session.own(&query, values.0, &mut answer).await?;
        gap::note(&session, range.ns(), &[table]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}
