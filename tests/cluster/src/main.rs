//! Wake in a real Kubernetes, with real workloads. `cargo xtask cluster test` starts it.
//!
//! Tests run one after the other, in the order of the table: the last ones stop daemons, upgrade and uninstall. Each
//! failing one is named and the run goes on, so that one run shows all that is wrong.

mod access;
mod api;
mod identity;
mod lab;
mod lifecycle;
mod logs;
mod outages;
mod policy;
mod rbac;
mod rotation;
mod traffic;
mod versions;
mod workloads;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use crate::lab::Lab;

/// A test, and whether it wants a cluster that `cargo xtask cluster` made.
struct Test {
    name: &'static str,
    run: fn(&Lab),
    only_own: bool,
}

const fn test(name: &'static str, run: fn(&Lab)) -> Test {
    Test { name, run, only_own: false }
}

/// For what is done to the cluster itself, or to what a person has installed.
const fn own(name: &'static str, run: fn(&Lab)) -> Test {
    Test { name, run, only_own: true }
}

const TESTS: &[Test] = &[
    test("every_node_has_an_agent_whose_probes_run", identity::every_node_has_an_agent_whose_probes_run),
    test("every_signal_names_the_pod", identity::every_signal_names_the_pod),
    test("a_pod_of_two_seconds_is_named", identity::a_pod_of_two_seconds_is_named),
    test(
        "oom_and_crashes_are_seen_in_their_containers",
        identity::oom_and_crashes_are_seen_in_their_containers,
    ),
    test("no_row_comes_from_both_agents", identity::no_row_comes_from_both_agents),
    test("a_service_is_resolved_to_its_backends", traffic::a_service_is_resolved_to_its_backends),
    test("no_log_line_is_lost_over_rotations", logs::no_log_line_is_lost_over_rotations),
    test("a_pod_that_opted_out_leaves_no_line_anywhere", logs::a_pod_that_opted_out_leaves_no_line_anywhere),
    test("events_are_stored_with_whom_they_regard", identity::events_are_stored_with_whom_they_regard),
    test("kubectl_wake_asks_over_tls", access::kubectl_wake_asks_over_tls),
    test("nobody_is_answered_without_a_token", access::nobody_is_answered_without_a_token),
    test("a_developer_reads_only_their_namespace", access::a_developer_reads_only_their_namespace),
    test("agents_restarted_go_on_where_they_were", outages::agents_restarted_go_on_where_they_were),
    test(
        "the_aggregator_killed_loses_nothing_acknowledged",
        outages::the_aggregator_killed_loses_nothing_acknowledged,
    ),
    test(
        "the_aggregators_traffic_is_what_its_policy_allows",
        policy::the_aggregators_traffic_is_what_its_policy_allows,
    ),
    own("capture_goes_on_without_the_api_server", outages::capture_goes_on_without_the_api_server),
    own(
        "agents_and_aggregator_are_reconfigured_one_after_the_other_and_rolled_back",
        lifecycle::agents_and_aggregator_are_reconfigured_one_after_the_other_and_rolled_back,
    ),
    own(
        "certificates_given_as_secrets_are_replaced_under_way",
        rotation::certificates_given_as_secrets_are_replaced_under_way,
    ),
    own(
        "older_programs_and_newer_ones_understand_each_other",
        versions::older_programs_and_newer_ones_understand_each_other,
    ),
    own(
        "a_service_monitor_finds_the_aggregators_metrics",
        policy::a_service_monitor_finds_the_aggregators_metrics,
    ),
    own("every_right_is_used_and_none_is_missing", rbac::every_right_is_used_and_none_is_missing),
    own("uninstalled_it_leaves_nothing_behind", lifecycle::uninstalled_it_leaves_nothing_behind),
];

fn main() -> ExitCode {
    let lab = Lab::find();
    let only: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part));
    workloads::start(&lab);
    let (mut failed, mut left_out) = (Vec::new(), Vec::new());
    for test in TESTS.iter().filter(|test| chosen(test.name)) {
        if test.only_own && lab.own.is_none() {
            left_out.push(test.name);
            continue;
        }
        let began = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(|| (test.run)(&lab))).is_ok();
        println!(
            "{} {} ({:.1} s)",
            if passed { "ok    " } else { "FAILED" },
            test.name,
            began.elapsed().as_secs_f64()
        );
        if !passed {
            failed.push(test.name);
        }
    }
    for name in &left_out {
        println!("could not run here: {name}: it stops, upgrades or uninstalls what is not the tests' own");
    }
    workloads::remove(&lab);
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}
