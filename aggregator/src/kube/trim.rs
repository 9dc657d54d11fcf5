//! From what the API said to what is kept: bounded, checked, or refused with the name of what is wrong.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use proto::kube::{
    MAX_ADDRESSES, MAX_CONTAINERS, MAX_LABEL_BYTES, MAX_LABELS, MAX_SETTING_BYTES, MAX_SETTINGS, is_name,
    is_plain,
};

use super::object::{
    Container, Detail, Endpoint, EndpointSlice, Kind, Node, Object, Owner, Pairs, Pod, Port, Protocol, Scale,
    Service,
};
use super::wire;

/// The prefix of annotations that are for us.
pub(crate) const OWN_PREFIX: &str = "wake.dev/";
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
const REVISION: &str = "deployment.kubernetes.io/revision";
const ZONE: &str = "topology.kubernetes.io/zone";
const ZONE_BEFORE_1_17: &str = "failure-domain.beta.kubernetes.io/zone";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Endpoints of one slice; Kubernetes itself allows 1,000.
const MAX_ENDPOINTS: usize = 1_000;
const MAX_PORTS: usize = 256;
/// An image's name is at most this long.
const MAX_TEXT_BYTES: usize = 512;

/// What is wrong with an object that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unfit(pub(crate) &'static str);

/// Which labels are kept, and how much was cut off.
#[derive(Debug)]
pub(crate) struct Trim<'a> {
    pub(crate) labels: &'a [String],
    /// Labels, settings, containers and addresses beyond the bounds.
    pub(crate) cut: u64,
}

/// What can be trimmed.
pub(crate) trait Trimmed {
    const KIND: Kind;
    fn trim(self, trim: &mut Trim<'_>) -> Result<Object, Unfit>;
}

impl Trim<'_> {
    fn object(&mut self, kind: Kind, meta: &ObjectMeta, detail: Detail) -> Result<Object, Unfit> {
        let name = meta.name.as_deref().filter(|name| is_name(name)).ok_or(Unfit("name"))?;
        let uid = meta.uid.as_deref().filter(|uid| is_name(uid)).ok_or(Unfit("uid"))?;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        if !namespace.is_empty() && !is_name(namespace) {
            return Err(Unfit("namespace"));
        }
        let version = meta.resource_version.as_deref().unwrap_or_default();
        Ok(Object {
            kind,
            namespace: namespace.into(),
            name: name.into(),
            uid: uid.into(),
            resource_version: text(version, 64),
            generation: meta.generation.unwrap_or(0),
            created_ns: nanos(meta.creation_timestamp.as_ref()).unwrap_or(0),
            deleting_ns: nanos(meta.deletion_timestamp.as_ref()),
            labels: self.labels_of(meta),
            settings: self.settings_of(meta),
            owner: owner(meta.owner_references.as_deref()),
            detail,
        })
    }

    fn labels_of(&mut self, meta: &ObjectMeta) -> Pairs {
        let Some(labels) = &meta.labels else { return Pairs::default() };
        let wanted = |(key, value)| (self.labels.contains(key)).then_some((key, value));
        let wanted: Vec<(&String, &String)> = labels.iter().filter_map(wanted).collect();
        self.pairs(wanted.into_iter().map(|(key, value)| (key.as_str(), value)), MAX_LABELS, MAX_LABEL_BYTES)
    }

    fn settings_of(&mut self, meta: &ObjectMeta) -> Pairs {
        let Some(annotations) = &meta.annotations else { return Pairs::default() };
        let own = annotations.iter().filter_map(|(key, value)| Some((key.strip_prefix(OWN_PREFIX)?, value)));
        self.pairs(own, MAX_SETTINGS, MAX_SETTING_BYTES)
    }

