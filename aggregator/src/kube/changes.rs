//! Changes of objects: created, updated (and what changed), deleted.
//!
//! In: what the watch heard, each object before and after. Out: rows. An update without a difference in what is looked
//! at (`fields`) is none: heartbeats, counts of a rollout on its way. What a list says again is not even told, nor are
//! endpoint slices: they repeat what their pods say.

mod fields;

use std::collections::BTreeMap;

use proto::v1;
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc::Sender;

use super::object::{Detail, Kind, Object};
use super::record::{Known, Row};
use super::{Change, Kube};
use fields::fields;

/// Most bytes of a difference; what is beyond is left out, and said so.
const MOST_DIFF_BYTES: usize = 4_096;

/// Makes rows of changes until nobody takes them.
pub(super) async fn run(kube: &Kube, mut changes: broadcast::Receiver<Change>, rows: Sender<Row>) {
    loop {
        let row = match changes.recv().await {
            Ok(change) => row(&change).map(|(object, row)| Row::Change(identity(kube, object), row)),
            Err(RecvError::Lagged(count)) => Some(Row::Lost(count)),
            Err(RecvError::Closed) => return,
        };
        if let Some(row) = row
            && rows.send(row).await.is_err()
        {
            return;
        }
    }
}

/// Whether a change may be news: a list of everything that there is must not push out what is.
pub(super) fn may_be_news(change: &Change, known: &Known) -> bool {
    let Change { old, new, at_ns: _, is_listed } = change;
    let object = new.as_deref().or(old.as_deref());
    if object.is_none_or(|object| object.kind == Kind::EndpointSlice) {
        return false;
    }
    match (old, new) {
        (None, Some(new)) => !is_listed || known.came_meanwhile(&new.uid, new.created_ns),
        (Some(old), Some(new)) => !is_listed || old.resource_version != new.resource_version,
        (_, None) => true,
    }
}

/// The object and its row, if there is something to say.
fn row(change: &Change) -> Option<(&Object, v1::ObjectChangeRow)> {
    let Change { old, new, at_ns, is_listed } = change;
    let object: &Object = new.as_deref().or(old.as_deref())?;
    let (what, ts, diff) = match (old, new) {
        (None, None) => return None,
        (None, Some(new)) => {
            let ts = if new.created_ns == 0 { *at_ns } else { new.created_ns.min(*at_ns) };
            ("created", ts, diff(&BTreeMap::new(), &fields(new)))
        }
        (Some(old), Some(new)) => {
            let diff = diff(&fields(old), &fields(new));
            if diff.is_empty() {
                return None;
            }
            ("updated", *at_ns, diff)
        }
        (Some(_), None) => ("deleted", *at_ns, String::new()),
    };
    let row = v1::ObjectChangeRow {
        identity: 0,
        ts,
        change: what.to_owned(),
        kind: object.kind.as_str().to_owned(),
        name: object.name.to_string(),
        uid: object.uid.to_string(),
        generation: object.generation,
        resource_version: object.resource_version.to_string(),
        diff,
        seen: if *is_listed { "listed" } else { "watched" }.to_owned(),
    };
    Some((object, row))
}

/// `{"field": [before, after]}` of what differs; '' if nothing does.
fn diff(old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) -> String {
    let mut text = String::new();
    let mut left_out = 0;
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    for key in keys {
        let (before, after) = (old.get(key), new.get(key));
        if before == after {
            continue;
        }
        let part = format!("{}:{}", json!(key), json!([before, after]));
        if text.len() + part.len() > MOST_DIFF_BYTES {
            left_out += 1;
            continue;
        }
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(&part);
    }
    if left_out > 0 {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(&format!("\"left_out\":[null,{left_out}]"));
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

/// Whom the change is about, as on every other signal.
pub(super) fn identity(kube: &Kube, object: &Object) -> v1::Identity {
    let mut identity = v1::Identity {
        cluster: kube.cluster(),
        namespace: object.namespace.to_string(),
        ..v1::Identity::default()
    };
    match &object.detail {
        Detail::Pod(pod) => {
            identity.node = pod.node.to_string();
            identity.zone = kube.read().zone(&pod.node).to_owned();
            identity.workload = pod.workload.name.to_string();
            identity.workload_kind = pod.workload.kind.to_string();
            identity.pod = object.name.to_string();
            identity.pod_uid = object.uid.to_string();
        }
        Detail::Workload(_) => {
            // a replica set or a job belongs to what made it
            let owner = object.owner.as_ref();
            let kind = owner.map_or_else(
                || object.kind.as_str().to_owned(),
                |owner| super::object::snake_case(&owner.kind),
            );
            identity.workload = owner.map_or(&object.name, |owner| &owner.name).to_string();
            identity.workload_kind = kind;
        }
        Detail::Node(node) => {
            identity.node = object.name.to_string();
            identity.zone = node.zone.to_string();
        }
        Detail::Namespace => identity.namespace = object.name.to_string(),
        Detail::Service(_) | Detail::EndpointSlice(_) | Detail::ServiceCidr(_) => {}
    }
    identity
}

#[cfg(test)]
mod tests;
