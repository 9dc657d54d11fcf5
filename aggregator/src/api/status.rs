//! `GET /status`: how the aggregator and its agents stand. `POST /admin/seal`: seal now.

use axum::Json;
use proto::error::ErrorCode;
use serde::Serialize;
use serde_json::{Map, Value};
use store::StoreStats;
use utoipa::ToSchema;

use crate::api::answer::Rows as Kept;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::params::{Params, Range};
use crate::api::wheres::{Values, clause};
use crate::api::{Api, json};
use crate::ingest::agents::Agent;
use crate::kube::Kube;
use crate::metrics::ExportState;

/// How far back losses are counted, seconds.
const LOSSES_S: i64 = 3_600;

/// How the aggregator stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// Its version.
    version: &'static str,
    /// When it started.
    started: String,
    /// Its store; for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreStatus>,
    /// Every agent that it knows; for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    agents: Option<Vec<AgentStatus>>,
    /// The Kubernetes cluster whose API server is watched; for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<KubernetesStatus>,
    /// What is sent on over OTLP, by signal; for operators.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    export: Vec<ExportStatus>,
    /// What was lost in the last hour, by signal, stage and reason; for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<crate::api::openapi::LossSum>>)]
    losses: Option<Vec<Map<String, Value>>>,
}

/// How the store stands.
#[derive(Debug, Serialize, ToSchema)]
struct StoreStatus {
    /// Why it takes nothing any more, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
    /// Whether batches are refused because the disk is full.
    disk_full: bool,
    /// Write-ahead log, bytes.
    wal_bytes: u64,
    /// Memory of what is not sealed yet, bytes.
    head_bytes: usize,
    /// Damaged parts of the write-ahead log found at start: acknowledged data that is lost.
    lost_records: u64,
    /// Each table.
    tables: Vec<TableStatus>,
}

/// How the watch of the cluster stands.
#[derive(Debug, Serialize, ToSchema)]
struct KubernetesStatus {
    /// What the cluster is called.
    cluster: String,
    /// Pods that have gone and are still known.
    ended_pods: usize,
    /// Each watch.
    watches: Vec<WatchStatus>,
}

/// How the watch of one kind of object stands.
#[derive(Debug, Serialize, ToSchema)]
struct WatchStatus {
    /// The kind.
    kind: &'static str,
    /// Whether its first list is complete.
    synced: bool,
    /// Objects kept.
    objects: usize,
    /// When something was heard last.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<String>,
    /// Why nothing is heard; the last state holds.
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

/// How the export of a signal stands.
#[derive(Debug, Serialize, ToSchema)]
struct ExportStatus {
    /// `logs` or `spans`.
    signal: &'static str,
    /// How long there has been something to send, without interruption, seconds.
    behind_s: i64,
    /// Rows of all tables since the last one that was sent: at most so many wait.
    behind_rows: i64,
    /// Records that will never be sent, since the start; `losses` says why.
    lost_records: u64,
    /// What keeps it from sending, or has it drop records.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// How a table stands.
#[derive(Debug, Serialize, ToSchema)]
struct TableStatus {
    /// Its name.
    table: &'static str,
    /// Rows not sealed yet.
    head_rows: usize,
    /// Segments on disk.
    segments: usize,
    /// Rows in segments.
    segment_rows: u64,
    /// Bytes of segments.
    segment_bytes: u64,
    /// The oldest row in segments.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<String>,
}

/// How an agent stands.
#[derive(Debug, Serialize, ToSchema)]
struct AgentStatus {
    /// Its node.
    node: String,
    /// Its cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    cluster: String,
    /// The node's boot.
    boot_id: String,
    /// Its version.
    version: String,
    /// Whether its stream is open.
    connected: bool,
    /// When it connected last.
    connected_since: String,
    /// When its last batch was acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_batch: Option<String>,
    /// Seconds since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_s: Option<f64>,
    /// Its probes.
    probes: Vec<ProbeStatus>,
    /// What waits on its disk, bytes.
    spool_bytes: u64,
    /// What waits on its disk, batches.
    spool_batches: u64,
}

/// How a probe stands.
#[derive(Debug, Serialize, ToSchema)]
struct ProbeStatus {
    /// Its name.
    probe: String,
    /// `running`, `disabled`, `unsupported` or `failed`.
    state: String,
    /// Why, when it does not run.
    reason: String,
    /// What it lacks while it runs.
    missing: Vec<String>,
}

/// How the aggregator, its store and its agents stand.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "self",
    responses((status = 200, body = Status), (status = "default", body = ErrorBody))
)]
pub(crate) async fn status(api: Api, params: Params) -> Result<Json<Status>, ApiError> {
    params.end()?;
    let now_ns = api.now_ns();
    let range = Range { from_ns: now_ns.saturating_sub(LOSSES_S * 1_000_000_000), to_ns: i64::MAX };
    let losses = api
        .answer("status", move |session| async move {
            let mut values = Values::default();
            let conditions = clause(store::Table::Loss, range, &[], &mut values)?;
            let query = format!(
                "SELECT node, signal, stage, reason, sum(\"count\") AS \"count\", min(ts) AS first_ts, \
                 max(ts) AS last_ts FROM loss {conditions} \
                 GROUP BY node, signal, stage, reason ORDER BY \"count\" DESC LIMIT 100"
            );
            let mut rows = Kept::default();
            session.own(&query, values.0, &mut rows).await?;
            Ok(rows.0)
        })
        .await?;
    let is_operator = api.1.is_operator();
    let agents = || api.0.agents.list().into_iter().map(|agent| agent_status(agent, now_ns)).collect();
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        started: json::rfc3339(i128::from(api.0.started_ns)),
        store: is_operator.then(|| store_status(api.0.query.stats())),
        agents: is_operator.then(agents),
        kubernetes: api.0.kube.get().filter(|_| is_operator).map(|kube| kubernetes_status(kube)),
        export: if is_operator { export_status(&api) } else { Vec::new() },
        losses: is_operator.then_some(losses),
    }))
}

