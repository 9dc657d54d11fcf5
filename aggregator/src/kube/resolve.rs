//! Names for what a batch leaves open: identities that have only a pod's uid, and the other ends of its flows.
//!
//! In: a batch's payload. Out: what is known, once per distinct answer. Pure over the cache.
//! An address alone says little: pods share it over time, services stand before pods, nodes hide what is behind them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use proto::v1::{Completion, FlowRow, Identity, Payload, Peer, Real, Resolved};

use super::cache::Cache;
use super::object::{Object, Protocol};

/// Endpoints of a service that are looked at to find its workload.
const MAX_LOOKED_AT: usize = 64;
const NS_PER_S: u64 = 1_000_000_000;

/// What is known of a batch; `cluster` is what this cluster is called. Before the first lists are complete
/// (`is_synced`) an address that nobody has is not called external.
pub(crate) fn resolve(cache: &Cache, cluster: &str, is_synced: bool, payload: &Payload) -> Resolved {
    let mut resolved = Resolved::default();
    for (place, identity) in (0..).zip(&payload.identities) {
        resolved.completions.extend(complete(cache, cluster, place, identity));
    }
    let mut known: HashMap<Ask<'_>, Option<usize>> = HashMap::new();
    for (place, flow) in (0..).zip(&payload.flows) {
        let ask = Ask::of(flow);
        let answer = *known.entry(ask).or_insert_with(|| {
            let peer = ask.answer(cache)?;
            if !is_synced && matches!(peer.kind.as_str(), "external" | "unknown") {
                return None;
            }
            resolved.peers.push(peer);
            Some(resolved.peers.len() - 1)
        });
        if let Some(answer) = answer {
            resolved.peers[answer].flows.push(place);
        }
    }
    resolved
}

fn complete(cache: &Cache, cluster: &str, place: u32, identity: &Identity) -> Option<Completion> {
    let mut completion = Completion { identity: place, ..Completion::default() };
    if identity.cluster.is_empty() {
        completion.cluster = cluster.to_owned();
    }
    if identity.zone.is_empty() {
        completion.zone = cache.zone(&identity.node).to_owned();
    }
    let is_open = !identity.pod_uid.is_empty()
        && (identity.pod.is_empty()
            || identity.workload.starts_with("pod/")
            || (!identity.container_id.is_empty() && identity.container == identity.container_id));
    // an agent speaks of its own node's pods only
    let pod = is_open.then(|| cache.pod(&identity.node, &identity.pod_uid)).flatten();
    let pod = pod.filter(|pod| pod.pod().is_some_and(|pod| *pod.node == *identity.node));
    // and who may send for one namespace learns nothing of another's pods by their uids
    let pod = pod.filter(|pod| identity.namespace.is_empty() || *identity.namespace == *pod.namespace);
    if let Some((object, pod)) = pod.and_then(|object| Some((object, object.pod()?))) {
        completion.namespace = object.namespace.to_string();
        completion.workload = pod.workload.name.to_string();
        completion.workload_kind = pod.workload.kind.to_string();
        completion.pod = object.name.to_string();
        completion.labels = object.labels_text();
        let id = match identity.container_id.as_str() {
            "" => identity.container.as_str(),
            id => id,
        };
        let is_it = |own: &str| !id.is_empty() && own == id;
        let container = pod.containers.iter().find(|own| is_it(&own.id) || is_it(&own.last_id));
        completion.container = container.map(|own| own.name.to_string()).unwrap_or_default();
    }
    let is_empty = completion == Completion { identity: place, ..Completion::default() };
    (!is_empty).then_some(completion)
}

/// What decides who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ask<'a> {
    address: &'a str,
    asked_address: &'a str,
    asked_port: u32,
    server_port: u32,
    role: &'a str,
    protocol: &'a str,
    ts: u64,
    window_s: u32,
    /// Both ends are on the agent's own host, which knew the workload.
    is_named: bool,
}

impl<'a> Ask<'a> {
    fn of(flow: &'a FlowRow) -> Self {
        Self {
            address: &flow.peer_address,
            asked_address: &flow.asked_address,
            asked_port: flow.asked_port,
            server_port: flow.server_port,
            role: &flow.role,
            protocol: &flow.protocol,
            ts: flow.ts,
            window_s: flow.window_s,
            is_named: !flow.peer_workload.is_empty(),
        }
    }

    fn port(port: u32) -> u16 {
        u16::try_from(port).unwrap_or(0)
    }

    fn answer(&self, cache: &Cache) -> Option<Peer> {
        let address = self.address.parse::<IpAddr>().ok()?.to_canonical();
        let mut peer = self.at(cache, address);
        if let Ok(asked) = self.asked_address.parse::<IpAddr>()
            && let Some(service) = self.service_at(cache, asked.to_canonical(), Self::port(self.asked_port))
        {
            peer.service = service.name.to_string();
        }
        Some(peer)
    }

