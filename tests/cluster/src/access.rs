//! Who may read what: a developer's token, nobody's, and a forged one, at every endpoint that there is.

use serde_json::Value;

use crate::api::Api;
use crate::lab::{Lab, OTHER, SHOP, ensure, text, wait};

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
        for query in ["", "?where=namespace%3D", "?contains=whispers"] {
            let query = if query.ends_with("%3D") { format!("{query}{OTHER}") } else { query.to_owned() };
            let (_, body) = developer.call_for(5, "GET", &format!("{path}{query}"), None).unwrap();
            if path.ends_with("/map") {
                // it names who calls a workload of theirs, as that workload's own rows do
                assert!(!body.contains("secretive whispers"), "{path}{query}: {body}");
                edges_have_an_end_of_theirs(&body);
                continue;
            }
            let told = [format!("\"namespace\":\"{OTHER}\""), "secretive whispers".to_owned()];
            assert!(!told.iter().any(|told| body.contains(told.as_str())), "{path}{query}: {body}");
        }
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
