use std::time::Duration;

use agent_common::workload::{HOST_BIT, host_key};

use super::pod_of::PodOf;
use super::walk::{Found, Walk};
use super::{Identities, MAX_TOMBSTONES, NodeName, TOMBSTONE_TTL};
use crate::window::sample::{CgroupEvent, Owner, PodContainer, Row, Sample};

const ROOT: u64 = 1;

fn table() -> Identities {
    let node = NodeName { node: "host-a".into(), boot_id: "boot".into(), ..NodeName::default() };
    Identities::new(node, ROOT)
}

fn made(id: u64, path: &str) -> CgroupEvent {
    CgroupEvent::Made { id, path: path.into() }
}

fn workload(table: &mut Identities, owner: &Owner) -> Option<String> {
    table.resolve(owner).map(|identity| identity.workload.clone())
}

#[test]
fn a_cgroup_is_named_from_birth_until_long_after_its_end() {
    let mut table = table();
    table.apply(&made(7, "/system.slice/a.service"), Duration::ZERO);
    table.apply(&CgroupEvent::Removed { id: 7 }, Duration::from_millis(100));
    let owner = Owner::Workload(7);
    assert_eq!(workload(&mut table, &owner).as_deref(), Some("a.service"));
    table.expire(TOMBSTONE_TTL);
    assert_eq!(workload(&mut table, &owner).as_deref(), Some("a.service"));
    table.expire(TOMBSTONE_TTL + Duration::from_millis(100));
    assert_eq!(workload(&mut table, &owner), None);
    assert_eq!(table.unnamed(&owner).workload, "cgroup/7");
}

#[test]
fn a_cgroup_raised_from_the_dead_is_kept_from_its_last_end_on() {
    let mut table = table();
    let minute = Duration::from_secs(60);
    table.apply(&made(7, "/a"), Duration::ZERO);
    table.apply(&CgroupEvent::Removed { id: 7 }, Duration::ZERO);
    // a walk found it
    table.apply(&made(7, "/a"), minute);
    table.apply(&CgroupEvent::Removed { id: 7 }, 10 * minute);
    assert_eq!(table.sizes(), (0, 1, 0));
    table.expire(TOMBSTONE_TTL);
    assert!(table.resolve(&Owner::Workload(7)).is_some());
    table.expire(TOMBSTONE_TTL + 10 * minute);
    assert!(table.resolve(&Owner::Workload(7)).is_none());
}

#[test]
fn tombstones_are_bounded() {
    let mut table = table();
    for id in 10..(10 + MAX_TOMBSTONES as u64 + 5) {
        table.apply(&made(id, "/x"), Duration::ZERO);
        table.apply(&CgroupEvent::Removed { id }, Duration::ZERO);
    }
    assert_eq!(table.sizes(), (0, MAX_TOMBSTONES, 0));
    assert!(table.resolve(&Owner::Workload(10)).is_none());
    assert!(table.resolve(&Owner::Workload(15)).is_some());
}

#[test]
fn root_tasks_are_named_by_executable_and_bounded() {
    let mut table = table();
    let mut comm = [0; 16];
    comm[..4].copy_from_slice(b"sshd");
    let key = host_key(&comm);
    assert_eq!(workload(&mut table, &Owner::Workload(key)), None);
    table.apply(&CgroupEvent::HostComm { key, comm: "sshd".into() }, Duration::ZERO);
    assert_eq!(workload(&mut table, &Owner::Workload(key)).as_deref(), Some("host/sshd"));
    assert_eq!(workload(&mut table, &Owner::Workload(HOST_BIT)).as_deref(), Some("host/other"));
    assert_eq!(workload(&mut table, &Owner::Workload(ROOT)).as_deref(), Some("host/other"));
    assert_eq!(
        workload(&mut table, &Owner::Host("kworker/0:1-events".into())).as_deref(),
        Some("host/kworker")
    );
    for index in 0..300 {
        table.resolve(&Owner::Host(format!("p{index}")));
    }
    assert_eq!(workload(&mut table, &Owner::Host("late".into())).as_deref(), Some("host/other"));
    assert_eq!(workload(&mut table, &Owner::Host("sshd".into())).as_deref(), Some("host/sshd"));
}

