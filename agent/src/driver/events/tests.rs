use agent_common::workload::{COMM_LEN, host_key};
use proto::v1;

use super::{Exits, MAX_UNNAMED};
use crate::files::{Roots, Usage};
use crate::identity::{Identities, NodeName};
use crate::kernel::mounts::Mounts;
use crate::window::sample::{CgroupEvent, Owner, Row, Sample};

const MS: u64 = 1_000_000;

struct Bench {
    usage: Usage,
    table: Identities,
    exits: Exits,
    _root: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("cgroup.procs"), "").unwrap();
        let mounts = Mounts { cgroup2: Some(root.path().into()), ..Mounts::default() };
        let proc = root.path().join("proc");
        let roots = Roots { mounts, proc, max_open: 4, ticks_per_second: 100, page_bytes: 4096 };
        let table = Identities::new(NodeName::default(), 1);
        Self { usage: Usage::new(roots), table, exits: Exits::default(), _root: root }
    }

    fn ended(&mut self, key: u64, executable: &str, cpu_ms: u64) {
        let row = v1::ProcessRow {
            event: "exit".into(),
            executable: executable.into(),
            cpu_ns: Some(cpu_ms * MS),
            ..Default::default()
        };
        let event = Sample { owner: Owner::Workload(key), row: Row::Process(Box::new(row)) };
        self.exits.book(&mut self.usage, &mut self.table, &[event]);
    }

    /// Milliseconds per name at the window's end.
    fn close(&mut self) -> Vec<(String, u64)> {
        self.exits.book(&mut self.usage, &mut self.table, &[]);
        self.exits.close(&mut self.usage);
        let name = |owner| match owner {
            Owner::Host(comm) => comm,
            other => panic!("{other:?}"),
        };
        let rows = self.usage.read().into_iter();
        let mut rows: Vec<_> =
            rows.map(|(owner, row)| (name(owner), row.cpu_usage_ns.unwrap_or(0) / MS)).collect();
        rows.sort();
        rows
    }
}

fn key(name: &str) -> u64 {
    let mut comm = [0; COMM_LEN];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    host_key(&comm)
}

#[test]
fn the_first_short_run_of_an_executable_is_billed_to_it() {
    let mut bench = Bench::new();
    bench.ended(key("python3"), "/usr/bin/python3.12", 40);
    // the executable is called as its task: known at once
    bench.ended(key("cc1"), "/usr/bin/cc1", 30);
    bench.ended(key("ghost"), "", 5);
    let comm = CgroupEvent::HostComm { key: key("python3"), comm: "python3".into() };
    bench.table.apply(&comm, std::time::Duration::ZERO);
    let names = [("cc1", 30), ("other", 5), ("python3", 40)].map(|(name, ms)| (name.to_owned(), ms));
    assert_eq!(bench.close(), names);
    assert!(bench.close().is_empty(), "each end counts once");
}

#[test]
fn ends_without_a_name_are_bounded_and_not_lost() {
    let mut bench = Bench::new();
    for _ in 0..MAX_UNNAMED + 10 {
        bench.ended(key("ghost"), "", 1);
    }
    assert_eq!(bench.exits.unnamed.len(), MAX_UNNAMED);
    assert_eq!(bench.close(), [("other".to_owned(), MAX_UNNAMED as u64 + 10)]);
}
