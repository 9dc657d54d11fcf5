//! The service map.

use utoipa::ToSchema;

use crate::api::answer::ReasonBody;

/// A workload, or what is known of somebody else.
#[derive(ToSchema)]
pub(crate) struct MapNode {
    /// `namespace/workload`, the workload alone without a namespace; else a host name, an address or `user`.
    name: String,
    namespace: Option<String>,
    workload: Option<String>,
    /// The workload's kind; else `external`, `service`, `node`, `kube_apiserver` or `database`.
    kind: Option<String>,
}

/// Requests of one protocol on an edge.
#[derive(ToSchema)]
pub(crate) struct EdgeRequests {
    /// `http`, `grpc`, `postgresql`, ...; absent where nothing says what is spoken.
    protocol: Option<String>,
    count: i64,
    /// Requests that either end says failed.
    errors: i64,
    /// Over the whole range.
    per_s: f64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    /// Whose time that is: `client` or `server`.
    seen_by: String,
}

/// Who asks whom.
#[derive(ToSchema)]
pub(crate) struct MapEdge {
    /// The node's name.
    client: String,
    server: String,
    /// By protocol, the most requests first; empty where only packets were seen.
    requests: Vec<EdgeRequests>,
    /// From the client to the server; absent, with all below, where only requests were seen.
    bytes_sent: Option<i64>,
    bytes_received: Option<i64>,
    connections: Option<i64>,
    failures: Option<i64>,
    resets: Option<i64>,
    retransmits: Option<i64>,
    srtt_us: Option<i64>,
}

/// Who asks whom, and how that goes.
#[derive(ToSchema)]
pub(crate) struct ServiceMap {
    /// The edges with the most requests first, then those with the most bytes.
    rows: Vec<MapEdge>,
    /// The ends of these edges, by name.
    nodes: Vec<MapNode>,
    /// Edges that are not in the answer, because of `limit`.
    more_edges: i64,
    /// Whether nothing is missing.
    complete: bool,
    /// What is missing, and why.
    reasons: Vec<ReasonBody>,
}
