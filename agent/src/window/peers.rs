//! Who is at the other end, where both ends are on this host: a client's loopback peer is the workload that serves the
//! port, and a server's loopback peer the workload that connected, if there is only one of each. Pure.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::window::assemble::Named;
use crate::window::sample::Row;

#[cfg(test)]
mod tests;

/// Protocol, port and which end.
type End = (String, u32, &'static str);

/// Fills in `peer_workload` and `peer_namespace` of loopback flows whose other end is in the same window.
pub(crate) fn fill(rows: &mut [Named]) {
    let mut ends: HashMap<End, Option<(String, String)>> = HashMap::new();
    for Named { identity, row } in rows.iter() {
        let Row::Flow(flow) = row else { continue };
        let Some(role) = local_role(flow) else { continue };
        let name = (identity.namespace.clone(), identity.workload.clone());
        ends.entry((flow.protocol.clone(), flow.server_port, role))
            .and_modify(|known| {
                if known.as_ref().is_some_and(|known| *known != name) {
                    *known = None;
                }
            })
            .or_insert(Some(name));
    }
    for Named { row, .. } in rows.iter_mut() {
        let Row::Flow(flow) = row else { continue };
        let Some(role) = local_role(flow).filter(|_| flow.peer_workload.is_empty()) else { continue };
        let other = if role == "client" { "server" } else { "client" };
        if let Some(Some((namespace, workload))) = ends.get(&(flow.protocol.clone(), flow.server_port, other))
        {
            flow.peer_namespace.clone_from(namespace);
            flow.peer_workload.clone_from(workload);
        }
    }
}

/// The role of a loopback flow; none for flows that leave the host or whose role is unknown.
fn local_role(flow: &proto::v1::FlowRow) -> Option<&'static str> {
    let address: IpAddr = flow.peer_address.parse().ok()?;
    let is_local = match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
    };
    match flow.role.as_str() {
        "client" if is_local => Some("client"),
        "server" if is_local => Some("server"),
        _ => None,
    }
}
