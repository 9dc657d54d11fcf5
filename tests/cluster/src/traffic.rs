//! The other end: what stands behind a Service's address.

use std::collections::BTreeSet;

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
    let backends: BTreeSet<(String, String)> = pods
        .iter()
        .map(|pod| (text(&pod["metadata"], "name").to_owned(), zone(text(&pod["spec"], "nodeName"))))
        .collect();
    assert_eq!(backends.len(), 2, "{backends:?}");
    let query = format!(
        "SELECT DISTINCT peer_service, peer_pod, peer_zone FROM flow \
         WHERE namespace = '{SHOP}' AND workload = 'client' AND role = 'client' AND peer_workload = 'web' AND peer_pod IS NOT NULL"
    );
    wait("both backends behind the Service", 90, || {
        let rows = api.sql(&query)?;
        let seen: BTreeSet<(String, String)> = rows
            .iter()
            .map(|row| (text(row, "peer_pod").to_owned(), text(row, "peer_zone").to_owned()))
            .collect();
        ensure(seen == backends, || format!("{rows:?} instead of {backends:?}"))?;
        ensure(rows.iter().all(|row| text(row, "peer_service") == "web"), || format!("{rows:?}"))
    });
}
