//! The pod behind an owner, for what the pod's annotations say: known, on its way, or none.

use std::sync::Arc;

use agent_common::workload::HOST_BIT;
use proto::v1;

use super::kube::container;
use super::{Identities, name};
use crate::window::sample::Owner;

/// What is known of the pod that something belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum PodOf {
    /// It belongs to no pod, or to a node where nobody tells of pods.
    None,
    /// A pod of which nothing was told yet.
    Unknown,
    /// A pod, and the name of its container, `''` where that is not known.
    Known(Arc<v1::KubePod>, String),
}

impl Identities {
    /// The pod that an owner belongs to.
    pub fn pod_of(&self, owner: &Owner) -> PodOf {
        match owner {
            Owner::Pod(pod) => self.told_of(&pod.uid, |_| pod.container.clone()),
            Owner::Workload(id) if id & HOST_BIT == 0 => {
                let Some(entry) = self.cgroups.get(id) else { return PodOf::None };
                let name = name::name(&entry.path);
                let of = |pod: &v1::KubePod| {
                    container(pod, &name.container).map_or_else(String::new, |known| known.name.clone())
                };
                self.told_of(&name.pod_uid, of)
            }
            Owner::Workload(_) | Owner::Host(_) | Owner::File(_) | Owner::Named(_) => PodOf::None,
        }
    }

    fn told_of(&self, uid: &str, container: impl Fn(&v1::KubePod) -> String) -> PodOf {
        match self.kube.get(uid) {
            _ if uid.is_empty() => PodOf::None,
            Some(pod) => PodOf::Known(Arc::clone(pod), container(pod)),
            None if self.is_untold => PodOf::None,
            None => PodOf::Unknown,
        }
    }

    /// Nobody tells of pods from now on: nothing waits for it. What was told holds.
    pub fn nobody_tells(&mut self) {
        self.is_untold = true;
    }
}
