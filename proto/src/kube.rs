//! The bounds of `wake/v1/kube.proto`, and the one check that both ends run on a pod before they believe it.

mod range;

use crate::v1::{KubeNode, KubePod};
pub use range::Range;

/// Pods of one node; kubelet's own default is 110.
pub const MAX_PODS: usize = 1_024;
/// Pods in one update.
pub const MAX_UPDATE_PODS: usize = 128;
/// Containers of one pod, init and ephemeral ones included.
pub const MAX_CONTAINERS: usize = 64;
/// Addresses of one pod or node.
pub const MAX_ADDRESSES: usize = 16;
/// Labels of one pod that are passed on.
pub const MAX_LABELS: usize = 32;
/// Settings of one pod.
pub const MAX_SETTINGS: usize = 16;
/// Service ranges of a cluster.
pub const MAX_RANGES: usize = 256;
/// Bytes of a name, namespace, uid or key.
pub const MAX_NAME_BYTES: usize = 253;
/// Bytes of a label's value.
pub const MAX_LABEL_BYTES: usize = 63;
/// Bytes of a setting's value.
pub const MAX_SETTING_BYTES: usize = 1_024;

/// Whether this may be a name: neither empty nor too long, and nothing in it that a terminal or a log would act on.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && is_plain(text)
}

/// Whether there is nothing in it that a terminal or a log would act on.
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Why a pod is not believed.
///
/// # Errors
/// The name of the first field that breaks a bound.
pub fn check_pod(pod: &KubePod) -> Result<(), &'static str> {
    let is_some_name = |text: &String| text.is_empty() || is_name(text);
    let texts = |map: &std::collections::BTreeMap<String, String>, most: usize, bytes: usize| {
        let fits = |(key, value): (&String, &String)| is_name(key) && value.len() <= bytes && is_plain(value);
        map.len() <= most && map.iter().all(fits)
    };
    if !is_name(&pod.uid) {
        return Err("uid");
    }
    if !is_name(&pod.name) || !is_name(&pod.namespace) {
        return Err("name");
    }
    if ![&pod.workload, &pod.workload_kind, &pod.config_hash].into_iter().all(is_some_name) {
        return Err("workload");
    }
    let fits = |container: &crate::v1::KubeContainer| {
        is_name(&container.name) && is_some_name(&container.id) && container.kind.len() <= 16
    };
    if pod.containers.len() > MAX_CONTAINERS || !pod.containers.iter().all(fits) {
        return Err("containers");
    }
    if pod.ips.len() > MAX_ADDRESSES || !pod.ips.iter().all(is_some_name) {
        return Err("ips");
    }
    if !texts(&pod.labels, MAX_LABELS, MAX_LABEL_BYTES) {
        return Err("labels");
    }
    if !texts(&pod.settings, MAX_SETTINGS, MAX_SETTING_BYTES) {
        return Err("settings");
    }
    Ok(())
}

/// Why what is said of a node is not believed.
///
/// # Errors
/// The name of the first field that breaks a bound.
pub fn check_node(node: &KubeNode) -> Result<(), &'static str> {
    let is_some_name = |text: &String| text.is_empty() || is_name(text);
    if !is_some_name(&node.cluster) || !is_some_name(&node.zone) {
        return Err("zone");
    }
    if node.addresses.len() > MAX_ADDRESSES || !node.addresses.iter().all(is_some_name) {
        return Err("addresses");
    }
    if node.service_ranges.len() > MAX_RANGES || !node.service_ranges.iter().all(is_some_name) {
        return Err("service_ranges");
    }
    Ok(())
}

/// Labels as an identity has them: `key=value`, sorted by key, with commas between.
pub fn labels_text<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<(&str, &str)> = labels.into_iter().collect();
    pairs.sort_unstable();
    let mut text = String::new();
    for (key, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(key);
        text.push('=');
        text.push_str(value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{MAX_LABELS, check_pod, labels_text};
    use crate::v1::{KubeContainer, KubePod};

    fn pod() -> KubePod {
        KubePod { uid: "u".into(), name: "p".into(), namespace: "n".into(), ..KubePod::default() }
    }

    #[test]
    fn a_pod_within_the_bounds_is_believed() {
        let container = KubeContainer { name: "app".into(), id: "ab".into(), kind: "init".into() };
        let labels = [("app".to_owned(), "cart".to_owned()), ("empty".to_owned(), String::new())];
        let pod = KubePod { containers: vec![container], labels: labels.into(), ..pod() };
        assert_eq!(check_pod(&pod), Ok(()));
    }

    #[test]
    fn hostile_names_and_counts_are_not() {
        let many = (0..=MAX_LABELS).map(|index| (format!("l{index}"), String::new())).collect();
        for (pod, expected) in [
            (KubePod { name: "a\u{1b}[31m".into(), ..pod() }, "name"),
            (KubePod { namespace: "x".repeat(254), ..pod() }, "name"),
            (KubePod { uid: String::new(), ..pod() }, "uid"),
            (KubePod { labels: many, ..pod() }, "labels"),
            (KubePod { labels: [("a".to_owned(), "\n".to_owned())].into(), ..pod() }, "labels"),
            (KubePod { settings: [("logs".to_owned(), "x".repeat(2_000))].into(), ..pod() }, "settings"),
            (KubePod { containers: vec![KubeContainer::default(); 65], ..pod() }, "containers"),
            (KubePod { ips: vec!["1".into(); 17], ..pod() }, "ips"),
        ] {
            assert_eq!(check_pod(&pod), Err(expected));
        }
    }

    #[test]
    fn labels_are_sorted() {
        assert_eq!(labels_text([("tier", "web"), ("app", "cart")]), "app=cart,tier=web");
        assert_eq!(labels_text([]), "");
    }
}
