//! Rows of the API: who talks to whom.
#![expect(dead_code, reason = "these types only describe what is written row by row")]

use utoipa::ToSchema;

/// What one workload said to one peer.
#[derive(ToSchema)]
pub(crate) struct FlowEdge {
    cluster: Option<String>,
    node: Option<String>,
    zone: Option<String>,
    namespace: String,
    workload: Option<String>,
    workload_kind: Option<String>,
    pod: Option<String>,
    container: Option<String>,
    /// `client`, `server` or `unknown`.
    role: Option<String>,
    /// `tcp` or `udp`.
    protocol: Option<String>,
    peer_address: Option<String>,
    /// `pod`, `service`, `node`, `kube_apiserver`, `external`, `loopback` or `unknown`.
    peer_kind: Option<String>,
    peer_namespace: Option<String>,
    peer_workload: Option<String>,
    peer_workload_kind: Option<String>,
    peer_pod: Option<String>,
    peer_node: Option<String>,
    peer_zone: Option<String>,
    /// The service that was asked, or that stands before the peer.
    peer_service: Option<String>,
    /// What the client asked for, where `peer_address` is the backend behind it.
    asked_address: Option<String>,
    asked_port: Option<i32>,
    /// Who found the backend: `conntrack`, `conntrack_share` (shared as connections were), `endpoint` (the only one);
    /// `conntrack_none` where conntrack knew none, or not which of several.
    nat_source: Option<String>,
    server_port: i32,
    /// IP bytes at the socket.
    bytes_sent: i64,
    bytes_received: i64,
    packets_sent: i64,
    packets_received: i64,
    /// Connections that this side opened.
    connects: i64,
    /// Connections that the peer opened.
    accepts: i64,
    /// Connects that did not become established.
    failures: i64,
    resets: i64,
    retransmits: i64,
    closes: i64,
    /// Mean of the smoothed round trip times, µs.
    srtt_us: Option<i64>,
    /// Median round trip time, µs.
    rtt_p50_us: Option<f64>,
    rtt_p99_us: Option<f64>,
    /// The histogram behind both: `proto::histogram`'s 106 counts. Null in no answer, absent where nothing was measured.
    rtt: Option<Vec<i64>>,
    /// With `raw=true`: the window's start, and the columns of the table `flow` as `DESCRIBE flow` lists them.
    ts: Option<String>,
}

/// Packets that the kernel dropped.
#[derive(ToSchema)]
pub(crate) struct DropSum {
    cluster: Option<String>,
    node: Option<String>,
    namespace: String,
    workload: Option<String>,
    workload_kind: Option<String>,
    pod: Option<String>,
    container: Option<String>,
    /// The running kernel's own name for it, such as NETFILTER_DROP.
    reason: Option<String>,
    protocol: Option<String>,
    packets: i64,
    bytes: i64,
}
