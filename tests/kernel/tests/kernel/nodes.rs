//! Two nodes on one kernel, as in kind: each agent tells what runs below its own node's cgroup, and nothing else.

use std::collections::BTreeSet;

use agent::probe::{cgroups, flows, process, sched, syscalls};
use agent::window::sample::{CgroupEvent, Owner, Row};

use crate::cgroup::Cgroup;
use crate::child;
use crate::flows::traffic::Traffic;
use crate::netns::{Host, Network};
use crate::node::Node;
use crate::probes::{Attached, eventually};
use crate::requires::{Need, requires};

/// Whose rows these may be: the node's cgroups, and the names of tasks in its root.
#[track_caller]
fn assert_own(node: &Node, attached: &Attached) {
    let own = [node.root.id(), node.pod.id()];
    for sample in &attached.sink.samples {
        let is_own = matches!(&sample.owner, Owner::Workload(id) if own.contains(id));
        assert!(is_own, "{:?} is none of {own:?}: {:?}", sample.owner, sample.row);
    }
}

/// A node below another cgroup.
fn part(lab: &Cgroup, name: &str, host_owner: Option<bool>) -> Node {
    let node = Node::new(lab.child(name).unwrap(), host_owner);
    assert_eq!(node.features.node.level, 2);
    node
}

struct Two {
    one: Node,
    two: Node,
    /// Removed last: the others lie in it.
    _lab: Cgroup,
}

impl Two {
    fn new(test: &str, more: &[Need]) -> Option<Self> {
        let needs = [&[Need::Root, Need::Btf, Need::Cgroup2], more].concat();
        if !requires(test, &needs) {
            return None;
        }
        let lab = Cgroup::new(crate::features(), "lab").unwrap();
        Some(Self { one: part(&lab, "node1", None), two: part(&lab, "node2", None), _lab: lab })
    }
}

#[test]
fn syscalls_and_switches_are_told_by_their_own_node_alone() {
    let Some(Two { _lab, one, two }) =
        Two::new("syscalls_and_switches_are_told_by_their_own_node_alone", &[])
    else {
        return;
    };
    for probe in [&syscalls::PROBE, &sched::PROBE] {
        let (mut first, mut second) = (one.attach(probe), two.attach(probe));
        for (node, calls) in [(&one, "syscalls 4000"), (&two, "syscalls 8000")] {
            let status = node.pod.enter(&mut child::command(calls)).status().unwrap();
            assert!(status.success());
            // and nobody's
            assert!(child::command("syscalls 400").status().unwrap().success());
        }
        first.drain();
        second.drain();
        for (node, attached, calls) in [(&one, &first, 4_000), (&two, &second, 8_000)] {
            assert_own(node, attached);
            let counted: u64 = attached
                .rows(node.pod.id())
                .map(|row| match row {
                    Row::Syscall(row) if row.syscall == "getpgid" => row.count,
                    Row::RunQueue(row) => calls * u64::from(row.voluntary + row.involuntary > 0),
                    _ => 0,
                })
                .sum();
            assert_eq!(counted, calls, "{}", probe.name);
        }
    }
}

#[test]
fn processes_are_told_by_their_own_node_alone() {
    let Some(Two { _lab, one, two }) = Two::new("processes_are_told_by_their_own_node_alone", &[]) else {
        return;
    };
    let (mut first, mut second) = (one.attach(&process::PROBE), two.attach(&process::PROBE));
    let mut pids = Vec::new();
    for (node, code) in [(&one, 11), (&two, 12)] {
        let mut command = child::command(&format!("sleep_and_exit {code}"));
        let mut child = node.pod.enter(&mut command).spawn().unwrap();
        pids.push((child.id(), code));
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(child::command("sleep_and_exit 0").status().unwrap().success());
        // killed from outside of any node
        let mut killed = node.pod.enter(&mut child::command("sleep_ms 60000")).spawn().unwrap();
        killed.kill().unwrap();
        assert!(killed.wait().is_ok());
    }
    for (node, attached, (pid, code)) in [(&one, &mut first, pids[0]), (&two, &mut second, pids[1])] {
        let mut events = BTreeSet::new();
        eventually("exit and kill", || {
            attached.drain();
            for row in attached.rows(node.pod.id()) {
                if let Row::Process(row) = row {
                    events.insert((row.event.clone(), row.exit_code, row.exit_signal));
                }
            }
            ["signal", "exit"].iter().all(|event| events.contains(&((*event).to_owned(), None, Some(9))))
        });
        assert_own(node, attached);
        assert!(events.contains(&("exit".to_owned(), Some(code), None)), "{pid}: {events:?}");
    }
}