#[test]
fn a_walk_names_what_was_missed_and_buries_what_is_gone() {
    let mut table = table();
    table.apply(&made(7, "/a"), Duration::ZERO);
    let found = vec![Found { id: ROOT, path: "/".into() }, Found { id: 8, path: "/b".into() }];
    let found = Walk { found, unread: Vec::new() };
    let events = table.reconcile(&found, Duration::ZERO);
    assert!(events.contains(&made(8, "/b")) && events.contains(&CgroupEvent::Removed { id: 7 }));
    assert_eq!(table.live().collect::<Vec<_>>(), [(8, "/b")]);
    assert_eq!(workload(&mut table, &Owner::Workload(7)).as_deref(), Some("/a"));
    assert!(table.reconcile(&found, Duration::ZERO).is_empty());
}

#[test]
fn a_directory_that_could_not_be_read_buries_nobody() {
    let mut table = table();
    for (id, path) in [(7, "/a"), (8, "/a/b"), (9, "/ab"), (10, "/c")] {
        table.apply(&made(id, path), Duration::ZERO);
    }
    let found = vec![Found { id: ROOT, path: "/".into() }, Found { id: 7, path: "/a".into() }];
    let events = table.reconcile(&Walk { found, unread: vec!["/a".into()] }, Duration::ZERO);
    let removed = |id| events.contains(&CgroupEvent::Removed { id });
    assert!(!removed(7) && !removed(8) && removed(9) && removed(10), "{events:?}");
    assert!(table.is_removed(9) && !table.is_removed(8));
}

#[test]
fn a_file_without_writer_is_its_own_workload() {
    let mut table = table();
    let identity = table.resolve(&Owner::File("/var/log/a.log".into())).unwrap();
    assert_eq!((identity.workload.as_str(), identity.workload_kind.as_str()), ("file/var/log/a.log", "file"));
    assert_eq!(identity.node, "host-a");
}

#[test]
fn a_process_tells_the_name_behind_its_key() {
    let mut table = table();
    let mut comm = [0; 16];
    comm[..15].copy_from_slice(b"a-very-long-nam");
    let owner = Owner::Workload(host_key(&comm));
    for (executable, expected) in
        [("/bin/other", None), ("/bin/a-very-long-name", Some("host/a-very-long-nam"))]
    {
        let row = proto::v1::ProcessRow { executable: executable.into(), ..Default::default() };
        table.learn(&Sample { owner: owner.clone(), row: Row::Process(Box::new(row)) });
        assert_eq!(workload(&mut table, &owner).as_deref(), expected);
    }
}

#[test]
fn a_container_log_names_the_pod_and_its_cgroups() {
    let mut table = table();
    let uid = "0a1b2c3d-0000-4000-8000-000000000001";
    let cgroup = |id, name: &str| made(id, &format!("/kubepods/burstable/pod{uid}/{name}"));
    table.apply(&cgroup(7, &"a".repeat(64)), Duration::ZERO);
    assert_eq!(table.resolve(&Owner::Workload(7)).unwrap().pod, "");
    let container = PodContainer {
        namespace: "shop".into(),
        pod: "cart-7d9".into(),
        uid: uid.into(),
        container: "app".into(),
    };
    let of_log = table.resolve(&Owner::Pod(Box::new(container.clone()))).unwrap();
    assert_eq!((of_log.namespace.as_str(), of_log.pod.as_str()), ("shop", "cart-7d9"));
    assert_eq!((of_log.pod_uid.as_str(), of_log.container.as_str()), (uid, "app"));
    table.apply(&cgroup(8, &"b".repeat(64)), Duration::ZERO);
    for id in [7, 8] {
        let identity = table.resolve(&Owner::Workload(id)).unwrap();
        assert_eq!((identity.namespace.as_str(), identity.pod.as_str()), ("shop", "cart-7d9"));
        assert_eq!(identity.workload, of_log.workload, "logs and usage of a pod are one workload");
    }
    let again = table.resolve(&Owner::Pod(Box::new(container))).unwrap();
    assert!(std::sync::Arc::ptr_eq(&again, &of_log));
}

const ID: &str = "4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01";
const UID: &str = "0a1b2c3d-0000-4000-8000-000000000001";

