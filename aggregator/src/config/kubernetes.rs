//! `kubernetes:` what is watched of the cluster, and what of it is kept.

use std::path::PathBuf;

use daemon::config::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use proto::kube::Range;

/// What is watched of Kubernetes: pods, services, endpoint slices, nodes, namespaces and workloads, for names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kubernetes {
    /// Whether the API server is watched.
    pub enabled: Enabled,
    /// A kubeconfig file, whose current context is used; the pod's own service account when empty.
    pub kubeconfig: PathBuf,
    /// What the cluster is called in every row; the uid of its namespace kube-system when empty.
    pub cluster: String,
    /// Labels of pods that every row of theirs carries, by key, at most 32. Each value of a label is kept once per
    /// segment and column, so labels of many values (a hash, a build number) cost disk.
    pub labels: Vec<String>,
    /// Ranges of service addresses, e.g. 10.96.0.0/12. When empty they come from ServiceCIDR objects (Kubernetes 1.33
    /// and later), else from the services that there are.
    pub service_ranges: Vec<String>,
}

/// Whether the API server is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Enabled {
    /// In a pod, or with a kubeconfig.
    #[default]
    Auto,
    /// Always; the aggregator does not start without a way to the API server.
    On,
    /// Never: rows are named as far as the node itself can.
    Off,
}

impl Default for Kubernetes {
    fn default() -> Self {
        let labels = [
            "app",
            "app.kubernetes.io/component",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/name",
            "app.kubernetes.io/part-of",
            "app.kubernetes.io/version",
            "k8s-app",
            "team",
            "tier",
            "version",
        ];
        Self {
            enabled: Enabled::Auto,
            kubeconfig: PathBuf::new(),
            cluster: String::new(),
            labels: labels.map(str::to_owned).to_vec(),
            service_ranges: Vec::new(),
        }
    }
}

impl Kubernetes {
    pub(super) fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        if !self.cluster.is_empty() && !proto::kube::is_name(&self.cluster) {
            problems.push(ConfigError::new("kubernetes.cluster", "is too long, or has control characters"));
        }
        if self.labels.len() > proto::kube::MAX_LABELS {
            let most = proto::kube::MAX_LABELS;
            problems.push(ConfigError::new("kubernetes.labels", format!("more than {most} keys")));
        }
        for (index, range) in self.service_ranges.iter().enumerate() {
            if Range::parse(range).is_none() {
                let path = format!("kubernetes.service_ranges.{index}");
                problems.push(ConfigError::new(path, format!("{range:?} is no range, e.g. 10.96.0.0/12")));
            }
        }
        problems
    }
}
