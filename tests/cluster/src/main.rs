//! Wake in a real Kubernetes, with real workloads. `cargo xtask cluster test` starts it.
//!
//! Tests run one after the other, in the order of the table: the last ones stop daemons, upgrade and uninstall. Each
//! failing one is named and the run goes on, so that one run shows all that is wrong.

mod access;
mod api;
mod identity;
mod kinds;
mod lab;
mod lifecycle;
mod logs;
mod otlp;
mod outages;
mod policy;
mod rbac;
mod renewal;
mod rotation;
mod traffic;
mod versions;
mod workloads;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use crate::lab::Lab;

/// A test, and what it needs beside Wake in a cluster.
struct Test {
    name: &'static str,
    run: fn(&Lab),
    needs: Needs,
}

enum Needs {
    Nothing,
    /// Restarts or reconfigures Wake: in a person's cluster only where they say so.
    Change,
    /// A cluster that `cargo xtask cluster` made; the reason is what it does there.
    Own(&'static str),
}

const fn test(name: &'static str, run: fn(&Lab)) -> Test {
    Test { name, run, needs: Needs::Nothing }
}

const fn change(name: &'static str, run: fn(&Lab)) -> Test {
    Test { name, run, needs: Needs::Change }
}

const fn own(name: &'static str, run: fn(&Lab), does: &'static str) -> Test {
    Test { name, run, needs: Needs::Own(does) }
}

impl Test {
    /// Why it is not run here, if it is not.
    fn left_out(&self, lab: &Lab) -> Option<&'static str> {
        let is_ours = lab.own.is_some();
        match self.needs {
            Needs::Change if !is_ours && !lab.may_change_wake => {
                Some("it restarts or reconfigures Wake; --change-wake allows that")
            }
            Needs::Own(does) if !is_ours => Some(does),
            _ if self.name == OLDER && versions::older().is_none() => {
                Some("no programs of an earlier version were given (--older-bin-dir)")
            }
            _ if self.name.contains("otlp") && !otlp::is_on(lab) => {
                Some("otlp.enabled is off in this cluster")
            }
            _ => None,
        }
    }
}

const OLDER: &str = "older_programs_and_newer_ones_understand_each_other";

const TESTS: &[Test] = &[
    test("every_node_has_an_agent_whose_probes_run", identity::every_node_has_an_agent_whose_probes_run),
    test("every_signal_names_the_pod", identity::every_signal_names_the_pod),
    test("a_pod_of_two_seconds_is_named", identity::a_pod_of_two_seconds_is_named),
    test("rare_kinds_of_pods_and_containers_are_named", kinds::rare_kinds_of_pods_and_containers_are_named),
    own("a_static_pod_is_named", kinds::a_static_pod_is_named, "it gives a node's kubelet a manifest"),
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
    test("wake_doctor_says_what_works", access::wake_doctor_says_what_works),
    test("nobody_is_answered_without_a_token", access::nobody_is_answered_without_a_token),
    test("otlp_is_taken_for_the_senders_own_namespace", otlp::otlp_is_taken_for_the_senders_own_namespace),
    test("a_developer_reads_only_their_namespace", access::a_developer_reads_only_their_namespace),
    own(
        "who_asked_what_is_written_down",
        access::who_asked_what_is_written_down,
        "it reads the aggregator's audit log from its volume",
    ),
    test(
        "an_agent_that_claims_another_node_gets_no_certificate",
        kinds::an_agent_that_claims_another_node_gets_no_certificate,
    ),
    test(
        "the_aggregators_traffic_is_what_its_policy_allows",
        policy::the_aggregators_traffic_is_what_its_policy_allows,
    ),
    change("agents_restarted_go_on_where_they_were", outages::agents_restarted_go_on_where_they_were),
    change(
        "the_aggregator_killed_loses_nothing_acknowledged",
        outages::the_aggregator_killed_loses_nothing_acknowledged,
    ),
    own(
        "capture_goes_on_without_the_api_server",
        outages::capture_goes_on_without_the_api_server,
        "it stops the API server",
    ),
    own(
        "issued_certificates_are_renewed_under_way",
        renewal::issued_certificates_are_renewed_under_way,
        "it waits for certificates that live for minutes (tls.lifetime_h), as our cluster's do",
    ),
    change(
        "agents_and_aggregator_are_reconfigured_one_after_the_other_and_rolled_back",
        lifecycle::agents_and_aggregator_are_reconfigured_one_after_the_other_and_rolled_back,
    ),
    change(
        "certificates_given_as_secrets_are_replaced_under_way",
        rotation::certificates_given_as_secrets_are_replaced_under_way,
    ),
    own(
        OLDER,
        versions::older_programs_and_newer_ones_understand_each_other,
        "it loads images into the nodes",
    ),
    own(
        "a_service_monitor_finds_the_aggregators_metrics",
        policy::a_service_monitor_finds_the_aggregators_metrics,
        "it makes and deletes the kind ServiceMonitor",
    ),
    own(
        "every_right_is_used_and_none_is_missing",
        rbac::every_right_is_used_and_none_is_missing,
        "it reads the API server's audit log",
    ),
    own(
        "uninstalled_it_leaves_nothing_behind",
        lifecycle::uninstalled_it_leaves_nothing_behind,
        "it uninstalls Wake",
    ),
];

fn main() -> ExitCode {
    let lab = Lab::find();
    let only: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part));
    workloads::start(&lab);
    let (mut failed, mut left_out, mut passed) = (Vec::new(), Vec::new(), 0);
    for test in TESTS.iter().filter(|test| chosen(test.name)) {
        if let Some(reason) = test.left_out(&lab) {
            left_out.push(format!("left out: {}: {reason}", test.name));
            continue;
        }
        let began = Instant::now();
        let is_good = catch_unwind(AssertUnwindSafe(|| (test.run)(&lab))).is_ok();
        let seconds = began.elapsed().as_secs_f64();
        println!("{} {} ({seconds:.1} s)", if is_good { "ok    " } else { "FAILED" }, test.name);
        if is_good {
            passed += 1;
        } else {
            failed.push(test.name);
        }
    }
    workloads::remove(&lab);
    left_out.iter().for_each(|line| println!("{line}"));
    println!("{passed} passed, {} failed, {} left out", failed.len(), left_out.len());
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}
