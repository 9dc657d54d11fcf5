use super::{Name, is_nested, name};

const ID: &str = "4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01";
const UID: &str = "0f5bd6a4-7b1c-4a53-9c83-6f0f5e5d5b2f";

#[track_caller]
fn check(path: &str, workload: &str, kind: &str, pod_uid: &str, container: &str) {
    let Name { workload: named, kind: of, pod_uid: uid, container: id, depth: _ } = name(path);
    assert_eq!(
        (named.as_str(), of, uid.as_str(), id.as_str()),
        (workload, kind, pod_uid, container),
        "{path}"
    );
}

#[test]
fn kubernetes_paths_give_pod_and_container() {
    let pod = format!("pod/{UID}");
    let under = UID.replace('-', "_");
    for path in [
        format!("/kubepods/burstable/pod{UID}/{ID}"),
        format!("/kubepods/pod{UID}/{ID}"),
        format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{under}.slice/cri-containerd-{ID}.scope"
        ),
        format!(
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{under}.slice/crio-{ID}.scope"
        ),
        format!("/kubepods.slice/kubepods-pod{under}.slice/docker-{ID}.scope"),
        format!("/system.slice/containerd.service/kubepods-burstable-pod{under}.slice:cri-containerd:{ID}"),
        format!(
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{under}.slice/cri-containerd-{ID}.scope"
        ),
        format!("/kubepods/besteffort/pod{UID}/crio-{ID}"),
        format!("/kubepods/besteffort/pod{UID}/{ID}/init.scope/nested"),
    ] {
        check(&path, &pod, "container", UID, ID);
    }
    check(&format!("/kubepods/pod{UID}"), &pod, "container", UID, "");
    check(&format!("/kubepods/pod{UID}/crio-conmon-{ID}"), &pod, "container", UID, "");
    let hash = "d1c1f3a5b7c9e1f3a5b7c9d1e3f5a7b9";
    check(&format!("/kubepods/burstable/pod{hash}/{ID}"), &format!("pod/{hash}"), "container", hash, ID);
}

#[test]
fn containers_without_kubernetes_are_named_by_runtime() {
    check(&format!("/docker/{ID}"), "docker/4c01db0b339c", "container", "", ID);
    check(&format!("/system.slice/docker-{ID}.scope"), "docker/4c01db0b339c", "container", "", ID);
    check(&format!("/docker/{ID}/system.slice/nginx.service"), "docker/4c01db0b339c", "container", "", ID);
    check(&format!("/machine.slice/libpod-{ID}.scope/container"), "podman/4c01db0b339c", "container", "", ID);
    check(
        &format!("/user.slice/user-1000.slice/x/libpod-{ID}.scope"),
        "podman/4c01db0b339c",
        "container",
        "",
        ID,
    );
    check(&format!("/default/{ID}"), "container/4c01db0b339c", "container", "", ID);
    check("/lxc/web", "lxc/web", "container", "", "web");
    check("/lxc.payload.web/init.scope", "lxc/web", "container", "", "web");
    check("/machine.slice/machine-my\\x2dbox.scope", "nspawn/my-box", "container", "", "my-box");
}

#[test]
fn units_and_plain_paths_name_themselves() {
    check("/system.slice/nginx.service", "nginx.service", "systemd_unit", "", "");
    check("/system.slice/my\\x2dapp.service/worker", "my-app.service", "systemd_unit", "", "");
    check("/user.slice/user-1000.slice/session-3.scope", "session-3.scope", "systemd_unit", "", "");
    check("/system.slice", "system.slice", "systemd_unit", "", "");
    check("/wake-test/burn", "/wake-test/burn", "cgroup", "", "");
    check("/podium/x", "/podium/x", "cgroup", "", "");
    check("/", "/", "cgroup", "", "");
}

#[test]
fn no_path_makes_it_panic() {
    let pieces =
        ["pod", "-", "\\x", "\\x2", "é", ":", ".scope", "kubepods-pod", ID, "/", "..", "crio-", "lxc", ""];
    let mut state: u64 = 7;
    for _ in 0..20_000 {
        let mut path = String::new();
        for _ in 0..6 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            path.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        assert!(!name(&path).workload.is_empty(), "{path}");
    }
}

#[test]
fn what_lies_inside_a_workload_is_nested() {
    for (path, nested) in [
        ("/system.slice/nginx.service", false),
        ("/system.slice/nginx.service/worker", true),
        ("/lxc/web/a/b", true),
        ("/lxc/web", false),
        ("/system.slice", false),
        ("/a/b", false),
        ("/", false),
    ] {
        assert_eq!(is_nested(path), nested, "{path}");
    }
}