    /// Who is at an address.
    fn at(&self, cache: &Cache, address: IpAddr) -> Peer {
        if address.is_loopback() {
            return kind("loopback");
        }
        if address.is_unspecified() || address.is_multicast() {
            return kind("unknown");
        }
        let until = self.ts.saturating_add(u64::from(self.window_s) * NS_PER_S);
        if let Some(object) = cache.leases.at(address, self.ts, until) {
            return Peer { service: self.service_before(cache, address), ..pod(cache, object) };
        }
        let port = Self::port(self.server_port);
        if let Some(service) = cache.service_addresses.get(&address) {
            return self.behind(cache, service, port);
        }
        if self.role != "server" && is_api_server(cache, address, port) {
            return Peer {
                service: "kubernetes".into(),
                namespace: "default".into(),
                ..kind("kube_apiserver")
            };
        }
        if let Some(node) = cache.node_addresses.get(&address) {
            let mut peer = on_node(node);
            if self.role == "client"
                && let Some(service) = cache.node_ports.get(&(Protocol::named(self.protocol), port))
            {
                peer.service = service.name.to_string();
                peer.namespace = service.namespace.to_string();
            }
            return peer;
        }
        // a node's own address in its pods' range: the bridge, or pods that are masked by it
        if let Some((_, node)) = cache.pod_ranges.iter().find(|(range, _)| range.contains(address)) {
            let is_gateway = match address {
                IpAddr::V4(address) => address.octets()[3] <= 1,
                IpAddr::V6(address) => address.segments()[7] <= 1,
            };
            return if is_gateway { on_node(node) } else { kind("unknown") };
        }
        if let Some(slices) = cache.endpoints.get(&address) {
            // an address that a person entered for a service without pods
            let slice = slices.iter().find_map(|object| Some((object, object.slice()?)));
            if let Some((object, slice)) = slice {
                let namespace = object.namespace.to_string();
                return Peer { service: slice.service.to_string(), namespace, ..kind("external") };
            }
        }
        if self.is_named { Peer::default() } else { kind("external") }
    }

    fn service_at<'c>(&self, cache: &'c Cache, address: IpAddr, port: u16) -> Option<&'c Arc<Object>> {
        cache
            .service_addresses
            .get(&address)
            .or_else(|| cache.node_ports.get(&(Protocol::named(self.protocol), port)))
    }

    /// The only service that sends this port's clients to a pod; `''` where there are several.
    fn service_before(&self, cache: &Cache, address: IpAddr) -> String {
        if self.role == "server" {
            return String::new();
        }
        let (port, protocol) = (Self::port(self.server_port), Protocol::named(self.protocol));
        let slices = cache.endpoints.get(&address).into_iter().flatten().filter_map(|object| object.slice());
        let mut services = slices
            .filter(|slice| slice.ports.iter().any(|own| own.port == port && own.protocol == protocol))
            .map(|slice| &*slice.service);
        let Some(first) = services.next() else { return String::new() };
        if services.all(|other| other == first) { first.to_owned() } else { String::new() }
    }

    /// A service whose backend nobody has found: its pods' workload if they have one in common, and the backend itself if
    /// there is only one that it can be.
    fn behind(&self, cache: &Cache, service: &Object, port: u16) -> Peer {
        if &*service.namespace == "default" && &*service.name == "kubernetes" {
            return Peer {
                service: "kubernetes".into(),
                namespace: "default".into(),
                ..kind("kube_apiserver")
            };
        }
        let mut peer = kind("service");
        peer.service = service.name.to_string();
        peer.namespace = service.namespace.to_string();
        let key = (service.namespace.clone(), service.name.clone());
        let slices = cache.slices.get(&key).into_iter().flatten().filter_map(|object| object.slice());
        let mut ready: Vec<(IpAddr, Option<u16>)> = Vec::new();
        for slice in slices {
            let only_port = match &*slice.ports {
                [only] => Some(only.port),
                _ => None,
            };
            let endpoints = slice.endpoints.iter().filter(|endpoint| endpoint.is_ready);
            ready.extend(endpoints.map(|endpoint| (endpoint.address, only_port)).take(MAX_LOOKED_AT));
            if ready.len() >= MAX_LOOKED_AT {
                break;
            }
        }
        let until = self.ts.saturating_add(u64::from(self.window_s) * NS_PER_S);
        let mut pods = ready.iter().map(|(address, _)| cache.leases.at(*address, self.ts, until));
        let Some(Some(first)) = pods.next() else { return peer };
        let Some(of_first) = first.pod().map(|pod| &pod.workload) else { return peer };
        let same = |object: Option<&Arc<Object>>| {
            object.is_some_and(|object| {
                object.namespace == first.namespace
                    && object.pod().is_some_and(|pod| pod.workload == *of_first)
            })
        };
        if !pods.all(same) {
            return peer;
        }
        peer.workload = of_first.name.to_string();
        peer.workload_kind = of_first.kind.to_string();
        let is_exposed = service.service().is_some_and(|own| own.ports.iter().any(|own| own.port == port));
        if let [(address, Some(real))] = ready[..]
            && self.role == "client"
            && is_exposed
        {
            let service = std::mem::take(&mut peer.service);
            let real = Some(Real { address: address.to_string(), port: u32::from(real) });
            return Peer { service, real, nat_source: "endpoint".into(), ..pod(cache, first) };
        }
        peer
    }
}

fn is_api_server(cache: &Cache, address: IpAddr, port: u16) -> bool {
    let slices = cache.endpoints.get(&address).into_iter().flatten();
    slices
        .filter(|object| &*object.namespace == "default")
        .filter_map(|object| object.slice())
        .any(|slice| &*slice.service == "kubernetes" && slice.ports.iter().any(|own| own.port == port))
}

fn kind(kind: &str) -> Peer {
    Peer { kind: kind.to_owned(), ..Peer::default() }
}

fn on_node(node: &Object) -> Peer {
    let zone = node.node().map(|node| node.zone.to_string()).unwrap_or_default();
    Peer { node: node.name.to_string(), zone, ..kind("node") }
}

fn pod(cache: &Cache, object: &Object) -> Peer {
    let Some(pod) = object.pod() else { return kind("pod") };
    Peer {
        namespace: object.namespace.to_string(),
        workload: pod.workload.name.to_string(),
        workload_kind: pod.workload.kind.to_string(),
        pod: object.name.to_string(),
        zone: cache.zone(&pod.node).to_owned(),
        node: pod.node.to_string(),
        ..kind("pod")
    }
}
