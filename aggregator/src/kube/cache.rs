//! What is known of the cluster: every object that is kept, and what finds one by node, owner or address.
//!
//! In: objects as the API says them. Out: names.
//! Invariants: bounded by `Kind::most`, `MAX_ENDED` and `ENDED_NS`; a pod that has gone is known for a quarter of an
//! hour, since its rows may come late; an address names a pod only for the time that the pod had it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use proto::kube::Range;

use super::leases::Leases;
use super::object::{Detail, Kind, Object, Protocol, Workload, snake_case};

/// How long a pod that has gone is known.
pub(crate) const ENDED_NS: u64 = 15 * 60 * 1_000_000_000;
/// Most pods that have gone.
const MAX_ENDED: usize = 50_000;
/// Most pods that wait for one owner.
const MAX_WAITING: usize = 5_000;

/// Namespace and name.
type Named = (Box<str>, Box<str>);

/// What changed, and on which nodes it is seen.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) old: Option<Arc<Object>>,
    pub(crate) new: Option<Arc<Object>>,
    /// Whose agents are to be told.
    pub(crate) nodes: Vec<Box<str>>,
    /// Every agent is to be told: service ranges or the like.
    pub(crate) is_for_all: bool,
}

/// The bound of its kind is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

#[derive(Debug, Default)]
pub(crate) struct Cache {
    objects: HashMap<(Kind, Box<str>), Arc<Object>>,
    counts: [usize; Kind::ALL.len()],
    nodes: HashMap<Box<str>, Arc<Object>>,
    pods_of_node: HashMap<Box<str>, BTreeSet<Box<str>>>,
    /// Static pods by node and config hash.
    hashes: HashMap<(Box<str>, Box<str>), Box<str>>,
    /// Pods whose owner has not been seen, by its uid.
    waiting: HashMap<Box<str>, Vec<Box<str>>>,
    ended: HashMap<Box<str>, Arc<Object>>,
    ended_order: VecDeque<(u64, Box<str>)>,
    pub(super) leases: Leases,
    pub(super) node_addresses: HashMap<IpAddr, Arc<Object>>,
    pub(super) service_addresses: HashMap<IpAddr, Arc<Object>>,
    pub(super) node_ports: HashMap<(Protocol, u16), Arc<Object>>,
    /// Slices by the addresses in them.
    pub(super) endpoints: HashMap<IpAddr, Vec<Arc<Object>>>,
    /// Slices by namespace and service.
    pub(super) slices: HashMap<Named, Vec<Arc<Object>>>,
    /// Ranges of service addresses, by the object that names them.
    pub(super) service_ranges: Vec<(Box<str>, Box<str>)>,
    /// Pod ranges of nodes.
    pub(super) pod_ranges: Vec<(Range, Arc<Object>)>,
}

impl Cache {
    /// Takes in an object that is new or has changed.
    ///
    /// # Errors
    /// When there are as many of its kind as are kept.
    pub(crate) fn apply(&mut self, mut object: Object, now_ns: u64) -> Result<Applied, Full> {
        let key = (object.kind, object.uid.clone());
        let old = self.objects.get(&key).map(Arc::clone);
        if old.is_none() && self.count(object.kind) >= object.kind.most() {
            return Err(Full);
        }
        if matches!(object.detail, Detail::Pod(_)) {
            self.find_workload(&mut object);
        }
        let new = Arc::new(object);
        if let Some(old) = &old {
            self.unlink(old);
        } else {
            self.counts[new.kind as usize] += 1;
        }
        self.objects.insert(key, Arc::clone(&new));
        let mut applied = self.touched(old.as_deref(), &new);
        self.link(&new, old.as_deref(), now_ns);
        applied.nodes.extend(self.owner_seen(&new));
        applied.old = old;
        applied.new = Some(new);
        Ok(applied)
    }

    /// Takes out an object that has gone.
    pub(crate) fn remove(&mut self, kind: Kind, uid: &str, now_ns: u64) -> Option<Applied> {
        let old = self.objects.remove(&(kind, uid.into()))?;
        self.counts[kind as usize] = self.counts[kind as usize].saturating_sub(1);
        let mut applied = self.touched(None, &old);
        self.unlink(&old);
        if let Some(pod) = old.pod() {
            let ended_ns = pod.ended_ns.unwrap_or(now_ns).min(now_ns);
            self.leases.end(&old, ended_ns);
            self.ended.insert(old.uid.clone(), Arc::clone(&old));
            self.ended_order.push_back((now_ns, old.uid.clone()));
        }
        self.expire(now_ns);
        applied.old = Some(old);
        Some(applied)
    }

    /// Forgets pods that have gone too long ago, or of which there are too many.
    pub(crate) fn expire(&mut self, now_ns: u64) {
        while let Some((at, uid)) = self.ended_order.front() {
            if self.ended_order.len() <= MAX_ENDED && now_ns.saturating_sub(*at) < ENDED_NS {
                return;
            }
            if let Some(pod) = self.ended.remove(uid)
                && !self.objects.contains_key(&(Kind::Pod, uid.clone()))
            {
                self.leases.forget(&pod);
            }
            self.ended_order.pop_front();
        }
    }

