//! What is kept of the cluster, and the names that it gives.

use proto::v1::{FlowRow, Identity, Payload, Peer};
use serde_json::{Value, json};

use std::sync::Arc;

use daemon::clock::Clock;
use daemon::metrics::Registry;

use super::cache::Cache;
use super::object::{Kind, snake_case};
use super::trim::{Trim, Trimmed, Unfit};
use super::{Kube, resolve, wire};
use crate::config::Kubernetes;
use crate::metrics::KubeMetrics;

/// 2026-11-21 12:00:00 UTC.
pub(super) const NOW: u64 = 1_795_262_400_000_000_000;
pub(super) const S: u64 = 1_000_000_000;

/// A cluster whose API server nobody reaches: it has what is applied to it.
pub(super) fn unwatched() -> Arc<Kube> {
    daemon::tls::install();
    let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    let metrics = KubeMetrics::register(&Registry::new());
    let client = kube::Client::try_from(config).unwrap();
    Kube::new(Kubernetes::default(), client, metrics, Clock::manual(NOW))
}

impl Kube {
    /// Takes in an object as the API server would write it.
    pub(super) fn told<K: Trimmed + serde::de::DeserializeOwned>(&self, object: Value, is_listed: bool) {
        let mut trim = Trim { labels: &[], cut: 0 };
        self.apply(serde_json::from_value::<K>(object).unwrap().trim(&mut trim).unwrap(), is_listed);
    }
}

fn keep<K: Trimmed + serde::de::DeserializeOwned>(
    cache: &mut Cache,
    object: Value,
    at_ns: u64,
) -> Result<u64, Unfit> {
    let labels = ["app".to_owned(), "tier".to_owned()];
    let mut trim = Trim { labels: &labels, cut: 0 };
    let object = serde_json::from_value::<K>(object).unwrap().trim(&mut trim)?;
    cache.apply(object, at_ns).unwrap();
    Ok(trim.cut)
}

pub(super) fn pod(name: &str, ip: &str, node: &str, owner: Option<(&str, &str)>) -> Value {
    let owners = owner.map(|(kind, name)| {
        json!([{"apiVersion": "x/v1", "kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true}])
    });
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "ownerReferences": owners,
            "creationTimestamp": "2026-11-21T11:00:00Z",
            "labels": {"app": "cart", "pod-template-hash": "7d9", "secret": "no"},
            "annotations": {"wake.dev/logs": "off", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "spec": {
            "nodeName": node,
            "containers": [{"name": "app", "image": "cart:1", "env": [{"name": "PASSWORD", "value": "hunter2"}]}],
            "initContainers": [{"name": "prepare"}],
        },
        "status": {
            "phase": "Running", "podIPs": [{"ip": ip}], "startTime": "2026-11-21T11:00:00Z",
            "containerStatuses": [{"name": "app", "containerID": "containerd://abc", "restartCount": 1,
                "lastState": {"terminated": {"containerID": "containerd://old", "exitCode": 137, "reason": "OOMKilled"}}}],
            "initContainerStatuses": [{"name": "prepare", "containerID": "containerd://ini"}],
        },
    })
}

fn replica_set(name: &str, owner: Option<(&str, &str)>) -> Value {
    let owners = owner.map(|(kind, name)| {
        json!([{"apiVersion": "x/v1", "kind": kind, "name": name, "uid": "o", "controller": true}])
    });
    json!({"metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "ownerReferences": owners}})
}

fn node(name: &str, zone: &str, address: &str, range: &str) -> Value {
    json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": {"podCIDRs": [range]},
        "status": {"addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]},
    })
}

fn service(name: &str, namespace: &str, address: &str, node_port: Option<u16>) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "uid": format!("uid-svc-{name}")},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80, "nodePort": node_port}]},
        "status": {},
    })
}

