//! Who is on the map, and which edges are asked for.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::edge::object;
use crate::api::error::ApiError;
use crate::api::wheres::Values;
use crate::requests::pairs::Party;

/// Which edges are asked for: those with an end that is so.
#[derive(Clone, Debug, Default)]
pub(in crate::api::map) struct Wanted {
    namespace: Option<String>,
    workload: Option<String>,
}

impl Wanted {
    pub(in crate::api::map) fn new(wheres: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut wanted = Self::default();
        for (key, text) in wheres {
            let place = match key.as_str() {
                "namespace" => &mut wanted.namespace,
                "workload" => &mut wanted.workload,
                _ => {
                    let message = format!("has no {key:?}; the map is asked by namespace and workload");
                    return Err(ApiError::parameter("where", 0, &message));
                }
            };
            if place.replace(text).is_some() {
                return Err(ApiError::parameter("where", 0, &format!("names two of {key}")));
            }
        }
        Ok(wanted)
    }

    /// As a condition on flows.
    pub(in crate::api::map) fn sql(&self, values: &mut Values) -> String {
        let mut end = |prefix: &str| {
            let mut all = vec![String::from("true")];
            for (column, text) in [("namespace", &self.namespace), ("workload", &self.workload)] {
                if let Some(text) = text {
                    all.push(format!("coalesce({prefix}{column}, '') = {}", values.text(text.clone())));
                }
            }
            format!("({})", all.join(" AND "))
        };
        format!("({} OR {})", end(""), end("peer_"))
    }

    pub(super) fn has(&self, node: &Node) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
        match &node.who {
            Who::Workload { namespace, workload } => {
                is(&self.namespace, namespace) && is(&self.workload, workload)
            }
            _ => self.namespace.is_none() && self.workload.is_none(),
        }
    }
}

/// Somebody, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Workload {
        namespace: String,
        workload: String,
    },
    /// Somebody with a name.
    Other(String),
    Address(IpAddr),
}

/// Somebody on the map.
#[derive(Clone, Debug)]
pub(in crate::api::map) struct Node {
    pub(super) who: Who,
    pub(super) kind: String,
}

impl Node {
    /// A workload, if it has a name.
    pub(in crate::api::map) fn workload(namespace: &str, workload: &str, kind: &str) -> Option<Self> {
        let who = Who::Workload { namespace: namespace.to_owned(), workload: workload.to_owned() };
        (!workload.is_empty()).then(|| Self { who, kind: kind.to_owned() })
    }

    /// Somebody else, by name.
    pub(in crate::api::map) fn other(name: String, kind: &str) -> Self {
        Self { who: Who::Other(name), kind: kind.to_owned() }
    }

    /// Somebody else, by address.
    pub(in crate::api::map) fn address(address: IpAddr, kind: &str) -> Self {
        Self { who: Who::Address(address), kind: kind.to_owned() }
    }

    pub(super) fn of(party: &Party) -> Self {
        let named = Self::workload(&party.namespace, &party.workload, &party.kind);
        named.unwrap_or_else(|| Self::other(String::from("unknown"), "unknown"))
    }
}

/// How somebody is named.
pub(super) fn name(who: &Who) -> String {
    match who {
        Who::Workload { namespace, workload } if namespace.is_empty() => workload.clone(),
        Who::Workload { namespace, workload } => format!("{namespace}/{workload}"),
        Who::Other(name) => name.clone(),
        Who::Address(address) => address.to_string(),
    }
}

/// How somebody is shown.
pub(super) fn node_row(node: &Node) -> Map<String, Value> {
    let (namespace, workload) = match &node.who {
        Who::Workload { namespace, workload } => (Some(namespace), Some(workload)),
        _ => (None, None),
    };
    let kind = Some(&node.kind).filter(|kind| !kind.is_empty());
    object(json!({
        "name": name(&node.who), "namespace": namespace, "workload": workload, "kind": kind,
    }))
}
