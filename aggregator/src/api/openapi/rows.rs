//! Rows as the API's description has them; tests hold real answers against it.
#![expect(dead_code, reason = "these types only describe what is written row by row")]

use utoipa::ToSchema;

use crate::api::answer::ReasonBody;

/// Rows that say whose they are in every way that the tables do, before what is their own.
macro_rules! row {
    ($(#[$meta:meta])* $name:ident { $($(#[$of:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(ToSchema)]
        pub(crate) struct $name {
            cluster: Option<String>,
            node: Option<String>,
            zone: Option<String>,
            namespace: String,
            /// Systemd unit, container, cgroup path, `host/<executable>` or `file/<path>`; in Kubernetes the owner.
            workload: Option<String>,
            /// `systemd_unit`, `container`, `cgroup`, `host_process` or `file`; in Kubernetes the owner's kind.
            workload_kind: Option<String>,
            pod: Option<String>,
            pod_uid: Option<String>,
            container: Option<String>,
            cgroup_id: Option<i64>,
            boot_id: Option<String>,
            $($(#[$of])* $field: $type,)*
        }
    };
}

mod kubernetes;
mod logs;
mod map;
mod network;
mod resources;
mod traces;

pub(crate) use kubernetes::{KubeEvent, ObjectChange};
pub(crate) use logs::{LogCount, LogLine, LogPattern};
pub(crate) use map::ServiceMap;
pub(crate) use network::{DropSum, FlowEdge};
pub(crate) use resources::{BlockSum, Event, LossSum, SyscallSum, UsageRate, Workload};
pub(crate) use traces::{Trace, TraceSpans};

/// Rows, and whether they are all.
#[derive(ToSchema)]
pub(crate) struct Rows<T> {
    rows: Vec<T>,
    /// Whether this is the whole answer.
    complete: bool,
    /// Why it is not.
    reasons: Vec<ReasonBody>,
}
