//! Kubernetes objects as they are read from the API: only the fields that are kept, so that no environment variable, no
//! secret and no command line is ever taken out of the answer's bytes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::{ClusterResourceScope, Metadata, NamespaceResourceScope, Resource};
use serde::Deserialize;

/// Declares a resource and how it is called in the API.
macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident: $group:literal $version:literal $api:literal $plural:literal $scope:ident
        { $($field:ident: $of:ty),* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(crate) struct $name {
            pub(crate) metadata: ObjectMeta,
            $(pub(crate) $field: $of,)*
        }
        impl Resource for $name {
            const API_VERSION: &'static str = $api;
            const GROUP: &'static str = $group;
            const KIND: &'static str = stringify!($name);
            const VERSION: &'static str = $version;
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = $scope;
        }
        impl Metadata for $name {
            type Ty = ObjectMeta;
            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    )* };
}

resources! {
    /// A pod.
    Pod: "" "v1" "v1" "pods" NamespaceResourceScope { spec: PodSpec, status: PodStatus }
    /// A service.
    Service: "" "v1" "v1" "services" NamespaceResourceScope { spec: ServiceSpec, status: ServiceStatus }
    /// A node.
    Node: "" "v1" "v1" "nodes" ClusterResourceScope { spec: NodeSpec, status: NodeStatus }
    /// A namespace.
    Namespace: "" "v1" "v1" "namespaces" ClusterResourceScope {}
    /// Some of a service's endpoints.
    EndpointSlice: "discovery.k8s.io" "v1" "discovery.k8s.io/v1" "endpointslices" NamespaceResourceScope
        { endpoints: Option<Vec<Endpoint>>, ports: Option<Vec<EndpointPort>> }
    /// A range of service addresses (1.33 and later).
    ServiceCIDR: "networking.k8s.io" "v1" "networking.k8s.io/v1" "servicecidrs" ClusterResourceScope
        { spec: ServiceCidrSpec }
    /// A deployment.
    Deployment: "apps" "v1" "apps/v1" "deployments" NamespaceResourceScope
        { spec: WorkloadSpec, status: WorkloadStatus }
    /// A replica set.
    ReplicaSet: "apps" "v1" "apps/v1" "replicasets" NamespaceResourceScope
        { spec: WorkloadSpec, status: WorkloadStatus }
    /// A stateful set.
    StatefulSet: "apps" "v1" "apps/v1" "statefulsets" NamespaceResourceScope
        { spec: WorkloadSpec, status: WorkloadStatus }
    /// A daemon set.
    DaemonSet: "apps" "v1" "apps/v1" "daemonsets" NamespaceResourceScope
        { spec: WorkloadSpec, status: WorkloadStatus }
    /// A job.
    Job: "batch" "v1" "batch/v1" "jobs" NamespaceResourceScope { spec: WorkloadSpec, status: WorkloadStatus }
    /// A cron job.
    CronJob: "batch" "v1" "batch/v1" "cronjobs" NamespaceResourceScope
        { spec: WorkloadSpec, status: WorkloadStatus }
}

/// Plain structs whose every field may be missing.
macro_rules! parts {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $of:ty),* $(,)? })*) => { $(
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(crate) struct $name {
            $($(#[$attribute])* pub(crate) $field: $of,)*
        }
    )* };
}

parts! {
    PodSpec {
        node_name: Option<String>,
        host_network: Option<bool>,
        #[serde(rename = "hostPID")]
        host_pid: Option<bool>,
        containers: Option<Vec<Container>>,
        init_containers: Option<Vec<Container>>,
        ephemeral_containers: Option<Vec<Container>>,
    }
    Container { name: String, image: Option<String> }
    PodStatus {
        phase: Option<String>,
        reason: Option<String>,
        #[serde(rename = "podIP")]
        pod_ip: Option<String>,
        #[serde(rename = "podIPs")]
        pod_ips: Option<Vec<PodIp>>,
        start_time: Option<Time>,
        container_statuses: Option<Vec<ContainerStatus>>,
        init_container_statuses: Option<Vec<ContainerStatus>>,
        ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
        conditions: Option<Vec<Condition>>,
    }
    PodIp { ip: Option<String> }
    ContainerStatus {
        name: String,
        #[serde(rename = "containerID")]
        container_id: Option<String>,
        restart_count: Option<i32>,
        state: Option<ContainerState>,
        last_state: Option<ContainerState>,
    }
    ContainerState { waiting: Option<Waiting>, terminated: Option<Terminated> }
    Waiting { reason: Option<String> }
    Terminated {
        #[serde(rename = "containerID")]
        container_id: Option<String>,
        exit_code: Option<i32>,
        reason: Option<String>,
        finished_at: Option<Time>,
    }
    Condition { r#type: String, status: String }
    ServiceSpec {
        r#type: Option<String>,
        #[serde(rename = "clusterIP")]
        cluster_ip: Option<String>,
        #[serde(rename = "clusterIPs")]
        cluster_ips: Option<Vec<String>>,
        #[serde(rename = "externalIPs")]
        external_ips: Option<Vec<String>>,
        ports: Option<Vec<ServicePort>>,
    }
    ServicePort { name: Option<String>, protocol: Option<String>, port: Option<u16>, node_port: Option<u16> }
    ServiceStatus { load_balancer: Option<LoadBalancer> }
    LoadBalancer { ingress: Option<Vec<PodIp>> }
    NodeSpec {
        unschedulable: Option<bool>,
        #[serde(rename = "podCIDRs")]
        pod_cidrs: Option<Vec<String>>,
    }
    NodeStatus { addresses: Option<Vec<NodeAddress>>, conditions: Option<Vec<Condition>>, node_info: Option<NodeInfo> }
    NodeAddress { r#type: String, address: String }
    NodeInfo { kubelet_version: Option<String> }
    Endpoint {
        addresses: Option<Vec<String>>,
        conditions: Option<EndpointConditions>,
        node_name: Option<String>,
        target_ref: Option<TargetRef>,
        zone: Option<String>,
    }
    EndpointConditions { ready: Option<bool> }
    TargetRef { kind: Option<String>, uid: Option<String> }
    EndpointPort { protocol: Option<String>, port: Option<u16> }
    ServiceCidrSpec { cidrs: Option<Vec<String>> }
    WorkloadSpec {
        replicas: Option<i32>,
        paused: Option<bool>,
        suspend: Option<bool>,
        schedule: Option<String>,
        template: Option<Template>,
        job_template: Option<JobTemplate>,
    }
    JobTemplate { spec: Option<JobSpec> }
    JobSpec { template: Option<Template> }
    Template { metadata: Option<TemplateMeta>, spec: Option<PodSpec> }
    TemplateMeta { annotations: Option<BTreeMap<String, String>> }
    WorkloadStatus {
        observed_generation: Option<i64>,
        replicas: Option<i32>,
        ready_replicas: Option<i32>,
        updated_replicas: Option<i32>,
        desired_number_scheduled: Option<i32>,
        number_ready: Option<i32>,
        updated_number_scheduled: Option<i32>,
        succeeded: Option<i32>,
        failed: Option<i32>,
    }
}
