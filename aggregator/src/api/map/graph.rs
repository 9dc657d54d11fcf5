//! The map while it is put together: nodes, edges, and requests whose other end is not known yet.
//!
//! Bounded: so many edges, and so many groups of requests, each with its histograms of durations; what comes beyond is
//! counted between two others, and said.

mod edge;
#[cfg(test)]
mod tests;
mod who;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::requests::counted::Weight;
use crate::requests::pairs::{Alone, Channel, Party, Request, Side};
use edge::{Edge, OTHER, Requests, edge_row};
use who::{Who, node_row};

pub(super) use edge::Traffic;
pub(super) use who::{Node, Wanted};

/// Edges that are kept while the map is made.
const MOST_EDGES: usize = 10_000;
/// Groups of requests with one end that are kept.
const MOST_LONE: usize = 10_000;
/// Groups of requests on all edges together: an edge has one for each of its protocols.
const MOST_GROUPS: usize = 10_000;

/// Requests of which one end was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lone {
    is_server: bool,
    party: Arc<Party>,
    peer: Option<SocketAddr>,
    peer_name: Option<Arc<str>>,
    protocol: Arc<str>,
    channel: Channel,
    is_wake: bool,
    has_parent: bool,
}

/// The map so far.
#[derive(Debug, Default)]
pub(super) struct Graph {
    kinds: BTreeMap<Who, String>,
    edges: BTreeMap<(Who, Who), Edge>,
    lone: BTreeMap<Lone, Requests>,
    servers: HashMap<SocketAddr, Node>,
    hosts: HashMap<IpAddr, Node>,
    /// What spans call addresses outside.
    names: HashMap<IpAddr, Arc<str>>,
    /// Whose own requests were seen on the wire.
    callers: BTreeSet<Who>,
    oldest_ns: Option<i64>,
    left_out: u64,
    /// Groups of requests on edges.
    groups: usize,
    /// Requests that were counted between two others because there were too many groups.
    folded: u64,
}

/// The map as it is shown.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) edges: Vec<Map<String, Value>>,
    pub(super) nodes: Vec<Map<String, Value>>,
    pub(super) more_edges: usize,
    /// Requests that are on the map between two others, since there were too many kinds of them.
    pub(super) folded: u64,
}

impl Graph {
    /// Something happened then.
    pub(super) fn note_time(&mut self, ns: i64) {
        self.oldest_ns = Some(self.oldest_ns.map_or(ns, |oldest| oldest.min(ns)));
    }

    /// When the first of it happened.
    pub(super) fn oldest_ns(&self, now_ns: i64) -> i64 {
        self.oldest_ns.unwrap_or(now_ns)
    }

    /// A workload serves at this address.
    pub(super) fn serves(&mut self, address: SocketAddr, node: &Node) {
        self.servers.entry(address).or_insert_with(|| node.clone());
    }

    /// A workload has this address to itself.
    pub(super) fn lives(&mut self, address: IpAddr, node: &Node) {
        self.hosts.entry(address).or_insert_with(|| node.clone());
    }

    /// Packets between two, as one of them saw them.
    pub(super) fn flow(&mut self, client: Node, server: Node, is_servers: bool, traffic: Traffic) {
        let edge = self.edge(client, server);
        edge.flows[usize::from(is_servers)].get_or_insert_default().add(traffic);
    }

    /// A request, as far as its ends were seen.
    pub(super) fn request(&mut self, request: Request<'_>) {
        if let Some(client) = request.client {
            if client.is_wake && self.callers.len() < MOST_EDGES {
                self.callers.insert(Node::of(&client.party).who);
            }
            if let (Some(peer), Some(name)) = (client.peer, &client.peer_name)
                && self.names.len() < MOST_LONE
            {
                self.names.entry(peer.ip()).or_insert_with(|| Arc::clone(name));
            }
        }
        match (request.client, request.server) {
            (Some(client), Some(server)) => {
                let (client, server) = (Node::of(&client.party), Node::of(&server.party));
                let is_wake = request.is_wake();
                self.requests(client, server, is_wake, request.protocol(), 1).add(request);
            }
            (Some(side), None) => self.alone(side, false, request),
            // its client has counted it
            (None, Some(_)) if request.is_asked => {}
            (None, Some(side)) => self.alone(side, true, request),
            (None, None) => {}
        }
    }

