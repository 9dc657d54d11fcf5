use std::time::Duration;

use proto::v1::{KubeNode, KubePod, NodeUpdate};

use super::{GONE_TTL, KubePods};

fn pod(uid: &str, name: &str) -> KubePod {
    KubePod { uid: uid.into(), name: name.into(), namespace: "shop".into(), ..KubePod::default() }
}

fn snapshot(pods: Vec<KubePod>) -> NodeUpdate {
    let version = "1".into();
    NodeUpdate { version, snapshot: true, complete: true, pods, ..NodeUpdate::default() }
}

fn change(pods: Vec<KubePod>, gone: &[&str]) -> NodeUpdate {
    let gone = gone.iter().map(|uid| (*uid).to_owned()).collect();
    NodeUpdate { version: "2".into(), complete: true, pods, gone, ..NodeUpdate::default() }
}

#[test]
fn a_pod_that_has_gone_is_known_for_a_while() {
    let mut pods = KubePods::default();
    assert!(!pods.is_told());
    let taken = pods.take(snapshot(vec![pod("a", "one"), pod("b", "two")]), Duration::ZERO);
    assert_eq!(taken.pods.len(), 2);
    assert!(pods.is_told());
    pods.take(change(vec![pod("c", "three")], &["a"]), Duration::from_secs(1));
    assert_eq!(pods.get("a").unwrap().name, "one");
    assert_eq!(pods.snapshot().pods.len(), 2);
    let later = Duration::from_secs(1) + GONE_TTL;
    pods.take(change(Vec::new(), &[]), later);
    assert!(pods.get("a").is_none() && pods.get("b").is_some());
    // told anew, it lives
    pods.take(change(Vec::new(), &["b"]), later);
    pods.take(change(vec![pod("b", "two")], &[]), later);
    pods.take(change(Vec::new(), &[]), later + GONE_TTL);
    assert!(pods.get("b").is_some());
}

#[test]
fn a_snapshot_in_parts_counts_when_it_is_whole() {
    let mut pods = KubePods::default();
    pods.take(snapshot(vec![pod("old", "old")]), Duration::ZERO);
    let first = NodeUpdate { snapshot: true, pods: vec![pod("a", "one")], ..NodeUpdate::default() };
    assert!(pods.take(first, Duration::ZERO).pods.is_empty());
    assert!(pods.get("a").is_none() && pods.version() == "1");
    let taken = pods.take(change(vec![pod("b", "two")], &[]), Duration::ZERO);
    assert_eq!(taken.pods.len(), 2);
    assert!(pods.get("a").is_some() && pods.get("b").is_some());
    assert_eq!(pods.snapshot().pods.len(), 2, "the old one has gone");
}

#[test]
fn half_a_snapshot_does_not_outlive_its_stream() {
    let mut pods = KubePods::default();
    pods.take(snapshot(vec![pod("a", "one"), pod("b", "two")]), Duration::ZERO);
    pods.begin();
    let half = NodeUpdate { snapshot: true, pods: vec![pod("b", "two")], ..NodeUpdate::default() };
    pods.take(half, Duration::ZERO);
    // the next stream finds that what is known is still so
    pods.begin();
    let same = NodeUpdate { version: "1".into(), complete: true, ..NodeUpdate::default() };
    pods.take(same, Duration::ZERO);
    assert_eq!((pods.snapshot().pods.len(), pods.version()), (2, "1"));
}

#[test]
fn a_static_pod_is_found_by_its_hash() {
    let mut pods = KubePods::default();
    let hash = "d1c1f3a5b7c9e1f3a5b7c9d1e3f5a7b9";
    let fixed = KubePod { config_hash: hash.into(), ..pod("u", "etcd-node1") };
    assert!(pods.take(snapshot(vec![fixed]), Duration::ZERO).pods.contains(hash));
    assert_eq!(pods.get(hash).unwrap().uid, "u");
}

#[test]
fn what_breaks_a_bound_is_refused_and_counted() {
    let mut pods = KubePods::default();
    let hostile = vec![pod("a", "x\u{7}y"), pod("", "x"), pod("b", &"n".repeat(300)), pod("c", "fine")];
    pods.take(snapshot(hostile), Duration::ZERO);
    assert_eq!(pods.sizes(), (1, 3));
    let node = KubeNode { zone: "\u{1b}".into(), ..KubeNode::default() };
    let taken = pods.take(NodeUpdate { node: Some(node), ..NodeUpdate::default() }, Duration::ZERO);
    assert!(!taken.node && pods.node().zone.is_empty());
    let many = (0..2_000).map(|index| pod(&format!("u{index}"), "p")).collect();
    pods.take(snapshot(many), Duration::ZERO);
    assert_eq!(pods.snapshot().pods.len(), proto::kube::MAX_PODS);
}
