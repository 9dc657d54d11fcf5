//! Identity → resource: the attributes that OpenTelemetry has for who a record is about.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// Kinds of workload, and the attribute of each.
const OWNERS: [(&str, &str); 6] = [
    ("deployment", "k8s.deployment.name"),
    ("stateful_set", "k8s.statefulset.name"),
    ("daemon_set", "k8s.daemonset.name"),
    ("cron_job", "k8s.cronjob.name"),
    ("job", "k8s.job.name"),
    ("replica_set", "k8s.replicaset.name"),
];

/// Who a record is about, and what made it: the columns that rows have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Who<'a> {
    pub(super) cluster: &'a str,
    pub(super) node: &'a str,
    pub(super) zone: &'a str,
    pub(super) namespace: &'a str,
    pub(super) workload: &'a str,
    pub(super) workload_kind: &'a str,
    pub(super) pod: &'a str,
    pub(super) pod_uid: &'a str,
    pub(super) container: &'a str,
    pub(super) container_id: &'a str,
    /// Of a span.
    pub(super) service: &'a str,
    pub(super) scope_name: &'a str,
    pub(super) scope_version: &'a str,
}

impl Who<'_> {
    /// As OTLP says it.
    pub(super) fn resource(&self) -> Resource {
        let is_pod = !self.pod.is_empty() || !self.pod_uid.is_empty();
        let owner = OWNERS.iter().find(|(kind, _)| *kind == self.workload_kind).map(|(_, key)| *key);
        let service = if self.service.is_empty() { self.workload } else { self.service };
        let (name, id) = match (is_pod, self.container_id) {
            (true, id) => (self.container, id),
            (false, "") => ("", self.container),
            (false, id) => ("", id),
        };
        let pairs = [
            ("service.name", service),
            ("k8s.cluster.name", self.cluster),
            ("host.name", self.node),
            (if is_pod { "k8s.node.name" } else { "" }, self.node),
            ("cloud.availability_zone", self.zone),
            ("k8s.namespace.name", self.namespace),
            (owner.unwrap_or_default(), self.workload),
            ("wake.workload.name", self.workload),
            ("wake.workload.kind", self.workload_kind),
            ("k8s.pod.name", self.pod),
            ("k8s.pod.uid", self.pod_uid),
            ("k8s.container.name", name),
            ("container.id", id),
        ];
        let attributes = pairs
            .into_iter()
            .filter(|(key, value)| !key.is_empty() && !value.is_empty())
            .map(|(key, value)| text(key, value))
            .collect();
        Resource { attributes, ..Resource::default() }
    }

    /// What made it, where that is known.
    pub(super) fn scope(&self) -> InstrumentationScope {
        let (name, version) = (self.scope_name.to_owned(), self.scope_version.to_owned());
        InstrumentationScope { name, version, ..InstrumentationScope::default() }
    }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.to_owned()))
}

pub(super) fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
