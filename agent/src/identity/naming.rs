//! What a cgroup's path or a log's path says, and what the aggregator told of that pod, put together.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proto::v1;

use super::kube::{container, labels};
use super::{Identities, NodeName, name};
use crate::window::sample::PodContainer;

impl Identities {
    /// Tells the time, monotonic.
    pub fn tick(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// The aggregator begins to tell anew.
    pub fn listen(&mut self) {
        self.kube.begin();
    }

    /// Takes in what the aggregator tells of this node's pods; names that it changes change at once.
    pub fn told(&mut self, update: v1::NodeUpdate, now: Duration) {
        self.tick(now);
        self.is_untold = false;
        let taken = self.kube.take(update, now);
        if taken.node {
            self.hosts.clear();
            self.named.clear();
        }
        if taken.node || !taken.pods.is_empty() {
            self.pods.forget(|uid| taken.node || taken.pods.contains(uid));
            self.name_again(taken.node, &taken.pods);
        }
    }

    fn name_again(&mut self, all: bool, pods: &HashSet<String>) {
        let wanted = |identity: &v1::Identity, path: &str| {
            all || (!identity.pod_uid.is_empty()
                && (pods.contains(&identity.pod_uid) || pods.contains(&name::name(path).pod_uid)))
        };
        let ids: Vec<(u64, String)> = self
            .cgroups
            .iter()
            .filter(|(_, entry)| wanted(&entry.identity, &entry.path))
            .map(|(id, entry)| (*id, entry.path.clone()))
            .collect();
        for (id, path) in ids {
            let (identity, is_complete) = self.of_path(id, &path);
            let Some(entry) = self.cgroups.get_mut(&id) else { continue };
            if *entry.identity != identity {
                entry.identity = Arc::new(identity);
            }
            if is_complete {
                entry.waits_until = None;
            }
        }
    }

    /// The identity of a cgroup, and whether there is nothing in it that may still come.
    pub(super) fn of_path(&self, id: u64, path: &str) -> (v1::Identity, bool) {
        let name = name::name(path);
        let (namespace, pod) = self.pods.name_of(&name.pod_uid);
        let in_pod = !name.pod_uid.is_empty();
        let mut identity = v1::Identity {
            namespace,
            pod,
            workload: name.workload,
            workload_kind: name.kind.to_owned(),
            pod_uid: name.pod_uid,
            container_id: if in_pod { name.container.clone() } else { String::new() },
            container: name.container,
            cgroup_id: id,
            ..self.blank()
        };
        if !in_pod {
            return (identity, true);
        }
        let Some(pod) = self.kube.get(&identity.pod_uid).map(Arc::clone) else { return (identity, false) };
        self.name_pod(&mut identity, &pod);
        match container(&pod, &identity.container_id) {
            Some(known) => {
                identity.container.clone_from(&known.name);
                (identity, true)
            }
            None => {
                let is_pods_own = identity.container_id.is_empty();
                (identity, is_pods_own)
            }
        }
    }

    /// The identity of a container by its log's path.
    pub(super) fn of_log(&self, owner: &PodContainer) -> v1::Identity {
        let mut identity = v1::Identity {
            namespace: owner.namespace.clone(),
            workload: format!("pod/{}", owner.uid),
            workload_kind: String::from("container"),
            pod: owner.pod.clone(),
            pod_uid: owner.uid.clone(),
            container: owner.container.clone(),
            ..self.blank()
        };
        if let Some(pod) = self.kube.get(&owner.uid).map(Arc::clone) {
            self.name_pod(&mut identity, &pod);
        }
        identity
    }

    fn name_pod(&self, identity: &mut v1::Identity, pod: &v1::KubePod) {
        identity.namespace.clone_from(&pod.namespace);
        identity.pod.clone_from(&pod.name);
        // a static pod's path has the hash of its manifest
        identity.pod_uid.clone_from(&pod.uid);
        identity.labels = labels(pod);
        if !pod.workload.is_empty() {
            identity.workload.clone_from(&pod.workload);
            identity.workload_kind.clone_from(&pod.workload_kind);
        }
    }

    /// A pod of this node by its uid, or by what paths call it.
    pub fn kube_pod(&self, uid: &str) -> Option<Arc<v1::KubePod>> {
        self.kube.get(uid).map(Arc::clone)
    }

    /// What the aggregator told of this node, service ranges included.
    pub fn kube_node(&self) -> &v1::KubeNode {
        self.kube.node()
    }

    /// What the aggregator told, as one update; `None` before it told anything.
    pub fn kube_snapshot(&self) -> Option<v1::NodeUpdate> {
        self.kube.is_told().then(|| self.kube.snapshot())
    }

    /// The version of what the aggregator told, `''` before that.
    pub fn kube_version(&self) -> &str {
        self.kube.version()
    }

    /// Pods that are known, and what was refused.
    pub fn kube_sizes(&self) -> (usize, u64) {
        self.kube.sizes()
    }

    /// The parts that every identity of this node has; the config's own words win.
    pub(super) fn blank(&self) -> v1::Identity {
        let NodeName { mut cluster, node, mut zone, boot_id } = self.node.clone();
        let told = self.kube.node();
        if cluster.is_empty() {
            cluster.clone_from(&told.cluster);
        }
        if zone.is_empty() {
            zone.clone_from(&told.zone);
        }
        v1::Identity { cluster, node, zone, boot_id, ..v1::Identity::default() }
    }
}
