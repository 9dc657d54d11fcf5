//! What of an object is looked at for changes, as names and values.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::Value;

use crate::kube::object::{Container, Detail, Kind, Node, Object, Pairs, Pod, Scale, Service};

/// What is set: absent, empty and false are not there.
pub(super) fn fields(object: &Object) -> BTreeMap<String, Value> {
    let mut fields = Fields::default();
    fields.flag("deleting", object.deleting_ns.is_some());
    fields.pairs("labels", &object.labels);
    fields.pairs("settings", &object.settings);
    match &object.detail {
        Detail::Pod(pod) => of_pod(pod, &mut fields),
        Detail::Workload(scale) => of_workload(object.kind, scale, &mut fields),
        Detail::Service(service) => of_service(service, &mut fields),
        Detail::Node(node) => of_node(node, &mut fields),
        Detail::ServiceCidr(ranges) => fields.list("ranges", ranges),
        Detail::Namespace | Detail::EndpointSlice(_) => {}
    }
    fields.0
}

fn of_pod(pod: &Pod, fields: &mut Fields) {
    fields.text("node", &pod.node);
    fields.text("phase", &pod.phase);
    fields.text("reason", &pod.reason);
    fields.flag("ready", pod.is_ready);
    for container in &pod.containers {
        let Container { name, id: _, last_id: _, kind: _, image, restarts, reason, exit_code } = container;
        fields.text(&format!("image/{name}"), image);
        fields.text(&format!("reason/{name}"), reason);
        fields
            .number(&format!("restarts/{name}"), Some(i64::from(*restarts)).filter(|restarts| *restarts > 0));
        fields.number(&format!("exit_code/{name}"), exit_code.map(i64::from));
    }
}

/// Not the counts of a rollout on its way: its pods tell it.
fn of_workload(kind: Kind, scale: &Scale, fields: &mut Fields) {
    // a daemon set's replicas are how many nodes there are
    if kind != Kind::DaemonSet {
        fields.number("replicas", scale.replicas.map(i64::from));
    }
    fields.flag("paused", scale.is_paused);
    fields.text("schedule", &scale.schedule);
    fields.text("restarted_at", &scale.restarted_at);
    fields.text("revision", &scale.revision);
    for (container, image) in &scale.images {
        fields.text(&format!("image/{container}"), image);
    }
    if kind == Kind::Job {
        fields.number("succeeded", scale.succeeded.map(i64::from));
        fields.number("failed", scale.failed.map(i64::from));
    }
}

fn of_service(service: &Service, fields: &mut Fields) {
    fields.text("type", &service.kind);
    fields.list("cluster_ips", &service.cluster_ips);
    fields.list("external_ips", &service.external_ips);
    let ports: Vec<String> = service
        .ports
        .iter()
        .map(|port| match port.node_port {
            0 => format!("{:?}/{}", port.protocol, port.port).to_lowercase(),
            node_port => format!("{:?}/{}:{node_port}", port.protocol, port.port).to_lowercase(),
        })
        .collect();
    fields.list("ports", &ports);
}

fn of_node(node: &Node, fields: &mut Fields) {
    fields.flag("ready", node.is_ready);
    fields.flag("unschedulable", node.is_unschedulable);
    fields.text("version", &node.version);
    fields.text("zone", &node.zone);
    fields.list("addresses", &node.addresses);
}

#[derive(Default)]
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.insert(name.to_owned(), value.into());
        }
    }

    fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.0.insert(name.to_owned(), true.into());
        }
    }

    fn number(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
    }

    fn list(&mut self, name: &str, values: &[impl Display]) {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        self.text(name, &values.join(","));
    }

    fn pairs(&mut self, name: &str, pairs: &Pairs) {
        for (key, value) in pairs {
            self.text(&format!("{name}/{key}"), value);
        }
    }
}
