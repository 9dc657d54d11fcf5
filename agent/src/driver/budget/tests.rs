use std::time::Duration;

use proto::v1;

use super::{Budget, in_programs};
use crate::driver::governor::Part;
use crate::window::sample::{Owner, Row, RunQueue, Sample};

#[test]
fn programs_are_charged_by_what_they_counted() {
    let rows = [
        Row::Flow(v1::FlowRow { packets_sent: 3, packets_received: 7, ..Default::default() }),
        Row::Syscall(v1::SyscallRow { count: 100, ..Default::default() }),
        Row::RunQueue(RunQueue { hist: Vec::new(), voluntary: 1, involuntary: 1 }),
        Row::Usage(Box::default()),
        Row::Flow(v1::FlowRow { packets_sent: u64::MAX, packets_received: u64::MAX, ..Default::default() }),
    ];
    let samples: Vec<Sample> = rows.map(|row| Sample { owner: Owner::Workload(1), row }).into();
    assert_eq!(in_programs(&samples[..4]), Duration::from_nanos(10 * 170 + 100 * 220 + 2 * 330));
    assert_eq!(in_programs(&samples), Duration::from_nanos(u64::MAX));
}

#[test]
fn a_probe_says_what_of_it_is_shed() {
    let mut budget = Budget::new(Duration::from_millis(1));
    assert_eq!(budget.missing("syscalls"), None);
    budget.governor.observe(Duration::from_secs(60), Duration::from_secs(60));
    assert!(budget.is_shed(Part::SyscallLatency));
    assert!(budget.missing("syscalls").unwrap().starts_with("syscall_latency: shed"));
    assert_eq!(budget.missing("sched"), None);
}