    /// Uids of a kind that are not among these.
    pub(crate) fn others(&self, kind: Kind, seen: &std::collections::HashSet<Box<str>>) -> Vec<Box<str>> {
        let of_kind = self.objects.keys().filter(|(known, uid)| *known == kind && !seen.contains(uid));
        of_kind.map(|(_, uid)| uid.clone()).collect()
    }

    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    /// Pods that have gone and are still known.
    pub(crate) fn ended(&self) -> usize {
        self.ended.len()
    }

    pub(crate) fn get(&self, kind: Kind, uid: &str) -> Option<&Arc<Object>> {
        self.objects.get(&(kind, uid.into()))
    }

    /// An object, of a pod also after it has gone.
    pub(crate) fn find(&self, kind: Kind, uid: &str) -> Option<Arc<Object>> {
        let gone = || self.ended.get(uid).filter(|_| kind == Kind::Pod);
        self.get(kind, uid).or_else(gone).map(Arc::clone)
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Arc<Object>> {
        self.nodes.get(name)
    }

    /// The zone of a node, `''` where it has none.
    pub(crate) fn zone(&self, node: &str) -> &str {
        self.nodes.get(node).and_then(|node| node.node()).map_or("", |node| &node.zone)
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values().filter(move |object| object.kind == kind)
    }

    /// Pods of a node, by uid.
    pub(crate) fn pods_of(&self, node: &str) -> impl Iterator<Item = &Arc<Object>> {
        let uids = self.pods_of_node.get(node).into_iter().flatten();
        uids.filter_map(|uid| self.get(Kind::Pod, uid))
    }

    /// A pod by what a cgroup's path calls it: its uid, or of a static pod the hash of its config.
    pub(crate) fn pod(&self, node: &str, uid: &str) -> Option<&Arc<Object>> {
        let alive = self.get(Kind::Pod, uid).or_else(|| self.ended.get(uid));
        alive.or_else(|| {
            let uid = self.hashes.get(&(node.into(), uid.into()))?;
            self.get(Kind::Pod, uid).or_else(|| self.ended.get(uid))
        })
    }

    /// The owner that a person thinks of. Whether one on the way has not been seen is the second answer.
    fn workload_of(&self, object: &Object) -> (Workload, Option<Box<str>>) {
        let named = |name: &str, kind: &str| Workload { name: name.into(), kind: kind.into() };
        let Some(owner) = &object.owner else { return (named(&object.name, "pod"), None) };
        let of_owner = named(&owner.name, &snake_case(&owner.kind));
        let kind = match &*owner.kind {
            "ReplicaSet" => Kind::ReplicaSet,
            "Job" => Kind::Job,
            "Node" => {
                // `kube-apiserver-node1` is node1's copy of `kube-apiserver`
                let bare = object.name.strip_suffix(&*owner.name).and_then(|name| name.strip_suffix('-'));
                return (named(bare.unwrap_or(&object.name), "static_pod"), None);
            }
            _ => return (of_owner, None),
        };
        match self.get(kind, &owner.uid) {
            Some(known) => match &known.owner {
                Some(above) => (named(&above.name, &snake_case(&above.kind)), None),
                None => (of_owner, None),
            },
            None => {
                let hash = object.pod().map_or("", |pod| &pod.template_hash);
                // until it is seen: a deployment's replica set is called after its pods' template
                let bare = owner.name.strip_suffix(hash).and_then(|name| name.strip_suffix('-'));
                let guess = match bare.filter(|_| kind == Kind::ReplicaSet && !hash.is_empty()) {
                    Some(bare) => named(bare, "deployment"),
                    None => of_owner,
                };
                (guess, Some(owner.uid.clone()))
            }
        }
    }

    fn find_workload(&mut self, object: &mut Object) {
        let (workload, waits_for) = self.workload_of(object);
        if let Detail::Pod(pod) = &mut object.detail {
            pod.workload = workload;
        }
        if let Some(owner) = waits_for {
            let waiting = self.waiting.entry(owner).or_default();
            if waiting.len() < MAX_WAITING && !waiting.contains(&object.uid) {
                waiting.push(object.uid.clone());
            }
        }
    }

    /// Pods that waited for this owner get their workload. Returns their nodes.
    fn owner_seen(&mut self, owner: &Object) -> Vec<Box<str>> {
        let Some(waiting) = self.waiting.remove(&owner.uid) else { return Vec::new() };
        let mut nodes = Vec::new();
        for uid in waiting {
            let Some(known) = self.objects.get(&(Kind::Pod, uid.clone())).map(Arc::clone) else { continue };
            let mut object = Object::clone(&known);
            self.find_workload(&mut object);
            let object = Arc::new(object);
            self.leases.renew(&object);
            if let Some(pod) = object.pod() {
                nodes.push(pod.node.clone());
            }
            self.objects.insert((Kind::Pod, uid), object);
        }
        nodes
    }

    /// Who is to be told.
    fn touched(&self, old: Option<&Object>, new: &Object) -> Applied {
        let mut applied = Applied::default();
        match &new.detail {
            Detail::Pod(pod) => {
                applied.nodes.push(pod.node.clone());
                if let Some(before) = old.and_then(Object::pod).filter(|before| before.node != pod.node) {
                    applied.nodes.push(before.node.clone());
                }
            }
            Detail::Node(node) => {
                // its heartbeat tells nothing
                let same = old
                    .and_then(Object::node)
                    .is_some_and(|before| (&before.zone, &before.addresses) == (&node.zone, &node.addresses));
                if !same {
                    applied.nodes.push(new.name.clone());
                }
            }
            Detail::Service(service) => {
                applied.is_for_all = old.and_then(Object::service).is_none_or(|before| {
                    before.cluster_ips != service.cluster_ips || before.external_ips != service.external_ips
                });
            }
            Detail::ServiceCidr(_) => applied.is_for_all = true,
            Detail::EndpointSlice(_) | Detail::Namespace | Detail::Workload(_) => {}
        }
        applied
    }

    fn link(&mut self, object: &Arc<Object>, old: Option<&Object>, now_ns: u64) {
        match &object.detail {
            Detail::Pod(pod) => {
                self.leases.hold(object, old, now_ns);
                if !pod.node.is_empty() {
                    self.pods_of_node.entry(pod.node.clone()).or_default().insert(object.uid.clone());
                }
                if !pod.config_hash.is_empty() {
                    self.hashes.insert((pod.node.clone(), pod.config_hash.clone()), object.uid.clone());
                }
            }
            Detail::Node(node) => {
                self.nodes.insert(object.name.clone(), Arc::clone(object));
                for address in &node.addresses {
                    self.node_addresses.insert(*address, Arc::clone(object));
                }
                let ranges = node.pod_ranges.iter().filter_map(|range| Range::parse(range));
                self.pod_ranges.extend(ranges.map(|range| (range, Arc::clone(object))));
            }
            Detail::Service(service) => {
                for address in service.cluster_ips.iter().chain(&service.external_ips) {
                    self.service_addresses.insert(*address, Arc::clone(object));
                }
                for port in service.ports.iter().filter(|port| port.node_port != 0) {
                    self.node_ports.insert((port.protocol, port.node_port), Arc::clone(object));
                }
            }
            Detail::EndpointSlice(slice) => {
                for endpoint in &slice.endpoints {
                    self.endpoints.entry(endpoint.address).or_default().push(Arc::clone(object));
                }
                let key = (object.namespace.clone(), slice.service.clone());
                self.slices.entry(key).or_default().push(Arc::clone(object));
            }
            Detail::ServiceCidr(ranges) => {
                let named = ranges.iter().map(|range| (object.uid.clone(), range.clone()));
                self.service_ranges.extend(named);
            }
            Detail::Namespace | Detail::Workload(_) => {}
        }
    }

    fn unlink(&mut self, object: &Object) {
        let is_it = |other: &Arc<Object>| other.uid == object.uid;
        match &object.detail {
            Detail::Pod(pod) => {
                if let Some(pods) = self.pods_of_node.get_mut(&pod.node) {
                    pods.remove(&object.uid);
                    if pods.is_empty() {
                        self.pods_of_node.remove(&pod.node);
                    }
                }
                let key = (pod.node.clone(), pod.config_hash.clone());
                if self.hashes.get(&key).is_some_and(|uid| *uid == object.uid) {
                    self.hashes.remove(&key);
                }
            }
            Detail::Node(_) => {
                if self.nodes.get(&object.name).is_some_and(is_it) {
                    self.nodes.remove(&object.name);
                }
                self.node_addresses.retain(|_, other| !is_it(other));
                self.pod_ranges.retain(|(_, other)| !is_it(other));
            }
            Detail::Service(service) => {
                for address in service.cluster_ips.iter().chain(&service.external_ips) {
                    if self.service_addresses.get(address).is_some_and(is_it) {
                        self.service_addresses.remove(address);
                    }
                }
                for port in &service.ports {
                    let key = (port.protocol, port.node_port);
                    if self.node_ports.get(&key).is_some_and(is_it) {
                        self.node_ports.remove(&key);
                    }
                }
            }
            Detail::EndpointSlice(slice) => {
                for endpoint in &slice.endpoints {
                    if let Some(slices) = self.endpoints.get_mut(&endpoint.address) {
                        slices.retain(|other| !is_it(other));
                        if slices.is_empty() {
                            self.endpoints.remove(&endpoint.address);
                        }
                    }
                }
                let key = (object.namespace.clone(), slice.service.clone());
                if let Some(slices) = self.slices.get_mut(&key) {
                    slices.retain(|other| !is_it(other));
                    if slices.is_empty() {
                        self.slices.remove(&key);
                    }
                }
            }
            Detail::ServiceCidr(_) => self.service_ranges.retain(|(uid, _)| *uid != object.uid),
            Detail::Namespace | Detail::Workload(_) => {}
        }
    }
}
