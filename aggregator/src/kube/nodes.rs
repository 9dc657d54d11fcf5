//! The stream of names to the agents: each gets its own node's pods, the service ranges, its zone.
//!
//! One update per change, changes of the same moment together; what an agent has is remembered as one hash per pod.
//! When an agent reads too slowly, its stream waits and then sends the newest state: nothing queues up.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use futures::Stream;
use proto::error::ErrorCode;
use proto::kube::{
    MAX_ADDRESSES, MAX_CONTAINERS, MAX_PODS, MAX_RANGES, MAX_UPDATE_PODS, Range, check_pod, is_name,
};
use proto::v1::nodes_server::Nodes;
use proto::v1::{KubeContainer, KubeNode, KubePod, NodeUpdate, WatchRequest};
use tokio::sync::{Semaphore, mpsc, watch as signal};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::cache::Cache;
use super::object::Object;
use super::{Kube, Pairs};
use crate::ingest::peer;
use crate::ingest::places::Places;
use crate::metrics::IngestMetrics;

/// Changes of the same moment go together.
const TOGETHER: Duration = Duration::from_millis(20);
/// Updates that may wait for a slow agent.
const QUEUE: usize = 2;
/// How long an agent may take to read why its stream ends.
const LAST_WORD: Duration = Duration::from_secs(10);
/// The range of node ports that Kubernetes has by default.
const NODE_PORTS: (u32, u32) = (30_000, 32_767);

type Updates = mpsc::Sender<Result<NodeUpdate, Status>>;

/// `Nodes` as gRPC serves it.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// `None` where no Kubernetes is watched.
    kube: Option<Arc<Kube>>,
    places: Arc<Semaphore>,
    /// Streams of each node.
    of_node: Places,
    metrics: IngestMetrics,
    clock: Clock,
}

impl Service {
    /// At most `most` agents.
    pub(crate) fn new(kube: Option<Arc<Kube>>, most: usize, metrics: IngestMetrics, clock: Clock) -> Self {
        Self { kube, places: Arc::new(Semaphore::new(most)), of_node: Places::default(), metrics, clock }
    }
}

fn status(code: ErrorCode, message: &str) -> Status {
    Status::new(code.grpc_code(), format!("{}: {message}", code.as_str()))
}

