use std::os::unix::fs::MetadataExt as _;

use super::NodeView;

#[track_caller]
fn check(view: &NodeView, path: &str, holds: bool, relative: Option<&str>) {
    assert_eq!((view.holds(path), view.relative(path).as_deref()), (holds, relative), "{path}");
}

#[test]
fn on_a_kernel_of_its_own_everything_is_the_nodes() {
    let view = NodeView::new("/");
    check(&view, "/", true, Some("/"));
    check(&view, "/system.slice/a.service", true, Some("/system.slice/a.service"));
}

#[test]
fn in_the_nodes_namespace_what_is_above_is_anothers() {
    let view = NodeView::new("/");
    check(&view, "/../node2/kubepods/x", false, None);
    check(&view, "/..", false, None);
}

#[test]
fn seen_from_outside_the_path_begins_with_the_nodes() {
    let view = NodeView::new("/lab/node1");
    check(&view, "/lab/node1/kubepods/x", true, Some("/kubepods/x"));
    check(&view, "/lab/node1", true, Some("/"));
    check(&view, "/lab/node10/x", false, None);
    check(&view, "/", false, None);
}

#[test]
fn seen_from_inside_a_container_names_above_are_found_on_disk() {
    let node = tempfile::tempdir().unwrap();
    let own = node.path().join("kubepods/pod1/agent");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::create_dir_all(node.path().join("kubepods/pod2")).unwrap();
    let unknown = NodeView::new("/../../..");
    check(&unknown, "/../../pod2/web", true, None);
    check(&unknown, "/../../../../node2/x", false, None);
    let view = unknown.find_own(node.path(), std::fs::metadata(&own).unwrap().ino());
    check(&view, "/../../pod2/web", true, Some("/kubepods/pod2/web"));
    check(&view, "/../../../system.slice/kubelet.service", true, Some("/system.slice/kubelet.service"));
    check(&view, "/../../..", true, Some("/"));
    check(&view, "/", true, Some("/kubepods/pod1/agent"));
    check(&view, "/../../../..", false, None);
}
