//! Behind a service's address: which backend answered a client's flow, by what conntrack says. Pure.
//!
//! In: a window's rows and the translations that there are. Out: rows whose peer is the real end, and what was asked.
//! A connection with its client's port has one answer. An edge sums up connections whose ports are gone: with one
//! backend that is the answer, with several its sums are shared among them as their connections were, and
//! `nat_source` says `conntrack_share`. What is shared adds up to what there was, and is shared only as far as the
//! budget of rows goes.

use std::net::IpAddr;
use std::sync::Arc;

use proto::kube::Range;
use proto::v1::{FlowRow, Identity, KubeNode, KubePod};

use crate::decode::conntrack::End;
use crate::window::assemble::Named;
use crate::window::sample::Row;

mod known;
#[cfg(test)]
mod tests;

pub(crate) use known::Translations;

/// Most backends that one edge is shared among.
const MAX_SHARES: usize = 64;

/// Which addresses stand before others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    ranges: Vec<Range>,
    own: Vec<IpAddr>,
    node_ports: (u32, u32),
}

impl Asked {
    /// As the aggregator told.
    pub(crate) fn of(node: &KubeNode) -> Self {
        Self {
            ranges: node.service_ranges.iter().filter_map(|range| Range::parse(range)).collect(),
            own: node.addresses.iter().filter_map(|address| address.parse().ok()).collect(),
            node_ports: (node.node_port_first, node.node_port_last),
        }
    }

    fn is_asked(&self, address: IpAddr, port: u32) -> bool {
        let is_node_port = self.node_ports.0 > 0 && (self.node_ports.0..=self.node_ports.1).contains(&port);
        self.ranges.iter().any(|range| range.contains(address))
            || (is_node_port && self.own.contains(&address))
    }

    /// What a client's row asks for, if that may be rewritten.
    fn by(&self, flow: &FlowRow) -> Option<(u8, End)> {
        if flow.role == "server" || !flow.asked_address.is_empty() {
            return None;
        }
        let protocol = match flow.protocol.as_str() {
            "tcp" => 6,
            "udp" => 17,
            "sctp" => 132,
            _ => return None,
        };
        let address = flow.peer_address.parse::<IpAddr>().ok()?.to_canonical();
        let port = u16::try_from(flow.server_port).ok()?;
        self.is_asked(address, flow.server_port).then_some((protocol, (address, port)))
    }

    /// What is to be looked up for these rows.
    pub(crate) fn wanted(&self, rows: &[Named]) -> Vec<Wanted> {
        if self.ranges.is_empty() {
            return Vec::new();
        }
        let wanted = |(row, named): (usize, &Named)| {
            let Row::Flow(flow) = &named.row else { return None };
            let client_port = flow.client_port.and_then(|port| u16::try_from(port).ok());
            Some(Wanted { row, asked: self.by(flow)?, client_port })
        };
        rows.iter().enumerate().filter_map(wanted).collect()
    }

    /// The addresses that an owner's connections come from; `None` where they are not known. `pod` is what is known of
    /// its pod.
    pub(crate) fn clients(&self, owner: &Identity, pod: Option<&KubePod>) -> Option<Vec<IpAddr>> {
        let found: Vec<IpAddr> = match pod {
            Some(pod) if !pod.host_network => {
                let ips = pod.ips.iter().filter_map(|ip| ip.parse::<IpAddr>().ok());
                ips.map(|ip| ip.to_canonical()).collect()
            }
            Some(_) => self.own.clone(),
            // a container outside Kubernetes has a network of its own, mostly
            None if owner.pod_uid.is_empty() && owner.workload_kind != "container" => self.own.clone(),
            None => Vec::new(),
        };
        (!found.is_empty()).then_some(found)
    }
}

/// A row whose peer may stand for another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Its place among the rows.
    pub(crate) row: usize,
    asked: (u8, End),
    client_port: Option<u16>,
}

/// Puts the real ends into the rows; `clients` are the addresses that an owner may have, none where that is not known.
/// At most `room` rows are added. Returns how many rows were not shared for want of room.
pub(crate) fn resolve<'a>(
    rows: &mut Vec<Named>,
    wanted: &[Wanted],
    known: &mut Translations,
    clients: impl Fn(&Identity) -> Option<&'a [IpAddr]>,
    room: usize,
) -> u64 {
    let mut index = known.index();
    let mut more = Vec::new();
    let mut unshared = 0;
    for wanted in wanted {
        let Some(Named { identity, row: Row::Flow(flow) }) = rows.get_mut(wanted.row) else { continue };
        let backends = index.backends(wanted, clients(identity));
        let mut backends: Vec<(End, u64)> = backends.into_iter().collect();
        match backends[..] {
            [] => flow.nat_source = "conntrack_none".into(),
            [(real, _)] => set(flow, real, "conntrack"),
            // the same port of two clients that may both be it
            _ if flow.client_port.is_some() => flow.nat_source = "conntrack_none".into(),
            _ => {
                backends.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                backends.truncate(MAX_SHARES);
                if more.len() + backends.len() - 1 > room {
                    flow.nat_source = "conntrack_none".into();
                    unshared += 1;
                    continue;
                }
                let mut parts = share(flow, &backends).into_iter();
                if let Some(first) = parts.next() {
                    **flow = first;
                }
                let named = |part| Named { identity: Arc::clone(identity), row: Row::Flow(Box::new(part)) };
                more.extend(parts.map(named));
            }
        }
    }
    rows.append(&mut more);
    unshared
}

fn set(flow: &mut FlowRow, real: End, source: &str) {
    flow.asked_address = std::mem::replace(&mut flow.peer_address, real.0.to_string());
    flow.asked_port = std::mem::replace(&mut flow.server_port, u32::from(real.1));
    flow.nat_source = source.into();
    // whoever serves that port on the service's address is not who answered
    flow.peer_workload.clear();
    flow.peer_namespace.clear();
}

/// One row as several, whose sums add up to it.
fn share(flow: &FlowRow, backends: &[(End, u64)]) -> Vec<FlowRow> {
    let total: u64 = backends.iter().map(|(_, count)| count).sum::<u64>().max(1);
    let mut before = 0;
    let mut parts = Vec::with_capacity(backends.len());
    for (real, count) in backends {
        let (from, to) = (before, before + count);
        before = to;
        // rounded so that neighbours meet
        let upto = |value: u64, weight: u64| {
            u64::try_from(u128::from(value) * u128::from(weight) / u128::from(total)).unwrap_or(u64::MAX)
        };
        let of = |value: u64| upto(value, to) - upto(value, from);
        let mut part = FlowRow {
            bytes_sent: of(flow.bytes_sent),
            bytes_received: of(flow.bytes_received),
            packets_sent: of(flow.packets_sent),
            packets_received: of(flow.packets_received),
            connects: of(flow.connects),
            accepts: of(flow.accepts),
            failures: of(flow.failures),
            resets: of(flow.resets),
            retransmits: of(flow.retransmits),
            closes: of(flow.closes),
            connect_us_sum: flow.connect_us_sum.map(of),
            rtt_hist: flow
                .rtt_hist
                .iter()
                .map(|count| u32::try_from(of(u64::from(*count))).unwrap_or(u32::MAX))
                .collect(),
            ..flow.clone()
        };
        if part.rtt_hist.iter().all(|count| *count == 0) {
            part.rtt_hist.clear();
        }
        set(&mut part, *real, "conntrack_share");
        parts.push(part);
    }
    parts
}
