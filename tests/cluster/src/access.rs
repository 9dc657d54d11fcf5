//! Who may read what: a developer's token, nobody's, and a forged one, at every endpoint that there is.

use std::fs;

use serde_json::Value;

use crate::api::Api;
use crate::lab::{Lab, OTHER, SHOP, ensure, text, wait};
use crate::otlp;

const OPENAPI: &str = include_str!("../../../docs/reference/openapi.json");

/// A developer of one namespace.
const DEVELOPER: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: developer}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: developer}
rules: [{apiGroups: [\"\"], resources: [pods, pods/log], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: developer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: developer}
subjects: [{kind: ServiceAccount, name: developer}]
";

fn paths(method: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let all = document["paths"].as_object().unwrap();
    all.iter().filter(|(_, methods)| methods[method].is_object()).map(|(path, _)| path.clone()).collect()
}

fn tables(operator: &Api) -> Vec<String> {
    let named = operator.sql("SHOW TABLES").unwrap();
    let ours = named.iter().filter(|row| text(row, "table_schema") != "information_schema");
    ours.map(|row| text(row, "table_name").to_owned()).collect()
}

pub(crate) fn nobody_is_answered_without_a_token(lab: &Lab) {
    for token in [None, Some("forged")] {
        let api = Api::open(lab, token);
        for (method, path) in paths("get")
            .iter()
            .map(|path| ("GET", path))
            .chain(paths("post").iter().map(|path| ("POST", path)))
        {
            let (status, body) = api.call(method, path, (method == "POST").then_some("{}")).unwrap();
            assert_eq!(status, 401, "{method} {path} with {token:?}: {body}");
        }
    }
}

pub(crate) fn a_developer_reads_only_their_namespace(lab: &Lab) {
    lab.apply(SHOP, DEVELOPER);
    let token = lab.kubectl(&["create", "token", "developer", "-n", SHOP]).trim().to_owned();
    let (operator, developer) = (lab.api(), Api::open(lab, Some(&token)));
    let whispers = format!("SELECT body FROM log WHERE namespace = '{OTHER}' LIMIT 1");
    operator.rows("the other namespace's log, as an operator", &whispers);
    for table in tables(&operator) {
        let Ok(rows) = developer.sql(&format!("SELECT DISTINCT namespace FROM {table}")) else { continue };
        let foreign: Vec<&str> =
            rows.iter().map(|row| text(row, "namespace")).filter(|name| *name != SHOP).collect();
        assert!(foreign.is_empty(), "{table}: rows of {foreign:?}");
    }
    let own = developer.sql(&format!("SELECT count(*) AS n FROM log WHERE namespace = '{SHOP}'")).unwrap();
    assert!(own[0]["n"].as_u64() > Some(0), "their own log is there: {own:?}");
    // ways around: a join, a subquery, an aggregate, the plan's own figures
    for query in [
        format!("SELECT a.body FROM log a JOIN log b ON a.ts = b.ts WHERE b.namespace = '{OTHER}'"),
        format!(
            "SELECT max(body) AS body FROM log WHERE namespace IN (SELECT DISTINCT namespace FROM flow WHERE namespace = '{OTHER}')"
        ),
        "SELECT body FROM log WHERE body LIKE '%whispers%'".to_owned(),
        "EXPLAIN ANALYZE SELECT body FROM log WHERE body LIKE '%whispers%'".to_owned(),
    ] {
        let (_, body) = developer
            .call("POST", "/api/v1/sql", Some(&serde_json::json!({ "query": query }).to_string()))
            .unwrap();
        assert!(!body.contains("secretive whispers"), "{query}: {body}");
    }
    for path in paths("get") {
        // a trace that there is, sent by the other namespace over OTLP, where that is on
        let path = path.replace("{trace_id}", &otlp::trace_id(OTHER));
        for query in
            ["", "?where=namespace%3D", "?contains=whispers", "?show=whispers", "?from=-1h&limit=10000"]
        {
            let query = if query.ends_with("%3D") { format!("{query}{OTHER}") } else { query.to_owned() };
            let (_, body) = developer.call_for(5, "GET", &format!("{path}{query}"), None).unwrap();
            if path.ends_with("/map") {
                // it names who calls a workload of theirs, as that workload's own rows do
                assert!(!body.contains("secretive whispers"), "{path}{query}: {body}");
                edges_have_an_end_of_theirs(&body);
                continue;
            }
            let told = [
                format!("\"namespace\":\"{OTHER}\""),
                "secretive whispers".to_owned(),
                format!("secret of {OTHER}"),
            ];
            assert!(!told.iter().any(|told| body.contains(told.as_str())), "{path}{query}: {body}");
        }
    }
}

/// Who, what, in which scope; not with what they proved who they are, and nothing of what they were told.
pub(crate) fn who_asked_what_is_written_down(lab: &Lab) {
    let own = lab.own.as_ref().expect("only run in a cluster of our own");
    lab.apply(SHOP, DEVELOPER);
    let token = lab.kubectl(&["create", "token", "developer", "-n", SHOP]).trim().to_owned();
    let query = "SELECT body AS what_they_asked FROM log WHERE workload = 'edge' LIMIT 1";
    Api::open(lab, Some(&token)).rows("a line of their own", query);
    drop(Api::open(lab, None).call("GET", "/api/v1/workloads", None).unwrap());
    let file = own.volume.join("audit.log");
    wait("both in the audit log", 30, || {
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let records: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let theirs = records.iter().rev().find(|record| record.to_string().contains("what_they_asked"));
        let theirs = theirs.ok_or_else(|| format!("{} records, none of theirs", records.len()))?;
        let shown = theirs.to_string();
        ensure(
            shown.contains(&format!("system:serviceaccount:{SHOP}:developer")) && shown.contains(SHOP),
            || shown.clone(),
        )?;
        ensure(shown.contains("\"status\":200") && shown.contains("/api/v1/sql"), || shown)?;
        ensure(records.iter().any(|record| record["status"] == 401), || {
            "nobody's question is missing".to_owned()
        })?;
        ensure(!text.contains(&token) && !text.contains("edge asks"), || {
            "it holds what it must not".to_owned()
        })
    });
}

/// What an operator is told of each part, in words.
pub(crate) fn wake_doctor_says_what_works(lab: &Lab) {
    drop(lab.api());
    let told = wait("wake doctor", 60, || {
        let asked = ["doctor", "--all", "--as-service-account", "default/wake-test-operator"];
        // it ends with an error when something does not work, and says so all the same
        let told = lab.kubectl_wake(&asked).unwrap_or_else(|error| error);
        ensure(told.contains("kernel"), || told.clone())?;
        Ok(told)
    });
    for node in lab.items(&["nodes"]) {
        let name = text(&node["metadata"], "name");
        assert!(told.contains(name), "nothing of {name}: {told}");
    }
    for part in
        ["kernel", "btf", "capabilities", "clock", "kubernetes", "prometheus", "alertmanager", "cert-manager"]
    {
        assert!(told.to_lowercase().contains(part), "nothing of {part}: {told}");
    }
}

pub(crate) fn kubectl_wake_asks_over_tls(lab: &Lab) {
    // the operator's service account is made by it
    drop(lab.api());
    let account = ["--as-service-account", "default/wake-test-operator"];
    let asked = |words: &[&str]| lab.kubectl_wake(&[words, &account].concat());
    wait("lines by kubectl wake", 60, || {
        let told = asked(&["logs", "-n", SHOP, "edge asks", "--limit", "5"])?;
        ensure(told.lines().count() >= 5 && told.contains("edge asks"), || told)
    });
    let told = asked(&["events", "--kubernetes", "-n", SHOP]).unwrap();
    assert!(told.contains("BackOff"), "{told}");
    lab.apply(SHOP, DEVELOPER);
    let developer = format!("{SHOP}/developer");
    let other = ["logs", "-n", OTHER, "whispers", "--as-service-account", developer.as_str(), "--limit", "5"];
    let told = lab.kubectl_wake(&other).unwrap_or_else(|error| error);
    assert!(!told.contains("secretive whispers"), "{told}");
}

/// Each edge of the map begins or ends in the developer's namespace.
fn edges_have_an_end_of_theirs(body: &str) {
    let map: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    for edge in map["rows"].as_array().into_iter().flatten() {
        let is_theirs = |end: &str| text(edge, end).starts_with(&format!("{SHOP}/"));
        assert!(is_theirs("client") || is_theirs("server"), "{edge}");
    }
}
