//! `traces_service_graph_*`: requests per pair of client and server.
//!
//! A request is counted once: when both of its ends were found, or when one has waited in vain. A client's span alone
//! is a request to whom it names, else to whom flows know at its address. A server's span alone is a request from
//! outside, unless it names a caller, or its caller is known and sends spans of its own, or spans of somebody at the caller's
//! address ask for this port: then the pair was missed, and what the client's span counted is not counted again. Requests that agents counted and that are no spans are added by the
//! same rules: their client counts them, and their server only if no client of theirs is seen.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::calls::OTHER;
use super::seconds::Seconds;
use crate::requests::counted::Weight;
use crate::requests::pairs::{Alone, Channel, Party, Request, Side};

/// Edges that may have series of their own.
const MOST_EDGES: usize = 1_500;
/// Addresses whose workloads are known.
const MOST_ADDRESSES: usize = 16_384;
/// Who is not known, as Grafana's service graph calls them.
const USER: &str = "user";
const EXTERNAL: &str = "external";

/// One edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) client: String,
    pub(super) client_namespace: String,
    pub(super) server: String,
    pub(super) server_namespace: String,
    /// '' of a direct call.
    pub(super) connection: &'static str,
    pub(super) is_wake: bool,
}

/// Its requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pub(super) count: u64,
    pub(super) failed: u64,
    pub(super) server: Seconds,
    pub(super) client: Seconds,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Edge,
    Folded,
    Unpaired,
}

/// Every edge, and who is where.
#[derive(Debug, Default)]
pub(super) struct Graph {
    edges: BTreeMap<Edge, Requests>,
    servers: HashMap<SocketAddr, Arc<Party>>,
    hosts: HashMap<IpAddr, Arc<Party>>,
    /// Whose own requests are seen on the wire: workloads by namespace.
    callers: HashMap<String, HashSet<String>>,
    known_callers: usize,
    /// What spans call addresses.
    names: HashMap<SocketAddr, Arc<str>>,
}

impl Graph {
    /// A workload serves at this address.
    pub(super) fn serves(&mut self, address: SocketAddr, party: &Arc<Party>) {
        if self.servers.len() >= MOST_ADDRESSES {
            self.servers.clear();
        }
        self.servers.insert(address, Arc::clone(party));
    }

    /// A workload has this address to itself.
    pub(super) fn lives(&mut self, address: IpAddr, party: &Arc<Party>) {
        if self.hosts.len() >= MOST_ADDRESSES {
            self.hosts.clear();
        }
        self.hosts.insert(address, Arc::clone(party));
    }

    /// Counts a request.
    pub(super) fn add(&mut self, request: Request<'_>) -> Counted {
        let Some(edge) = self.between(request) else { return Counted::Unpaired };
        let (requests, is_full) = self.place(edge);
        requests.count += 1;
        requests.failed += u64::from(request.failed());
        if let Some(side) = request.client {
            requests.client.observe(side.duration_ns);
        }
        if let Some(side) = request.server {
            requests.server.observe(side.duration_ns);
        }
        if is_full { Counted::Folded } else { Counted::Edge }
    }

    /// Counts requests that are no spans, as one end counted them.
    pub(super) fn add_alone(&mut self, alone: &Alone, weight: &Weight) -> Counted {
        let Alone { is_client, side, server, is_asked, .. } = alone;
        let other = server.as_ref().map(|party| Side { party: Arc::clone(party), ..side.clone() });
        let request = match is_client {
            true => Request { client: Some(side), server: other.as_ref(), is_asked: false },
            false => Request { client: None, server: Some(side), is_asked: *is_asked },
        };
        let Some(mut edge) = self.between(request) else {
            // its client counts it; how long its server took is told where it is known who that is
            if let Some(requests) = self.known_client(side).and_then(|edge| self.edges.get_mut(&edge)) {
                requests.server.add(weight);
            }
            return Counted::Edge;
        };
        if *is_client && side.peer.is_none() {
            edge.server = format!("({OTHER})");
        }
        let (requests, is_full) = self.place(edge);
        requests.count += weight.count;
        requests.failed += if side.failed { weight.count } else { 0 };
        if *is_client { &mut requests.client } else { &mut requests.server }.add(weight);
        if is_full { Counted::Folded } else { Counted::Edge }
    }

    /// The edge from whom flows know at the other end of a server's requests.
    fn known_client(&self, server: &Side) -> Option<Edge> {
        let client = self.hosts.get(&server.peer?.ip())?;
        let mut edge = Edge { is_wake: true, connection: connection(server.channel), ..Edge::default() };
        (edge.client, edge.client_namespace) = named(client);
        (edge.server, edge.server_namespace) = named(&server.party);
        Some(edge)
    }