fn told(containers: &[(&str, &str)]) -> proto::v1::NodeUpdate {
    let containers = containers.iter().map(|(name, id)| proto::v1::KubeContainer {
        name: (*name).to_owned(),
        id: (*id).to_owned(),
        kind: String::new(),
    });
    let pod = proto::v1::KubePod {
        uid: UID.into(),
        name: "cart-7d9-x".into(),
        namespace: "shop".into(),
        workload: "cart".into(),
        workload_kind: "deployment".into(),
        containers: containers.collect(),
        labels: [("app".to_owned(), "cart".to_owned())].into(),
        ..Default::default()
    };
    let node = proto::v1::KubeNode { zone: "zone-a".into(), cluster: "c".into(), ..Default::default() };
    proto::v1::NodeUpdate {
        version: "1".into(),
        snapshot: true,
        complete: true,
        pods: vec![pod],
        node: Some(node),
        ..Default::default()
    }
}

#[test]
fn rows_of_a_new_pod_wait_for_its_names_but_not_for_ever() {
    let mut table = table();
    let at = Duration::from_millis;
    let cgroup = |id, uid: &str| made(id, &format!("/kubepods/burstable/pod{uid}/{ID}"));
    // nobody tells names: nobody waits
    table.apply(&cgroup(6, "0a1b2c3d-0000-4000-8000-000000000006"), at(0));
    assert!(table.resolve(&Owner::Workload(6)).is_some());
    let other = proto::v1::NodeUpdate { pods: Vec::new(), ..told(&[]) };
    table.told(other, at(10));
    table.apply(&cgroup(7, UID), at(1_000));
    assert!(table.resolve(&Owner::Workload(7)).is_none());
    assert_eq!(table.unnamed(&Owner::Workload(7)).pod_uid, UID);
    table.told(told(&[("app", "")]), at(1_500));
    assert!(table.resolve(&Owner::Workload(7)).is_none(), "its container has no name yet");
    table.told(told(&[("app", ID)]), at(1_600));
    let identity = table.resolve(&Owner::Workload(7)).unwrap();
    assert_eq!(
        (identity.namespace.as_str(), identity.workload.as_str(), identity.workload_kind.as_str()),
        ("shop", "cart", "deployment")
    );
    assert_eq!(
        (identity.pod.as_str(), identity.container.as_str(), identity.container_id.as_str()),
        ("cart-7d9-x", "app", ID)
    );
    assert_eq!(
        (identity.labels.as_str(), identity.zone.as_str(), identity.cluster.as_str()),
        ("app=cart", "zone-a", "c")
    );
    // one that never gets a name
    table.apply(&cgroup(8, "0a1b2c3d-0000-4000-8000-000000000008"), at(2_000));
    table.tick(at(3_999));
    assert!(table.resolve(&Owner::Workload(8)).is_none());
    table.tick(at(4_000));
    let nameless = table.resolve(&Owner::Workload(8)).unwrap();
    assert_eq!((nameless.container_id.as_str(), nameless.container.as_str()), (ID, ID));
    assert_eq!(nameless.zone, "zone-a");
}

#[test]
fn a_static_pod_has_one_identity_by_path_and_by_log() {
    let mut table = table();
    let hash = "d1c1f3a5b7c9e1f3a5b7c9d1e3f5a7b9";
    table.apply(&made(7, &format!("/kubepods/burstable/pod{hash}/{ID}")), Duration::ZERO);
    let owner = PodContainer {
        namespace: "shop".into(),
        pod: "cart-7d9-x".into(),
        uid: hash.into(),
        container: "app".into(),
    };
    let before = table.resolve(&Owner::Pod(Box::new(owner.clone()))).unwrap();
    assert_eq!(before.workload, format!("pod/{hash}"));
    let mut update = told(&[("app", ID)]);
    update.pods[0].config_hash = hash.into();
    table.told(update, Duration::ZERO);
    let of_cgroup = table.resolve(&Owner::Workload(7)).unwrap();
    let of_log = table.resolve(&Owner::Pod(Box::new(owner))).unwrap();
    for identity in [of_cgroup, of_log] {
        assert_eq!((identity.pod_uid.as_str(), identity.workload.as_str()), (UID, "cart"));
        assert_eq!((identity.container.as_str(), identity.labels.as_str()), ("app", "app=cart"));
    }
}

/// What is known of an owner's pod, in a word.
fn pod_of(table: &Identities, owner: &Owner) -> String {
    match table.pod_of(owner) {
        PodOf::None => "none".to_owned(),
        PodOf::Unknown => "unknown".to_owned(),
        PodOf::Unnamed(pod) => format!("{}, unnamed", pod.name),
        PodOf::Known(pod, container) => format!("{}/{container}", pod.name),
    }
}

