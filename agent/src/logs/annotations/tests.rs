use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::v1::{KubePod, NodeUpdate};

use super::{Annotations, MAX_PATTERNS, Reading, Told, Whose};
use crate::identity::{Identities, NodeName};
use crate::logs::multiline::Multiline;
use crate::logs::status::LogStatus;
use crate::window::sample::{Owner, PodContainer};

fn owner(uid: &str) -> Owner {
    Owner::Pod(Box::new(PodContainer { uid: uid.into(), container: "app".into(), ..Default::default() }))
}

fn tell(table: &Mutex<Identities>, uid: &str, key: &str, value: &str) {
    let settings: BTreeMap<String, String> = [(key.to_owned(), value.to_owned())].into();
    let (name, namespace) = (format!("pod-{uid}"), "shop".to_owned());
    let pod = KubePod { uid: uid.into(), name, namespace, settings, ..KubePod::default() };
    let update = NodeUpdate { version: "1".into(), complete: true, pods: vec![pod], ..NodeUpdate::default() };
    table.lock().unwrap().told(update, Duration::ZERO);
}

fn asked() -> (Annotations, Arc<Mutex<Identities>>, LogStatus) {
    let table = Arc::new(Mutex::new(Identities::new(NodeName::default(), 1)));
    (Annotations::new(Some(Arc::clone(&table)), Default::default()), table, LogStatus::default())
}

#[test]
fn a_pattern_that_cannot_be_used_is_told_with_its_pod_until_it_is_mended() {
    let (mut annotations, table, status) = asked();
    let mut told = Told::default();
    let mut ask = |told: &mut Told| {
        annotations.ask(Whose::Owner(&owner("a")), told, Path::new("/a"), &status, Duration::ZERO);
    };
    for (pattern, why) in [
        ("(", "is no regular expression (Rust regex syntax)"),
        (r"(\w{100}){100}", "the pattern takes too much memory"),
    ] {
        tell(&table, "a", "logs.first-line", pattern);
        ask(&mut told);
        assert_eq!(status.missing(), [format!("pod shop/pod-a: wake.dev/logs.first-line: {why}")]);
        assert!(told.multiline.is_none() && told.reading == Reading::On);
    }
    tell(&table, "a", "logs.first-line", "^x");
    ask(&mut told);
    assert!(status.missing().is_empty() && matches!(told.multiline, Some(Multiline::FirstLine(_))));
}

#[test]
fn patterns_are_shared_and_those_that_nobody_wants_make_room() {
    let (mut annotations, table, status) = asked();
    let mut all: Vec<Told> = Vec::new();
    for number in 0..=MAX_PATTERNS {
        let uid = number.to_string();
        tell(&table, &uid, "logs.first-line", &format!("^{number} "));
        for _ in 0..2 {
            let mut told = Told::default();
            annotations.ask(Whose::Owner(&owner(&uid)), &mut told, Path::new(&uid), &status, Duration::ZERO);
            all.push(told);
        }
    }
    let missing = status.missing();
    assert!(missing.len() == 1 && missing[0].ends_with("more than 32 different patterns on this node"));
    assert!(all.last().unwrap().multiline.is_none());
    // the first pod's logs end
    all.drain(..2);
    let (mut told, uid) = (Told::default(), MAX_PATTERNS.to_string());
    annotations.ask(Whose::Owner(&owner(&uid)), &mut told, Path::new(&uid), &status, Duration::ZERO);
    assert!(told.multiline.is_some() && status.missing().is_empty());
}

#[test]
fn where_nobody_tells_of_pods_nothing_waits() {
    let (mut annotations, table, status) = asked();
    let mut told = Told::default();
    let mut ask = |told: &mut Told| {
        annotations.ask(Whose::Owner(&owner("a")), told, Path::new("/a"), &status, Duration::ZERO);
        told.reading
    };
    assert_eq!(ask(&mut told), Reading::Waits);
    table.lock().unwrap().nobody_tells();
    assert_eq!(ask(&mut told), Reading::On);
    // an aggregator that knows comes
    tell(&table, "b", "logs", "on");
    assert_eq!(ask(&mut told), Reading::Waits);
    tell(&table, "a", "logs", "off");
    assert_eq!(ask(&mut told), Reading::Off);
    table.lock().unwrap().nobody_tells();
    assert_eq!(ask(&mut told), Reading::Off, "what was told holds");
    let mut other = Annotations::new(None, Default::default());
    other.ask(Whose::Owner(&owner("a")), &mut told, Path::new("/a"), &status, Duration::ZERO);
    assert_eq!(told.reading, Reading::On, "annotations do not count");
}
