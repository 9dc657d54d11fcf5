use k8s_openapi::api::events::v1::Event;
use serde_json::json;

use super::{Regarding, Seen, identity_of, row};
use crate::kube::tests::{pod, unwatched};
use crate::kube::wire;

const NOW: u64 = 1_795_267_499_000_000_000;

#[test]
fn an_event_of_either_generation_becomes_a_row() {
    let old: Event = serde_json::from_value(json!({
        "metadata": {"uid": "e1", "resourceVersion": "12", "namespace": "shop", "annotations": {"secret": "x"}},
        "type": "Warning", "reason": "BackOff", "note": "Back-off restarting\u{7} failed container",
        "regarding": {"kind": "Pod", "namespace": "shop", "name": "cart-1", "uid": "p1", "fieldPath": "spec.containers{app}"},
        "deprecatedSource": {"component": "kubelet"}, "deprecatedCount": 5,
        "deprecatedFirstTimestamp": "2026-11-21T13:20:00Z", "deprecatedLastTimestamp": "2026-11-21T13:24:00Z",
    }))
    .unwrap();
    let (row, regarding) = row(old, NOW);
    assert_eq!(regarding, Regarding { namespace: "shop".to_owned(), container: "app".to_owned() });
    assert_eq!((row.reason.as_str(), row.count, row.controller.as_str()), ("BackOff", 5, "kubelet"));
    assert_eq!(row.note, "Back-off restarting failed container");
    assert_eq!(row.ts, NOW - 59_000_000_000);
    assert_eq!(row.first_ts, Some(NOW - 299_000_000_000));
}

#[test]
fn a_series_counts_and_the_future_is_not_believed() {
    let new: Event = serde_json::from_value(json!({
        "metadata": {"uid": "e2", "resourceVersion": "13"},
        "eventTime": "2026-11-21T13:24:00.5Z", "reportingController": "kube-scheduler", "action": "Binding",
        "series": {"count": 9, "lastObservedTime": "2027-01-01T00:00:00.000000Z"},
        "note": "n".repeat(9_000),
    }))
    .unwrap();
    let (row, _) = row(new, NOW);
    assert_eq!((row.count, row.ts, row.note.len()), (9, NOW, super::MOST_NOTE_BYTES));
    assert_eq!((row.controller.as_str(), row.action.as_str()), ("kube-scheduler", "Binding"));
}

#[test]
fn a_version_of_an_event_is_new_once() {
    let mut seen = Seen::default();
    assert!(seen.is_new("e", "1") && !seen.is_new("e", "1") && seen.is_new("e", "2"));
    seen.forget("e");
    assert!(seen.is_new("e", "2"));
}

#[tokio::test]
async fn an_event_speaks_of_the_object_that_it_names_only() {
    let kube = unwatched();
    kube.told::<wire::Pod>(pod("cart-1", "10.0.0.1", "node1", Some(("StatefulSet", "cart"))), true);
    let identity = |namespace: &str, name: &str| {
        let event = json!({
            "metadata": {"uid": "e1", "namespace": namespace},
            "regarding": {"kind": "Pod", "namespace": namespace, "name": name, "uid": "uid-cart-1"},
        });
        let (row, regarding) = row(serde_json::from_value(event).unwrap(), NOW);
        identity_of(&kube, &row, regarding)
    };
    let real = identity("shop", "cart-1");
    assert_eq!(
        (real.namespace.as_str(), real.workload.as_str(), real.node.as_str()),
        ("shop", "cart", "node1")
    );
    // who may make Events in `dev` names the uid of a pod in `shop`
    for (namespace, name) in [("dev", "cart-1"), ("dev", "x"), ("shop", "x"), ("", "cart-1")] {
        let forged = identity(namespace, name);
        assert_eq!((forged.namespace.as_str(), forged.pod.as_str()), (namespace, name));
        assert_eq!((forged.workload.as_str(), forged.node.as_str()), ("", ""));
    }
}
