//! Several messages in one call: what is not looked at is counted.

use agent::kernel::Settings;
use agent::probe::requests::PROBE;

use super::{NEEDS, count, run};
use crate::cgroup::Cgroup;
use crate::probes::Attached;
use crate::requires::{alone, kernel_skipped, requires};

fn lost(probe: &Attached, reason: &str) -> u64 {
    let losses = probe.sink.losses.iter().filter(|loss| loss.signal == "span" && loss.reason == reason);
    losses.map(|loss| loss.count).sum()
}

#[test]
fn messages_of_one_call_on_a_connection_are_a_gap() {
    const NAME: &str = "messages_of_one_call_on_a_connection_are_a_gap";
    if !requires(NAME, NEEDS) || !alone(NAME) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "messages").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let spans = run(&mut probe, &cgroup, "http messages 10");
    if kernel_skipped(NAME, &probe.sink.losses) {
        return;
    }
    assert_eq!((count(&spans, "server", "/ok", "200"), count(&spans, "server", "/missing", "404")), (20, 20));
    assert_eq!((count(&spans, "client", "/ok", "200"), count(&spans, "client", "/missing", "404")), (20, 0));
    assert_eq!((lost(&probe, "unread"), lost(&probe, "record_gap")), (20, 10));
    let is_marked = |kind: &str| {
        spans.iter().filter(|one| one.kind == kind).any(|one| one.attributes.contains_key("wake.at_least"))
    };
    assert!(is_marked("client") && !is_marked("server"));
}

#[test]
fn questions_beyond_the_eighth_of_one_call_are_counted() {
    const NAME: &str = "questions_beyond_the_eighth_of_one_call_are_counted";
    if !requires(NAME, NEEDS) || !alone(NAME) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "datagrams").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let spans = run(&mut probe, &cgroup, "http datagrams 5");
    if kernel_skipped(NAME, &probe.sink.losses) {
        return;
    }
    // those of another kind are none
    assert_eq!(lost(&probe, "unread"), 5 * 4);
    let of = |kind: &str| spans.iter().filter(|one| one.kind == kind).count();
    assert_eq!((of("server"), of("client")), (5 * 12, 5 * 8));
}