    /// Requests as one end counted them.
    pub(super) fn counted(&mut self, alone: &Alone, weight: &Weight) {
        let Alone { is_client, side, server, is_asked, .. } = alone;
        if *is_client && self.callers.len() < MOST_EDGES {
            self.callers.insert(Node::of(&side.party).who);
        }
        if *is_asked {
            return;
        }
        if let Some(server) = server {
            let (client, server) = (Node::of(&side.party), Node::of(server));
            let protocol = Arc::clone(&side.protocol);
            self.requests(client, server, true, protocol, weight.count).add_counted(alone, weight);
        } else if let Some(requests) = self.lone(side, !is_client) {
            requests.add_counted(alone, weight);
        } else {
            self.left_out += weight.count;
        }
    }

    /// Nothing is counted yet of what agents saw: who is where stays known.
    pub(super) fn forget_seen(&mut self) {
        self.lone.retain(|lone, _| !lone.is_wake);
        for edge in self.edges.values_mut() {
            let seen = std::mem::take(&mut edge.requests[1]);
            self.groups = self.groups.saturating_sub(seen.len());
        }
    }

    fn alone(&mut self, side: &Side, is_server: bool, request: Request<'_>) {
        match self.lone(side, is_server) {
            Some(requests) => requests.add(request),
            None => self.left_out += 1,
        }
    }

    /// Where requests of this end are counted until the other one is known; `None` if there is no room.
    fn lone(&mut self, side: &Side, is_server: bool) -> Option<&mut Requests> {
        let lone = Lone {
            is_server,
            party: Arc::clone(&side.party),
            // a client's port says nothing
            peer: side.peer.map(|peer| if is_server { SocketAddr::new(peer.ip(), 0) } else { peer }),
            peer_name: side.peer_name.clone(),
            protocol: Arc::clone(&side.protocol),
            channel: side.channel,
            is_wake: side.is_wake,
            has_parent: side.has_parent,
        };
        let has_room = self.lone.len() < MOST_LONE || self.lone.contains_key(&lone);
        has_room.then(|| self.lone.entry(lone).or_default())
    }