    /// Between whom a request is; `None` if it is another's to count.
    fn between(&mut self, request: Request<'_>) -> Option<Edge> {
        let mut edge = Edge { is_wake: request.is_wake(), ..Edge::default() };
        edge.connection = connection(request.channel());
        if let Some(side) = request.client {
            (edge.client, edge.client_namespace) = named(&side.party);
            if side.is_wake && !self.calls(&side.party) {
                self.note_caller(&side.party);
            }
            self.note_name(side);
        }
        if let Some(side) = request.server {
            (edge.server, edge.server_namespace) = named(&side.party);
        }
        match (request.client, request.server) {
            (Some(client), None) => self.name_server(client, &mut edge),
            (None, Some(server)) if request.is_asked || !self.name_client(server, &mut edge) => return None,
            _ => {}
        }
        Some(edge)
    }

    /// Where an edge is counted, and whether that is one for many.
    fn place(&mut self, mut edge: Edge) -> (&mut Requests, bool) {
        let is_new = !self.edges.contains_key(&edge);
        let is_full = is_new && self.edges.len() >= MOST_EDGES;
        if is_full {
            // one for each workload that calls as long as there is room for these, then one for all
            (edge.server, edge.server_namespace) = (format!("({OTHER})"), String::new());
            edge.connection = "";
            if !self.edges.contains_key(&edge) && self.edges.len() >= 2 * MOST_EDGES {
                (edge.client, edge.client_namespace) = (format!("({OTHER})"), String::new());
            }
        }
        (self.edges.entry(edge).or_default(), is_full)
    }

    /// What spans call an address, counts do not say.
    fn note_name(&mut self, client: &Side) {
        let (Some(peer), Some(name)) = (client.peer.filter(|_| client.is_wake), &client.peer_name) else {
            return;
        };
        if self.names.len() >= MOST_ADDRESSES {
            self.names.clear();
        }
        if self.names.get(&peer) != Some(name) {
            self.names.insert(peer, Arc::clone(name));
        }
    }

    /// Somebody's requests are seen at their own end.
    pub(super) fn note_client(&mut self, side: &Side) {
        if !self.calls(&side.party) {
            self.note_caller(&side.party);
        }
    }

    fn calls(&self, party: &Party) -> bool {
        self.callers.get(&party.namespace).is_some_and(|known| known.contains(&party.workload))
    }

    fn note_caller(&mut self, party: &Party) {
        if self.known_callers >= MOST_ADDRESSES {
            (self.callers, self.known_callers) = (HashMap::new(), 0);
        }
        self.known_callers += 1;
        self.callers.entry(party.namespace.clone()).or_default().insert(party.workload.clone());
    }

    fn name_server(&self, client: &Side, edge: &mut Edge) {
        let at = client.peer.and_then(|address| {
            self.servers.get(&address).or_else(|| self.hosts.get(&address.ip())).filter(|_| client.is_wake)
        });
        let learned = client.peer.filter(|_| client.is_wake).and_then(|peer| self.names.get(&peer));
        match (at, client.peer_name.as_ref().or(learned)) {
            (Some(party), _) => (edge.server, edge.server_namespace) = named(party),
            (None, name) => {
                edge.server = match name {
                    Some(name) => name.to_string(),
                    None if !client.protocol.is_empty() && client.channel != Channel::Direct => {
                        client.protocol.to_string()
                    }
                    None => EXTERNAL.to_owned(),
                };
                if edge.connection.is_empty() {
                    edge.connection = "virtual_node";
                }
            }
        }
    }

    /// False if the request is the client's to count.
    fn name_client(&self, server: &Side, edge: &mut Edge) -> bool {
        let at = server.peer.filter(|_| server.is_wake).and_then(|address| self.hosts.get(&address.ip()));
        if let Some(party) = at {
            (edge.client, edge.client_namespace) = named(party);
            return !self.calls(party);
        }
        if server.has_parent && !server.is_wake {
            return false;
        }
        edge.client = server.peer_name.as_ref().map_or_else(|| USER.to_owned(), ToString::to_string);
        edge.connection = "virtual_node";
        true
    }

    pub(super) fn len(&self) -> usize {
        self.edges.len()
    }

    /// Every edge, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Edge, &Requests)> {
        self.edges.iter()
    }
}

fn connection(channel: Channel) -> &'static str {
    match channel {
        Channel::Direct => "",
        Channel::Database => "database",
        Channel::Messaging => "messaging_system",
    }
}

fn named(party: &Party) -> (String, String) {
    let name = if party.service.is_empty() { &party.workload } else { &party.service };
    (name.clone(), party.namespace.clone())
}
