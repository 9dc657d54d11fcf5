//! What the chart says about others, held against what was seen: network policies, a ServiceMonitor.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::lab::{Lab, SHOP, WAKE, ensure, text, wait};

/// The ports that rules of a policy name, numbers only; those that are named are the container's.
fn ports(rules: &Value, named: &dyn Fn(&str) -> Option<u64>) -> BTreeSet<u64> {
    let rules = rules.as_array().into_iter().flatten();
    let ports = rules.flat_map(|rule| rule["ports"].as_array().into_iter().flatten());
    ports.filter_map(|port| port["port"].as_u64().or_else(|| named(port["port"].as_str()?))).collect()
}

pub(crate) fn the_aggregators_traffic_is_what_its_policy_allows(lab: &Lab) {
    let policy = lab.get(&["networkpolicy", "wake-aggregator", "-n", WAKE]);
    let pod = lab.get(&["pod", "wake-aggregator-0", "-n", WAKE]);
    let listed = pod["spec"]["containers"][0]["ports"].as_array().cloned().unwrap_or_default();
    let named = |name: &str| {
        listed.iter().find(|port| text(port, "name") == name).and_then(|port| port["containerPort"].as_u64())
    };
    let (inward, outward) =
        (ports(&policy["spec"]["ingress"], &named), ports(&policy["spec"]["egress"], &named));
    assert!(!inward.is_empty() && !outward.is_empty(), "{policy}");
    let api = lab.api();
    let of = |role: &str| -> Result<BTreeSet<u64>, String> {
        let query = format!(
            "SELECT DISTINCT coalesce(asked_port, server_port) AS port FROM flow \
             WHERE namespace = '{WAKE}' AND workload = 'wake-aggregator' AND role = '{role}' AND server_port > 0"
        );
        Ok(api.sql(&query)?.iter().filter_map(|row| row["port"].as_u64()).collect())
    };
    // each port that is open is served: somebody is heard there
    for port in &inward {
        let url = format!("https://wake-aggregator.{WAKE}.svc:{port}/");
        let knock = format!("curl -sk -m 3 {url} > /dev/null; [ $? -ne 7 ]");
        lab.kubectl(&["exec", "-n", SHOP, "deployment/client", "--", "sh", "-c", &knock]);
    }
    wait("flows of every port that is open", 60, || {
        let served = of("server")?;
        ensure(served == inward, || format!("served {served:?}, allowed {inward:?}"))
    });
    // where it goes is allowed; what is allowed and not used here has its reason
    let asked = wait("flows to the API server", 60, || {
        let asked = of("client")?;
        ensure(!asked.is_empty(), || "none".to_owned())?;
        Ok(asked)
    });
    assert!(asked.is_subset(&outward), "asked {asked:?}, allowed {outward:?}");
    let spare: BTreeSet<u64> = outward.difference(&asked).copied().collect();
    // 53: an export's endpoint may have a name; 443 or 6443: the port that this API server has not
    let known = BTreeSet::from([53, 443, 6443]);
    assert!(spare.is_subset(&known), "allowed, not used and without a reason: {spare:?}");
    assert!(asked.contains(&443) || asked.contains(&6443), "{asked:?}");
}

/// As much of Prometheus Operator's as is needed to keep an object.
const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: servicemonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: ServiceMonitor, plural: servicemonitors, singular: servicemonitor}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

pub(crate) fn a_service_monitor_finds_the_aggregators_metrics(lab: &Lab) {
    lab.apply("default", CRD);
    wait("the kind ServiceMonitor", 60, || lab.try_kubectl(&["get", "servicemonitors", "-A"]));
    let chart = lab.chart.display().to_string();
    let set = ["upgrade", "wake", &chart, "--reuse-values", "--set", "serviceMonitor.enabled=true"];
    lab.helm(&[&set[..], &["--wait", "--timeout", "180s"]].concat());
    let monitor = lab.get(&["servicemonitor", "wake-aggregator", "-n", WAKE]);
    let labels = monitor["spec"]["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
    let selector: Vec<String> =
        labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let services = lab.items(&["services", "-n", WAKE, "-l", &selector.join(",")]);
    assert_eq!(services.len(), 1, "{selector:?}");
    let endpoint = &monitor["spec"]["endpoints"][0];
    let listed = services[0]["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let port =
        listed.iter().find(|port| port["name"] == endpoint["port"]).expect("the Service has that port");
    // what Prometheus would ask, through the API server
    let path = format!(
        "/api/v1/namespaces/{WAKE}/services/{}:{}/proxy{}",
        text(&services[0]["metadata"], "name"),
        port["port"],
        text(endpoint, "path")
    );
    wait("the metrics behind the monitor", 60, || {
        let told = lab.try_kubectl(&["get", "--raw", &path])?;
        ensure(told.contains("wake_aggregator_ingest_processed_rows_total"), || told)
    });
    lab.helm(&["rollback", "wake", "--wait", "--timeout", "180s"]);
    lab.kubectl(&["delete", "crd", "servicemonitors.monitoring.coreos.com"]);
}
