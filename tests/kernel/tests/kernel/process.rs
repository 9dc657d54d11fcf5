//! Processes: every one is reported, however short its life. Each test on a node of its own: other tests fork in
//! thousands, and what does not fit the ring is counted, not told.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::process::{Child, Command};

use agent::probe::process::PROBE;
use agent::window::sample::Row;
use proto::v1::ProcessRow;

use crate::cgroup::Cgroup;
use crate::child;
use crate::node::Node;
use crate::probes::{Attached, eventually};
use crate::requires::{Need, requires, skip};

fn events<'a>(
    probe: &'a Attached,
    cgroup: &Cgroup,
    event: &'static str,
) -> impl Iterator<Item = &'a ProcessRow> {
    probe.rows(cgroup.id()).filter_map(move |row| match row {
        Row::Process(row) if row.event == event => Some(&**row),
        _ => None,
    })
}

#[test]
fn a_thousand_short_processes_are_all_reported() {
    if !requires("a_thousand_short_processes_are_all_reported", &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    let node = Node::alone("short");
    let (cgroup, mut probe) = (&node.pod, node.attach(&PROBE));
    let mut running: Vec<Child> = Vec::new();
    // the kernel gives a number out again where the machine forks much
    let mut codes: HashMap<u32, VecDeque<u32>> = HashMap::new();
    for number in 0..1_000_u32 {
        if running.len() >= 64 {
            assert!(running.remove(0).wait().is_ok());
            probe.poll();
        }
        let mut command = child::command(&format!("sleep_and_exit {}", number % 200));
        let child = cgroup.enter(&mut command).spawn().unwrap();
        codes.entry(child.id()).or_default().push_back(number % 200);
        running.push(child);
    }
    for mut child in running {
        assert!(child.wait().is_ok());
    }
    let exits = |probe: &Attached| events(probe, cgroup, "exit").count() as u64;
    // a kernel that can preempt programs (7.2) may skip a run, and counts it: told or in the ledger
    let skipped = |probe: &Attached| {
        probe
            .sink
            .losses
            .iter()
            .filter(|loss| loss.reason == "program_busy")
            .map(|loss| loss.count)
            .sum::<u64>()
    };
    eventually("1,000 exits", || {
        probe.drain();
        exits(&probe) + skipped(&probe) >= 1_000
    });
    let own = std::env::current_exe().unwrap();
    for row in events(&probe, cgroup, "exit") {
        let code =
            codes.get_mut(&row.pid).and_then(VecDeque::pop_front).expect("a process of this test, once");
        assert_eq!(row.exit_code, Some(code.cast_signed()));
        assert_eq!(row.exit_signal, None);
        // the kernel keeps 127 bytes of the path
        assert!(
            own.to_string_lossy().starts_with(&row.executable) && row.executable.len() > 8,
            "{}",
            row.executable
        );
        assert_eq!(row.parent_pid, std::process::id());
        assert_eq!(row.arguments.get(2).map(String::as_str), Some("child::work"));
        assert!(row.lifetime_ns.is_some_and(|life| (20_000_000..20_000_000_000).contains(&life)));
        assert!(row.memory_peak.is_some_and(|peak| peak > 100_000), "{:?}", row.memory_peak);
    }
    let (missing, skipped) = (codes.values().map(VecDeque::len).sum::<usize>() as u64, skipped(&probe));
    println!("processes\t{missing} missing\t{skipped} in the ledger");
    assert!(missing <= skipped, "{missing} processes are missing, {skipped} told as lost");
}

#[test]
fn a_killed_process_names_its_killer_and_a_long_one_its_exec() {
    if !requires(
        "a_killed_process_names_its_killer_and_a_long_one_its_exec",
        &[Need::Root, Need::Btf, Need::Cgroup2],
    ) {
        return;
    }
    let node = Node::alone("killed");
    let (cgroup, mut probe) = (&node.pod, node.attach(&PROBE));
    let mut child = cgroup.enter(&mut child::command("sleep_ms 60000")).spawn().unwrap();
    eventually("the exec of a process that lives on", || {
        probe.drain();
        events(&probe, cgroup, "exec").any(|row| row.pid == child.id())
    });
    probe.drain();
    assert_eq!(events(&probe, cgroup, "exec").filter(|row| row.pid == child.id()).count(), 1, "told once");
    child.kill().unwrap();
    assert!(child.wait().is_ok());
    probe.drain();
    let exit = events(&probe, cgroup, "exit").next().expect("an exit");
    assert_eq!((exit.pid, exit.exit_code, exit.exit_signal), (child.id(), None, Some(9)));
    let signal = events(&probe, cgroup, "signal").next().expect("a signal");
    assert_eq!((signal.pid, signal.exit_signal), (child.id(), Some(9)));
    assert_eq!(signal.sender_pid, Some(std::process::id()));
}

#[test]
fn cpu_time_of_short_burners_is_their_own() {
    if !requires("cpu_time_of_short_burners_is_their_own", &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    let node = Node::alone("burner");
    let (cgroup, mut probe) = (&node.pod, node.attach(&PROBE));
    let mut truth = 0;
    for _ in 0..20 {
        let mut child = cgroup.enter(&mut child::command("burn_ms 20")).spawn().unwrap();
        truth += child::wait(&mut child).cpu_ns;
    }
    probe.drain();
    let cpu: u64 = events(&probe, cgroup, "exit").filter_map(|row| row.cpu_ns).sum();
    println!("cpu of 20 burners\t{cpu}\trusage\t{truth}");
    // what the kernel still does after the exit event, the teardown of memory, is in rusage only
    assert!(cpu <= truth + truth / 50 && cpu >= truth - truth / 5, "{cpu} ns, rusage says {truth}");
}

#[test]
fn beyond_the_budget_ends_are_still_counted() {
    const NAME: &str = "beyond_the_budget_ends_are_still_counted";
    if !requires(NAME, &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    let node = Node::alone("flood");
    let (cgroup, mut probe) = (&node.pod, node.attach(&PROBE));
    let mut child = cgroup.enter(&mut child::command("forks 5000")).spawn().unwrap();
    let status = loop {
        probe.poll();
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success());
    probe.drain();
    let told: u64 = events(&probe, cgroup, "exit").map(|row| row.count).sum();
    assert_eq!(told, 5_001, "{:?}", probe.sink.losses);
    let alone = events(&probe, cgroup, "exit").filter(|row| row.pid != 0);
    for row in alone.filter(|row| row.pid != child.id()) {
        assert_eq!((row.exit_code, row.parent_pid), (Some(7), child.id()));
        assert!(row.executable.len() > 8, "what its parent runs: {}", row.executable);
    }
}

#[test]
fn a_victim_of_the_oom_killer_is_named() {
    const NAME: &str = "a_victim_of_the_oom_killer_is_named";
    if !requires(NAME, &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    let limited = match Limited::new(16 << 20) {
        Ok(limited) => limited,
        Err(reason) => return skip(NAME, &reason),
    };
    let mut probe = limited.node.attach(&PROBE);
    let mut command = child::command("eat_mib 256");
    let mut child = limited.enter(&mut command).spawn().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
    probe.drain();
    let killed = events(&probe, &limited.node.pod, "oom_kill").next().expect("an OOM kill");
    assert_eq!((killed.pid, killed.exit_signal), (child.id(), Some(9)));
    let exit = events(&probe, &limited.node.pod, "exit").next().expect("an exit");
    assert_eq!((exit.pid, exit.exit_signal), (child.id(), Some(9)));
}

/// A node whose pod has a memory limit: of cgroup2 where the controller is there, else beside it on cgroup v1.
struct Limited {
    node: Node,
    old: Option<PathBuf>,
}

impl Limited {
    fn new(bytes: u64) -> Result<Self, String> {
        let hierarchy = crate::features().cgroup2.as_deref().ok_or("no cgroup2")?;
        let node = Node::alone("limited");
        // fails where the controller is on v1, or is enabled already
        for parent in [hierarchy, node.root.directory()] {
            drop(std::fs::write(parent.join("cgroup.subtree_control"), "+memory"));
        }
        if std::fs::write(node.pod.directory().join("memory.max"), bytes.to_string()).is_ok() {
            drop(std::fs::write(node.pod.directory().join("memory.swap.max"), "0"));
            return Ok(Self { node, old: None });
        }
        let old = PathBuf::from("/sys/fs/cgroup/memory").join(node.root.path().trim_start_matches('/'));
        std::fs::create_dir(&old).map_err(|error| format!("no memory controller: {error}"))?;
        let limited = Self { node, old: Some(old.clone()) };
        std::fs::write(old.join("memory.limit_in_bytes"), bytes.to_string())
            .map_err(|error| format!("no memory limit: {error}"))?;
        // without swap accounting the file is not there
        drop(std::fs::write(old.join("memory.memsw.limit_in_bytes"), bytes.to_string()));
        Ok(limited)
    }

    fn enter<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let command = self.node.pod.enter(command);
        match &self.old {
            Some(old) => Cgroup::enter_at(old, command),
            None => command,
        }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        if let Some(old) = &self.old {
            drop(std::fs::remove_dir(old));
        }
    }
}