pub(super) fn slice(service: &str, namespace: &str, addresses: &[&str], port: u16) -> Value {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"addresses": [address], "conditions": {"ready": true}}))
        .collect();
    json!({
        "metadata": {"name": format!("{service}-x"), "namespace": namespace, "uid": format!("uid-slice-{service}"),
            "labels": {"kubernetes.io/service-name": service}},
        "endpoints": endpoints, "ports": [{"port": port, "protocol": "TCP"}],
    })
}

fn cluster() -> Cache {
    let mut cache = Cache::default();
    keep::<wire::Node>(&mut cache, node("node1", "zone-a", "10.199.0.2", "10.244.0.0/24"), NOW).unwrap();
    keep::<wire::Node>(&mut cache, node("node2", "zone-b", "10.199.0.3", "10.244.1.0/24"), NOW).unwrap();
    keep::<wire::ReplicaSet>(&mut cache, replica_set("cart-7d9", Some(("Deployment", "cart"))), NOW).unwrap();
    keep::<wire::Pod>(
        &mut cache,
        pod("cart-7d9-a", "10.244.0.5", "node1", Some(("ReplicaSet", "cart-7d9"))),
        NOW,
    )
    .unwrap();
    keep::<wire::Pod>(
        &mut cache,
        pod("cart-7d9-b", "10.244.1.7", "node2", Some(("ReplicaSet", "cart-7d9"))),
        NOW,
    )
    .unwrap();
    keep::<wire::Service>(&mut cache, service("cart", "shop", "10.96.0.10", Some(30_080)), NOW).unwrap();
    keep::<wire::EndpointSlice>(&mut cache, slice("cart", "shop", &["10.244.0.5", "10.244.1.7"], 8_080), NOW)
        .unwrap();
    keep::<wire::Service>(&mut cache, service("kubernetes", "default", "10.96.0.1", None), NOW).unwrap();
    keep::<wire::EndpointSlice>(&mut cache, slice("kubernetes", "default", &["10.199.0.2"], 6_443), NOW)
        .unwrap();
    cache
}

fn flow(address: &str, port: u32) -> FlowRow {
    FlowRow {
        ts: NOW,
        window_s: 10,
        role: "client".into(),
        protocol: "tcp".into(),
        peer_address: address.into(),
        server_port: port,
        ..FlowRow::default()
    }
}

fn peer_of(cache: &Cache, flow: FlowRow) -> Peer {
    let payload = Payload { flows: vec![flow], ..Payload::default() };
    resolve::resolve(cache, "c", true, &payload).peers.pop().unwrap_or_default()
}

fn workload(cache: &Cache, name: &str) -> (String, String) {
    let object = cache.get(Kind::Pod, &format!("uid-{name}")).unwrap();
    let workload = &object.pod().unwrap().workload;
    (workload.kind.to_string(), workload.name.to_string())
}

#[test]
fn a_workload_is_the_owner_that_a_person_thinks_of() {
    let mut cache = Cache::default();
    let mut add = |name: &str, owner| {
        keep::<wire::Pod>(&mut cache, pod(name, "10.0.0.1", "node1", owner), NOW).unwrap()
    };
    add("bare", None);
    add("etcd-node1", Some(("Node", "node1")));
    add("db-0", Some(("StatefulSet", "db")));
    add("job-1", Some(("Job", "job")));
    add("tick-1-x", Some(("Job", "tick-1")));
    add("roll-x", Some(("ReplicaSet", "roll-7d9")));
    add("late-7d9-x", Some(("ReplicaSet", "late-7d9")));
    add("odd-x", Some(("CloneSet", "odd")));
    let is = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    // until its owner is seen, the name of its replica set tells
    assert_eq!(workload(&cache, "late-7d9-x"), is("deployment", "late"));
    keep::<wire::Job>(&mut cache, replica_set("tick-1", Some(("CronJob", "tick"))), NOW).unwrap();
    keep::<wire::Job>(&mut cache, replica_set("job", None), NOW).unwrap();
    keep::<wire::ReplicaSet>(&mut cache, replica_set("roll-7d9", Some(("Rollout", "roll"))), NOW).unwrap();
    keep::<wire::ReplicaSet>(&mut cache, replica_set("late-7d9", None), NOW).unwrap();
    for (pod, expected) in [
        ("bare", is("pod", "bare")),
        ("etcd-node1", is("static_pod", "etcd")),
        ("db-0", is("stateful_set", "db")),
        ("job-1", is("job", "job")),
        ("tick-1-x", is("cron_job", "tick")),
        ("roll-x", is("rollout", "roll")),
        ("late-7d9-x", is("replica_set", "late-7d9")),
        ("odd-x", is("clone_set", "odd")),
    ] {
        assert_eq!(workload(&cache, pod), expected, "{pod}");
    }
    assert_eq!(snake_case("DaemonSet"), "daemon_set");
}

