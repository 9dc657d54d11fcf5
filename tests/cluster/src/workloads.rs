//! Real workloads: a client of a Service, a pod of the host's network, short jobs, one that is killed for its memory,
//! one that crashes, one that logs much.

use crate::lab::{Lab, OTHER, SHOP, ensure, wait};

const MANIFEST: &str = include_str!("workloads.yaml");
/// How many lines `chatty` writes; each ends in its number.
pub(crate) const CHATTY_LINES: u64 = 60_000;

pub(crate) fn start(lab: &Lab) {
    for namespace in [SHOP, OTHER] {
        lab.apply("default", &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"));
        wait("service account", 30, || {
            lab.try_kubectl(&["get", "serviceaccount", "default", "-n", namespace])
        });
    }
    lab.apply(SHOP, &MANIFEST.replace("CHATTY_LINES", &CHATTY_LINES.to_string()));
    lab.apply(OTHER, include_str!("other.yaml"));
    for workload in ["deployment/web", "deployment/client", "daemonset/edge"] {
        lab.kubectl(&["rollout", "status", "-n", SHOP, workload, "--timeout=90s", "--request-timeout=0"]);
    }
    lab.kubectl(&[
        "rollout",
        "status",
        "-n",
        OTHER,
        "deployment/secretive",
        "--timeout=60s",
        "--request-timeout=0",
    ]);
}

pub(crate) fn remove(lab: &Lab) {
    lab.forget_operator();
    for namespace in [SHOP, OTHER] {
        lab.try_kubectl(&["delete", "namespace", namespace, "--ignore-not-found", "--wait=false"]).ok();
    }
    wait("end of the tests' namespaces", 240, || {
        let left = lab.items(&["namespaces"]);
        let left = left.iter().filter_map(|namespace| namespace["metadata"]["name"].as_str());
        let left: Vec<&str> = left.filter(|name| [SHOP, OTHER].contains(name)).collect();
        ensure(left.is_empty(), || format!("{left:?}"))
    });
}
