//! The other end: what stands behind a Service's address.

use std::collections::BTreeMap;

use crate::lab::{Lab, SHOP, ensure, text, wait};

pub(crate) fn a_service_is_resolved_to_its_backends(lab: &Lab) {
    let api = lab.api();
    let pods = lab.items(&["pods", "-n", SHOP, "-l", "app=web"]);
    let zone = |node: &str| {
        lab.get(&["node", node])["metadata"]["labels"]["topology.kubernetes.io/zone"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let backends: BTreeMap<String, String> = pods
        .iter()
        .map(|pod| (text(&pod["metadata"], "name").to_owned(), zone(text(&pod["spec"], "nodeName"))))
        .collect();
    assert_eq!(backends.len(), 2, "{backends:?}");
    // what was stored before may know less, or other pods
    let began = text(&api.sql("SELECT CAST(now() AS VARCHAR) AS now").unwrap()[0], "now")
        .trim_end_matches('Z')
        .to_owned();
    let query = format!(
        "SELECT DISTINCT peer_service, peer_pod, peer_zone FROM flow \
         WHERE ts >= TIMESTAMP '{began}' AND namespace = '{SHOP}' AND workload = 'client' AND role = 'client' \
         AND peer_workload = 'web' AND peer_pod IS NOT NULL"
    );
    wait("both backends behind the Service", 90, || {
        let rows = api.sql(&query)?;
        for (pod, zone) in &backends {
            let mut of_pod = rows.iter().filter(|row| text(row, "peer_pod") == pod).peekable();
            let is_seen = of_pod.peek().is_some();
            ensure(is_seen && of_pod.all(|row| text(row, "peer_zone") == zone), || {
                format!("{rows:?} instead of {backends:?}")
            })?;
        }
        ensure(rows.iter().all(|row| text(row, "peer_service") == "web"), || format!("{rows:?}"))
    });
}