#[test]
fn peers_are_pods_services_nodes_and_the_api_server() {
    let cache = cluster();
    let peer = peer_of(&cache, flow("10.244.1.7", 8_080));
    assert_eq!(
        (
            peer.kind.as_str(),
            peer.pod.as_str(),
            peer.workload.as_str(),
            peer.zone.as_str(),
            peer.service.as_str()
        ),
        ("pod", "cart-7d9-b", "cart", "zone-b", "cart")
    );
    let peer = peer_of(&cache, flow("10.96.0.10", 80));
    assert_eq!(
        (
            peer.kind.as_str(),
            peer.service.as_str(),
            peer.namespace.as_str(),
            peer.workload.as_str(),
            peer.real
        ),
        ("service", "cart", "shop", "cart", None)
    );
    for (address, port) in [("10.199.0.2", 6_443), ("10.96.0.1", 443)] {
        assert_eq!(peer_of(&cache, flow(address, port)).kind, "kube_apiserver", "{address}");
    }
    let peer = peer_of(&cache, flow("10.199.0.3", 30_080));
    assert_eq!((peer.kind.as_str(), peer.node.as_str(), peer.service.as_str()), ("node", "node2", "cart"));
    for (address, kind) in [
        ("10.199.0.3", "node"),
        ("10.244.1.1", "node"),
        ("10.244.1.99", "unknown"),
        ("1.2.3.4", "external"),
        ("127.0.0.1", "loopback"),
    ] {
        assert_eq!(peer_of(&cache, flow(address, 9)).kind, kind, "{address}");
    }
    assert_eq!(peer_of(&cache, flow("nonsense", 9)), Peer::default());
    // before everything is listed nobody is called external
    let payload = Payload { flows: vec![flow("1.2.3.4", 9), flow("10.244.1.7", 9)], ..Payload::default() };
    let early = resolve::resolve(&cache, "c", false, &payload).peers;
    assert_eq!((early.len(), early[0].flows[0], early[0].pod.as_str()), (1, 1, "cart-7d9-b"));
    // what conntrack found: the pod, and the service that was asked
    let asked = FlowRow { asked_address: "10.96.0.10".into(), asked_port: 80, ..flow("10.244.0.5", 8_080) };
    let peer = peer_of(&cache, asked);
    assert_eq!(
        (peer.pod.as_str(), peer.service.as_str(), peer.zone.as_str()),
        ("cart-7d9-a", "cart", "zone-a")
    );
}

#[test]
fn a_service_with_one_backend_is_that_backend() {
    let mut cache = cluster();
    keep::<wire::EndpointSlice>(&mut cache, slice("cart", "shop", &["10.244.1.7"], 8_080), NOW).unwrap();
    let peer = peer_of(&cache, flow("10.96.0.10", 80));
    let real = peer.real.unwrap();
    assert_eq!(
        (peer.pod.as_str(), peer.nat_source.as_str(), real.address.as_str(), real.port),
        ("cart-7d9-b", "endpoint", "10.244.1.7", 8_080)
    );
}