#[tonic::async_trait]
impl Nodes for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<NodeUpdate, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let peer = peer::of(request.extensions());
        let WatchRequest { node, cluster: _, boot_id: _, wire_version, known } = request.into_inner();
        if wire_version != proto::WIRE_VERSION {
            let message =
                format!("wire version {wire_version}; this aggregator speaks {}", proto::WIRE_VERSION);
            return Err(status(ErrorCode::UnsupportedVersion, &message));
        }
        if !is_name(&node) {
            return Err(status(ErrorCode::Invalid, "watch: node is no name"));
        }
        let known_until =
            peer::certified(peer.as_deref()).and_then(|certified| peer::check(certified.as_ref(), &node));
        let until_s = known_until.map_err(|stranger| {
            self.metrics.stranger(stranger.reason());
            stranger.status()
        })?;
        let Some(kube) = self.kube.clone() else {
            return Err(status(ErrorCode::NotFound, "this aggregator watches no Kubernetes"));
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(status(ErrorCode::Busy, "as many agents are connected as may be"));
        };
        let place = (place, self.of_node.take(&node)?);
        let (updates, receiver) = mpsc::channel(QUEUE);
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        tokio::spawn(async move {
            tell(&kube, &node, known, &updates, (&clock, until_s), &metrics).await;
            drop(place);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Tells one agent its names until it has gone or its certificate has expired.
async fn tell(
    kube: &Kube,
    node: &str,
    known: String,
    updates: &Updates,
    (clock, until_s): (&Clock, Option<i64>),
    metrics: &IngestMetrics,
) {
    let changed = kube.join(node);
    let is_expired = tokio::select! {
        () = updates.closed() => false,
        // the agent has gone
        _ = follow(kube, node, changed, known, updates) => false,
        () = peer::expired(clock, until_s) => true,
    };
    kube.left(node);
    if is_expired {
        metrics.stranger("expired");
        let ended = status(ErrorCode::Unauthenticated, "the certificate of this connection has expired");
        drop(tokio::time::timeout(LAST_WORD, updates.send(Err(ended))).await);
    }
}

/// Tells one agent everything, then what changes. Ends when the agent has gone.
async fn follow(
    kube: &Kube,
    node: &str,
    mut changed: signal::Receiver<u64>,
    known: String,
    updates: &Updates,
) -> Option<()> {
    kube.synced.subscribe().wait_for(|synced| *synced).await.ok()?;
    changed.mark_unchanged();
    let mut state = kube.state_of(node);
    let mut sent = state.hashes();
    if sent.version() == known {
        send(updates, NodeUpdate { version: known, complete: true, ..NodeUpdate::default() }).await?;
    } else {
        let mut parts: Vec<Vec<KubePod>> = chunks(std::mem::take(&mut state.pods));
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        let last = parts.len() - 1;
        for (index, pods) in parts.into_iter().enumerate() {
            let is_last = index == last;
            let update = NodeUpdate {
                version: if is_last { sent.version() } else { String::new() },
                snapshot: index == 0,
                complete: is_last,
                pods,
                gone: Vec::new(),
                node: (index == 0).then(|| state.node.clone()),
                left_out: state.left_out,
            };
            send(updates, update).await?;
        }
    }
    loop {
        changed.changed().await.ok()?;
        tokio::time::sleep(TOGETHER).await;
        changed.mark_unchanged();
        let state = kube.state_of(node);
        let now = state.hashes();
        for update in sent.until(&now, state) {
            send(updates, update).await?;
        }
        sent = now;
    }
}

async fn send(updates: &Updates, update: NodeUpdate) -> Option<()> {
    updates.send(Ok(update)).await.ok()
}

fn chunks(pods: Vec<KubePod>) -> Vec<Vec<KubePod>> {
    let mut parts = Vec::new();
    let mut rest = pods;
    while !rest.is_empty() {
        let next = rest.split_off(rest.len().min(MAX_UPDATE_PODS));
        parts.push(rest);
        rest = next;
    }
    parts
}

/// Everything that an agent is told.
struct State {
    pods: Vec<KubePod>,
    node: KubeNode,
    left_out: u64,
}

/// What an agent has been told.
struct Sent {
    pods: HashMap<String, u64>,
    node: u64,
}

fn hash(message: &impl prost::Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.encode_to_vec().hash(&mut hasher);
    hasher.finish()
}

impl State {
    fn hashes(&self) -> Sent {
        let pods = self.pods.iter().map(|pod| (pod.uid.clone(), hash(pod))).collect();
        Sent { pods, node: hash(&self.node) }
    }
}

impl Sent {
    fn version(&self) -> String {
        // the same whatever the order
        let pods = self.pods.values().fold(0_u64, |sum, hash| sum.wrapping_add(*hash));
        format!("{:016x}{:016x}{:x}", pods, self.node, self.pods.len())
    }

    /// The updates that lead from here to `now`.
    fn until(&self, now: &Self, state: State) -> Vec<NodeUpdate> {
        let State { pods, node, left_out } = state;
        let is_new = |pod: &KubePod| self.pods.get(&pod.uid) != now.pods.get(&pod.uid);
        let pods: Vec<KubePod> = pods.into_iter().filter(is_new).collect();
        let gone: Vec<String> =
            self.pods.keys().filter(|uid| !now.pods.contains_key(*uid)).cloned().collect();
        let node = (self.node != now.node).then_some(node);
        if pods.is_empty() && gone.is_empty() && node.is_none() {
            return Vec::new();
        }
        let mut updates: Vec<NodeUpdate> = chunks(pods)
            .into_iter()
            .map(|pods| NodeUpdate { pods, complete: true, left_out, ..NodeUpdate::default() })
            .collect();
        if updates.is_empty() {
            updates.push(NodeUpdate { complete: true, left_out, ..NodeUpdate::default() });
        }
        if let Some(last) = updates.last_mut() {
            last.gone = gone;
            last.node = node;
            last.version = now.version();
        }
        updates
    }
}

impl Kube {
    /// From now on changes of this node are told.
    fn join(&self, node: &str) -> signal::Receiver<u64> {
        let receiver =
            self.waiting().entry(node.into()).or_insert_with(|| signal::Sender::new(0)).subscribe();
        self.metrics.agents.inc();
        receiver
    }

    fn left(&self, node: &str) {
        self.metrics.agents.dec();
        let mut waiting = self.waiting();
        if waiting.get(node).is_some_and(|agent| agent.receiver_count() == 0) {
            waiting.remove(node);
        }
    }

    fn state_of(&self, node: &str) -> State {
        let cache = self.read();
        let mut left_out = 0;
        let mut pods = Vec::new();
        for object in cache.pods_of(node) {
            let pod = message(object);
            if pods.len() >= MAX_PODS || check_pod(&pod).is_err() {
                left_out += 1;
                continue;
            }
            pods.push(pod);
        }
        State { pods, node: self.node_message(&cache, node), left_out }
    }

    fn node_message(&self, cache: &Cache, name: &str) -> KubeNode {
        let known = cache.node(name).and_then(|node| node.node());
        let addresses = known.map(|node| node.addresses.iter().take(MAX_ADDRESSES));
        KubeNode {
            cluster: self.cluster(),
            zone: known.map(|node| node.zone.to_string()).unwrap_or_default(),
            addresses: addresses.into_iter().flatten().map(IpAddr::to_string).collect(),
            service_ranges: self.service_ranges(cache),
            node_port_first: NODE_PORTS.0,
            node_port_last: NODE_PORTS.1,
            known: known.is_some(),
        }
    }

    /// Ranges that the config or the API names; else those around the services that there are.
    fn service_ranges(&self, cache: &Cache) -> Vec<String> {
        let mut ranges: Vec<String> = self.config.service_ranges.clone();
        ranges.extend(cache.service_ranges.iter().map(|(_, range)| range.to_string()));
        let is_derived = ranges.is_empty();
        for (address, object) in &cache.service_addresses {
            let is_external = object.service().is_some_and(|service| service.external_ips.contains(address));
            let bits = match (is_external, address.is_ipv4()) {
                (true, true) => 32,
                (true, false) => 128,
                (false, _) if !is_derived => continue,
                (false, true) => 16,
                (false, false) => 112,
            };
            ranges.extend(Range::around(*address, bits).map(|range| range.to_string()));
        }
        ranges.sort_unstable();
        ranges.dedup();
        ranges.truncate(MAX_RANGES);
        ranges
    }
}

fn map(pairs: &Pairs) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// A pod as its agent is told of it.
fn message(object: &Object) -> KubePod {
    let Some(pod) = object.pod() else { return KubePod::default() };
    let container = |name: &str, id: &str, kind: &str| KubeContainer {
        name: name.to_owned(),
        id: id.to_owned(),
        kind: kind.to_owned(),
    };
    let mut containers: Vec<KubeContainer> =
        pod.containers.iter().map(|own| container(&own.name, &own.id, own.kind)).collect();
    // rows of the one before the last restart may still come
    let before = pod.containers.iter().filter(|own| !own.last_id.is_empty() && own.last_id != own.id);
    containers.extend(before.map(|own| container(&own.name, &own.last_id, own.kind)));
    containers.truncate(MAX_CONTAINERS);
    let ips: &[IpAddr] = if pod.host_network { &[] } else { &pod.ips };
    KubePod {
        uid: object.uid.to_string(),
        name: object.name.to_string(),
        namespace: object.namespace.to_string(),
        workload: pod.workload.name.to_string(),
        workload_kind: pod.workload.kind.to_string(),
        containers,
        host_network: pod.host_network,
        host_pid: pod.host_pid,
        ips: ips.iter().map(IpAddr::to_string).collect(),
        config_hash: pod.config_hash.to_string(),
        labels: map(&object.labels),
        settings: map(&object.settings),
        created_ns: object.created_ns,
    }
}

#[cfg(test)]
mod tests;