#[test]
fn what_is_not_in_the_table_may_be_a_pods() {
    let mut table = table();
    let (cgroup, container) = (Owner::Workload(7), Owner::Container(ID.into()));
    for owner in [&cgroup, &container] {
        assert_eq!(pod_of(&table, owner), "unknown");
    }
    for owner in [&Owner::Workload(ROOT), &Owner::Workload(HOST_BIT), &Owner::Host("sshd".into())] {
        assert_eq!(pod_of(&table, owner), "none", "{owner:?}");
    }
    // nobody will tell
    table.nobody_tells();
    for owner in [&cgroup, &container] {
        assert_eq!(pod_of(&table, owner), "none");
    }
    // an aggregator that knows comes, and the cgroup is of no pod
    table.told(proto::v1::NodeUpdate { pods: Vec::new(), ..told(&[]) }, Duration::ZERO);
    table.apply(&made(7, "/system.slice/a.service"), Duration::ZERO);
    assert_eq!((pod_of(&table, &cgroup), pod_of(&table, &container)), ("none".into(), "unknown".into()));
    table.apply(&made(8, &format!("/docker/{ID}")), Duration::ZERO);
    assert_eq!(pod_of(&table, &container), "none", "a container beside Kubernetes");
}

#[test]
fn a_container_is_found_by_its_id_in_the_tree_and_among_the_pods() {
    let container = Owner::Container(ID.into());
    let scope = format!("docker-{ID}.scope");
    let slice = format!("kubepods-burstable-pod{}.slice", UID.replace('-', "_"));
    let path = format!("/kubepods.slice/kubepods-burstable.slice/{slice}/{scope}");
    // by its cgroup first
    let mut table = table();
    table.apply(&made(7, &path), Duration::ZERO);
    table.apply(&made(8, &format!("{path}/inner")), Duration::ZERO);
    assert_eq!(pod_of(&table, &container), "unknown");
    table.told(told(&[("app", ID)]), Duration::ZERO);
    assert_eq!(pod_of(&table, &container), "cart-7d9-x/app");
    let identity = table.resolve(&container).unwrap();
    assert_eq!(
        (identity.workload.as_str(), identity.pod.as_str(), identity.container.as_str()),
        ("cart", "cart-7d9-x", "app")
    );
    // without any cgroup
    let mut table = self::table();
    assert_eq!(workload(&mut table, &container).as_deref(), Some("container/4c01db0b339c"));
    table.told(told(&[("app", ID)]), Duration::ZERO);
    assert_eq!(pod_of(&table, &container), "cart-7d9-x/app");
    assert_eq!(workload(&mut table, &container).as_deref(), Some("cart"));
}

#[test]
fn ids_of_containers_go_with_their_cgroups() {
    let mut table = table();
    for id in 10..20 {
        table.apply(&made(id, &format!("/docker/{id:064}")), Duration::ZERO);
        table.apply(&CgroupEvent::Removed { id }, Duration::ZERO);
    }
    assert_eq!(table.containers.len(), 10);
    table.expire(TOMBSTONE_TTL);
    table.expire(TOMBSTONE_TTL + Duration::from_secs(1));
    assert!(table.containers.is_empty());
}

#[test]
fn a_container_whose_name_is_not_told_waits_where_one_of_the_pod_has_its_own_annotations() {
    let mut table = table();
    table.apply(&made(7, &format!("/kubepods/burstable/pod{UID}/{ID}")), Duration::ZERO);
    let owner = Owner::Workload(7);
    let with = |key: &str, containers: &[(&str, &str)]| {
        let mut update = told(containers);
        update.pods[0].settings = [(key.to_owned(), "off".to_owned())].into();
        update
    };
    table.told(with("logs", &[("app", "")]), Duration::ZERO);
    assert_eq!(pod_of(&table, &owner), "cart-7d9-x/", "the pod's word holds for all");
    table.told(with("app.logs", &[("app", "")]), Duration::ZERO);
    assert_eq!(pod_of(&table, &owner), "cart-7d9-x, unnamed");
    table.told(with("app.logs", &[("app", ID)]), Duration::ZERO);
    assert_eq!(pod_of(&table, &owner), "cart-7d9-x/app");
}
