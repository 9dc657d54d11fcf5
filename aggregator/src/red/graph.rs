//! `traces_service_graph_*`: requests per pair of client and server.
//!
//! A request is counted once: when both of its ends were found, or when one has waited in vain. A client's span alone
//! is a request to whom serves at its address by what spans say, else by what flows do, else to whom it names. A server's
//! span alone is a request from
//! outside, unless it names a caller, or its caller is known and sends spans of its own, or spans of somebody at the caller's
//! address ask for this port: then the pair was missed, and what the client has counted is not counted again; how long the
//! server took is told on the edge of that client. Requests that agents counted and that are no spans are added by the
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

/// Whose a request is to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// Of the end that tells of it.
    Its,
    /// Of a server alone: its client has counted it.
    Clients,
    /// Of a server alone: its caller's, of whom nothing is known.
    Nobodys,
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
        let (edge, whose) = self.between(request);
        if whose == Whose::Nobodys {
            return Counted::Unpaired;
        }
        let (requests, is_full) = self.place(edge);
        if whose == Whose::Its {
            requests.count += 1;
            requests.failed += u64::from(request.failed());
        }
        if let Some(side) = request.client {
            requests.client.observe(side.duration_ns);
        }
        if let Some(side) = request.server {
            requests.server.observe(side.duration_ns);
        }
        match whose {
            Whose::Its if !is_full => Counted::Edge,
            Whose::Its => Counted::Folded,
            Whose::Clients | Whose::Nobodys => Counted::Unpaired,
        }
    }

    /// Counts requests that are no spans, as one end counted them.
    pub(super) fn add_alone(&mut self, alone: &Alone, weight: &Weight) -> Counted {
        let Alone { is_client, side, server, is_asked, asker, .. } = alone;
        let (other, is_asked) = match is_client {
            true => (server, false),
            false => (asker, *is_asked),
        };
        let (client, server) = if *is_client { (Some(side), None) } else { (None, Some(side)) };
        let request = Request { client, server, is_asked, other: other.as_deref() };
        let (mut edge, whose) = self.between(request);
        if *is_client && side.peer.is_none() {
            edge.server = format!("({OTHER})");
        }
        let (requests, is_full) = self.place(edge);
        if whose == Whose::Its {
            requests.count += weight.count;
            requests.failed += if side.failed { weight.count } else { 0 };
        }
        if *is_client { &mut requests.client } else { &mut requests.server }.add(weight);
        if is_full { Counted::Folded } else { Counted::Edge }
    }

    /// Between whom a request is, and whose it is to count.
    fn between(&mut self, request: Request<'_>) -> (Edge, Whose) {
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
        let mut whose = Whose::Its;
        match (request.client, request.server) {
            (Some(client), None) => self.name_server(request, client, &mut edge),
            (None, Some(server)) => whose = self.name_client(request, server, &mut edge),
            _ => {}
        }
        (edge, whose)
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

    /// Of a client alone.
    fn name_server(&self, request: Request<'_>, client: &Side, edge: &mut Edge) {
        let known = client.peer.and_then(|address| {
            self.servers.get(&address).or_else(|| self.hosts.get(&address.ip())).filter(|_| client.is_wake)
        });
        let learned = client.peer.filter(|_| client.is_wake).and_then(|peer| self.names.get(&peer));
        let at = request.other.or(known.map(Arc::as_ref));
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

    /// Of a server alone.
    fn name_client(&self, request: Request<'_>, server: &Side, edge: &mut Edge) -> Whose {
        let at = server.peer.filter(|_| server.is_wake).and_then(|address| self.hosts.get(&address.ip()));
        if let Some(party) = at.map(Arc::as_ref).or(request.other) {
            (edge.client, edge.client_namespace) = named(party);
            return if request.is_asked || self.calls(party) { Whose::Clients } else { Whose::Its };
        }
        if request.is_asked {
            // one of several at that address, or a row that no longer says who
            edge.client = format!("({OTHER})");
            edge.connection = "virtual_node";
            return Whose::Clients;
        }
        if server.has_parent && !server.is_wake {
            return Whose::Nobodys;
        }
        edge.client = server.peer_name.as_ref().map_or_else(|| USER.to_owned(), ToString::to_string);
        edge.connection = "virtual_node";
        Whose::Its
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