    fn pairs<'a>(
        &mut self,
        all: impl Iterator<Item = (&'a str, &'a String)>,
        most: usize,
        bytes: usize,
    ) -> Pairs {
        let mut pairs: Vec<(Box<str>, Box<str>)> = Vec::new();
        for (key, value) in all {
            if pairs.len() >= most || !is_name(key) || value.len() > bytes || !is_plain(value) {
                self.cut += 1;
                continue;
            }
            pairs.push((key.into(), value.as_str().into()));
        }
        pairs.into()
    }

    fn addresses<'a>(&mut self, all: impl Iterator<Item = &'a str>) -> Box<[IpAddr]> {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in all {
            let Ok(address) = address.parse::<IpAddr>() else { continue };
            let address = address.to_canonical();
            if addresses.contains(&address) {
                continue;
            }
            if addresses.len() >= MAX_ADDRESSES {
                self.cut += 1;
                continue;
            }
            addresses.push(address);
        }
        addresses.into()
    }

    fn containers(&mut self, spec: &wire::PodSpec, status: &wire::PodStatus) -> Box<[Container]> {
        let groups = [
            ("", &spec.containers, &status.container_statuses),
            ("init", &spec.init_containers, &status.init_container_statuses),
            ("ephemeral", &spec.ephemeral_containers, &status.ephemeral_container_statuses),
        ];
        let mut containers = Vec::new();
        for (kind, specs, statuses) in groups {
            let statuses = statuses.as_deref().unwrap_or_default();
            for spec in specs.as_deref().unwrap_or_default() {
                if containers.len() >= MAX_CONTAINERS || !is_name(&spec.name) {
                    self.cut += 1;
                    continue;
                }
                let status = statuses.iter().find(|status| status.name == spec.name);
                containers.push(container(kind, spec, status));
            }
        }
        containers.into()
    }
}

fn container(
    kind: &'static str,
    spec: &wire::Container,
    status: Option<&wire::ContainerStatus>,
) -> Container {
    let id = |id: Option<&String>| {
        let id = id.map(String::as_str).unwrap_or_default();
        let bare = id.rsplit_once("://").map_or(id, |(_, bare)| bare);
        if bare.is_empty() || is_name(bare) { bare.into() } else { Box::default() }
    };
    let last = status.and_then(|status| status.last_state.as_ref()?.terminated.as_ref());
    let ended = status.and_then(|status| status.state.as_ref()?.terminated.as_ref()).or(last);
    let waiting = status.and_then(|status| status.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    let reason = waiting.or_else(|| ended?.reason.as_deref()).unwrap_or_default();
    Container {
        name: spec.name.as_str().into(),
        id: id(status.and_then(|status| status.container_id.as_ref())),
        last_id: id(last.and_then(|last| last.container_id.as_ref())),
        kind,
        image: text(spec.image.as_deref().unwrap_or_default(), MAX_TEXT_BYTES),
        restarts: status.and_then(|status| status.restart_count).unwrap_or(0),
        reason: text(reason, 128),
        exit_code: ended.and_then(|ended| ended.exit_code),
    }
}

/// At most `most` bytes, without what a terminal would act on.
fn text(text: &str, most: usize) -> Box<str> {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let cut = &text[..end];
    if is_plain(cut) { cut.into() } else { cut.chars().filter(|letter| !letter.is_control()).collect() }
}

fn nanos(time: Option<&Time>) -> Option<u64> {
    u64::try_from(time?.0.as_nanosecond()).ok()
}

fn owner(owners: Option<&[OwnerReference]>) -> Option<Owner> {
    let owner = owners?.iter().find(|owner| owner.controller == Some(true))?;
    let fits = is_name(&owner.kind) && is_name(&owner.name) && is_name(&owner.uid);
    fits.then(|| Owner {
        kind: owner.kind.as_str().into(),
        name: owner.name.as_str().into(),
        uid: owner.uid.as_str().into(),
    })
}

fn is_true(conditions: Option<&[wire::Condition]>, kind: &str) -> bool {
    conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| condition.r#type == kind && condition.status == "True")
}

impl Trimmed for wire::Pod {
    const KIND: Kind = Kind::Pod;
    fn trim(self, trim: &mut Trim<'_>) -> Result<Object, Unfit> {
        let Self { metadata, spec, status } = &self;
        let host_network = spec.host_network == Some(true);
        let ips = status.pod_ips.as_deref().unwrap_or_default().iter().filter_map(|ip| ip.ip.as_deref());
        let annotation = |key| metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str);
        let label = |key| metadata.labels.as_ref().and_then(|all| all.get(key)).map(String::as_str);
        let phase = status.phase.as_deref().unwrap_or_default();
        let pod = Pod {
            node: text(spec.node_name.as_deref().unwrap_or_default(), 253),
            host_network,
            host_pid: spec.host_pid == Some(true),
            ips: trim.addresses(ips.chain(status.pod_ip.as_deref())),
            phase: text(phase, 32),
            reason: text(status.reason.as_deref().unwrap_or_default(), 128),
            is_ready: is_true(status.conditions.as_deref(), "Ready"),
            started_ns: nanos(status.start_time.as_ref()),
            ended_ns: matches!(phase, "Succeeded" | "Failed").then(|| ended_ns(status)).flatten(),
            containers: trim.containers(spec, status),
            config_hash: annotation(CONFIG_HASH).filter(|hash| is_name(hash)).unwrap_or_default().into(),
            template_hash: label(TEMPLATE_HASH).filter(|hash| is_name(hash)).unwrap_or_default().into(),
            workload: super::object::Workload::default(),
        };
        trim.object(Kind::Pod, metadata, Detail::Pod(Box::new(pod)))
    }
}

