//! `GET /flows`: who talks to whom, summed over the range, or window by window.

use store::Table;

use crate::api::answer::{Answer, Body};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::openapi::{FlowEdge, RangeParams, Rows, WhereParams};
use crate::api::params::Params;
use crate::api::wheres::{Values, clause};
use crate::api::{Api, newest};
use crate::query::gap;

/// Rows unless the request says otherwise.
const ROWS: u64 = 100;

/// Who talks to whom and how much, largest first.
///
/// One row per workload, role and peer, summed over the range (the last hour by default). `raw=true` gives the
/// windows as they are stored, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/flows",
    tag = "network",
    params(
        RangeParams,
        WhereParams,
        ("sort" = Option<String>, Query, description = "`bytes` (default), `retransmits`, `rtt` or `failures`"),
        ("raw" = Option<bool>, Query, description = "Windows as stored instead of sums"),
    ),
    responses((status = 200, body = Rows<FlowEdge>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn flows(api: Api, mut params: Params) -> Result<Body, ApiError> {
    let range = params.range(3_600)?;
    let wheres = params.wheres()?;
    let limit = params.number("limit", ROWS, api.0.limits.max_rows as u64)?;
    let sort = params.choice("sort", &["bytes", "retransmits", "rtt", "failures"])?.unwrap_or("bytes");
    let is_raw = params.flag("raw")?;
    params.end()?;
    let mut values = Values::default();
    let conditions = clause(Table::Flow, range, &wheres, &mut values)?;
    let query = edges(&conditions, sort, limit);
    let max_rows = api.0.limits.max_rows;
    api.answer("flows", move |session| async move {
        let mut answer = Answer::objects(max_rows);
        if is_raw {
            newest::rows(&session, Table::Flow, range, (wheres, Vec::new()), limit, &mut answer).await?;
        } else {
            session.own(&query, values.0, &mut answer).await?;
        }
        gap::note(&session, range.ns(), &[Table::Flow]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}

fn edges(conditions: &str, sort: &str, limit: u64) -> String {
    let order = match sort {
        "retransmits" => "retransmits DESC, bytes_sent + bytes_received DESC",
        "rtt" => "rtt_p99_us DESC NULLS LAST",
        "failures" => "failures + resets DESC, bytes_sent + bytes_received DESC",
        _ => "bytes_sent + bytes_received DESC",
    };
    // every column that names one of the two ends
    let ends = "\"cluster\", node, zone, namespace, workload, workload_kind, pod, container, role, protocol, \
                peer_address, peer_kind, peer_namespace, peer_workload, peer_workload_kind, peer_pod, peer_node, \
                peer_zone, peer_service, asked_address, asked_port, nat_source, server_port";
    format!(
        "SELECT *, hist_quantile(rtt, 0.5) AS rtt_p50_us, hist_quantile(rtt, 0.99) AS rtt_p99_us FROM (\
         SELECT {ends}, sum(bytes_sent) AS bytes_sent, \
         sum(bytes_received) AS bytes_received, sum(packets_sent) AS packets_sent, \
         sum(packets_received) AS packets_received, sum(connects) AS connects, sum(accepts) AS accepts, \
         sum(failures) AS failures, sum(resets) AS resets, sum(retransmits) AS retransmits, sum(closes) AS closes, \
         CAST(avg(srtt_us) AS BIGINT) AS srtt_us, hist_sum(rtt_hist) AS rtt \
         FROM flow {conditions} GROUP BY {ends}) ORDER BY {order} LIMIT {limit}"
    )
}
