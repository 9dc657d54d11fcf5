//! Identity → resource: the attributes that OpenTelemetry has for them.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proto::v1::Identity;

/// Kinds of workload that Kubernetes has, and the attribute of each.
const OWNERS: [(&str, &str); 6] = [
    ("deployment", "k8s.deployment.name"),
    ("stateful_set", "k8s.statefulset.name"),
    ("daemon_set", "k8s.daemonset.name"),
    ("cron_job", "k8s.cronjob.name"),
    ("job", "k8s.job.name"),
    ("replica_set", "k8s.replicaset.name"),
];

pub(super) fn text(key: &str, text: &str) -> KeyValue {
    pair(key, Value::StringValue(text.to_owned()))
}

pub(super) fn number(key: &str, number: u64) -> KeyValue {
    pair(key, Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX)))
}

pub(super) fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Who a record is about.
pub(super) fn resource(identity: &Identity) -> Resource {
    let is_pod = !identity.pod.is_empty() || !identity.pod_uid.is_empty();
    let owner = OWNERS.iter().find(|(kind, _)| *kind == identity.workload_kind).map(|(_, key)| *key);
    // outside a pod a container is called by its id
    let (container, container_id) = match is_pod {
        true => (&identity.container, &identity.container_id),
        false => (&identity.container_id, &identity.container),
    };
    let pairs = [
        ("service.name", &identity.workload),
        ("k8s.cluster.name", &identity.cluster),
        ("host.name", &identity.node),
        (if is_pod { "k8s.node.name" } else { "" }, &identity.node),
        ("cloud.availability_zone", &identity.zone),
        ("k8s.namespace.name", &identity.namespace),
        (owner.unwrap_or_default(), &identity.workload),
        ("wake.workload.kind", &identity.workload_kind),
        ("k8s.pod.name", &identity.pod),
        ("k8s.pod.uid", &identity.pod_uid),
        ("k8s.container.name", container),
        ("container.id", container_id),
    ];
    let attributes = pairs
        .into_iter()
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        .map(|(key, value)| text(key, value))
        .collect();
    Resource { attributes, ..Resource::default() }
}
