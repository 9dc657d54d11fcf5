//! The pod behind an owner, for what the pod's annotations say: known, on its way, or none.

use std::sync::Arc;

use agent_common::workload::HOST_BIT;
use proto::v1;

use super::kube::container;
use super::{Identities, name};
use crate::window::sample::{Owner, PodContainer};

/// What is known of the pod that something belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum PodOf {
    /// It belongs to no pod, or to a node where nobody tells of pods.
    None,
    /// A pod of which nothing was told yet.
    Unknown,
    /// A pod of which the container was not told yet, and one of its containers may want something else than the pod.
    Unnamed(Arc<v1::KubePod>),
    /// A pod, and the name of its container, `''` where that is not known.
    Known(Arc<v1::KubePod>, String),
}

impl Identities {
    /// The pod that an owner belongs to. Of a cgroup or container that is not in the table it may be any.
    pub fn pod_of(&self, owner: &Owner) -> PodOf {
        match owner {
            Owner::Pod(pod) => self.told_of(&pod.uid, |_| pod.container.clone()),
            Owner::Workload(id) if id & HOST_BIT == 0 && *id != 0 && *id != self.root_id => {
                let Some(entry) = self.cgroups.get(id) else { return self.not_told() };
                let name = name::name(&entry.path);
                let of = |pod: &v1::KubePod| {
                    container(pod, &name.container).map_or_else(String::new, |known| known.name.clone())
                };
                match self.told_of(&name.pod_uid, of) {
                    // which container it is has not been told, and one of them may want something else than the pod
                    PodOf::Known(pod, of)
                        if of.is_empty() && is_by_container(&pod) && !name.container.is_empty() =>
                    {
                        PodOf::Unnamed(pod)
                    }
                    known => known,
                }
            }
            Owner::Container(id) => {
                self.of_container(id).map_or_else(|| self.not_told(), |owner| self.pod_of(&owner))
            }
            Owner::Workload(_) | Owner::Host(_) | Owner::File(_) | Owner::Named(_) => PodOf::None,
        }
    }

    /// Who a container is, as far as its cgroup or its pod has been seen.
    pub(super) fn of_container(&self, id: &str) -> Option<Owner> {
        let told = || {
            let (pod, container) = self.kube.of_container(id)?;
            let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
            let (uid, container) = (pod.uid.clone(), container.name.clone());
            Some(Owner::Pod(Box::new(PodContainer { namespace, pod: name, uid, container })))
        };
        told().or_else(|| self.containers.get(id).map(|id| Owner::Workload(*id)))
    }

    /// Of something that may be a pod's: its pod may still be told, unless nobody tells.
    pub fn not_told(&self) -> PodOf {
        if self.is_untold { PodOf::None } else { PodOf::Unknown }
    }

    fn told_of(&self, uid: &str, container: impl Fn(&v1::KubePod) -> String) -> PodOf {
        match self.kube.get(uid) {
            _ if uid.is_empty() => PodOf::None,
            Some(pod) => PodOf::Known(Arc::clone(pod), container(pod)),
            None => self.not_told(),
        }
    }

    /// Nobody tells of pods from now on: nothing waits for it. What was told holds.
    pub fn nobody_tells(&mut self) {
        self.is_untold = true;
    }
}

/// Whether a container of the pod has annotations of its own (`CONTAINER.logs...`).
fn is_by_container(pod: &v1::KubePod) -> bool {
    let of_one = |key: &String| key.split_once('.').is_some_and(|(_, what)| what.starts_with("logs"));
    pod.settings.keys().any(of_one)
}
