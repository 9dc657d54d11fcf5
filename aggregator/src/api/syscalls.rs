//! `GET /syscalls`: calls, errors and latency per workload and syscall.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use store::Table;

use crate::api::Api;
use crate::api::answer::{Answer, Body, Rows as Kept};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::openapi::{RangeParams, Rows, SyscallSum, WhereParams};
use crate::api::params::Params;
use crate::api::wheres::{Values, clause, shared};
use crate::query::gap;

/// Rows unless the request says otherwise.
const ROWS: u64 = 100;
const KEYS: [&str; 4] = ["namespace", "workload", "syscall", "abi"];

/// System calls per workload: how many, how many failed and with what, how slow their class is.
///
/// Summed over the range (the last hour by default). Counts are exact; latency is that of the syscall's class,
/// sampled unless the agent measures in full.
#[utoipa::path(
    get,
    path = "/api/v1/syscalls",
    tag = "processes",
    params(
        RangeParams,
        WhereParams,
        ("sort" = Option<String>, Query, description = "`count` (default), `errors` or `p99`"),
    ),
    responses((status = 200, body = Rows<SyscallSum>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn syscalls(api: Api, mut params: Params) -> Result<Body, ApiError> {
    let range = params.range(3_600)?;
    let wheres = params.wheres()?;
    let limit = params.number("limit", ROWS, api.0.limits.max_rows as u64)?;
    let order = match params.choice("sort", &["count", "errors", "p99"])? {
        Some("errors") => "errors DESC, \"count\" DESC",
        Some("p99") => "p99_us DESC NULLS LAST, \"count\" DESC",
        _ => "\"count\" DESC",
    };
    params.end()?;

    let mut values = Values::default();
    let calls = clause(Table::Syscall, range, &wheres, &mut values)?;
    let latency = clause(Table::SyscallLatency, range, &shared(Table::SyscallLatency, &wheres), &mut values)?;
    let sums = format!(
        "SELECT s.*, hist_quantile(l.hist, 0.5) AS p50_us, hist_quantile(l.hist, 0.99) AS p99_us FROM (\
         SELECT namespace, workload, workload_kind, syscall, class, abi, sum(\"count\") AS \"count\", \
         sum(errors) AS errors FROM syscall {calls} \
         GROUP BY namespace, workload, workload_kind, syscall, class, abi) s LEFT JOIN (\
         SELECT namespace AS n, workload AS w, class AS c, hist_sum(latency_hist) AS hist \
         FROM syscall_latency {latency} GROUP BY namespace, workload, class) l \
         ON s.namespace = l.n AND s.workload = l.w AND s.class = l.c ORDER BY {order} LIMIT {limit}"
    );
    let mut errno_values = Values::default();
    let failed = clause(Table::Syscall, range, &wheres, &mut errno_values)?;
    let errnos = format!(
        "SELECT namespace, workload, syscall, abi, errno, sum(n) AS n FROM (\
         SELECT namespace, workload, syscall, abi, unnest(map_keys(errnos)) AS errno, \
         unnest(map_values(errnos)) AS n FROM syscall {failed}) \
         GROUP BY namespace, workload, syscall, abi, errno ORDER BY n DESC"
    );
    let max_rows = api.0.limits.max_rows;
    api.answer("syscalls", move |session| async move {
        let (mut calls, mut errors) = (Kept::default(), Kept::default());
        session.own(&sums, values.0, &mut calls).await?;
        session.own(&errnos, errno_values.0, &mut errors).await?;
        gap::note(&session, range.ns(), &[Table::Syscall]).await?;
        let mut answer = Answer::objects(max_rows);
        for row in with_errnos(calls.0, &errors.0) {
            answer.push(&row);
        }
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}

/// Each row with its `errnos`, a map from name to count.
fn with_errnos(calls: Vec<Map<String, Value>>, errors: &[Map<String, Value>]) -> Vec<Map<String, Value>> {
    let key =
        |row: &Map<String, Value>| KEYS.map(|name| row.get(name).map(Value::to_string).unwrap_or_default());
    let mut by_call: BTreeMap<[String; 4], Map<String, Value>> = BTreeMap::new();
    for error in errors {
        if let (Some(Value::String(errno)), Some(count)) = (error.get("errno"), error.get("n")) {
            by_call.entry(key(error)).or_default().insert(errno.clone(), count.clone());
        }
    }
    let add = |mut row: Map<String, Value>| {
        let errnos = by_call.remove(&key(&row)).unwrap_or_default();
        row.insert(String::from("errnos"), Value::Object(errnos));
        row
    };
    calls.into_iter().map(add).collect()
}
