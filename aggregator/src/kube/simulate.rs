//! A cluster that nobody runs, for `cargo xtask bench kube`: objects as the API server would write them, through the same
//! parsing, trimming and cache.

use proto::v1::{Payload, Resolved};
use serde_json::{Value, json};

use super::cache::{Cache, Full};
use super::object::Kind;
use super::trim::{Trim, Trimmed, Unfit};
use super::{resolve, wire};

/// Pods of one node.
const PODS_PER_NODE: usize = 100;
/// Pods of one replica set.
const PODS_PER_WORKLOAD: usize = 10;
/// Endpoints of one slice, as Kubernetes makes them.
const ENDPOINTS_PER_SLICE: usize = 100;

/// A cluster in the watch caches.
#[derive(Debug, Default)]
pub struct Simulated(Cache);

/// Why an object is not in the cluster.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// It is not what the API would say.
    #[error("read a simulated object")]
    Read(#[from] serde_json::Error),
    /// It broke a bound.
    #[error("keep a simulated object: {0}")]
    Keep(String),
}

impl Simulated {
    /// Pods by the thousand, each in as many slices as it takes to have that many endpoints.
    ///
    /// # Errors
    /// When the caches do not take them.
    pub fn new(pods: usize, endpoints: usize, now_ns: u64) -> Result<Self, SimulateError> {
        let mut cluster = Self::default();
        for node in 0..pods.div_ceil(PODS_PER_NODE) {
            cluster.keep::<wire::Node>(&self::node(node), now_ns)?;
        }
        for workload in 0..pods.div_ceil(PODS_PER_WORKLOAD) {
            cluster.keep::<wire::ReplicaSet>(&replica_set(workload), now_ns)?;
        }
        for pod in 0..pods {
            cluster.keep::<wire::Pod>(&self::pod(pod), now_ns)?;
        }
        for index in 0..endpoints.div_ceil(ENDPOINTS_PER_SLICE) {
            cluster.keep::<wire::Service>(&service(index), now_ns)?;
            let first = index * ENDPOINTS_PER_SLICE;
            cluster.keep::<wire::EndpointSlice>(&slice(index, first, pods), now_ns)?;
        }
        Ok(cluster)
    }

    fn keep<K: Trimmed + serde::de::DeserializeOwned>(
        &mut self,
        object: &Value,
        now_ns: u64,
    ) -> Result<(), SimulateError> {
        // from text, as it comes over the wire
        let object: K = serde_json::from_str(&object.to_string())?;
        let labels = crate::config::Kubernetes::default().labels;
        let mut trim = Trim { labels: &labels, cut: 0 };
        let unfit = |Unfit(reason)| SimulateError::Keep(reason.to_owned());
        let object = object.trim(&mut trim).map_err(unfit)?;
        let full = |Full| SimulateError::Keep("full".to_owned());
        self.0.apply(object, now_ns).map(drop).map_err(full)
    }

    /// Names for a batch.
    pub fn resolve(&self, payload: &Payload) -> Resolved {
        resolve::resolve(&self.0, "simulated", true, payload)
    }

    /// Pods and endpoints that are kept.
    pub fn sizes(&self) -> (usize, usize) {
        let slices = self.0.of_kind(Kind::EndpointSlice).filter_map(|object| object.slice());
        (self.0.count(Kind::Pod), slices.map(|slice| slice.endpoints.len()).sum())
    }
}

/// The address of a simulated pod.
pub fn pod_address(index: usize) -> String {
    format!("10.{}.{}.{}", 128 + index / 65_536, (index / 256) % 256, index % 256)
}

/// The address of a simulated service.
pub fn service_address(index: usize) -> String {
    format!("10.96.{}.{}", index / 256, index % 256)
}

fn uid(kind: u8, index: usize) -> String {
    format!("0a1b2c3d-{kind:04x}-4000-8000-{index:012x}")
}

fn node(index: usize) -> Value {
    let zone = ["zone-a", "zone-b", "zone-c"][index % 3];
    json!({
        "metadata": {"name": format!("node-{index}"), "uid": uid(1, index),
            "labels": {"topology.kubernetes.io/zone": zone}},
        "status": {"addresses": [{"type": "InternalIP", "address": format!("192.168.{}.{}", index / 256, index % 256)}]},
    })
}

fn replica_set(index: usize) -> Value {
    json!({
        "metadata": {"name": format!("workload-{index}-7d9f8b6c5"), "namespace": format!("team-{}", index % 50),
            "uid": uid(2, index), "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment",
                "name": format!("workload-{index}"), "uid": uid(3, index), "controller": true}]},
        "spec": {"replicas": PODS_PER_WORKLOAD}, "status": {"replicas": PODS_PER_WORKLOAD},
    })
}

fn pod(index: usize) -> Value {
    let workload = index / PODS_PER_WORKLOAD;
    let environment: Vec<Value> =
        (0..20).map(|index| json!({"name": format!("SETTING_{index}"), "value": "x".repeat(40)})).collect();
    json!({
        "metadata": {
            "name": format!("workload-{workload}-7d9f8b6c5-{index:05x}"), "namespace": format!("team-{}", workload % 50),
            "uid": uid(4, index), "creationTimestamp": "2026-11-21T11:00:00Z", "resourceVersion": index.to_string(),
            "labels": {"app": format!("workload-{workload}"), "tier": "backend", "team": format!("team-{}", workload % 50),
                "version": "1.4.2", "pod-template-hash": "7d9f8b6c5"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x".repeat(2_000)},
            "managedFields": [{"manager": "kubelet", "operation": "Update", "apiVersion": "v1"}],
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "name": format!("workload-{workload}-7d9f8b6c5"), "uid": uid(2, workload), "controller": true}],
        },
        "spec": {
            "nodeName": format!("node-{}", index / PODS_PER_NODE),
            "containers": [
                {"name": "app", "image": format!("registry/team/workload-{workload}:1.4.2"), "env": environment},
                {"name": "sidecar", "image": "registry/mesh/proxy:2.9.1"},
            ],
        },
        "status": {
            "phase": "Running", "startTime": "2026-11-21T11:00:00Z", "podIPs": [{"ip": pod_address(index)}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {"name": "app", "containerID": format!("containerd://{index:064x}"), "restartCount": 0},
                {"name": "sidecar", "containerID": format!("containerd://{:064x}", index + (1 << 40)), "restartCount": 0},
            ],
        },
    })
}

fn service(index: usize) -> Value {
    json!({
        "metadata": {"name": format!("service-{index}"), "namespace": format!("team-{}", index % 50), "uid": uid(5, index)},
        "spec": {"clusterIPs": [service_address(index)], "ports": [{"port": 80}]},
        "status": {},
    })
}

fn slice(index: usize, first: usize, pods: usize) -> Value {
    let endpoints: Vec<Value> = (first..first + ENDPOINTS_PER_SLICE)
        .map(|place| {
            let pod = place % pods.max(1);
            json!({"addresses": [pod_address(pod)], "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": format!("node-{}", pod / PODS_PER_NODE), "zone": "zone-a",
                "targetRef": {"kind": "Pod", "uid": uid(4, pod), "name": "x", "namespace": "y"}})
        })
        .collect();
    json!({
        "metadata": {"name": format!("service-{index}-x"), "namespace": format!("team-{}", index % 50),
            "uid": uid(6, index), "labels": {"kubernetes.io/service-name": format!("service-{index}")}},
        "endpoints": endpoints, "ports": [{"port": 8_080, "protocol": "TCP"}],
    })
}