fn ended_ns(status: &wire::PodStatus) -> Option<u64> {
    let statuses = status.container_statuses.as_deref()?.iter();
    statuses
        .filter_map(|status| nanos(status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()))
        .max()
}

impl Trimmed for wire::Service {
    const KIND: Kind = Kind::Service;
    fn trim(self, trim: &mut Trim<'_>) -> Result<Object, Unfit> {
        let Self { metadata, spec, status } = &self;
        let many = |all: &'_ Option<Vec<String>>| all.clone().unwrap_or_default();
        let cluster: Vec<String> =
            many(&spec.cluster_ips).into_iter().chain(spec.cluster_ip.clone()).collect();
        let balanced = status.load_balancer.as_ref().and_then(|balancer| balancer.ingress.as_deref());
        let balanced = balanced.unwrap_or_default().iter().filter_map(|ingress| ingress.ip.clone());
        let external: Vec<String> = many(&spec.external_ips).into_iter().chain(balanced).collect();
        let ports = spec.ports.as_deref().unwrap_or_default().iter().take(MAX_PORTS).map(|port| Port {
            protocol: Protocol::named(port.protocol.as_deref().unwrap_or("TCP")),
            port: port.port.unwrap_or(0),
            node_port: port.node_port.unwrap_or(0),
        });
        let service = Service {
            kind: text(spec.r#type.as_deref().unwrap_or("ClusterIP"), 32),
            // a headless service has the address `None`, which is none
            cluster_ips: trim.addresses(cluster.iter().map(String::as_str)),
            external_ips: trim.addresses(external.iter().map(String::as_str)),
            ports: ports.collect(),
        };
        trim.object(Kind::Service, metadata, Detail::Service(Box::new(service)))
    }
}

impl Trimmed for wire::EndpointSlice {
    const KIND: Kind = Kind::EndpointSlice;
    fn trim(self, trim: &mut Trim<'_>) -> Result<Object, Unfit> {
        let Self { metadata, endpoints, ports } = &self;
        let service = metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
        let mut kept = Vec::new();
        for endpoint in endpoints.as_deref().unwrap_or_default() {
            // Kubernetes: absent means ready
            let is_ready =
                endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false);
            let target = endpoint.target_ref.as_ref();
            let is_pod =
                target.is_some_and(|target| target.kind.as_deref() == Some("Pod") && target.uid.is_some());
            for address in endpoint.addresses.as_deref().unwrap_or_default() {
                let Ok(address) = address.parse::<IpAddr>() else { continue };
                if kept.len() >= MAX_ENDPOINTS {
                    trim.cut += 1;
                    continue;
                }
                kept.push(Endpoint { address: address.to_canonical(), is_ready, is_pod });
            }
        }
        let ports = ports.as_deref().unwrap_or_default().iter().take(MAX_PORTS).map(|port| Port {
            protocol: Protocol::named(port.protocol.as_deref().unwrap_or("TCP")),
            port: port.port.unwrap_or(0),
            node_port: 0,
        });
        let slice = EndpointSlice {
            service: service.map(String::as_str).filter(|name| is_name(name)).unwrap_or_default().into(),
            ports: ports.collect(),
            endpoints: kept.into(),
        };
        trim.object(Kind::EndpointSlice, metadata, Detail::EndpointSlice(Box::new(slice)))
    }
}

