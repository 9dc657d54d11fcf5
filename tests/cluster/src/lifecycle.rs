//! Changes of the configuration, rollback, uninstall.

use crate::lab::{Lab, SHOP, WAKE, ensure, text, wait};

/// What Helm makes anew that makes pods restart.
fn generation(lab: &Lab, kind: &str, name: &str) -> u64 {
    lab.get(&[kind, name, "-n", WAKE])["status"]["observedGeneration"].as_u64().unwrap_or_default()
}

/// What Helm would go back to.
fn revision(lab: &Lab) -> String {
    let status: serde_json::Value =
        serde_json::from_str(&lab.helm(&["status", "wake", "-o", "json"])).unwrap();
    status["version"].to_string()
}

fn upgrade(lab: &Lab, set: &str) {
    let chart = lab.chart.display().to_string();
    let keep = ["upgrade", "wake", &chart, "--reuse-values"];
    lab.helm(&[&keep[..], &["--set", set, "--wait", "--timeout", "180s"]].concat());
}

/// A line of `text` that a new pod writes arrives with its name.
pub(crate) fn a_new_pod_is_seen(lab: &Lab, name: &str) {
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - {{name: say, image: IMAGE, imagePullPolicy: IfNotPresent, command: [sh, -c, \"echo {name} speaks; sleep 3\"]}}\n"
    );
    lab.apply(SHOP, &manifest);
    let query = format!(
        "SELECT pod FROM log WHERE namespace = '{SHOP}' AND pod = '{name}' AND body = '{name} speaks'"
    );
    lab.api().rows(name, &query);
}

pub(crate) fn agents_and_aggregator_are_reconfigured_one_after_the_other_and_rolled_back(lab: &Lab) {
    let revision = revision(lab);
    // both are of one build: what the other's restart does to each is seen, not an older wire
    let before =
        (generation(lab, "daemonset", "wake-agent"), generation(lab, "statefulset", "wake-aggregator"));
    upgrade(lab, "aggregator.config.query.timeout_s=31");
    a_new_pod_is_seen(lab, "aggregator-restarted");
    upgrade(lab, "agent.config.window.seconds=6");
    a_new_pod_is_seen(lab, "agents-restarted");
    let after =
        (generation(lab, "daemonset", "wake-agent"), generation(lab, "statefulset", "wake-aggregator"));
    assert!(after.0 > before.0 && after.1 > before.1, "{before:?} {after:?}");
    lab.helm(&["rollback", "wake", &revision, "--wait", "--timeout", "180s"]);
    a_new_pod_is_seen(lab, "rolled-back");
}

pub(crate) fn uninstalled_it_leaves_nothing_behind(lab: &Lab) {
    lab.helm(&["uninstall", "wake", "--wait", "--timeout", "120s"]);
    let kinds = lab.kubectl(&["api-resources", "--verbs=list", "-o", "name"]);
    // events and leases of what has gone expire by themselves
    let kinds: Vec<&str> = kinds
        .lines()
        .filter(|kind| !kind.starts_with("events") && !kind.contains("metrics.k8s.io"))
        .collect();
    wait("an end of everything that was installed", 60, || {
        let labelled = lab.items(&[&kinds.join(","), "-A", "-l", "app.kubernetes.io/name=wake"]);
        ensure(labelled.is_empty(), || names(&labelled))?;
        let own = [
            "pods,secrets,configmaps,serviceaccounts,services,persistentvolumeclaims,roles,rolebindings,leases",
            "-n",
            WAKE,
        ];
        let mut left = lab.items(&own);
        // Kubernetes' own in every namespace
        left.retain(|object| !["kube-root-ca.crt", "default"].contains(&text(&object["metadata"], "name")));
        ensure(left.is_empty(), || names(&left))
    });
}

fn names(objects: &[serde_json::Value]) -> String {
    let named = objects
        .iter()
        .map(|object| format!("{}/{}", text(object, "kind"), text(&object["metadata"], "name")));
    named.collect::<Vec<_>>().join(", ")
}