#[test]
fn cgroups_are_told_by_their_own_node_with_paths_from_its_root() {
    let Some(Two { _lab, one, two }) =
        Two::new("cgroups_are_told_by_their_own_node_with_paths_from_its_root", &[])
    else {
        return;
    };
    let (mut first, mut second) = (one.attach(&cgroups::PROBE), two.attach(&cgroups::PROBE));
    let nobodys = Cgroup::new(crate::features(), "nobodys").unwrap();
    let (left, right) = (one.pod.child("left").unwrap(), two.pod.child("right").unwrap());
    let made = |id, path: &str| CgroupEvent::Made { id, path: path.to_owned() };
    let expected = [
        vec![made(left.id(), "/pod/left"), CgroupEvent::Removed { id: left.id() }],
        vec![made(right.id(), "/pod/right"), CgroupEvent::Removed { id: right.id() }],
    ];
    drop((left, right, nobodys));
    for (attached, expected) in [(&mut first, &expected[0]), (&mut second, &expected[1])] {
        eventually("both events", || {
            attached.poll();
            attached.sink.cgroups.len() >= 2
        });
        assert_eq!(&attached.sink.cgroups, expected);
    }
}

#[test]
fn both_ends_of_a_connection_are_told_each_by_its_own_node() {
    let tools = [Need::Tool("ip"), Need::Tool("nft")];
    let Some(Two { _lab, one, two }) =
        Two::new("both_ends_of_a_connection_are_told_each_by_its_own_node", &tools)
    else {
        return;
    };
    let (mut first, mut second) = (one.attach(&flows::PROBE), two.attach(&flows::PROBE));
    let network = Network::new();
    let mut client = Traffic::start(&network, Host::Client, &one.pod);
    let mut server = Traffic::start(&network, Host::Server, &two.pod);
    server.ask("tcp-serve 0.0.0.0:8080");
    client.ask("tcp 10.77.2.2:8080 3 1000 2000");
    client.ask("refused 10.77.2.2:8081");
    let mut sums = [(0, 0, 0, 0), (0, 0, 0, 0)];
    eventually("three ends on both sides", || {
        for (sum, attached) in sums.iter_mut().zip([&mut first, &mut second]) {
            attached.drain();
            *sum = (0, 0, 0, 0);
            for sample in &attached.sink.samples {
                if let Row::Flow(row) = &sample.row {
                    sum.0 += row.connects;
                    sum.1 += row.accepts;
                    sum.2 += row.failures;
                    sum.3 += row.closes;
                }
            }
        }
        sums.iter().all(|sum| sum.3 >= 3)
    });
    assert_eq!(sums, [(3, 0, 1, 3), (0, 3, 0, 3)]);
    assert_own(&one, &first);
    assert_own(&two, &second);
    drop((client, server, network));
}

#[test]
fn what_belongs_to_no_node_is_told_by_the_host_owner_alone() {
    const NAME: &str = "what_belongs_to_no_node_is_told_by_the_host_owner_alone";
    if !requires(NAME, &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    let lab = Cgroup::new(crate::features(), "lab").unwrap();
    let (owner, other) = (part(&lab, "owner", Some(true)), part(&lab, "other", None));
    let machine = crate::features().cgroup2.clone().unwrap();
    let beside = lab.child("beside").unwrap();
    let (mut first, mut second) = (owner.attach(&syscalls::PROBE), other.attach(&syscalls::PROBE));
    assert!(Cgroup::enter_at(&machine, &mut child::command("syscalls 4000")).status().unwrap().success());
    // a cgroup that is neither a node's nor the machine's root
    assert!(beside.enter(&mut child::command("syscalls 4000")).status().unwrap().success());
    first.drain();
    second.drain();
    let calls = |attached: &Attached| -> u64 {
        let of = attached.sink.samples.iter().filter_map(|sample| match &sample.row {
            Row::Syscall(row) if row.syscall == "fchdir" => Some(row.count),
            _ => None,
        });
        of.sum()
    };
    // other tests run in the machine's root as well
    assert!(calls(&first) >= 1_000, "{}", calls(&first));
    assert_eq!(first.rows(beside.id()).count(), 0);
    assert_own(&other, &second);
}
