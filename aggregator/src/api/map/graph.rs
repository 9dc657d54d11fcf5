//! The map while it is put together: nodes, edges, and requests whose other end is not known yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use proto::histogram::{BUCKETS, bucket, quantile_ns};
use serde_json::{Map, Value, json};

use crate::api::error::ApiError;
use crate::api::wheres::Values;
use crate::requests::pairs::{Channel, Party, Request, Side};

#[cfg(test)]
mod tests;

/// Edges that are kept while the map is made.
const MOST_EDGES: usize = 10_000;
/// Groups of requests with one end that are kept.
const MOST_LONE: usize = 10_000;
/// Protocols of one edge.
const MOST_PROTOCOLS: usize = 16;

/// Which edges are asked for: those with an end that is so.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    namespace: Option<String>,
    workload: Option<String>,
}

impl Wanted {
    pub(super) fn new(wheres: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut wanted = Self::default();
        for (key, text) in wheres {
            let place = match key.as_str() {
                "namespace" => &mut wanted.namespace,
                "workload" => &mut wanted.workload,
                _ => {
                    let message = format!("has no {key:?}; the map is asked by namespace and workload");
                    return Err(ApiError::parameter("where", 0, &message));
                }
            };
            if place.replace(text).is_some() {
                return Err(ApiError::parameter("where", 0, &format!("names two of {key}")));
            }
        }
        Ok(wanted)
    }

    /// As a condition on flows.
    pub(super) fn sql(&self, values: &mut Values) -> String {
        let mut end = |prefix: &str| {
            let mut all = vec![String::from("true")];
            for (column, text) in [("namespace", &self.namespace), ("workload", &self.workload)] {
                if let Some(text) = text {
                    all.push(format!("coalesce({prefix}{column}, '') = {}", values.text(text.clone())));
                }
            }
            format!("({})", all.join(" AND "))
        };
        format!("({} OR {})", end(""), end("peer_"))
    }

    fn has(&self, node: &Node) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
        match &node.who {
            Who::Workload { namespace, workload } => {
                is(&self.namespace, namespace) && is(&self.workload, workload)
            }
            _ => self.namespace.is_none() && self.workload.is_none(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Workload {
        namespace: String,
        workload: String,
    },
    /// Somebody with a name.
    Other(String),
    Address(IpAddr),
}

/// Somebody on the map.
#[derive(Clone, Debug)]
pub(super) struct Node {
    who: Who,
    kind: String,
}

impl Node {
    /// A workload, if it has a name.
    pub(super) fn workload(namespace: &str, workload: &str, kind: &str) -> Option<Self> {
        let who = Who::Workload { namespace: namespace.to_owned(), workload: workload.to_owned() };
        (!workload.is_empty()).then(|| Self { who, kind: kind.to_owned() })
    }

    /// Somebody else, by name.
    pub(super) fn other(name: String, kind: &str) -> Self {
        Self { who: Who::Other(name), kind: kind.to_owned() }
    }

    /// Somebody else, by address.
    pub(super) fn address(address: IpAddr, kind: &str) -> Self {
        Self { who: Who::Address(address), kind: kind.to_owned() }
    }

    fn of(party: &Party) -> Self {
        let named = Self::workload(&party.namespace, &party.workload, &party.kind);
        named.unwrap_or_else(|| Self::other(String::from("unknown"), "unknown"))
    }
}

/// What flows say of an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) bytes_sent: i64,
    pub(super) bytes_received: i64,
    pub(super) connections: i64,
    pub(super) failures: i64,
    pub(super) resets: i64,
    pub(super) retransmits: i64,
    pub(super) srtt_us: Option<i64>,
}

impl Traffic {
    fn add(&mut self, more: Self) {
        let Self { bytes_sent, bytes_received, connections, failures, resets, retransmits, srtt_us } = more;
        for (sum, more) in [
            (&mut self.bytes_sent, bytes_sent),
            (&mut self.bytes_received, bytes_received),
            (&mut self.connections, connections),
            (&mut self.failures, failures),
            (&mut self.resets, resets),
            (&mut self.retransmits, retransmits),
        ] {
            *sum = sum.saturating_add(more);
        }
        // the busiest part comes first
        self.srtt_us = self.srtt_us.or(srtt_us);
    }
}

/// Requests of one protocol.
#[derive(Clone, Debug)]
struct Requests {
    count: u64,
    errors: u64,
    /// Durations as the client and as the server saw them.
    client: Vec<u64>,
    server: Vec<u64>,
}

impl Default for Requests {
    fn default() -> Self {
        Self { count: 0, errors: 0, client: vec![0; BUCKETS], server: vec![0; BUCKETS] }
    }
}

impl Requests {
    fn add(&mut self, request: Request<'_>) {
        self.count += 1;
        self.errors += u64::from(request.failed());
        for (side, counts) in [(request.client, &mut self.client), (request.server, &mut self.server)] {
            if let Some(side) = side {
                counts[bucket(u64::try_from(side.duration_ns).unwrap_or(0))] += 1;
            }
        }
    }

