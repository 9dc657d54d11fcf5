//! The end: in time, in order, with nothing left in the kernel.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::fleet::{Fleet, Part, skip};

#[test]
fn both_end_in_time_and_what_was_read_before_is_kept() {
    let mut fleet = Fleet::logs_only();
    fleet.start(Part::Aggregator);
    fleet.start(Part::Agent);
    fleet.ready(Part::Aggregator);
    fleet.attached();
    fleet.write_lines("app.log", 3000);
    let agent = fleet.stop(Part::Agent);
    let aggregator = fleet.stop(Part::Aggregator);
    assert!(agent < Duration::from_secs(5), "the agent took {agent:?}");
    assert!(aggregator < Duration::from_secs(5), "the aggregator took {aggregator:?}");
    fleet.start(Part::Aggregator);
    fleet.start(Part::Agent);
    fleet.ready(Part::Aggregator);
    fleet.expect_every_line_once();
}

#[test]
fn the_agent_leaves_no_program_and_no_file_behind() {
    let test = "shutdown::the_agent_leaves_no_program_and_no_file_behind";
    if !rustix::process::geteuid().is_root() {
        return skip(test, "needs root to load programs");
    }
    let Some(cgroup) = Cgroup::new() else {
        return skip(test, "no cgroup2 hierarchy in which a directory can be made");
    };
    let pinned_before = pinned();
    let mut fleet = Fleet::new(&format!("{{flows: {{enabled: true, cgroup: {}}}}}", cgroup.0.display()));
    fleet.start(Part::Aggregator);
    fleet.start(Part::Agent);
    fleet.ready(Part::Agent);
    fleet.attached();
    let pid = fleet.pid(Part::Agent);
    let programs = fleet.poll("programs of the agent", || {
        let programs = programs_of(pid);
        (!programs.is_empty() && fleet.admin("/probes")?.contains("\"running\"")).then_some(programs)
    });
    fleet.stop(Part::Agent);
    fleet.poll("the kernel to free every program", || {
        let loaded: BTreeSet<u32> =
            aya::programs::loaded_programs().flatten().map(|program| program.id()).collect();
        loaded.is_disjoint(&programs).then_some(())
    });
    assert_eq!(pinned(), pinned_before);
}

#[test]
fn every_probe_says_how_it_is_and_the_aggregator_knows() {
    if !rustix::process::geteuid().is_root() {
        return skip(
            "shutdown::every_probe_says_how_it_is_and_the_aggregator_knows",
            "needs root to load programs",
        );
    }
    let Some(cgroup) = Cgroup::new() else {
        return skip("shutdown::every_probe_says_how_it_is_and_the_aggregator_knows", "no cgroup2 hierarchy");
    };
    let mut fleet = Fleet::new(&format!(
        "{{flows: {{enabled: true, cgroup: {}}}, block: {{enabled: false}}, requests: {{enabled: true}}}}",
        cgroup.0.display()
    ));
    fleet.start(Part::Aggregator);
    fleet.start(Part::Agent);
    fleet.ready(Part::Aggregator);
    let probes = fleet.poll("the agent's probes in wake status", || {
        let status = fleet.rows(&["status"])?;
        let probes = status[0]["agents"][0]["probes"].as_array()?.clone();
        (probes.len() >= 9).then_some(probes)
    });
    for probe in &probes {
        let (name, state) = (probe["probe"].as_str().unwrap(), probe["state"].as_str().unwrap());
        assert!(["running", "disabled", "unsupported", "failed"].contains(&state), "{name}: {state}");
        assert!(
            state == "running" || !probe["reason"].as_str().unwrap().is_empty(),
            "{name} is {state} without a reason"
        );
        // on which kernels it is to run at all is the probe's own decision
        if name != "tls" {
            assert_eq!(name == "block", state == "disabled", "{name} is {state}");
        }
    }
    let usage = fleet
        .poll("usage of some workload", || fleet.rows(&["top", "--once"]).filter(|rows| !rows.is_empty()));
    assert!(usage.iter().any(|row| row["cpu_cores"].as_f64().is_some()), "{usage:?}");
}

/// A cgroup of the test's own.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let mount = mounts
            .lines()
            .find(|line| line.split(' ').nth(2) == Some("cgroup2"))?
            .split(' ')
            .nth(1)?
            .to_owned();
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = PathBuf::from(mount).join(format!("wake-e2e-{}-{number}", std::process::id()));
        fs::create_dir(&dir).ok()?;
        Some(Self(dir))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).ok();
    }
}

/// The ids of the programs that a process holds.
fn programs_of(pid: u32) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        ids.extend(text.lines().filter_map(|line| line.strip_prefix("prog_id:")?.trim().parse::<u32>().ok()));
    }
    ids
}

/// What is pinned in the BPF file system, where it is mounted.
fn pinned() -> BTreeSet<PathBuf> {
    fs::read_dir("/sys/fs/bpf").into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
