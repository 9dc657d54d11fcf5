//! Identity: whose a row is. Keyed by cgroup id, learned when the cgroup appears, kept after it has gone.
//!
//! In: cgroup events in the kernel's order, walks of the tree. Out: an `Identity` per owner key.
//! Invariants: bounded (live cgroups by the kernel, the dead by `MAX_TOMBSTONES` and `TOMBSTONE_TTL`, host executables
//! by `MAX_HOST_COMMS`); an id keeps its first path, since ids are not used again within a boot.

pub mod kube;
pub mod name;
mod naming;
mod owners;
pub mod pod_of;
mod pods;
pub mod saved;
pub mod walk;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use agent_common::workload::MAX_HOST_COMMS;
use proto::v1;

use self::kube::KubePods;
use self::pods::Pods;
use crate::window::sample::CgroupEvent;

#[cfg(test)]
mod tests;

/// How long the name of a removed cgroup is kept.
pub const TOMBSTONE_TTL: Duration = Duration::from_secs(15 * 60);
/// Most names of removed cgroups that are kept.
pub const MAX_TOMBSTONES: usize = 16_384;
/// How long a row waits for the names of its pod and container, which the API server may know later than the kernel.
pub const NAME_PATIENCE: Duration = Duration::from_secs(2);

/// What is the same in every identity of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeName {
    /// `''` outside a cluster.
    pub cluster: String,
    /// host.name
    pub node: String,
    /// `''` where there is none.
    pub zone: String,
    /// `/proc/sys/kernel/random/boot_id`
    pub boot_id: String,
}

/// The table of names.
#[derive(Debug)]
pub struct Identities {
    node: NodeName,
    root_id: u64,
    cgroups: HashMap<u64, Entry>,
    /// Cgroups by the id of the container that they are the outermost of.
    containers: HashMap<String, u64>,
    tombstones: VecDeque<(Duration, u64)>,
    host_comms: HashMap<u64, String>,
    hosts: HashMap<String, Arc<v1::Identity>>,
    named: HashMap<(&'static str, String), Arc<v1::Identity>>,
    pods: Pods,
    kube: KubePods,
    /// Nobody tells of pods.
    is_untold: bool,
    /// Monotonic, as far as was told.
    now: Duration,
}

#[derive(Debug)]
struct Entry {
    path: String,
    identity: Arc<v1::Identity>,
    is_removed: bool,
    /// Rows wait until then for the names of its pod and container.
    waits_until: Option<Duration>,
}

impl Identities {
    /// An empty table; `root_id` is the id of the root cgroup, whose tasks are named by executable.
    pub fn new(node: NodeName, root_id: u64) -> Self {
        Self {
            node,
            root_id,
            cgroups: HashMap::new(),
            containers: HashMap::new(),
            tombstones: VecDeque::new(),
            host_comms: HashMap::new(),
            hosts: HashMap::new(),
            named: HashMap::new(),
            pods: Pods::default(),
            kube: KubePods::default(),
            is_untold: false,
            now: Duration::ZERO,
        }
    }

    /// Takes in one event; `now` is monotonic.
    pub fn apply(&mut self, event: &CgroupEvent, now: Duration) {
        self.tick(now);
        match event {
            CgroupEvent::Made { id, path } => self.made(*id, path),
            CgroupEvent::Removed { id } => self.removed(*id, now),
            CgroupEvent::HostComm { key, comm } => {
                if self.host_comms.len() < MAX_HOST_COMMS as usize || self.host_comms.contains_key(key) {
                    self.host_comms.insert(*key, comm.clone());
                }
            }
            // whoever drives the table walks the tree
            CgroupEvent::Lost => {}
        }
    }

    fn made(&mut self, id: u64, path: &str) {
        match self.cgroups.get(&id) {
            Some(entry) if !entry.is_removed => return,
            // it was not gone after all, and its tombstone must not end it later
            Some(_) => self.tombstones.retain(|(_, dead)| *dead != id),
            None => {}
        }
        let (identity, is_complete) = self.of_path(id, path);
        let waits_until = (!is_complete && self.kube.is_told()).then(|| self.now + NAME_PATIENCE);
        let name = name::name(path);
        if !name.container.is_empty() && !name::is_nested(path) {
            self.containers.insert(name.container, id);
        }
        let (path, identity) = (path.to_owned(), Arc::new(identity));
        self.cgroups.insert(id, Entry { path, identity, is_removed: false, waits_until });
    }

    fn removed(&mut self, id: u64, now: Duration) {
        let Some(entry) = self.cgroups.get_mut(&id) else { return };
        if !entry.is_removed {
            entry.is_removed = true;
            self.tombstones.push_back((now, id));
        }
        self.expire(now);
    }

    /// Drops tombstones that are too old or too many.
    pub fn expire(&mut self, now: Duration) {
        self.tick(now);
        while let Some(&(at, id)) = self.tombstones.front() {
            if self.tombstones.len() <= MAX_TOMBSTONES && now.saturating_sub(at) < TOMBSTONE_TTL {
                return;
            }
            self.tombstones.pop_front();
            if self.cgroups.get(&id).is_some_and(|entry| entry.is_removed)
                && let Some(entry) = self.cgroups.remove(&id)
            {
                let container = name::name(&entry.path).container;
                if self.containers.get(&container) == Some(&id) {
                    self.containers.remove(&container);
                }
            }
        }
    }

    /// Brings the table in line with a walk: what it found is there, what it looked for and did not find is removed.
    /// Returns the events that this amounts to, already applied.
    pub fn reconcile(&mut self, walk: &walk::Walk, now: Duration) -> Vec<CgroupEvent> {
        let mut events = Vec::new();
        let alive: std::collections::HashSet<u64> = walk.found.iter().map(|found| found.id).collect();
        for walk::Found { id, path } in &walk.found {
            if self.cgroups.get(id).is_none_or(|entry| entry.is_removed) {
                events.push(CgroupEvent::Made { id: *id, path: path.clone() });
            }
        }
        let gone = self
            .cgroups
            .iter()
            .filter(|(id, entry)| !entry.is_removed && !alive.contains(id) && !walk.missed(&entry.path));
        events.extend(gone.map(|(id, _)| CgroupEvent::Removed { id: *id }));
        for event in &events {
            self.apply(event, now);
        }
        events
    }

    /// Whether this cgroup was known and has been removed.
    pub fn is_removed(&self, id: u64) -> bool {
        self.cgroups.get(&id).is_some_and(|entry| entry.is_removed)
    }

    /// The path of a cgroup, alive or dead.
    pub fn path(&self, id: u64) -> Option<&str> {
        self.cgroups.get(&id).map(|entry| entry.path.as_str())
    }

    /// Ids and paths of the cgroups that are alive, without the root.
    pub fn live(&self) -> impl Iterator<Item = (u64, &str)> {
        let alive = self.cgroups.iter().filter(|(id, entry)| !entry.is_removed && **id != self.root_id);
        alive.map(|(id, entry)| (*id, entry.path.as_str()))
    }

    /// How many names are kept: cgroups alive, removed ones, executables of the root cgroup.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let removed = self.tombstones.len();
        (self.cgroups.len().saturating_sub(removed), removed, self.host_comms.len())
    }

    /// This node's name.
    pub fn node(&self) -> &NodeName {
        &self.node
    }
}