    fn merge(&mut self, more: &Self) {
        self.count += more.count;
        self.errors += more.errors;
        for (counts, more) in [(&mut self.client, &more.client), (&mut self.server, &more.server)] {
            counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Edge {
    /// As clients and as servers saw it.
    flows: [Option<Traffic>; 2],
    requests: BTreeMap<Arc<str>, Requests>,
}

impl Edge {
    /// Requests of this protocol; of all that are too many together.
    fn of(&mut self, protocol: Arc<str>) -> &mut Requests {
        let is_new = !self.requests.contains_key(&protocol);
        let protocol =
            if is_new && self.requests.len() >= MOST_PROTOCOLS { Arc::from("other") } else { protocol };
        self.requests.entry(protocol).or_default()
    }

    fn count(&self) -> u64 {
        self.requests.values().map(|requests| requests.count).sum()
    }

    /// What its client saw, else its server.
    fn traffic(&self) -> Option<Traffic> {
        self.flows[0].or(self.flows[1])
    }
}

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
}

/// The map as it is shown.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) edges: Vec<Map<String, Value>>,
    pub(super) nodes: Vec<Map<String, Value>>,
    pub(super) more_edges: usize,
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
                self.edge(client, server).of(request.protocol()).add(request);
            }
            (Some(side), None) => self.alone(side, false, request),
            (None, Some(side)) => self.alone(side, true, request),
            (None, None) => {}
        }
    }

    fn alone(&mut self, side: &Side, is_server: bool, request: Request<'_>) {
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
        let is_known = self.lone.contains_key(&lone);
        if is_known || self.lone.len() < MOST_LONE {
            self.lone.entry(lone).or_default().add(request);
        } else {
            self.left_out += 1;
        }
    }

    /// Requests beyond what is kept.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    fn edge(&mut self, client: Node, server: Node) -> &mut Edge {
        let mut ends = [client, server];
        let is_full = self.edges.len() >= MOST_EDGES;
        if is_full && !self.edges.contains_key(&(ends[0].who.clone(), ends[1].who.clone())) {
            ends = [0, 1].map(|_| Node::other(String::from("(other)"), "other"));
        }
        for Node { who, kind } in &ends {
            let known = self.kinds.entry(who.clone()).or_default();
            if known.is_empty() {
                known.clone_from(kind);
            }
        }
        let [client, server] = ends.map(|node| node.who);
        self.edges.entry((client, server)).or_default()
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
                self.edge(client, server).of(lone.protocol).merge(&requests);
            }
        }
    }

    fn server_of(&self, lone: &Lone) -> Node {
        let at = lone.peer.filter(|_| lone.is_wake);
        let known = at.and_then(|at| self.servers.get(&at).or_else(|| self.hosts.get(&at.ip())));
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
        for ((client, server), edge) in &self.edges {
            let into = edges.entry((named(client), named(server))).or_default();
            for (sum, more) in into.flows.iter_mut().zip(edge.flows) {
                if let Some(more) = more {
                    sum.get_or_insert_default().add(more);
                }
            }
            for (protocol, requests) in &edge.requests {
                into.of(Arc::clone(protocol)).merge(requests);
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
        }
    }
}

fn name(who: &Who) -> String {
    match who {
        Who::Workload { namespace, workload } if namespace.is_empty() => workload.clone(),
        Who::Workload { namespace, workload } => format!("{namespace}/{workload}"),
        Who::Other(name) => name.clone(),
        Who::Address(address) => address.to_string(),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(mut map) => {
            // what is absent is not said
            map.retain(|_, value| !value.is_null());
            map
        }
        _ => Map::new(),
    }
}

fn node_row(node: &Node) -> Map<String, Value> {
    let (namespace, workload) = match &node.who {
        Who::Workload { namespace, workload } => (Some(namespace), Some(workload)),
        _ => (None, None),
    };
    let kind = Some(&node.kind).filter(|kind| !kind.is_empty());
    object(json!({
        "name": name(&node.who), "namespace": namespace, "workload": workload, "kind": kind,
    }))
}

fn edge_row((client, server): &(Who, Who), edge: &Edge, seconds: f64) -> Map<String, Value> {
    let mut requests: Vec<(&Arc<str>, &Requests)> = edge.requests.iter().collect();
    requests.sort_by_key(|(_, requests)| std::cmp::Reverse(requests.count));
    let requests = requests.into_iter().map(|(protocol, requests)| {
        let by_client = requests.client.iter().any(|count| *count > 0);
        let counts = if by_client { &requests.client } else { &requests.server };
        let us = |fraction: f64| quantile_ns(counts, fraction).map(|ns| ns / 1e3);
        Value::Object(object(json!({
            "protocol": Some(protocol.as_ref()).filter(|protocol| !protocol.is_empty()),
            "count": requests.count,
            "errors": requests.errors,
            "per_s": requests.count as f64 / seconds,
            "p50_us": us(0.5),
            "p99_us": us(0.99),
            "seen_by": if by_client { "client" } else { "server" },
        })))
    });
    let mut row = object(json!({
        "client": name(client), "server": name(server), "requests": requests.collect::<Vec<_>>(),
    }));
    if let Some(traffic) = edge.traffic() {
        let Traffic { bytes_sent, bytes_received, connections, failures, resets, retransmits, srtt_us } =
            traffic;
        row.extend(object(json!({
            "bytes_sent": bytes_sent,
            "bytes_received": bytes_received,
            "connections": connections,
            "failures": failures,
            "resets": resets,
            "retransmits": retransmits,
            "srtt_us": srtt_us,
        })));
    }
    row
}
