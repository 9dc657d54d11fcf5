//! cgroups: born, used and gone within 100 ms, and still named.

use std::time::Duration;

use agent::identity::{Identities, NodeName};
use agent::kernel::Settings;
use agent::probe::{cgroups, process};
use agent::window::sample::{CgroupEvent, Owner, Row};

use crate::cgroup::Cgroup;
use crate::child;
use crate::probes::{Attached, eventually};
use crate::requires::{Need, requires};

#[test]
fn a_process_of_50_ms_in_a_cgroup_of_100_ms_has_its_name() {
    if !requires(
        "a_process_of_50_ms_in_a_cgroup_of_100_ms_has_its_name",
        &[Need::Root, Need::Btf, Need::Cgroup2],
    ) {
        return;
    }
    let mut names = Attached::new(&cgroups::PROBE, &Settings::default());
    let mut processes = Attached::new(&process::PROBE, &Settings::default());
    let cgroup = Cgroup::new(crate::features(), "brief").unwrap();
    let (id, path) = (cgroup.id(), cgroup.path());
    let mut child = cgroup.enter(&mut child::command("sleep_ms 50")).spawn().unwrap();
    let pid = child.id();
    assert!(child.wait().unwrap().success());
    drop(cgroup);
    eventually("birth and death of the cgroup", || {
        names.poll();
        names.sink.cgroups.contains(&CgroupEvent::Removed { id })
    });
    processes.drain();
    let made =
        names.sink.cgroups.iter().position(|event| *event == CgroupEvent::Made { id, path: path.clone() });
    let removed = names.sink.cgroups.iter().position(|event| *event == CgroupEvent::Removed { id });
    assert!(made.is_some() && made < removed, "{made:?} {removed:?}");
    let node = NodeName { node: "here".into(), ..NodeName::default() };
    let mut identities = Identities::new(node, crate::features().root_cgroup_id);
    for event in &names.sink.cgroups {
        identities.apply(event, Duration::ZERO);
    }
    let identity = identities.resolve(&Owner::Workload(id)).expect("a name after its end");
    assert!(identity.workload.contains("brief"), "{identity:?}");
    let exits = processes
        .rows(id)
        .filter(|row| matches!(row, Row::Process(row) if row.event == "exit" && row.pid == pid));
    assert_eq!(exits.count(), 1, "its exit is booked to the cgroup that is gone");
}

#[test]
fn every_one_of_many_births_and_deaths_is_told_in_order() {
    if !requires(
        "every_one_of_many_births_and_deaths_is_told_in_order",
        &[Need::Root, Need::Btf, Need::Cgroup2],
    ) {
        return;
    }
    let mut names = Attached::new(&cgroups::PROBE, &Settings::default());
    let mut expected = Vec::new();
    for _ in 0..200 {
        let cgroup = Cgroup::new(crate::features(), "many").unwrap();
        expected.push(CgroupEvent::Made { id: cgroup.id(), path: cgroup.path() });
        expected.push(CgroupEvent::Removed { id: cgroup.id() });
        drop(cgroup);
        names.poll();
    }
    let last = expected.last().unwrap().clone();
    eventually("the last death", || {
        names.poll();
        names.sink.cgroups.contains(&last)
    });
    let told: Vec<&CgroupEvent> =
        names.sink.cgroups.iter().filter(|event| expected.contains(event)).collect();
    assert_eq!(told, expected.iter().collect::<Vec<_>>());
}
