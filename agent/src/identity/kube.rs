//! This node's pods, as the aggregator tells them: whole updates in, one pod by its uid or its manifest's hash out.
//!
//! Invariants: what breaks a bound of `proto::kube` is refused and counted; a pod that has gone is known for a quarter of
//! an hour; a snapshot replaces everything at once, when its last part is there.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proto::kube::{MAX_PODS, check_node, check_pod};
use proto::v1::{KubeContainer, KubeNode, KubePod, NodeUpdate};

/// How long a pod that has gone is known.
const GONE_TTL: Duration = Duration::from_secs(15 * 60);
/// Most pods that have gone.
const MAX_GONE: usize = 4_096;

/// What is known of this node's pods.
#[derive(Debug, Default)]
pub struct KubePods {
    pods: HashMap<String, Arc<KubePod>>,
    /// Uids of static pods by the hash of their manifest.
    hashes: HashMap<String, String>,
    gone: VecDeque<(Duration, String)>,
    node: KubeNode,
    version: String,
    /// A snapshot whose last part has not come.
    building: Option<BTreeMap<String, Arc<KubePod>>>,
    refused: u64,
}

/// What an update has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Uids and hashes of pods that are new or not the same any more.
    pub pods: HashSet<String>,
    /// Zone, cluster or service ranges.
    pub node: bool,
}

impl KubePods {
    /// A stream begins: of a snapshot that the last one broke off in nothing is kept.
    pub fn begin(&mut self) {
        self.building = None;
    }

    /// Takes in an update; `now` is monotonic.
    pub fn take(&mut self, update: NodeUpdate, now: Duration) -> Taken {
        let NodeUpdate { version, snapshot, complete, pods, gone, node, left_out } = update;
        self.refused += left_out;
        let mut taken = Taken::default();
        if let Some(node) = node {
            match check_node(&node) {
                Ok(()) => {
                    taken.node = self.node != node;
                    self.node = node;
                }
                Err(_) => self.refused += 1,
            }
        }
        if snapshot {
            self.building = Some(BTreeMap::new());
        }
        for pod in pods {
            if check_pod(&pod).is_err() {
                self.refused += 1;
                continue;
            }
            let has_room = self.alive() < MAX_PODS || self.pods.contains_key(&pod.uid);
            match &mut self.building {
                Some(building) if building.len() < MAX_PODS => {
                    building.insert(pod.uid.clone(), Arc::new(pod));
                }
                None if has_room => self.put(Arc::new(pod), &mut taken),
                _ => self.refused += 1,
            }
        }
        for uid in gone {
            self.bury(uid, now);
        }
        if complete {
            if let Some(building) = self.building.take() {
                let lost: Vec<String> =
                    self.pods.keys().filter(|uid| !building.contains_key(*uid)).cloned().collect();
                lost.into_iter().for_each(|uid| self.bury(uid, now));
                building.into_values().for_each(|pod| self.put(pod, &mut taken));
            }
            self.version = version;
        }
        self.expire(now);
        taken
    }

    fn put(&mut self, pod: Arc<KubePod>, taken: &mut Taken) {
        self.gone.retain(|(_, uid)| *uid != pod.uid);
        if self.pods.get(&pod.uid).is_some_and(|known| *known == pod) {
            return;
        }
        taken.pods.insert(pod.uid.clone());
        if !pod.config_hash.is_empty() {
            taken.pods.insert(pod.config_hash.clone());
            self.hashes.insert(pod.config_hash.clone(), pod.uid.clone());
        }
        self.pods.insert(pod.uid.clone(), pod);
    }

    fn bury(&mut self, uid: String, now: Duration) {
        let is_known = self.pods.contains_key(&uid) && self.gone.iter().all(|(_, dead)| *dead != uid);
        if is_known {
            self.gone.push_back((now, uid));
        }
    }

    fn expire(&mut self, now: Duration) {
        while let Some((at, uid)) = self.gone.front() {
            if self.gone.len() <= MAX_GONE && now.saturating_sub(*at) < GONE_TTL {
                return;
            }
            if let Some(pod) = self.pods.remove(uid)
                && self.hashes.get(&pod.config_hash) == Some(&pod.uid)
            {
                self.hashes.remove(&pod.config_hash);
            }
            self.gone.pop_front();
        }
    }

    fn alive(&self) -> usize {
        self.pods.len().saturating_sub(self.gone.len())
    }

    /// A pod by what a path calls it.
    pub fn get(&self, uid: &str) -> Option<&Arc<KubePod>> {
        self.pods.get(uid).or_else(|| self.pods.get(self.hashes.get(uid)?))
    }

    /// A container by its runtime's id, and its pod.
    pub fn of_container(&self, id: &str) -> Option<(&Arc<KubePod>, &KubeContainer)> {
        self.pods.values().find_map(|pod| container(pod, id).map(|known| (pod, known)))
    }

    /// What is known of the node.
    pub fn node(&self) -> &KubeNode {
        &self.node
    }

    /// Whether a snapshot was ever taken in: then a pod that is missing is on its way.
    pub fn is_told(&self) -> bool {
        !self.version.is_empty()
    }

    /// The version of what is known, `''` without a snapshot.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many are known, and how many were refused.
    pub fn sizes(&self) -> (usize, u64) {
        (self.pods.len(), self.refused)
    }

    /// Everything, as one snapshot.
    pub fn snapshot(&self) -> NodeUpdate {
        let gone: HashSet<&String> = self.gone.iter().map(|(_, uid)| uid).collect();
        let alive = self.pods.values().filter(|pod| !gone.contains(&pod.uid));
        NodeUpdate {
            version: self.version.clone(),
            snapshot: true,
            complete: true,
            pods: alive.map(|pod| KubePod::clone(pod)).collect(),
            gone: Vec::new(),
            node: Some(self.node.clone()),
            left_out: 0,
        }
    }
}

/// The container of a pod with this id.
pub fn container<'a>(pod: &'a KubePod, id: &str) -> Option<&'a KubeContainer> {
    pod.containers.iter().find(|container| !id.is_empty() && container.id == id)
}

/// The pod's labels as an identity has them.
pub fn labels(pod: &KubePod) -> String {
    proto::kube::labels_text(pod.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

#[cfg(test)]
mod tests;
