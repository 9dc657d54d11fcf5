//! Certificates that the aggregator issues, and that live for minutes here: each is replaced many times in a run.

use std::collections::BTreeMap;

use crate::lab::{Lab, WAKE, ensure, text, wait};
use crate::outages::{nothing_is_missing, written};
use crate::rotation::pods;

/// How often a word was written by each pod of Wake that runs now.
fn told(lab: &Lab, component: &str, word: &str) -> Result<BTreeMap<String, usize>, String> {
    let selector = format!("app.kubernetes.io/component={component}");
    let pods = lab.items(&["pods", "-n", WAKE, "-l", &selector]);
    let mut counts = BTreeMap::new();
    for pod in &pods {
        let name = text(&pod["metadata"], "name");
        let log = lab.try_kubectl(&["logs", "-n", WAKE, name])?;
        counts.insert(name.to_owned(), log.lines().filter(|line| line.contains(word)).count());
    }
    Ok(counts)
}

pub(crate) fn issued_certificates_are_renewed_under_way(lab: &Lab) {
    let (before, lines) = (pods(lab), written(lab));
    for (component, word) in [("agent", "new certificate"), ("aggregator", "certificate replaced")] {
        // of six minutes each lives for three before it is replaced
        wait(&format!("a renewal in every {component}"), 240, || {
            let counts = told(lab, component, word)?;
            ensure(!counts.is_empty() && counts.values().all(|count| *count > 0), || format!("{counts:?}"))
        });
    }
    assert_eq!(pods(lab), before, "nobody restarted");
    nothing_is_missing(lab, lines);
}
