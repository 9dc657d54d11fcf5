//! Pods as the paths of their logs name them: the only source of a pod's name that needs no Kubernetes API.
//!
//! Bounded: at most `MAX_PODS` pods and `MAX_CONTAINERS` containers; beyond, all are learned anew.

use std::collections::HashMap;
use std::sync::Arc;

use proto::v1;

use crate::window::sample::PodContainer;

const MAX_PODS: usize = 2_048;
const MAX_CONTAINERS: usize = 8_192;

/// What was learned.
#[derive(Debug, Default)]
pub(super) struct Pods {
    /// Namespace and name by uid.
    names: HashMap<String, (String, String)>,
    containers: HashMap<PodContainer, Arc<v1::Identity>>,
}

impl Pods {
    /// Namespace and name of a pod; empty where no log has told them.
    pub(super) fn name_of(&self, uid: &str) -> (String, String) {
        self.names.get(uid).cloned().unwrap_or_default()
    }

    pub(super) fn identity(&self, container: &PodContainer) -> Option<Arc<v1::Identity>> {
        self.containers.get(container).map(Arc::clone)
    }

    /// What was learned of these pods' containers is made anew when it is asked for.
    pub(super) fn forget(&mut self, is_stale: impl Fn(&str) -> bool) {
        self.containers.retain(|container, _| !is_stale(&container.uid));
    }

    pub(super) fn keep(&mut self, container: &PodContainer, identity: &Arc<v1::Identity>) {
        if self.containers.len() >= MAX_CONTAINERS {
            self.containers.clear();
        }
        if self.names.len() >= MAX_PODS && !self.names.contains_key(&container.uid) {
            self.names.clear();
        }
        self.containers.insert(container.clone(), Arc::clone(identity));
        self.names.insert(container.uid.clone(), (container.namespace.clone(), container.pod.clone()));
    }
}
