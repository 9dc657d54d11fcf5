//! Older programs beside newer ones, each way round.

use crate::lab::{Lab, WAKE};
use crate::lifecycle::a_new_pod_is_seen;
use crate::outages::{nothing_is_missing, written};

/// The tag of the images of older programs, where there are any.
pub(crate) fn older() -> Option<String> {
    std::env::var("WAKE_TEST_OLDER_TAG").ok()
}

/// `kind/name` runs this image, once every pod of it does.
fn run(lab: &Lab, workload: &str, container: &str, image: &str) {
    lab.kubectl(&["set", "image", "-n", WAKE, workload, &format!("{container}={image}")]);
    lab.kubectl(&["rollout", "status", "-n", WAKE, workload, "--timeout=180s", "--request-timeout=0"]);
}

fn image(lab: &Lab, workload: &str) -> String {
    let (kind, name) = workload.split_once('/').unwrap();
    let object = lab.get(&[kind, name, "-n", WAKE]);
    object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

pub(crate) fn older_programs_and_newer_ones_understand_each_other(lab: &Lab) {
    let tag = older().expect("left out where there are none");
    let (agents, aggregator) = ("daemonset/wake-agent", "statefulset/wake-aggregator");
    let [new_agent, new_aggregator] = [agents, aggregator].map(|workload| image(lab, workload));
    let old = |image: &str| format!("{}:{tag}", image.rsplit_once(':').unwrap().0);
    let lines = written(lab);
    run(lab, agents, "agent", &old(&new_agent));
    a_new_pod_is_seen(lab, "older-agents");
    nothing_is_missing(lab, lines);
    run(lab, agents, "agent", &new_agent);
    // what the cluster's values say in a way that only newer programs understand, said in the older one
    lab.kubectl(&["set", "env", "-n", WAKE, aggregator, "WAKE_AGGREGATOR__TLS__LIFETIME_H=24"]);
    run(lab, aggregator, "aggregator", &old(&new_aggregator));
    a_new_pod_is_seen(lab, "older-aggregator");
    nothing_is_missing(lab, lines);
    lab.kubectl(&["set", "env", "-n", WAKE, aggregator, "WAKE_AGGREGATOR__TLS__LIFETIME_H-"]);
    run(lab, aggregator, "aggregator", &new_aggregator);
    a_new_pod_is_seen(lab, "newer-again");
    nothing_is_missing(lab, lines);
}
