//! Behind a service's address: which backend answered a client's flow, by what conntrack says. Pure.
//!
//! In: a window's rows and the translations that there are. Out: rows whose peer is the real end, and what was asked.
//! A connection with its client's port has one answer. An edge sums up connections whose ports are gone: with one
//! backend that is the answer, with several its sums are shared among them as their connections were, and
//! `nat_source` says `conntrack_share`. What is shared adds up to what there was.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use proto::kube::Range;
use proto::v1::{FlowRow, Identity, KubeNode};

use crate::decode::conntrack::{End, Translation};
use crate::window::assemble::Named;
use crate::window::sample::Row;

#[cfg(test)]
mod tests;

/// Most translations that are kept; more are counted and not looked at.
pub(crate) const MAX_ENTRIES: usize = 65_536;
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

    /// Whether there is anything to look up.
    pub(crate) fn any(&self, rows: &[Named]) -> bool {
        !self.ranges.is_empty()
            && rows.iter().any(|named| matches!(&named.row, Row::Flow(flow) if self.by(flow).is_some()))
    }
}

/// The translations of one reading.
#[derive(Debug, Default)]
pub(crate) struct Translations {
    by_asked: HashMap<(u8, End), Vec<Translation>>,
    /// Ids of the reading before.
    before: HashSet<u32>,
    now: HashSet<u32>,
    /// What was beyond `MAX_ENTRIES`.
    pub(crate) left_out: u64,
}

impl Translations {
    /// A new reading begins.
    pub(crate) fn begin(&mut self) {
        self.before = std::mem::take(&mut self.now);
        self.by_asked.clear();
        self.left_out = 0;
    }

    /// Only ids are kept until the next reading.
    pub(crate) fn end(&mut self) {
        self.by_asked = HashMap::new();
    }

    pub(crate) fn add(&mut self, translation: Translation) {
        if self.now.len() >= MAX_ENTRIES {
            self.left_out += 1;
            return;
        }
        self.now.insert(translation.id);
        self.by_asked.entry((translation.protocol, translation.asked)).or_default().push(translation);
    }

    /// The backends of what was asked, each with how many connections went there. Those that are new since the last
    /// reading count, where there are any.
    fn backends(&self, asked: (u8, End), clients: &[IpAddr], client_port: Option<u32>) -> BTreeMap<End, u64> {
        let all = self.by_asked.get(&asked).map(Vec::as_slice).unwrap_or_default();
        let fits = |entry: &&Translation| {
            client_port.is_none_or(|port| u32::from(entry.client.1) == port)
                && (clients.is_empty() || clients.contains(&entry.client.0))
        };
        let fitting: Vec<&Translation> = all.iter().filter(fits).collect();
        let is_new = |entry: &&&Translation| !self.before.contains(&entry.id);
        let some_new = client_port.is_none() && fitting.iter().any(|entry| is_new(&entry));
        let mut backends = BTreeMap::new();
        for entry in fitting.iter().filter(|entry| !some_new || is_new(entry)) {
            *backends.entry(entry.real).or_default() += 1;
        }
        backends
    }
}

/// Puts the real ends into the rows; `clients` are the addresses that an owner may have, none where that is not known.
pub(crate) fn resolve(
    rows: &mut Vec<Named>,
    asked: &Asked,
    known: &Translations,
    clients: impl Fn(&Identity) -> Vec<IpAddr>,
) {
    let mut more = Vec::new();
    for named in rows.iter_mut() {
        let Row::Flow(flow) = &mut named.row else { continue };
        let Some(wanted) = asked.by(flow) else { continue };
        let backends = known.backends(wanted, &clients(&named.identity), flow.client_port);
        let mut backends: Vec<(End, u64)> = backends.into_iter().collect();
        match backends[..] {
            [] => flow.nat_source = "conntrack_none".into(),
            [(real, _)] => set(flow, real, "conntrack"),
            // the same port of two clients that may both be it
            _ if flow.client_port.is_some() => flow.nat_source = "conntrack_none".into(),
            _ => {
                backends.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                backends.truncate(MAX_SHARES);
                let mut parts = share(flow, &backends).into_iter();
                if let Some(first) = parts.next() {
                    **flow = first;
                }
                let identity = &named.identity;
                more.extend(
                    parts
                        .map(|part| Named { identity: Arc::clone(identity), row: Row::Flow(Box::new(part)) }),
                );
            }
        }
    }
    rows.append(&mut more);
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
