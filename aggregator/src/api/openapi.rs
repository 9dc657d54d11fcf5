//! The API's own description, generated from the endpoints and the types below.

mod params;
mod rows;

use axum::Json;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

pub(crate) use self::params::{LogParams, RangeParams, TextParams, WhereParams};
pub(crate) use self::rows::{
    BlockSum, DropSum, Event, FlowEdge, KubeEvent, LogCount, LogLine, LogPattern, LossSum, ObjectChange,
    Rows, ServiceMap, SyscallSum, Trace, TraceSpans, UsageRate, Workload,
};
use crate::api::{
    doctor, events, flows, follow, logs, map, patterns, sql, status, syscalls, tables, traces, usage,
    workloads,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Wake",
        description = "What happens on the hosts that Wake watches. Times in parameters: RFC 3339, Unix seconds, ms or \
                       ns, `now`, or back from now such as `-15m`. Times in answers: RFC 3339 with nanoseconds, UTC. \
                       What could not be measured is absent, never zero. `complete` is false when something is \
                       missing, and `reasons` says what.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        logs::search,
        follow::follow,
        logs::histogram,
        patterns::patterns,
        flows::flows,
        map::map,
        tables::drops,
        usage::usage,
        tables::block,
        workloads::workloads,
        syscalls::syscalls,
        events::events,
        events::kube_events,
        events::changes,
        traces::search,
        traces::trace,
        sql::sql,
        status::status,
        doctor::doctor,
        tables::losses,
        status::seal,
    ),
    tags(
        (name = "logs", description = "What is written"),
        (name = "traces", description = "What became of a request"),
        (name = "network", description = "Who talks to whom"),
        (name = "resources", description = "What is used"),
        (name = "processes", description = "What runs, and what it asks of the kernel"),
        (name = "kubernetes", description = "What Kubernetes says happened, and what changed in it"),
        (name = "sql", description = "Everything, as tables"),
        (name = "self", description = "How Wake itself stands"),
    )
)]
struct Described;

/// The OpenAPI document.
pub fn document() -> Document {
    Described::openapi()
}

/// `GET /api/v1/openapi.json`
pub(crate) async fn serve() -> Json<Document> {
    Json(document())
}
