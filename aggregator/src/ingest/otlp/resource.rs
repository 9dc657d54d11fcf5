//! Resource attributes → identity: who sent a record; what is no part of it stays an attribute of each record.

use proto::v1::Identity;

use crate::ingest::otlp::value::{Any, Attributes, cut, pair};
use crate::ingest::otlp::wire::{Fields, WireError};

/// The longest text of an identity, bytes.
const MAX_NAME_BYTES: usize = 1 << 10;

/// Owners of pods, the outermost first, and the kind of workload that each is.
const OWNERS: [(&str, &str); 6] = [
    ("k8s.deployment.name", "deployment"),
    ("k8s.statefulset.name", "stateful_set"),
    ("k8s.daemonset.name", "daemon_set"),
    ("k8s.cronjob.name", "cron_job"),
    ("k8s.job.name", "job"),
    ("k8s.replicaset.name", "replica_set"),
];

/// Who sent the records of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) identity: Identity,
    /// `service.name`, else the workload.
    pub(crate) service: String,
    /// What the identity has no place for.
    pub(crate) attributes: Attributes,
}

/// Reads a `Resource`.
pub(crate) fn read(message: &[u8]) -> Result<Origin, WireError> {
    let mut identity = Identity::default();
    let mut attributes = Attributes::default();
    let (mut service, mut host, mut container_id) = (String::new(), String::new(), String::new());
    let (mut workload, mut workload_kind) = (String::new(), String::new());
    let mut owner: Option<(usize, String)> = None;
    for field in Fields::new(message) {
        let (number, field) = field?;
        if number == 2 {
            attributes.dropped = attributes.dropped.saturating_add(field.varint(number)?);
        }
        if number != 1 {
            continue;
        }
        let (key, value) = pair(field.bytes(number)?)?;
        if matches!(value, Any::Array(_) | Any::Map(_) | Any::Nothing) {
            attributes.add(key, value)?;
            continue;
        }
        let text = value.to_text()?;
        let name = cut(&text, MAX_NAME_BYTES).to_owned();
        match key {
            "service.name" => service = name,
            "k8s.cluster.name" => identity.cluster = name,
            "k8s.node.name" => identity.node = name,
            "host.name" => host = name,
            "cloud.availability_zone" => identity.zone = name,
            "k8s.namespace.name" => identity.namespace = name,
            "k8s.pod.name" => identity.pod = name,
            "k8s.pod.uid" => identity.pod_uid = name,
            "k8s.container.name" => identity.container = name,
            "container.id" => container_id = name,
            // another Wake sends
            "wake.workload.name" => workload = name,
            "wake.workload.kind" => workload_kind = name,
            key => match OWNERS.iter().position(|(owner, _)| *owner == key) {
                Some(rank) if owner.as_ref().is_none_or(|(before, _)| rank < *before) => {
                    owner = Some((rank, name));
                }
                Some(_) => {}
                None => attributes.insert(key, &text),
            },
        }
    }
    if identity.node.is_empty() {
        identity.node = host;
    } else if !host.is_empty() && host != identity.node {
        attributes.insert("host.name", &host);
    }
    if identity.container.is_empty() {
        identity.container.clone_from(&container_id);
    }
    identity.container_id = container_id;
    (identity.workload, identity.workload_kind) = match owner {
        Some((rank, name)) => (name, OWNERS[rank].1.to_owned()),
        None if service.is_empty() => (String::new(), String::new()),
        None => (service.clone(), String::from("service")),
    };
    if !workload.is_empty() {
        identity.workload = workload;
    }
    if !workload_kind.is_empty() {
        identity.workload_kind = workload_kind;
    }
    if service.is_empty() {
        service.clone_from(&identity.workload);
    } else if service != identity.workload {
        attributes.insert("service.name", &service);
    }
    Ok(Origin { identity, service, attributes })
}
