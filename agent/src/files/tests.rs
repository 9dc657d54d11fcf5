use std::fs;
use std::path::Path;

use super::{Roots, Usage};
use crate::kernel::mounts::Mounts;
use crate::window::sample::{CgroupEvent, Owner};
use proto::v1::UsageRow;

struct Tree {
    root: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree = Self { root: tempfile::tempdir().unwrap() };
        for directory in ["v2/a", "v1/memory/a", "v1/pids/a", "v1/cpu/a", "proc/5"] {
            fs::create_dir_all(tree.root.path().join(directory)).unwrap();
        }
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn cpu(&self, micros: u64) {
        self.write("v2/a/cpu.stat", &format!("usage_usec {micros}\nuser_usec {micros}\nsystem_usec 0\n"));
    }

    fn usage(&self, has_v2: bool) -> Usage {
        let at = |path: &str| self.root.path().join(path);
        let v1 = ["memory", "pids", "cpu", "cpuacct"].map(|name| (name.to_owned(), at("v1").join(name)));
        let mounts =
            Mounts { cgroup2: has_v2.then(|| at("v2")), v1: v1.into_iter().collect(), ..Mounts::default() };
        let roots = Roots { mounts, proc: at("proc"), max_open: 4, ticks_per_second: 100, page_bytes: 4096 };
        Usage::new(roots)
    }
}

fn made() -> CgroupEvent {
    CgroupEvent::Made { id: 9, path: "/a".into() }
}

fn row_of(rows: Vec<(Owner, UsageRow)>, owner: &Owner) -> Option<UsageRow> {
    rows.into_iter().find(|(of, _)| of == owner).map(|(_, row)| row)
}

#[test]
fn only_what_was_used_since_the_agent_saw_it_counts() {
    let tree = Tree::new();
    tree.cpu(1000);
    let mut usage = tree.usage(true);
    usage.apply(&made(), false);
    assert!(row_of(usage.read(), &Owner::Workload(9)).is_none());
    tree.cpu(1500);
    let row = row_of(usage.read(), &Owner::Workload(9)).unwrap();
    assert_eq!((row.cpu_usage_ns, row.memory_current, row.psi_io_some_us), (Some(500_000), None, None));
}

#[test]
fn a_newborn_cgroup_counts_from_zero_and_one_that_fell_counts_anew() {
    let tree = Tree::new();
    tree.cpu(700);
    let mut usage = tree.usage(true);
    usage.apply(&made(), true);
    assert_eq!(row_of(usage.read(), &Owner::Workload(9)).unwrap().cpu_usage_ns, Some(700_000));
    tree.cpu(300);
    assert_eq!(row_of(usage.read(), &Owner::Workload(9)).unwrap().cpu_usage_ns, Some(300_000));
}

