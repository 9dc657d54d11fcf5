//! Who is at the other end, where both ends are on this host: a client's peer is the workload that serves the port there,
//! and a server's peer the workload that connected, if there is only one that it can be. Pure.
//!
//! The other end is on this host when its address is a loopback one or one of the host's own, those of its network
//! namespaces included. A row does not hold its own address, so ends are matched by protocol and port; where clients
//! speak to the same port of several addresses, nothing is filled in rather than something wrong.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use proto::v1::FlowRow;

use crate::window::assemble::Named;
use crate::window::sample::Row;

#[cfg(test)]
mod tests;

/// What is on the host, and where on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reach {
    Loopback,
    Own,
}

/// Protocol, port, over which addresses, and which end.
type End = (String, u32, Reach, &'static str);
/// Namespace and workload; none where there are several.
type Only = Option<(String, String)>;

/// Fills in `peer_workload` and `peer_namespace` of flows whose other end is on this host and in the same window. `own`
/// are the host's addresses, loopback ones apart.
pub(crate) fn fill(rows: &mut [Named], own: &BTreeSet<IpAddr>) {
    let mut ends: HashMap<End, Only> = HashMap::new();
    let mut servers: HashMap<(String, u32), Option<IpAddr>> = HashMap::new();
    for Named { identity, row } in rows.iter() {
        let Row::Flow(flow) = row else { continue };
        let Some((address, reach, role)) = local(flow, own) else { continue };
        let name = (identity.namespace.clone(), identity.workload.clone());
        one_of(&mut ends, (flow.protocol.clone(), flow.server_port, reach, role), name);
        if reach == Reach::Own && role == "client" {
            one_of(&mut servers, (flow.protocol.clone(), flow.server_port), address);
        }
    }
    for Named { row, .. } in rows.iter_mut() {
        let Row::Flow(flow) = row else { continue };
        let Some((_, reach, role)) = local(flow, own).filter(|_| flow.peer_workload.is_empty()) else {
            continue;
        };
        if reach == Reach::Own && servers.get(&(flow.protocol.clone(), flow.server_port)) == Some(&None) {
            continue;
        }
        let other = if role == "client" { "server" } else { "client" };
        let end = (flow.protocol.clone(), flow.server_port, reach, other);
        if let Some(Some((namespace, workload))) = ends.get(&end) {
            flow.peer_namespace.clone_from(namespace);
            flow.peer_workload.clone_from(workload);
        }
    }
}

/// Keeps what is the only one of its key.
fn one_of<K: std::hash::Hash + Eq, V: PartialEq>(all: &mut HashMap<K, Option<V>>, key: K, value: V) {
    match all.entry(key) {
        std::collections::hash_map::Entry::Vacant(entry) => {
            entry.insert(Some(value));
        }
        std::collections::hash_map::Entry::Occupied(mut entry) => {
            if entry.get().as_ref().is_some_and(|known| *known != value) {
                entry.insert(None);
            }
        }
    }
}

/// Peer and role of a flow between two ends on this host; none for flows that leave it or whose role is unknown.
fn local(flow: &FlowRow, own: &BTreeSet<IpAddr>) -> Option<(IpAddr, Reach, &'static str)> {
    let address: IpAddr = flow.peer_address.parse::<IpAddr>().ok()?.to_canonical();
    let reach = match address {
        address if address.is_loopback() => Reach::Loopback,
        address if own.contains(&address) => Reach::Own,
        _ => return None,
    };
    match flow.role.as_str() {
        "client" => Some((address, reach, "client")),
        "server" => Some((address, reach, "server")),
        _ => None,
    }
}
