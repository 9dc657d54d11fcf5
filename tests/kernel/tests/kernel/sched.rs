//! Run queue: switches agree with what the kernel itself counts of a process.

use agent::kernel::Settings;
use agent::probe::sched::PROBE;
use agent::window::sample::Row;

use crate::cgroup::Cgroup;
use crate::child;
use crate::probes::Attached;
use crate::requires::{Need, requires};

#[test]
fn switches_agree_with_rusage_and_delays_with_switches() {
    if !requires(
        "switches_agree_with_rusage_and_delays_with_switches",
        &[Need::Root, Need::Btf, Need::Cgroup2],
    ) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "sched").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let mut child = cgroup.enter(&mut child::command("naps 2000")).spawn().unwrap();
    let truth = child::wait(&mut child);
    probe.drain();
    let (mut voluntary, mut involuntary, mut delays) = (0, 0, 0);
    for row in probe.rows(cgroup.id()) {
        if let Row::RunQueue(row) = row {
            voluntary += row.voluntary;
            involuntary += row.involuntary;
            delays += row.hist.iter().map(|count| u64::from(*count)).sum::<u64>();
        }
    }
    // the child enters the cgroup after fork, and its last switch is not in its rusage
    let near = |ours: u64, truth: u64| ours.abs_diff(truth) <= 20 + truth / 50;
    // a nap that ends before the switch is none
    assert!(voluntary >= 1_500, "{voluntary}");
    assert!(
        near(voluntary, truth.voluntary),
        "voluntary: {voluntary}, the kernel counts {}",
        truth.voluntary
    );
    assert!(
        near(involuntary, truth.involuntary),
        "involuntary: {involuntary}, the kernel counts {}",
        truth.involuntary
    );
    assert!(
        near(delays, voluntary + involuntary),
        "{delays} delays of {voluntary} and {involuntary} switches"
    );
}
