//! Pods that are rarer: static ones, of the host's pids, with a custom owner, containers added later; and an agent that
//! says that it is another node's.

use std::fs;

use serde_json::json;

use crate::api::Api;
use crate::lab::{Lab, Row, SHOP, WAKE, ensure, text, wait};

/// A kind that Kubernetes has no controller for.
const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: waketestgears.test.wake.dev}
spec:
  group: test.wake.dev
  names: {kind: WakeTestGear, plural: waketestgears, singular: waketestgear}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";
const GEAR: &str = "apiVersion: test.wake.dev/v1\nkind: WakeTestGear\nmetadata: {name: gear}\n";

/// A pod that says its name each second.
fn pod(name: &str, metadata: &serde_json::Value, spec: &serde_json::Value) -> String {
    let command = format!("while :; do echo {name} speaks; sleep 1; done");
    let container = json!({"name": "say", "image": "IMAGE", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", command]});
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": SHOP},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    });
    for (part, more) in [("metadata", metadata), ("spec", spec)] {
        let more = more.as_object().cloned().unwrap_or_default();
        pod[part].as_object_mut().unwrap().extend(more);
    }
    pod.to_string()
}

/// Whom a pod's lines are of.
fn of(api: &Api, body: &str) -> Row {
    let query = format!(
        "SELECT DISTINCT pod, pod_uid, workload, workload_kind, container FROM log \
         WHERE namespace = '{SHOP}' AND body = '{body}' AND pod IS NOT NULL"
    );
    let rows = api.rows(body, &query);
    assert!(rows.iter().all(|row| names(row) == names(&rows[0])), "one name for one pod: {rows:?}");
    rows[0].clone()
}

fn names(row: &Row) -> [&str; 4] {
    ["pod", "workload", "workload_kind", "container"].map(|key| text(row, key))
}

pub(crate) fn rare_kinds_of_pods_and_containers_are_named(lab: &Lab) {
    lab.apply("default", CRD);
    wait("the custom kind", 60, || lab.try_kubectl(&["get", "waketestgears", "-n", SHOP]));
    lab.apply(SHOP, GEAR);
    let gear = lab.get(&["waketestgear", "gear", "-n", SHOP]);
    let owner = json!({"apiVersion": "test.wake.dev/v1", "kind": "WakeTestGear", "name": "gear",
        "uid": gear["metadata"]["uid"], "controller": true});
    lab.apply(SHOP, &pod("turned", &json!({"ownerReferences": [owner]}), &json!({})));
    lab.apply(SHOP, &pod("all-pids", &json!({}), &json!({"hostPID": true})));
    lab.kubectl(&[
        "wait",
        "-n",
        SHOP,
        "--for=condition=Ready",
        "pod/all-pids",
        "--timeout=60s",
        "--request-timeout=0",
    ]);
    let added = "while :; do echo added speaks; sleep 1; done";
    let debug =
        ["debug", "-n", SHOP, "all-pids", "--image", lab.image(), "--container", "added", "--attach=false"];
    lab.kubectl(&[&debug[..], &["--image-pull-policy=IfNotPresent", "--", "sh", "-c", added]].concat());
    let api = lab.api();
    assert_eq!(names(&of(&api, "turned speaks")), ["turned", "gear", "wake_test_gear", "say"]);
    assert_eq!(names(&of(&api, "all-pids speaks")), ["all-pids", "all-pids", "pod", "say"]);
    assert_eq!(
        names(&of(&api, "added speaks")),
        ["all-pids", "all-pids", "pod", "added"],
        "a container added later"
    );
    // its processes, too: each `sleep` is one
    for container in ["say", "added"] {
        let query = format!(
            "SELECT pod FROM process WHERE namespace = '{SHOP}' AND pod = 'all-pids' AND container = '{container}' LIMIT 1"
        );
        api.rows(&format!("processes of {container} in a pod of the host's pids"), &query);
    }
    lab.kubectl(&["delete", "pod", "-n", SHOP, "turned", "all-pids", "--wait=false"]);
    lab.kubectl(&["delete", "-n", SHOP, "waketestgear", "gear"]);
    lab.kubectl(&["delete", "crd", "waketestgears.test.wake.dev"]);
}

pub(crate) fn a_static_pod_is_named(lab: &Lab) {
    let own = lab.own.as_ref().expect("only run in a cluster of our own");
    let file = own.manifests.join("fixed.json");
    fs::write(&file, pod("fixed", &json!({}), &json!({})).replace("IMAGE", lab.image())).unwrap();
    let api = lab.api();
    let row = of(&api, "fixed speaks");
    assert_eq!(names(&row)[2..], ["static_pod", "say"], "{row}");
    // one identity by its mirror's uid and by its manifest's hash: other signals join its lines
    let uid = text(&row, "pod_uid");
    for table in ["usage", "process"] {
        let query = format!(
            "SELECT DISTINCT pod, workload FROM {table} WHERE pod_uid = '{uid}' AND container = 'say'"
        );
        for other in api.rows(&format!("{table} of a static pod"), &query) {
            assert_eq!(
                [text(&other, "pod"), text(&other, "workload")],
                [text(&row, "pod"), text(&row, "workload")]
            );
        }
    }
    fs::remove_file(&file).unwrap();
    wait("end of the static pod", 60, || {
        let pods = lab.items(&["pods", "-n", SHOP]);
        let left = pods.iter().any(|pod| text(&pod["metadata"], "name").starts_with("fixed"));
        ensure(!left, || "it is still there".to_owned())
    });
}

/// The agent's own image and token, and another node's name: the token speaks, not the agent.
pub(crate) fn an_agent_that_claims_another_node_gets_no_certificate(lab: &Lab) {
    let set = lab.get(&["daemonset", "wake-agent", "-n", WAKE]);
    let mut spec = set["spec"]["template"]["spec"].clone();
    // beside the node's own agent, and without anything of the node's
    for key in ["hostNetwork", "hostPID", "dnsPolicy", "priorityClassName", "priority"] {
        spec.as_object_mut().unwrap().remove(key);
    }
    let container = &mut spec["containers"][0];
    for key in ["startupProbe", "livenessProbe", "readinessProbe", "resources"] {
        container.as_object_mut().unwrap().remove(key);
    }
    container["env"] = json!([{"name": "WAKE_AGENT__NODE__NAME", "value": "somebody-elses"}]);
    for volume in spec["volumes"].as_array_mut().unwrap() {
        if volume["hostPath"].is_object() {
            let name = volume["name"].clone();
            *volume = json!({"name": name, "emptyDir": {}});
        }
    }
    spec["restartPolicy"] = json!("Never");
    spec["terminationGracePeriodSeconds"] = json!(1);
    let manifest =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "wake-test-impostor"}, "spec": spec});
    lab.apply(WAKE, &manifest.to_string());
    wait("the impostor's refusal", 90, || {
        let told = lab.try_kubectl(&["logs", "-n", WAKE, "wake-test-impostor", "--tail=200"])?;
        ensure(told.contains("this agent calls itself"), || told)
    });
    let (_, body) = lab.api().call("GET", "/api/v1/status", None).unwrap();
    lab.kubectl(&["delete", "pod", "-n", WAKE, "wake-test-impostor"]);
    assert!(!body.contains("somebody-elses"), "{body}");
}
