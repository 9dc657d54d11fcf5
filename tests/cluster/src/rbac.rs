//! Rights in Kubernetes: what the API server wrote down of a whole run, restarts included, against what was granted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::lab::{Lab, WAKE, text};

/// Verb, API group, resource.
type Right = (String, String, String);

pub(crate) fn every_right_is_used_and_none_is_missing(lab: &Lab) {
    let own = lab.own.as_ref().expect("only run in a cluster of our own");
    let audit = fs::read_to_string(&own.audit).unwrap();
    let (used, refused) = judged(&audit);
    assert!(refused.is_empty(), "refused: {refused:#?}");
    let granted = granted(lab);
    assert!(!granted.is_empty(), "no role was found");
    let idle: Vec<&Right> = granted.difference(&used).collect();
    assert!(idle.is_empty(), "granted and never used: {idle:?}; used: {used:?}");
}

/// The rights that were used, and what was refused for good. An API server that restarts refuses everything until it
/// has read its roles: what is granted later on is no refusal.
fn judged(audit: &str) -> (BTreeSet<Right>, BTreeSet<String>) {
    let ours = format!("system:serviceaccount:{WAKE}:");
    let (mut used, mut refused) = (BTreeSet::new(), BTreeMap::new());
    for line in audit.lines() {
        // the last line may be half written
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let user = text(&event["user"], "username");
        if !user.starts_with(&ours) {
            continue;
        }
        let (uri, object) = (text(&event, "requestURI"), &event["objectRef"]);
        let right: Right = (
            text(&event, "verb").to_owned(),
            text(object, "apiGroup").to_owned(),
            text(object, "resource").to_owned(),
        );
        let place = match object.is_object() {
            true => ["subresource", "namespace", "name"].map(|key| text(object, key).to_owned()),
            false => [uri.to_owned(), String::new(), String::new()],
        };
        let asked = (user.to_owned(), right.clone(), place);
        if matches!(event["responseStatus"]["code"].as_u64(), Some(401 | 403)) {
            refused.insert(asked, format!("{user} {uri}"));
        } else {
            refused.remove(&asked);
            used.insert(right);
        }
    }
    (used, refused.into_values().collect())
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{WAKE, judged};

    fn event(verb: &str, resource: &str, code: u32) -> String {
        let user = format!("system:serviceaccount:{WAKE}:wake-aggregator");
        let object = json!({ "resource": resource });
        let status = json!({ "code": code });
        json!({ "user": { "username": user }, "verb": verb, "requestURI": format!("/api/v1/{resource}"),
            "objectRef": object, "responseStatus": status })
        .to_string()
    }

    #[test]
    fn a_refusal_counts_unless_the_same_was_granted_later() {
        let audit = [
            event("list", "pods", 200),
            event("list", "pods", 403),
            event("watch", "pods", 403),
            event("list", "nodes", 403),
            event("list", "pods", 200),
            event("list", "nodes", 200),
        ]
        .join("\n");
        let (used, refused) = judged(&audit);
        assert_eq!(used.len(), 2);
        let refused: Vec<String> = refused.into_iter().collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].ends_with("/api/v1/pods"));
        let after = [event("list", "pods", 200), event("list", "pods", 403)].join("\n");
        assert_eq!(judged(&after).1.len(), 1, "taken away");
    }
}
