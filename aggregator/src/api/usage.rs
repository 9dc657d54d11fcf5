//! `GET /usage`: CPU, memory, I/O, network and waiting per workload, as rates and means over the range.

use std::collections::BTreeMap;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampNanosecondType};
use futures::StreamExt as _;
use store::{ScanRequest, Table};

use crate::api::Api;
use crate::api::answer::{Answer, Body};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::openapi::{RangeParams, Rows, UsageRate, WhereParams};
use crate::api::params::{Params, Range};
use crate::api::wheres::{Values, clause, shared};
use crate::query::error::QueryError;
use crate::query::gap;
use crate::query::session::Session;

/// Rows unless the request says otherwise.
const ROWS: u64 = 1_000;
/// How far back the newest windows are looked for, seconds.
const RECENT_S: i64 = 600;
const NS: i64 = 1_000_000_000;

/// What each workload uses: CPU, memory, I/O, network, time waiting to run.
///
/// Rates and means over the range; without `from`, over the two newest windows. What was not measured is absent.
#[utoipa::path(
    get,
    path = "/api/v1/usage",
    tag = "resources",
    params(
        RangeParams,
        WhereParams,
        ("sort" = Option<String>, Query, description = "`cpu` (default), `memory`, `io`, `network` or `run_queue`"),
    ),
    responses((status = 200, body = Rows<UsageRate>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn usage(api: Api, mut params: Params) -> Result<Body, ApiError> {
    let from = params.time("from")?;
    let to = params.time("to")?;
    let now_ns = api.now_ns();
    let wheres = params.wheres()?;
    let limit = params.number("limit", ROWS, api.0.limits.max_rows as u64)?;
    let order = match params.choice("sort", &["cpu", "memory", "io", "network", "run_queue"])? {
        Some("memory") => "memory_working_set",
        Some("io") => "coalesce(io_read_bytes_per_s, 0) + coalesce(io_write_bytes_per_s, 0)",
        Some("network") => "coalesce(net_sent_bytes_per_s, 0) + coalesce(net_received_bytes_per_s, 0)",
        Some("run_queue") => "run_queue_p99_us",
        _ => "cpu_cores",
    };
    params.end()?;
    let to_ns = to.unwrap_or(i64::MAX);
    if from.is_some_and(|from| from > to_ns) {
        return Err(ApiError::parameter("from", 0, "lies after `to`"));
    }
    // A mistake in a condition is found before anything runs.
    clause(Table::Usage, Range { from_ns: 0, to_ns }, &wheres, &mut Values::default())?;
    let max_rows = api.0.limits.max_rows;
    api.answer("usage", move |session| async move {
        let range = match from {
            Some(from_ns) => Range { from_ns, to_ns },
            None => newest_windows(&session, to_ns.min(now_ns)).await?,
        };
        let mut values = Values::default();
        let query = rates(range, &wheres, order, limit, &mut values)?;
        let mut answer = Answer::objects(max_rows);
        session.own(&query, values.0, &mut answer).await?;
        gap::note(&session, range.ns(), &[Table::Usage, Table::Flow]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}

/// The range of the two newest windows that any node has sent, read from the store directly.
async fn newest_windows(session: &Session, to_ns: i64) -> Result<Range, ApiError> {
    let recent = Range { from_ns: to_ns.saturating_sub(RECENT_S * NS), to_ns };
    let request = ScanRequest {
        from_ns: recent.from_ns,
        to_ns: recent.to_ns,
        columns: Some(["ts", "window_s"].map(str::to_owned).to_vec()),
        ..ScanRequest::default()
    };
    let mut batches = session.snapshot.scan(Table::Usage, request).map_err(QueryError::Scan)?;
    let mut windows: BTreeMap<i64, i64> = BTreeMap::new();
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => add_windows(&batch, &mut windows),
            Err(error) if error.is_partial() => session.reasons.add_scan(&error),
            Err(error) => return Err(QueryError::Scan(error).into()),
        }
    }
    let newest: Vec<(i64, i64)> = windows.into_iter().rev().take(2).collect();
    let from_ns = newest.iter().map(|(since, _)| *since).min();
    let to_ns = newest.iter().map(|(since, seconds)| since.saturating_add(seconds * NS)).max();
    Ok(from_ns.zip(to_ns).map_or(recent, |(from_ns, to_ns)| Range { from_ns, to_ns }))
}

/// Begin of a window, and its longest length in seconds.
fn add_windows(batch: &RecordBatch, windows: &mut BTreeMap<i64, i64>) {
    let [ts, seconds] = ["ts", "window_s"].map(|name| batch.column_by_name(name));
    let ts = ts.and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
    let seconds = seconds.and_then(|column| column.as_primitive_opt::<Int32Type>());
    let (Some(ts), Some(seconds)) = (ts, seconds) else { return };
    for (ts, seconds) in ts.values().iter().zip(seconds.values()) {
        let longest = windows.entry(*ts).or_default();
        *longest = (*longest).max(i64::from(*seconds));
    }
}

/// Per node first, since windows belong to a node; then over nodes.
fn rates(
    range: Range,
    wheres: &[(String, String)],
    order: &str,
    limit: u64,
    values: &mut Values,
) -> Result<String, ApiError> {
    let windows = clause(Table::Usage, range, &[], values)?;
    let used = clause(Table::Usage, range, wheres, values)?;
    let flowed = clause(Table::Flow, range, &shared(Table::Flow, wheres), values)?;
    Ok(format!(
        "WITH windows AS (SELECT node, count(*) AS windows, sum(window_s) AS seconds FROM (\
           SELECT node, ts, max(window_s) AS window_s FROM (\
             SELECT coalesce(node, '') AS node, ts, window_s FROM usage {windows} \
             UNION ALL SELECT coalesce(node, '') AS node, ts, window_s FROM flow {windows}\
           ) GROUP BY node, ts) GROUP BY node), \
         used AS (SELECT coalesce(node, '') AS node, namespace, workload, max(workload_kind) AS workload_kind, \
           sum(cpu_usage_ns) AS cpu_usage_ns, sum(cpu_periods) AS cpu_periods, \
           sum(cpu_throttled_periods) AS cpu_throttled_periods, sum(cpu_limit_cores) AS cpu_limit_cores, \
           sum(memory_working_set) AS memory_working_set, sum(memory_current) AS memory_current, \
           sum(memory_limit) AS memory_limit, sum(memory_events_oom_kill) AS oom_kills, \
           sum(pids_current) AS pids_current, \
           sum(io_read_bytes) AS io_read_bytes, sum(io_write_bytes) AS io_write_bytes, \
           sum(psi_cpu_some_us) AS psi_cpu_some_us, sum(psi_memory_some_us) AS psi_memory_some_us, \
           sum(psi_memory_full_us) AS psi_memory_full_us, sum(psi_io_some_us) AS psi_io_some_us, \
           sum(psi_io_full_us) AS psi_io_full_us, \
           sum(switches_voluntary) AS switches_voluntary, sum(switches_involuntary) AS switches_involuntary, \
           hist_sum(run_queue_hist) AS run_queue \
           FROM usage {used} GROUP BY node, namespace, workload), \
         flowed AS (SELECT coalesce(node, '') AS node, namespace, workload, max(workload_kind) AS workload_kind, \
           sum(bytes_sent) AS bytes_sent, sum(bytes_received) AS bytes_received \
           FROM flow {flowed} GROUP BY node, namespace, workload), \
         each AS (SELECT coalesce(u.node, f.node) AS node, coalesce(u.namespace, f.namespace) AS namespace, \
           coalesce(u.workload, f.workload) AS workload, coalesce(u.workload_kind, f.workload_kind) AS workload_kind, \
           u.* EXCEPT (node, namespace, workload, workload_kind), f.bytes_sent, f.bytes_received \
           FROM used u FULL JOIN flowed f ON u.node = f.node AND u.namespace = f.namespace AND u.workload = f.workload) \
         SELECT namespace, workload, max(workload_kind) AS workload_kind, \
           sum(cpu_usage_ns / 1e9 / seconds) AS cpu_cores, sum(cpu_limit_cores / windows) AS cpu_limit_cores, \
           sum(cpu_throttled_periods) / nullif(CAST(sum(cpu_periods) AS DOUBLE), 0) AS throttled_ratio, \
           CAST(sum(memory_working_set / windows) AS BIGINT) AS memory_working_set, \
           CAST(sum(memory_current / windows) AS BIGINT) AS memory_current, \
           CAST(sum(memory_limit / windows) AS BIGINT) AS memory_limit, sum(oom_kills) AS oom_kills, \
           CAST(sum(pids_current / windows) AS BIGINT) AS pids_current, \
           sum(io_read_bytes / CAST(seconds AS DOUBLE)) AS io_read_bytes_per_s, \
           sum(io_write_bytes / CAST(seconds AS DOUBLE)) AS io_write_bytes_per_s, \
           sum(bytes_sent / CAST(seconds AS DOUBLE)) AS net_sent_bytes_per_s, \
           sum(bytes_received / CAST(seconds AS DOUBLE)) AS net_received_bytes_per_s, \
           hist_quantile(hist_sum(run_queue), 0.5) AS run_queue_p50_us, \
           hist_quantile(hist_sum(run_queue), 0.99) AS run_queue_p99_us, \
           sum(switches_voluntary / CAST(seconds AS DOUBLE)) AS switches_voluntary_per_s, \
           sum(switches_involuntary / CAST(seconds AS DOUBLE)) AS switches_involuntary_per_s, \
           sum(psi_cpu_some_us / 1e6 / seconds) AS psi_cpu_some_ratio, \
           sum(psi_memory_some_us / 1e6 / seconds) AS psi_memory_some_ratio, \
           sum(psi_memory_full_us / 1e6 / seconds) AS psi_memory_full_ratio, \
           sum(psi_io_some_us / 1e6 / seconds) AS psi_io_some_ratio, \
           sum(psi_io_full_us / 1e6 / seconds) AS psi_io_full_ratio \
         FROM each JOIN windows ON each.node = windows.node WHERE workload IS NOT NULL \
         GROUP BY namespace, workload ORDER BY {order} DESC NULLS LAST, workload LIMIT {limit}"
    ))
}