    /// Requests beyond what is kept.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    fn edge(&mut self, client: Node, server: Node) -> &mut Edge {
        let ends = self.ends(client, server);
        self.edges.entry(ends).or_default()
    }

    /// Between whom this is counted: two others, if there are too many edges.
    fn ends(&mut self, client: Node, server: Node) -> (Who, Who) {
        let (mut client, mut server) = (client, server);
        let is_full = self.edges.len() >= MOST_EDGES;
        if is_full && !self.edges.contains_key(&(client.who.clone(), server.who.clone())) {
            (client, server) = (others(), others());
        }
        for Node { who, kind } in [&client, &server] {
            let known = self.kinds.entry(who.clone()).or_default();
            if known.is_empty() {
                known.clone_from(kind);
            }
        }
        (client.who, server.who)
    }

    /// Where so many requests between two are counted: between two others, if there are too many groups.
    fn requests(
        &mut self,
        client: Node,
        server: Node,
        is_wake: bool,
        protocol: Arc<str>,
        count: u64,
    ) -> &mut Requests {
        let source = usize::from(is_wake);
        let mut ends = self.ends(client, server);
        let mut protocol = match self.edges.get(&ends) {
            Some(edge) => edge.place(is_wake, protocol),
            None => protocol,
        };
        let is_known = |ends, protocol| {
            self.edges.get(ends).is_some_and(|edge: &Edge| edge.requests[source].contains_key(protocol))
        };
        if self.groups >= MOST_GROUPS && !is_known(&ends, &protocol) {
            self.folded += count;
            (ends, protocol) = (self.ends(others(), others()), Arc::from(OTHER));
        }
        let requests = &mut self.edges.entry(ends).or_default().requests[source];
        self.groups += usize::from(!requests.contains_key(&protocol));
        requests.entry(protocol).or_default()
    }

    /// Says who the other end of requests with one end is, now that all was read.
    fn settle(&mut self) {
        for (lone, requests) in std::mem::take(&mut self.lone) {
            let own = Node::of(&lone.party);
            let ends = if lone.is_server {
                self.client_of(&lone).map(|client| (client, own))
            } else {
                Some((own, self.server_of(&lone)))
            };
            if let Some((client, server)) = ends {
                let count = requests.count();
                self.requests(client, server, lone.is_wake, lone.protocol, count).merge(requests);
            }
        }
    }

    fn server_of(&self, lone: &Lone) -> Node {
        let at = lone.peer.filter(|_| lone.is_wake);
        // an application may say where it asked, too; that it is this port makes it no chance
        let known = lone.peer.and_then(|peer| self.servers.get(&peer));
        let known = known.or_else(|| at.and_then(|at| self.hosts.get(&at.ip())));
        if let Some(node) = known {
            return node.clone();
        }
        let kind = match lone.channel {
            Channel::Direct => "external",
            Channel::Database => "database",
            Channel::Messaging => "messaging",
        };
        match (&lone.peer_name, lone.peer) {
            (Some(name), _) => Node::other(name.to_string(), kind),
            (None, Some(at)) => Node::address(at.ip(), kind),
            (None, None) if lone.channel != Channel::Direct => Node::other(lone.protocol.to_string(), kind),
            (None, None) => Node::other(String::from("unknown"), "unknown"),
        }
    }

    /// `None` if the request is the client's to count.
    fn client_of(&self, lone: &Lone) -> Option<Node> {
        let known = lone.peer.filter(|_| lone.is_wake).and_then(|at| self.hosts.get(&at.ip()));
        if let Some(node) = known {
            return (!self.callers.contains(&node.who)).then(|| node.clone());
        }
        if lone.has_parent && !lone.is_wake {
            return None;
        }
        Some(match (&lone.peer_name, lone.peer) {
            (Some(name), _) => Node::other(name.to_string(), "external"),
            (None, Some(at)) => Node::address(at.ip(), "external"),
            (None, None) => Node::other(String::from("user"), "external"),
        })
    }

    /// The edges that are wanted, the busiest first, and their ends.
    pub(super) fn draw(mut self, wanted: &Wanted, limit: usize, seconds: f64) -> Drawn {
        self.settle();
        // an address outside that has a name is known by it
        let named = |who: &Who| match who {
            Who::Address(address) => match self.names.get(address) {
                Some(name) => Who::Other(name.to_string()),
                None => who.clone(),
            },
            _ => who.clone(),
        };
        let mut edges: BTreeMap<(Who, Who), Edge> = BTreeMap::new();
        for ((client, server), edge) in std::mem::take(&mut self.edges) {
            match edges.entry((named(&client), named(&server))) {
                Entry::Vacant(place) => drop(place.insert(edge)),
                Entry::Occupied(mut place) => place.get_mut().merge(edge),
            }
        }
        let kinds: BTreeMap<Who, &str> =
            self.kinds.iter().map(|(who, kind)| (named(who), kind.as_str())).collect();
        let node = |who: &Who| Node {
            who: who.clone(),
            kind: kinds.get(who).map(|kind| (*kind).to_owned()).unwrap_or_default(),
        };
        let mut drawn: Vec<(&(Who, Who), &Edge)> = edges
            .iter()
            .filter(|((client, server), _)| wanted.has(&node(client)) || wanted.has(&node(server)))
            .collect();
        let bytes =
            |edge: &Edge| edge.traffic().map_or(0, |traffic| traffic.bytes_sent + traffic.bytes_received);
        drawn.sort_by_key(|(ends, edge)| (std::cmp::Reverse((edge.count(), bytes(edge))), *ends));
        let more_edges = drawn.len().saturating_sub(limit);
        drawn.truncate(limit);
        let ends: BTreeSet<&Who> = drawn.iter().flat_map(|((client, server), _)| [client, server]).collect();
        Drawn {
            nodes: ends.into_iter().map(|who| node_row(&node(who))).collect(),
            edges: drawn.into_iter().map(|(ends, edge)| edge_row(ends, edge, seconds)).collect(),
            more_edges,
            folded: self.folded,
        }
    }
}

/// One end of everything that there is no room to tell apart.
fn others() -> Node {
    Node::other(String::from("(other)"), "other")
}
