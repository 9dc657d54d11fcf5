//! Objects as they are kept: what identity, peers and the record of changes need, within bounds, and nothing else.

use std::net::IpAddr;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Pod,
    Service,
    EndpointSlice,
    Node,
    Namespace,
    ServiceCidr,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
}

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::Node,
        Self::Namespace,
        Self::ServiceCidr,
        Self::Deployment,
        Self::ReplicaSet,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Job,
        Self::CronJob,
    ];

    /// As workload kinds and metrics write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Service => "service",
            Self::EndpointSlice => "endpoint_slice",
            Self::Node => "node",
            Self::Namespace => "namespace",
            Self::ServiceCidr => "service_cidr",
            Self::Deployment => "deployment",
            Self::ReplicaSet => "replica_set",
            Self::StatefulSet => "stateful_set",
            Self::DaemonSet => "daemon_set",
            Self::Job => "job",
            Self::CronJob => "cron_job",
        }
    }

    /// The most objects of this kind that are kept.
    pub(crate) fn most(self) -> usize {
        match self {
            Self::Pod | Self::ReplicaSet => 100_000,
            Self::Service | Self::EndpointSlice | Self::Job => 50_000,
            Self::ServiceCidr => 64,
            _ => 20_000,
        }
    }
}

/// An object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    /// `''` for what belongs to no namespace.
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) uid: Box<str>,
    pub(crate) resource_version: Box<str>,
    pub(crate) generation: i64,
    pub(crate) created_ns: u64,
    /// When its deletion was asked for; it may live on for its grace period.
    pub(crate) deleting_ns: Option<u64>,
    /// Those of the allow-list, sorted by key.
    pub(crate) labels: Pairs,
    /// Annotations with our own prefix, without it, sorted by key.
    pub(crate) settings: Pairs,
    /// The owner that controls it.
    pub(crate) owner: Option<Owner>,
    pub(crate) detail: Detail,
}

pub(crate) type Pairs = Box<[(Box<str>, Box<str>)]>;

/// Who controls an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// As the API writes it: `ReplicaSet`, or a custom kind.
    pub(crate) kind: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) uid: Box<str>,
}

/// A workload's name and kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) name: Box<str>,
    pub(crate) kind: Box<str>,
}

/// What is kept of each kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Detail {
    Pod(Box<Pod>),
    Service(Box<Service>),
    EndpointSlice(Box<EndpointSlice>),
    Node(Box<Node>),
    Namespace,
    ServiceCidr(Vec<Box<str>>),
    Workload(Box<Scale>),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pod {
    /// `''` before it is scheduled.
    pub(crate) node: Box<str>,
    pub(crate) host_network: bool,
    pub(crate) host_pid: bool,
    pub(crate) ips: Box<[IpAddr]>,
    /// Pending, Running, Succeeded, Failed, Unknown
    pub(crate) phase: Box<str>,
    /// Evicted, NodeLost, ...; `''` mostly
    pub(crate) reason: Box<str>,
    pub(crate) is_ready: bool,
    pub(crate) started_ns: Option<u64>,
    /// When its last container ended, of a pod that has ended.
    pub(crate) ended_ns: Option<u64>,
    pub(crate) containers: Box<[Container]>,
    /// Of a static pod: its uid in cgroup and log paths; `''` for others.
    pub(crate) config_hash: Box<str>,
    /// Label `pod-template-hash`, `''` without one.
    pub(crate) template_hash: Box<str>,
    /// Found through the owners that are known.
    pub(crate) workload: Workload,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Container {
    pub(crate) name: Box<str>,
    /// Without the runtime's scheme; `''` before it has started.
    pub(crate) id: Box<str>,
    /// Of the one before the last restart, `''` where it never restarted.
    pub(crate) last_id: Box<str>,
    /// `''`, init or ephemeral
    pub(crate) kind: &'static str,
    pub(crate) image: Box<str>,
    pub(crate) restarts: i32,
    /// Why it waits (CrashLoopBackOff, ...), or why it ended last (OOMKilled, ...).
    pub(crate) reason: Box<str>,
    pub(crate) exit_code: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Service {
    /// ClusterIP, NodePort, LoadBalancer, ExternalName
    pub(crate) kind: Box<str>,
    pub(crate) cluster_ips: Box<[IpAddr]>,
    /// External ones and those of a load balancer.
    pub(crate) external_ips: Box<[IpAddr]>,
    pub(crate) ports: Box<[Port]>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// 0 where there is none.
    pub(crate) node_port: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub(crate) fn named(name: &str) -> Self {
        if name.eq_ignore_ascii_case("udp") {
            Self::Udp
        } else if name.eq_ignore_ascii_case("sctp") {
            Self::Sctp
        } else {
            Self::Tcp
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EndpointSlice {
    /// Label `kubernetes.io/service-name`.
    pub(crate) service: Box<str>,
    pub(crate) ports: Box<[Port]>,
    pub(crate) endpoints: Box<[Endpoint]>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) address: IpAddr,
    pub(crate) is_ready: bool,
    /// Whether a pod stands behind it.
    pub(crate) is_pod: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) addresses: Box<[IpAddr]>,
    pub(crate) zone: Box<str>,
    pub(crate) pod_ranges: Box<[Box<str>]>,
    pub(crate) is_ready: bool,
    pub(crate) is_unschedulable: bool,
    pub(crate) version: Box<str>,
}

/// A workload's scale and template.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scale {
    pub(crate) replicas: Option<i32>,
    pub(crate) ready: Option<i32>,
    pub(crate) updated: Option<i32>,
    pub(crate) current: Option<i32>,
    pub(crate) succeeded: Option<i32>,
    pub(crate) failed: Option<i32>,
    pub(crate) observed_generation: Option<i64>,
    /// A paused rollout or a suspended job.
    pub(crate) is_paused: bool,
    /// Of a cron job.
    pub(crate) schedule: Box<str>,
    /// `container=image`, of the template.
    pub(crate) images: Box<[(Box<str>, Box<str>)]>,
    /// `kubectl.kubernetes.io/restartedAt` of the template.
    pub(crate) restarted_at: Box<str>,
    /// `deployment.kubernetes.io/revision`
    pub(crate) revision: Box<str>,
}

impl Object {
    pub(crate) fn pod(&self) -> Option<&Pod> {
        match &self.detail {
            Detail::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    pub(crate) fn node(&self) -> Option<&Node> {
        match &self.detail {
            Detail::Node(node) => Some(node),
            _ => None,
        }
    }

    pub(crate) fn service(&self) -> Option<&Service> {
        match &self.detail {
            Detail::Service(service) => Some(service),
            _ => None,
        }
    }

    pub(crate) fn slice(&self) -> Option<&EndpointSlice> {
        match &self.detail {
            Detail::EndpointSlice(slice) => Some(slice),
            _ => None,
        }
    }

    /// Labels as an identity has them.
    pub(crate) fn labels_text(&self) -> String {
        proto::kube::labels_text(self.labels.iter().map(|(key, value)| (&**key, &**value)))
    }
}

impl Pod {
    /// Whether it will not run again.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(&*self.phase, "Succeeded" | "Failed")
    }
}

/// `StatefulSet` → `stateful_set`.
pub(crate) fn snake_case(kind: &str) -> String {
    let mut text = String::with_capacity(kind.len() + 2);
    let mut was_lower = false;
    for letter in kind.chars() {
        if letter.is_uppercase() && was_lower {
            text.push('_');
        }
        was_lower = letter.is_lowercase() || letter.is_ascii_digit();
        text.extend(letter.to_lowercase());
    }
    text
}