#[test]
fn hybrid_hosts_join_memory_of_v1_by_path() {
    let tree = Tree::new();
    tree.cpu(0);
    tree.write("v1/memory/a/memory.usage_in_bytes", "5000\n");
    tree.write("v1/memory/a/memory.stat", "cache 1\ntotal_inactive_file 1000\n");
    tree.write("v1/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    tree.write("v1/memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
    tree.write("v1/pids/a/pids.current", "3\n");
    tree.write("v1/pids/a/pids.max", "max\n");
    tree.write("v1/cpu/a/cpu.stat", "nr_periods 4\nnr_throttled 2\nthrottled_time 77\n");
    tree.write("v1/cpu/a/cpu.cfs_quota_us", "150000\n");
    tree.write("v1/cpu/a/cpu.cfs_period_us", "100000\n");
    let mut usage = tree.usage(true);
    usage.apply(&made(), true);
    let row = row_of(usage.read(), &Owner::Workload(9)).unwrap();
    assert_eq!(
        (row.memory_current, row.memory_working_set, row.memory_limit),
        (Some(5000), Some(4000), None)
    );
    assert_eq!((row.pids_current, row.pids_limit, row.memory_events_oom_kill), (Some(3), None, Some(2)));
    assert_eq!((row.cpu_throttled_periods, row.cpu_throttled_ns), (Some(2), Some(77)));
    assert_eq!((row.cpu_limit_cores, row.cpu_usage_ns), (Some(1.5), Some(0)));
}

#[test]
fn v1_only_hosts_have_cpu_too() {
    let tree = Tree::new();
    tree.write("v1/cpuacct/a/cpuacct.usage", "12345\n");
    let mut usage = tree.usage(false);
    usage.apply(&made(), true);
    let row = row_of(usage.read(), &Owner::Workload(9)).unwrap();
    assert_eq!((row.cpu_usage_ns, row.cpu_user_ns), (Some(12_345), None));
}

#[test]
fn a_cgroup_that_vanished_is_billed_by_the_ends_of_its_processes() {
    let tree = Tree::new();
    let mut usage = tree.usage(true);
    fs::remove_dir(tree.root.path().join("v2/a")).unwrap();
    usage.apply(&made(), true);
    usage.exited(9, 4_000);
    usage.exited(9, 5_000);
    usage.read_stale(8);
    usage.apply(&CgroupEvent::Removed { id: 9 }, false);
    assert_eq!(row_of(usage.read(), &Owner::Workload(9)).unwrap().cpu_usage_ns, Some(9_000));
    assert_eq!(usage.sizes(), (0, 0));
}

#[test]
fn a_reading_before_the_end_counts_once() {
    let tree = Tree::new();
    tree.cpu(40);
    let mut usage = tree.usage(true);
    usage.apply(&made(), true);
    usage.exited(9, 38_000);
    usage.read_stale(8);
    usage.apply(&CgroupEvent::Removed { id: 9 }, false);
    assert_eq!(row_of(usage.read(), &Owner::Workload(9)).unwrap().cpu_usage_ns, Some(40_000));
}

fn process(tree: &Tree, pid: u32, comm: &str, ticks: u64) {
    let stat = format!("{pid} ({comm}) S 1 1 1 0 -1 4194304 1 0 0 0 {ticks} 0 0 0 20 0 2 0 50 1000 3 1 1");
    tree.write(&format!("proc/{pid}/stat"), &stat);
    tree.write(&format!("proc/{pid}/io"), &format!("rchar: 1\nread_bytes: {}\nwrite_bytes: 0\n", ticks * 10));
}

#[test]
fn root_tasks_are_summed_by_executable() {
    let tree = Tree::new();
    tree.write("v2/cgroup.procs", "5\n6\n");
    process(&tree, 5, "sshd", 10);
    process(&tree, 6, "sshd", 20);
    let mut usage = tree.usage(true);
    let owner = Owner::Host("sshd".into());
    let first = row_of(usage.read(), &owner).unwrap();
    assert_eq!(
        (first.cpu_usage_ns, first.memory_current, first.pids_current),
        (None, Some(6 * 4096), Some(4))
    );
    process(&tree, 5, "sshd", 12);
    usage.host_exited(6, "sshd", 250_000_000);
    tree.write("v2/cgroup.procs", "5\n");
    let row = row_of(usage.read(), &owner).unwrap();
    assert_eq!((row.cpu_usage_ns, row.io_read_bytes), (Some(20_000_000 + 50_000_000), Some(20)));
}

#[test]
fn descriptors_stay_within_the_budget() {
    let tree = Tree::new();
    let mut usage = tree.usage(true);
    for id in 10..30 {
        let path = format!("/c{id}");
        for file in ["cpu.stat", "memory.current", "pids.current"] {
            tree.write(&format!("v2{path}/{file}"), "1\n");
        }
        usage.apply(&CgroupEvent::Made { id, path }, true);
    }
    usage.read();
    assert!(usage.sizes().1 <= 4, "{:?}", usage.sizes());
    assert!(Path::new("/proc/self/fd").is_dir());
}