#[test]
fn an_address_names_a_pod_only_while_the_pod_had_it() {
    let mut cache = cluster();
    let gone = NOW + 100 * S;
    cache.remove(Kind::Pod, "uid-cart-7d9-b", gone);
    let mut next = pod("other", "10.244.1.7", "node2", None);
    next["status"]["startTime"] = json!("2026-11-21T12:01:45Z");
    keep::<wire::Pod>(&mut cache, next, gone + 5 * S).unwrap();
    let at =
        |seconds: u64| peer_of(&cache, FlowRow { ts: NOW + seconds * S, ..flow("10.244.1.7", 8_080) }).pod;
    assert_eq!((at(0).as_str(), at(90).as_str()), ("cart-7d9-b", "cart-7d9-b"));
    assert_eq!((at(110).as_str(), at(500).as_str()), ("other", "other"));
    // what has gone is known for a while, then not
    assert!(cache.pod("node2", "uid-cart-7d9-b").is_some());
    cache.expire(gone + super::cache::ENDED_NS);
    assert!(cache.pod("node2", "uid-cart-7d9-b").is_none());
}

#[test]
fn a_pod_that_moves_gives_its_address_up() {
    let mut cache = cluster();
    let moves = |cache: &mut Cache, ip: &str, seconds: u64| {
        keep::<wire::Pod>(cache, pod("cart-7d9-b", ip, "node2", None), NOW + seconds * S).unwrap();
    };
    moves(&mut cache, "10.244.1.8", 100);
    let mut next = pod("other", "10.244.1.7", "node2", None);
    next["status"]["startTime"] = json!("2026-11-21T12:01:45Z");
    keep::<wire::Pod>(&mut cache, next, NOW + 105 * S).unwrap();
    let at = |cache: &Cache, ip: &str, seconds: u64| {
        peer_of(cache, FlowRow { ts: NOW + seconds * S, ..flow(ip, 8_080) }).pod
    };
    let found = [
        ("10.244.1.7", 90),
        ("10.244.1.7", 110),
        ("10.244.1.7", 500),
        ("10.244.1.8", 500),
        ("10.244.1.8", 10),
    ];
    let found = found.map(|(ip, seconds)| at(&cache, ip, seconds));
    assert_eq!(found, ["cart-7d9-b", "other", "other", "cart-7d9-b", ""]);
    // and takes it back
    cache.remove(Kind::Pod, "uid-other", NOW + 600 * S);
    moves(&mut cache, "10.244.1.7", 610);
    let found = [("10.244.1.7", 700), ("10.244.1.7", 500), ("10.244.1.8", 700)];
    assert_eq!(found.map(|(ip, seconds)| at(&cache, ip, seconds)), ["cart-7d9-b", "other", ""]);
    // however often it moves, few of its addresses are remembered, and those that it has are
    for step in 0..40 {
        let mut moved = pod("cart-7d9-b", "10.244.1.7", "node2", None);
        moved["status"]["podIPs"] = json!([{"ip": "10.244.1.7"}, {"ip": format!("10.244.9.{step}")}]);
        keep::<wire::Pod>(&mut cache, moved, NOW + (720 + step) * S).unwrap();
    }
    let found = [("10.244.1.7", 700), ("10.244.1.7", 790), ("10.244.9.39", 790), ("10.244.9.1", 721)];
    let pod = "cart-7d9-b";
    assert_eq!(found.map(|(ip, seconds)| at(&cache, ip, seconds)), [pod, pod, pod, ""]);
    // of a pod that has gone nothing stays
    cache.remove(Kind::Pod, "uid-cart-7d9-b", NOW + 800 * S);
    cache.expire(NOW + 800 * S + super::cache::ENDED_NS);
    assert!(!format!("{:?}", cache.leases).contains("uid-cart-7d9-b"));
}

