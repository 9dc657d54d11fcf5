//! Who did it: the same names on every signal, for pods of every kind, each from its own node's agent.

use std::collections::BTreeMap;

use crate::lab::{Lab, Row, SHOP, WAKE, ensure, text, wait};

pub(crate) fn every_node_has_an_agent_whose_probes_run(lab: &Lab) {
    let nodes = lab.items(&["nodes"]).len();
    let agents = lab.items(&["pods", "-n", WAKE, "-l", "app.kubernetes.io/component=agent"]);
    assert_eq!(agents.len(), nodes, "an agent on every node");
    let api = lab.api();
    wait("probes of every agent", 60, || {
        let (_, body) = api.call("GET", "/api/v1/status", None)?;
        let status: Row = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        let agents = status["agents"].as_array().cloned().unwrap_or_default();
        ensure(agents.len() == nodes, || format!("{} agents are known: {body}", agents.len()))?;
        for agent in &agents {
            let probes = agent["probes"].as_array().cloned().unwrap_or_default();
            ensure(!probes.is_empty(), || format!("no probes: {agent}"))?;
            let silent: Vec<&Row> = probes
                .iter()
                .filter(|probe| !["running", "disabled"].contains(&text(probe, "state")))
                .collect();
            ensure(silent.is_empty(), || format!("{}: {silent:?}", text(agent, "node")))?;
        }
        Ok(())
    });
}

pub(crate) fn every_signal_names_the_pod(lab: &Lab) {
    let api = lab.api();
    let pods = lab.items(&["pods", "-n", SHOP, "-l", "app in (web,client,edge)"]);
    assert!(pods.len() >= 3, "{} pods", pods.len());
    let cluster = lab.cluster();
    let zones: BTreeMap<String, String> = lab
        .items(&["nodes"])
        .iter()
        .map(|node| {
            let zone = &node["metadata"]["labels"]["topology.kubernetes.io/zone"];
            (text(&node["metadata"], "name").to_owned(), zone.as_str().unwrap_or_default().to_owned())
        })
        .collect();
    for pod in &pods {
        let (name, uid, node) =
            (text(&pod["metadata"], "name"), text(&pod["metadata"], "uid"), text(&pod["spec"], "nodeName"));
        let app = text(&pod["metadata"]["labels"], "app");
        let kind = if app == "edge" { "daemon_set" } else { "deployment" };
        for table in ["flow", "usage", "syscall", "process"] {
            let query = format!(
                "SELECT DISTINCT cluster, node, zone, namespace, workload, workload_kind, pod, pod_uid FROM {table} \
                 WHERE pod_uid = '{uid}' AND workload = '{app}' AND pod = '{name}'"
            );
            // processes that began before the agent are no events: curl's own are
            if table == "process" && app == "web" {
                continue;
            }
            let rows = api.rows(&format!("{table} of {name}"), &query);
            for row in &rows {
                let seen = [
                    text(row, "cluster"),
                    text(row, "node"),
                    text(row, "zone"),
                    text(row, "namespace"),
                    text(row, "workload_kind"),
                ];
                let zone = zones.get(node).map(String::as_str).unwrap_or_default();
                assert_eq!(seen, [cluster.as_str(), node, zone, SHOP, kind], "{table} of {name}: {row}");
            }
        }
    }
    let query = format!(
        "SELECT DISTINCT workload, pod, container, zone FROM log WHERE namespace = '{SHOP}' AND workload = 'edge'"
    );
    for row in api.rows("log of edge", &query) {
        // a cluster whose nodes have no zone has none on its rows
        let is_placed = text(&row, "zone").is_empty() == zones.values().all(String::is_empty);
        assert!(
            text(&row, "container") == "curl" && text(&row, "pod").starts_with("edge-") && is_placed,
            "{row}"
        );
    }
    api.rows(
        "the init container's line",
        &format!("SELECT pod FROM log WHERE namespace = '{SHOP}' AND workload = 'web' AND container = 'prepare' AND body = 'prepared'"),
    );
    api.rows(
        "a cron job's line",
        &format!("SELECT pod FROM log WHERE namespace = '{SHOP}' AND workload = 'tick' AND workload_kind = 'cron_job'"),
    );
}

