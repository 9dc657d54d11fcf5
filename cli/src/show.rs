//! Rows as people read them: units, times, columns that line up.

pub(crate) mod table;
pub(crate) mod units;

use serde_json::Value;

use crate::client::Row;

/// A column's text, or nothing.
pub(crate) fn text<'row>(row: &'row Row, column: &str) -> &'row str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

/// A column's number, where there is one.
pub(crate) fn number(row: &Row, column: &str) -> Option<f64> {
    row.get(column).and_then(Value::as_f64)
}

/// `namespace/workload`, or the workload alone outside Kubernetes.
pub(crate) fn workload(row: &Row) -> String {
    joined(text(row, "namespace"), text(row, "workload"))
}

/// Where a log line comes from: a pod and its container, or the workload where there is none.
pub(crate) fn place(row: &Row) -> String {
    match (text(row, "pod"), text(row, "container")) {
        ("", _) => workload(row),
        (pod, "") => joined(text(row, "namespace"), pod),
        (pod, container) => format!("{} {container}", joined(text(row, "namespace"), pod)),
    }
}

/// As `workload`, of the other side; where that is unknown the service or node, else its address.
pub(crate) fn peer(row: &Row) -> String {
    let name = match (text(row, "peer_workload"), text(row, "peer_kind")) {
        ("", "kube_apiserver") => String::from("kube-apiserver"),
        ("", "service") => joined(text(row, "peer_namespace"), text(row, "peer_service")),
        ("", "node") => format!("node/{}", text(row, "peer_node")),
        (workload, _) => joined(text(row, "peer_namespace"), workload),
    };
    let address = text(row, "peer_address");
    match (name.is_empty(), address.is_empty()) {
        (true, _) => address.to_owned(),
        (false, true) => name,
        (false, false) => format!("{name} ({address})"),
    }
}

fn joined(namespace: &str, workload: &str) -> String {
    if namespace.is_empty() { workload.to_owned() } else { format!("{namespace}/{workload}") }
}