#[test]
fn identities_that_have_only_ids_are_completed() {
    let cache = cluster();
    let open = |node: &str, container: &str| Identity {
        node: node.into(),
        pod_uid: "uid-cart-7d9-a".into(),
        workload: "pod/uid-cart-7d9-a".into(),
        container: container.into(),
        container_id: container.into(),
        ..Identity::default()
    };
    let named = Identity {
        pod: "x".into(),
        workload: "w".into(),
        zone: "z".into(),
        cluster: "c".into(),
        ..open("node1", "")
    };
    let identities =
        vec![open("node1", "abc"), open("node1", "old"), open("node1", "ini"), open("node2", "abc"), named];
    let resolved = resolve::resolve(&cache, "c", true, &Payload { identities, ..Payload::default() });
    let found: Vec<_> = resolved
        .completions
        .iter()
        .map(|one| {
            (one.identity, one.pod.as_str(), one.workload.as_str(), one.container.as_str(), one.zone.as_str())
        })
        .collect();
    assert_eq!(
        found,
        [
            (0, "cart-7d9-a", "cart", "app", "zone-a"),
            (1, "cart-7d9-a", "cart", "app", "zone-a"),
            (2, "cart-7d9-a", "cart", "prepare", "zone-a"),
            // not a pod of its node
            (3, "", "", "", "zone-b"),
        ]
    );
    assert_eq!(resolved.completions[0].labels, "app=cart");
}

#[test]
fn a_static_pod_is_found_by_the_hash_of_its_manifest() {
    let mut cache = cluster();
    let mut fixed = pod("etcd-node1", "10.199.0.2", "node1", Some(("Node", "node1")));
    fixed["metadata"]["annotations"]["kubernetes.io/config.hash"] = json!("d1c1f3a5b7c9e1f3a5b7c9d1e3f5a7b9");
    fixed["spec"]["hostNetwork"] = json!(true);
    keep::<wire::Pod>(&mut cache, fixed, NOW).unwrap();
    assert!(cache.pod("node1", "d1c1f3a5b7c9e1f3a5b7c9d1e3f5a7b9").is_some());
    assert!(
        cache.pod("node2", "d1c1f3a5b7c9e1f3a5b7c9d1e3f5a7b9").is_none(),
        "the same hash on another node"
    );
    // its address is the node's
    assert_eq!(peer_of(&cache, flow("10.199.0.2", 9)).kind, "node");
}

#[test]
fn hostile_objects_are_refused_or_cut() {
    let mut cache = Cache::default();
    let mut bad = pod("x", "10.0.0.1", "node1", None);
    bad["metadata"]["name"] = json!("a\u{1b}[2J");
    assert_eq!(keep::<wire::Pod>(&mut cache, bad, NOW), Err(Unfit("name")));
    let mut bad = pod("x", "10.0.0.1", "node1", None);
    bad["metadata"]["uid"] = json!("u".repeat(300));
    assert_eq!(keep::<wire::Pod>(&mut cache, bad, NOW), Err(Unfit("uid")));
    let mut many = pod("y", "not an address", "node1", None);
    let labels = [("app", "v".repeat(64)), ("tier", "ok".to_owned())];
    many["metadata"]["labels"] =
        labels.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
    many["metadata"]["annotations"] =
        (0..10_000).map(|index| (format!("wake.dev/x{index}"), Value::from("v"))).collect();
    many["spec"]["containers"] = (0..500).map(|index| json!({"name": format!("c{index}")})).collect();
    let cut = keep::<wire::Pod>(&mut cache, many, NOW).unwrap();
    assert_eq!(cut, 1 + (10_000 - 16) + (501 - 64));
    let kept = cache.get(Kind::Pod, "uid-y").unwrap();
    assert_eq!((kept.labels_text().as_str(), kept.settings.len()), ("tier=ok", 16));
    assert_eq!((kept.pod().unwrap().containers.len(), kept.pod().unwrap().ips.len()), (64, 0));
}

#[test]
fn nothing_secret_is_kept() {
    let cache = cluster();
    let kept = format!("{cache:?}");
    for secret in ["hunter2", "PASSWORD", "last-applied", "secret"] {
        assert!(!kept.contains(secret), "{secret}");
    }
    assert!(kept.contains("cart:1"));
}
