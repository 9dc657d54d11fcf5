//! Usage from real cgroup files, and names from real cgroup events, against ground truth.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::driver::Driver;
use agent::driver::budget::Budget;
use agent::driver::events::Exits;
use agent::driver::nat::Nat;
use agent::driver::states::States;
use agent::driver::tree::Tree;
use agent::export::writer::Item;
use agent::files::addresses::Addresses;
use agent::files::{Roots, Usage};
use agent::identity::{Identities, NodeName};
use agent::kernel::Settings;
use agent::kernel::mounts::mounts;
use agent::logs::redact::Rules;
use agent::metrics::AgentMetrics;
use agent::metrics::workloads::Workloads;
use agent::probe::{Probe, cgroups, process};
use agent::window::assemble::{Assembler, Named};
use agent::window::sample::{CgroupEvent, Owner, Row};
use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::shutdown::Shutdown;
use proto::v1::UsageRow;

use crate::cgroup::Cgroup;
use crate::child;
use crate::requires::{Need, emulated, requires};

/// Cgroup events and process ends: what names and bills the short-lived.
const PROBES: &[Probe] = &[cgroups::PROBE, process::PROBE];

fn reader() -> Usage {
    let mounts = mounts(&std::fs::read_to_string("/proc/self/mountinfo").unwrap(), None);
    let proc = PathBuf::from("/proc");
    Usage::new(Roots { mounts, proc, max_open: 64, ticks_per_second: 100, page_bytes: 4096 })
}

fn row_of(rows: Vec<(Owner, UsageRow)>, id: u64) -> UsageRow {
    rows.into_iter().find(|(owner, _)| *owner == Owner::Workload(id)).map(|(_, row)| row).unwrap_or_default()
}

#[track_caller]
fn within(measured: u64, truth: u64, share: f64) {
    let error = (measured as f64 - truth as f64).abs() / truth as f64;
    assert!(error <= share, "measured {measured}, truth {truth}: {:.2} % off", error * 100.0);
}

#[test]
fn known_cpu_burn_is_within_two_percent() {
    if !requires("known_cpu_burn_is_within_two_percent", &[Need::Root, Need::Cgroup2]) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "burn").unwrap();
    let mut usage = reader();
    usage.apply(&CgroupEvent::Made { id: cgroup.id(), path: cgroup.path() }, true);
    let mut truth = 0;
    let mut measured = 0;
    for _ in 0..2 {
        let mut child = cgroup.enter(&mut child::command("burn_ms 1500")).spawn().unwrap();
        truth += child::wait(&mut child).cpu_ns;
        measured += row_of(usage.read(), cgroup.id()).cpu_usage_ns.unwrap();
    }
    within(measured, truth, 0.02);
}

/// Runs the probe thread until `done` says that its rows suffice, and stops it.
fn with_driver(work: impl FnOnce(), mut done: impl FnMut(&[Named]) -> bool) -> Vec<Named> {
    let registry = Registry::new();
    let metrics = AgentMetrics::register(&registry);
    let states = States::new(metrics.clone());
    let features = crate::features();
    let node = NodeName { node: "host".into(), ..NodeName::default() };
    let (items, mut queue) = tokio::sync::mpsc::channel(1024);
    let driver = Driver {
        probes: PROBES,
        settings: Settings { window_seconds: 1, ..Settings::default() },
        states: states.clone(),
        identities: Arc::new(Mutex::new(Identities::new(node, features.root_cgroup_id))),
        tree: features.cgroup2.clone().map(Tree::new),
        usage: Some(reader()),
        assembler: Assembler::new(10_000, 1),
        rules: Arc::new(Rules::build(&[]).unwrap()),
        items: Some(items),
        workloads: Workloads::new(100, 10, Duration::from_secs(60)),
        ledger: metrics.ledger.clone(),
        metrics,
        health: daemon::admin::Health::new(),
        addresses: Addresses::new("/proc".into()),
        budget: Budget::new(Duration::from_secs(64)),
        nat: Nat::default(),
        exits: Exits::default(),
        clock: Clock::system(),
    };
    let shutdown = Shutdown::new(Duration::from_secs(5));
    let stopping = shutdown.clone();
    let thread = std::thread::spawn(move || driver.run(&stopping));
    crate::probes::eventually("the probes run", || {
        states.is_running("process") && states.is_running("cgroups")
    });
    work();
    let mut rows = Vec::new();
    crate::probes::eventually("the rows have come", || {
        while let Ok(item) = queue.try_recv() {
            if let Item::Rows(mut more) = item {
                rows.append(&mut more);
            }
        }
        done(&rows)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(shutdown.run()).is_empty());
    thread.join().unwrap();
    while let Ok(item) = queue.try_recv() {
        if let Item::Rows(mut more) = item {
            rows.append(&mut more);
        }
    }
    rows
}

#[test]
fn a_cgroup_that_lived_a_moment_is_named_and_billed() {
    let name = "a_cgroup_that_lived_a_moment_is_named_and_billed";
    if !requires(name, &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    // the last reading is the exit event, which comes before the kernel has torn the process down: 4 % of 10 ms of
    // work here, 60 ms of any work where a busy machine emulates this one
    let burn = if emulated() { "burn_ms 500" } else { "burn_ms 50" };
    let mut truth = 0;
    let mut paths = Vec::new();
    let mut ids = Vec::new();
    let work = || {
        for _ in 0..5 {
            let cgroup = Cgroup::new(crate::features(), "moment").unwrap();
            let mut child = cgroup.enter(&mut child::command(burn)).spawn().unwrap();
            truth += child::wait(&mut child).cpu_ns;
            paths.push(cgroup.path());
            ids.push(cgroup.id());
        }
    };
    // what is made and removed within one window has usage rows only at its end
    let is_exit = |named: &Named| matches!(&named.row, Row::Process(row) if row.event == "exit");
    let mut seen = 0;
    let rows = with_driver(work, |rows| {
        let exits =
            rows.iter().filter(|named| is_exit(named) && named.identity.workload.contains("-moment")).count();
        seen += usize::from(exits >= 5);
        seen > 0
    });
    for (path, id) in paths.iter().zip(&ids) {
        let exit = rows.iter().find(|named| is_exit(named) && named.identity.cgroup_id == *id);
        assert_eq!(exit.map(|named| named.identity.workload.as_str()), Some(path.as_str()));
    }
    let billed: u64 = rows
        .iter()
        .filter(|named| ids.contains(&named.identity.cgroup_id))
        .filter_map(|named| match &named.row {
            Row::Usage(row) => row.cpu_usage_ns,
            _ => None,
        })
        .sum();
    within(billed, truth, 0.25);
}
