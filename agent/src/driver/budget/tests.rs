use std::time::Duration;

use proto::v1;

use super::{Budget, Counted, Timing};
use crate::driver::governor::{Cost, Decision, Part};
use crate::window::sample::{Owner, Row, RunQueue, Sample};

fn samples(rows: impl IntoIterator<Item = Row>) -> Vec<Sample> {
    rows.into_iter().map(|row| Sample { owner: Owner::Workload(1), row }).collect()
}

fn packets(count: u64) -> Row {
    let row = v1::FlowRow { packets_sent: count, packets_received: count, ..Default::default() };
    Row::Flow(Box::new(row))
}

fn calls(count: u64) -> Row {
    Row::Syscall(v1::SyscallRow { count, ..Default::default() })
}

fn switches(count: u64) -> Row {
    Row::RunQueue(RunQueue { hist: Vec::new(), voluntary: count, involuntary: 0 })
}

#[test]
fn programs_are_charged_by_what_they_counted_and_what_is_attached() {
    let rows = samples([packets(5), calls(100), switches(2), Row::Usage(Box::default())]);
    let own = Duration::from_micros(40);
    for (timing, ns) in [(Timing::Off, 0), (Timing::Sampled, 70), (Timing::Every, 300)] {
        let cost = Counted::of(&rows, timing).cost(own);
        let nanos = Duration::from_nanos;
        assert_eq!((cost.latency, cost.run_queue), (nanos(100 * ns), nanos(660)));
        assert_eq!((cost.peers, cost.total), (own / 4, own + nanos(1_700 + 15_000 + 660 + 100 * ns)));
    }
    let most = Counted::of(&samples([packets(u64::MAX)]), Timing::Off).cost(own);
    assert_eq!(most.total, Duration::from_nanos(u64::MAX) + own);
    assert_eq!(Counted::of(&[], Timing::Off).cost(own).peers, Duration::ZERO);
}

/// A host with this load per second, whose cost follows what is shed: seconds in which the parts were shed at the end
/// of each of these phases, and how many decisions there were.
fn run(budget: &mut Budget, phases: &[(u64, u64, u64)]) -> Vec<(Vec<Part>, usize)> {
    let window = Duration::from_secs(10);
    let mut told = Vec::new();
    for (seconds, calls_per_second, switches_per_second) in phases {
        let mut decisions = 0;
        for _ in 0..seconds / 10 {
            let timing = if budget.is_shed(Part::SyscallLatency) { Timing::Off } else { Timing::Sampled };
            let mut rows = samples([calls(calls_per_second * 10), packets(100)]);
            if !budget.is_shed(Part::RunQueue) {
                rows.extend(samples([switches(switches_per_second * 10)]));
            }
            let cost = Counted::of(&rows, timing).cost(Duration::from_millis(20) * 10);
            decisions += usize::from(budget.governor.observe(&cost, window) != Decision::Keep);
        }
        told.push((budget.governor.shed().to_vec(), decisions));
    }
    told
}

#[test]
fn what_is_shed_lowers_the_cost_and_comes_back_when_the_load_is_gone() {
    let mut budget = Budget::new(Duration::from_millis(300));
    // 1.5 million calls: 330 ms and 20 ms; without timing 225 ms and 20 ms, which is within the budget
    let told = run(&mut budget, &[(600, 1_500_000, 1_000), (600, 100_000, 1_000)]);
    assert_eq!(told, [(vec![Part::SyscallLatency], 1), (vec![], 1)]);
}

#[test]
fn what_costs_nothing_stays_though_the_rest_is_too_dear() {
    let mut budget = Budget::new(Duration::from_millis(300));
    // counting alone is over the budget, and nothing more would help
    let told = run(&mut budget, &[(3_600, 4_000_000, 1_000), (600, 100_000, 1_000)]);
    assert_eq!(told, [(vec![Part::SyscallLatency], 1), (vec![], 1)]);
    // switches: the probe goes, comes back, goes again, each time for longer
    let told = run(&mut budget, &[(3_600, 100_000, 1_000_000), (600, 100_000, 1_000)]);
    let (shed, decisions) = &told[0];
    assert!(shed.iter().all(|part| *part == Part::RunQueue) && *decisions <= 13, "{told:?}");
}

#[test]
fn spans_of_requests_go_first_and_requests_last() {
    let mut budget = Budget::new(Duration::from_millis(300));
    let mut shed = Vec::new();
    for _ in 0..60 {
        let is_told = !budget.is_shed(Part::Spans);
        let count = 400_000;
        let row = v1::RequestRow { count, spans: if is_told { count } else { 0 }, ..Default::default() };
        let rows = samples([Row::Request(Box::new(row))]);
        // 10 s at 40,000 a second: spans take most of the agent's own time
        let own = Duration::from_secs(if is_told { 9 } else { 3 });
        let cost = Counted::of(&rows, Timing::Off).cost(own);
        if let Decision::Shed(part) = budget.governor.observe(&cost, Duration::from_secs(10)) {
            shed.push(part);
        }
    }
    assert_eq!(shed, [Part::Spans, Part::Requests]);
}

#[test]
fn a_large_host_may_spend_more() {
    let of_host = |cpus| Budget::of_host(cpus).as_millis();
    assert_eq!([1, 2, 7, 8, 64].map(of_host), [300, 300, 300, 320, 2_560]);
}

#[test]
fn a_probe_says_what_of_it_is_shed() {
    let mut budget = Budget::new(Duration::from_millis(1));
    assert_eq!(budget.missing("syscalls"), None);
    let minute = Duration::from_secs(60);
    budget.governor.observe(&Cost { total: minute, latency: minute, ..Cost::default() }, minute);
    assert!(budget.is_shed(Part::SyscallLatency));
    assert!(budget.missing("syscalls").unwrap().starts_with("syscall_latency: shed"));
    assert_eq!(budget.missing("sched"), None);
}