impl Trimmed for wire::Node {
    const KIND: Kind = Kind::Node;
    fn trim(self, trim: &mut Trim<'_>) -> Result<Object, Unfit> {
        let Self { metadata, spec, status } = &self;
        let label = |key| metadata.labels.as_ref().and_then(|all| all.get(key)).map(String::as_str);
        let addresses = status.addresses.as_deref().unwrap_or_default().iter();
        let addresses = addresses.filter(|address| address.r#type != "Hostname");
        let ranges = spec.pod_cidrs.as_deref().unwrap_or_default().iter().take(MAX_ADDRESSES);
        let node = Node {
            addresses: trim.addresses(addresses.map(|address| address.address.as_str())),
            zone: text(label(ZONE).or(label(ZONE_BEFORE_1_17)).unwrap_or_default(), 63),
            pod_ranges: ranges.map(|range| text(range, 64)).collect(),
            is_ready: is_true(status.conditions.as_deref(), "Ready"),
            is_unschedulable: spec.unschedulable == Some(true),
            version: text(
                status
                    .node_info
                    .as_ref()
                    .and_then(|info| info.kubelet_version.as_deref())
                    .unwrap_or_default(),
                64,
            ),
        };
        trim.object(Kind::Node, metadata, Detail::Node(Box::new(node)))
    }
}

impl Trimmed for wire::Namespace {
    const KIND: Kind = Kind::Namespace;
    fn trim(self, trim: &mut Trim<'_>) -> Result<Object, Unfit> {
        trim.object(Kind::Namespace, &self.metadata, Detail::Namespace)
    }
}

impl Trimmed for wire::ServiceCIDR {
    const KIND: Kind = Kind::ServiceCidr;
    fn trim(self, trim: &mut Trim<'_>) -> Result<Object, Unfit> {
        let ranges = self.spec.cidrs.unwrap_or_default().iter().map(|range| text(range, 64)).collect();
        trim.object(Kind::ServiceCidr, &self.metadata, Detail::ServiceCidr(ranges))
    }
}

fn scale(meta: &ObjectMeta, spec: wire::WorkloadSpec, status: &wire::WorkloadStatus) -> Scale {
    let template = spec.template.or_else(|| spec.job_template?.spec?.template).unwrap_or_default();
    let annotation = |all: Option<&BTreeMap<String, String>>, key| {
        all.and_then(|all| all.get(key)).map(|value| text(value, 64)).unwrap_or_default()
    };
    let pod = template.spec.unwrap_or_default();
    let containers =
        pod.containers.unwrap_or_default().into_iter().chain(pod.init_containers.unwrap_or_default());
    let images = containers.take(MAX_CONTAINERS).map(|container| {
        let image = container.image.unwrap_or_default();
        (text(&container.name, 253), text(&image, MAX_TEXT_BYTES))
    });
    Scale {
        replicas: spec.replicas.or(status.desired_number_scheduled),
        ready: status.ready_replicas.or(status.number_ready),
        updated: status.updated_replicas.or(status.updated_number_scheduled),
        current: status.replicas,
        succeeded: status.succeeded,
        failed: status.failed,
        observed_generation: status.observed_generation,
        is_paused: spec.paused == Some(true) || spec.suspend == Some(true),
        schedule: text(spec.schedule.as_deref().unwrap_or_default(), 128),
        images: images.collect(),
        restarted_at: annotation(template.metadata.and_then(|meta| meta.annotations).as_ref(), RESTARTED),
        revision: annotation(meta.annotations.as_ref(), REVISION),
    }
}

macro_rules! workloads {
    ($($name:ident)*) => { $(
        impl Trimmed for wire::$name {
            const KIND: Kind = Kind::$name;
            fn trim(self, trim: &mut Trim<'_>) -> Result<Object, Unfit> {
                let scale = scale(&self.metadata, self.spec, &self.status);
                trim.object(Kind::$name, &self.metadata, Detail::Workload(Box::new(scale)))
            }
        }
    )* };
}
workloads! { Deployment ReplicaSet StatefulSet DaemonSet Job CronJob }
