use std::path::{Path, PathBuf};

use super::{Mounts, mounts};

const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
    33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
    40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\nnonsense\n";

/// A container in a cgroup namespace of its own, with the node's hierarchy by a host path.
const CONTAINER: &str = "50 40 0:25 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n\
    51 40 0:25 /../../../.. /host/cg\\040roup ro - cgroup2 cgroup rw\n\
    52 40 0:25 /../../sub /elsewhere ro - cgroup2 cgroup rw\n";

fn of(text: &str, wanted: Option<&str>) -> Mounts {
    mounts(text, wanted.map(Path::new))
}

#[track_caller]
fn check(text: &str, wanted: Option<&str>, cgroup2: Option<&str>, root: &str) {
    let found = of(text, wanted);
    assert_eq!((found.cgroup2, found.cgroup2_root.as_str()), (cgroup2.map(PathBuf::from), root));
}

#[test]
fn hybrid_mounts_are_told_apart() {
    let mounts = of(HYBRID, None);
    assert_eq!(mounts.cgroup2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
    assert_eq!(mounts.v1["cpuacct"], Path::new("/sys/fs/cgroup/cpu,cpuacct"));
    assert_eq!(mounts.v1["cpu"], Path::new("/sys/fs/cgroup/cpu,cpuacct"));
    assert!(!mounts.v1.contains_key("name=systemd"));
    assert_eq!(of(HYBRID, Some("/sys/fs/cgroup")), mounts);
    assert_eq!(of(HYBRID, Some("/sys/fs/cgroup/unified")), mounts);
    assert_eq!(of("nonsense", None), Mounts::default());
}

#[test]
fn the_whole_hierarchy_is_preferred_to_a_part_of_it() {
    let text = "26 30 0:23 /sub /somewhere rw - cgroup2 cgroup2 rw\n\
        27 30 0:23 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
    check(text, None, Some("/sys/fs/cgroup/unified"), "/");
}

#[test]
fn in_a_container_the_host_path_is_the_nodes() {
    check(CONTAINER, None, Some("/host/cg roup"), "/../../../..");
    check(CONTAINER, Some("/host"), Some("/host/cg roup"), "/../../../..");
    check(CONTAINER, Some("/sys/fs/cgroup"), Some("/sys/fs/cgroup"), "/");
    check(
        CONTAINER,
        Some("/host/cg roup/lab/node1"),
        Some("/host/cg roup/lab/node1"),
        "/../../../../lab/node1",
    );
    check(CONTAINER, Some("/nowhere"), None, "");
}

#[test]
fn a_directory_of_cgroup2_is_one_of_each_hierarchy() {
    let mounts = of(HYBRID, Some("/sys/fs/cgroup/unified/lab/node1"));
    assert_eq!(mounts.cgroup2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified/lab/node1")));
    assert_eq!(mounts.cgroup2_root, "/lab/node1");
    assert_eq!(mounts.v1["cpu"], Path::new("/sys/fs/cgroup/cpu,cpuacct/lab/node1"));
}
