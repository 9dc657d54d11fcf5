//! Rights in Kubernetes: what the API server wrote down of a whole run, restarts included, against what was granted.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::lab::{Lab, WAKE, text};

/// Verb, API group, resource.
type Right = (String, String, String);

pub(crate) fn every_right_is_used_and_none_is_missing(lab: &Lab) {
    let own = lab.own.as_ref().expect("only run in a cluster of our own");
    let audit = fs::read_to_string(&own.audit).unwrap();
    let ours = format!("system:serviceaccount:{WAKE}:");
    let (mut used, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for line in audit.lines() {
        // the last line may be half written
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        if !text(&event["user"], "username").starts_with(&ours) {
            continue;
        }
        let object = &event["objectRef"];
        let right = (
            text(&event, "verb").to_owned(),
            text(object, "apiGroup").to_owned(),
            text(object, "resource").to_owned(),
        );
        match event["responseStatus"]["code"].as_u64() {
            Some(401 | 403) => {
                refused.insert(format!("{} {}", text(&event["user"], "username"), text(&event, "requestURI")))
            }
            _ => used.insert(right),
        };
    }
    assert!(refused.is_empty(), "refused: {refused:#?}");
    let granted = granted(lab);
    assert!(!granted.is_empty(), "no role was found");
    let idle: Vec<&Right> = granted.difference(&used).collect();
    assert!(idle.is_empty(), "granted and never used: {idle:?}; used: {used:?}");
}

/// Each single right of the roles that are bound to Wake's service accounts.
fn granted(lab: &Lab) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    let selector = "app.kubernetes.io/name=wake";
    for kind in ["clusterroles", "roles"] {
        for role in lab.items(&[kind, "-A", "-l", selector]) {
            for rule in role["rules"].as_array().into_iter().flatten() {
                for group in strings(&rule["apiGroups"]) {
                    for resource in strings(&rule["resources"]) {
                        rights.extend(
                            strings(&rule["verbs"]).map(|verb| (verb, group.clone(), resource.clone())),
                        );
                    }
                }
            }
        }
    }
    rights
}

fn strings(value: &Value) -> impl Iterator<Item = String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}
