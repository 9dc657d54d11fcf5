//! Identity → resource: the attributes that OpenTelemetry has for them.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proto::v1::Identity;

/// Kinds of workload that Kubernetes has, and the attribute of each.
const OWNERS: [(&str, &str); 6] = [
    ("Deployment", "k8s.deployment.name"),
    ("StatefulSet", "k8s.statefulset.name"),
    ("DaemonSet", "k8s.daemonset.name"),
    ("CronJob", "k8s.cronjob.name"),
    ("Job", "k8s.job.name"),
    ("ReplicaSet", "k8s.replicaset.name"),
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
        ("container.id", &identity.container),
    ];
    let attributes = pairs
        .into_iter()
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        .map(|(key, value)| text(key, value))
        .collect();
    Resource { attributes, ..Resource::default() }
}
