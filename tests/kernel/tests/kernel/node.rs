//! A node of a test's own: its agent sees what runs in it, and nothing of what other tests do meanwhile.

use agent::kernel::{KernelFeatures, Settings};
use agent::probe::Probe;

use crate::cgroup::Cgroup;
use crate::probes::Attached;

/// A node: its root, a pod in it, and what its agent knows of the kernel. Dropped in this order.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) features: KernelFeatures,
    pub(crate) pod: Cgroup,
    pub(crate) root: Cgroup,
}

impl Node {
    /// Makes `root` one.
    pub(crate) fn new(root: Cgroup, host_owner: Option<bool>) -> Self {
        let pod = root.child("pod").unwrap();
        let features = KernelFeatures::of_node(Some(root.directory()), host_owner);
        assert_eq!(features.node.unknown.as_deref(), None);
        assert_eq!(features.root_cgroup_id, root.id());
        Self { features, pod, root }
    }

    /// One that is no other's part.
    pub(crate) fn alone(name: &str) -> Self {
        Self::new(Cgroup::new(crate::features(), name).unwrap(), None)
    }

    /// Attaches a probe that sees this node.
    #[track_caller]
    pub(crate) fn attach(&self, probe: &Probe) -> Attached {
        Attached::of_node(&self.features, probe, &Settings::default())
    }
}