fn export_status(api: &Api) -> Vec<ExportStatus> {
    let of = |state: ExportState| {
        let ExportState { signal, behind_s, behind_rows, lost, waits } = state;
        ExportStatus { signal, behind_s, behind_rows, lost_records: lost, problem: waits }
    };
    api.0.doctor.export.state().into_iter().map(of).collect()
}

fn kubernetes_status(kube: &Kube) -> KubernetesStatus {
    let watches = kube.states().into_iter().map(|(kind, state, objects)| WatchStatus {
        kind: kind.as_str(),
        synced: state.is_synced,
        objects,
        heard: (state.heard_ns > 0).then(|| json::rfc3339(i128::from(state.heard_ns))),
        error: state.error,
    });
    KubernetesStatus { cluster: kube.cluster(), ended_pods: kube.ended(), watches: watches.collect() }
}

fn store_status(stats: StoreStats) -> StoreStatus {
    StoreStatus {
        stopped: stats.stopped,
        disk_full: stats.disk_full,
        wal_bytes: stats.wal_bytes,
        head_bytes: stats.head_bytes,
        lost_records: stats.counters.lost_records,
        tables: stats
            .tables
            .into_iter()
            .map(|table| TableStatus {
                table: table.table.name(),
                head_rows: table.head_rows,
                segments: table.segments,
                segment_rows: table.segment_rows,
                segment_bytes: table.segment_bytes,
                oldest: table.oldest_ns.map(|ns| json::rfc3339(i128::from(ns))),
            })
            .collect(),
    }
}

fn agent_status(agent: Agent, now_ns: i64) -> AgentStatus {
    let Agent { hello, streams, connected_ns, last_batch_ns, status, heard_ns: _ } = agent;
    let lag_s = last_batch_ns
        .map(|last| (now_ns.saturating_sub(i64::try_from(last).unwrap_or(i64::MAX))).max(0) as f64 / 1e9);
    AgentStatus {
        node: hello.node,
        cluster: hello.cluster,
        boot_id: hello.boot_id,
        version: hello.agent_version,
        connected: streams > 0,
        connected_since: json::rfc3339(i128::from(connected_ns)),
        last_batch: last_batch_ns.map(|ns| json::rfc3339(i128::from(ns))),
        lag_s,
        probes: status
            .probes
            .into_iter()
            .map(|probe| ProbeStatus {
                probe: probe.probe,
                state: probe.state,
                reason: probe.reason,
                missing: probe.missing,
            })
            .collect(),
        spool_bytes: status.spool_bytes,
        spool_batches: status.spool_batches,
    }
}

/// What was sealed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SealAnswer {
    /// One per segment.
    sealed: Vec<SealedSegment>,
}

/// A new segment.
#[derive(Debug, Serialize, ToSchema)]
struct SealedSegment {
    /// Its table.
    table: &'static str,
    /// Its rows.
    rows: u64,
    /// Its files, bytes.
    bytes: u64,
}

/// Seals every row that only memory and the write-ahead log hold, at once.
#[utoipa::path(
    post, path = "/api/v1/admin/seal", tag = "self",
    responses((status = 200, body = SealAnswer), (status = "default", body = ErrorBody))
)]
pub(crate) async fn seal(api: Api) -> Result<Json<SealAnswer>, ApiError> {
    api.operator("seal the store")?;
    let (query, now_ns) = (api.0.query.clone(), api.now_ns());
    // A task of its own: a caller that goes away does not stop a seal half way.
    let sealed = tokio::spawn(async move { query.seal(now_ns).await }).await;
    match sealed {
        Ok(Ok(sealed)) => Ok(Json(SealAnswer {
            sealed: sealed
                .into_iter()
                .map(|sealed| SealedSegment {
                    table: sealed.table.name(),
                    rows: sealed.rows,
                    bytes: sealed.bytes,
                })
                .collect(),
        })),
        Ok(Err(error)) => Err(ApiError::new(ErrorCode::Unavailable, crate::chain(&error))),
        Err(error) => Err(ApiError::new(ErrorCode::Internal, error.to_string())),
    }
}