pub(crate) fn a_pod_of_two_seconds_is_named(lab: &Lab) {
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: brief, labels: {app: brief}}\nspec:\n  restartPolicy: Never\n  \
        terminationGracePeriodSeconds: 0\n  containers:\n  - {name: brief, image: IMAGE, imagePullPolicy: IfNotPresent, command: \
        [sh, -c, \"echo brief life; curl -s -m 1 http://web/ > /dev/null; sleep 2\"]}\n";
    lab.apply(SHOP, manifest);
    let uid = lab.get(&["pod", "brief", "-n", SHOP])["metadata"]["uid"].as_str().unwrap().to_owned();
    wait("end of the brief pod", 60, || {
        let pod = lab.get(&["pod", "brief", "-n", SHOP]);
        ensure(pod["status"]["phase"] == "Succeeded", || pod["status"].to_string())
    });
    lab.kubectl(&["delete", "pod", "brief", "-n", SHOP, "--wait=false"]);
    let api = lab.api();
    for table in ["flow", "syscall", "process", "log"] {
        let query = format!(
            "SELECT pod, container, namespace, workload_kind FROM {table} WHERE pod_uid = '{uid}' AND pod = 'brief' AND container = 'brief'"
        );
        for row in api.rows(&format!("{table} of a pod of two seconds"), &query) {
            assert_eq!(
                (text(&row, "namespace"), text(&row, "workload_kind")),
                (SHOP, "pod"),
                "{table}: {row}"
            );
        }
    }
}

pub(crate) fn oom_and_crashes_are_seen_in_their_containers(lab: &Lab) {
    let api = lab.api();
    let killed = format!(
        "SELECT pod, container FROM process WHERE namespace = '{SHOP}' AND workload = 'hungry' AND event = 'oom_kill' AND container = 'eat'"
    );
    api.rows("the OOM kill", &killed);
    let crashed = format!(
        "SELECT DISTINCT body FROM log WHERE namespace = '{SHOP}' AND workload = 'crashing' AND container = 'crash'"
    );
    let rows = api.rows("the crashing container's line", &crashed);
    assert_eq!(text(&rows[0], "body"), "about to crash");
    let exits = format!(
        "SELECT exit_code FROM process WHERE namespace = '{SHOP}' AND workload = 'crashing' AND exit_code = 3"
    );
    api.rows("exit 3 of the crashing container", &exits);
}

pub(crate) fn no_row_comes_from_both_agents(lab: &Lab) {
    let api = lab.api();
    let home: BTreeMap<String, String> = lab
        .items(&["pods", "-A"])
        .iter()
        .map(|pod| (text(&pod["metadata"], "uid").to_owned(), text(&pod["spec"], "nodeName").to_owned()))
        .collect();
    for table in ["flow", "drop", "usage", "syscall", "syscall_latency", "block", "process", "log"] {
        let of_both = format!(
            "SELECT cgroup_id, count(DISTINCT node) AS nodes, min(pod) AS pod, min(workload) AS workload FROM {table} \
             WHERE cgroup_id IS NOT NULL AND cgroup_id > 1 GROUP BY cgroup_id HAVING count(DISTINCT node) > 1 LIMIT 5"
        );
        let rows = api.sql(&of_both).unwrap();
        assert!(rows.is_empty(), "{table}: cgroups that two agents reported: {rows:?}");
        let by_pod = format!("SELECT DISTINCT pod_uid, node FROM {table} WHERE pod_uid IS NOT NULL");
        for row in api.sql(&by_pod).unwrap() {
            if let Some(node) = home.get(text(&row, "pod_uid")) {
                assert_eq!(
                    text(&row, "node"),
                    node,
                    "{table}: a pod was reported by another node's agent: {row}"
                );
            }
        }
    }
}

pub(crate) fn events_are_stored_with_whom_they_regard(lab: &Lab) {
    let api = lab.api();
    let query = format!(
        "SELECT cluster, workload, workload_kind, pod, type, count(*) AS n FROM kube_event WHERE namespace = '{SHOP}' \
         AND reason = 'BackOff' AND workload = 'crashing' GROUP BY 1, 2, 3, 4, 5"
    );
    for row in api.rows("Events of the crashing pod", &query) {
        let seen = [text(&row, "workload_kind"), text(&row, "cluster"), text(&row, "type")];
        assert_eq!(seen, ["deployment", lab.cluster().as_str(), "Warning"], "{row}");
        assert!(text(&row, "pod").starts_with("crashing-"), "{row}");
    }
}
