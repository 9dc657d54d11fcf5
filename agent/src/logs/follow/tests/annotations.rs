//! Pods whose annotations leave their logs out, and pods of which nothing is told yet.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use proto::v1::{KubePod, NodeUpdate};

use super::*;
use crate::identity::NodeName;
use crate::logs::config::Then;

/// Pods with a container `app` each, and who tells of them.
struct Pods {
    bench: Bench,
}

impl Pods {
    fn new(configure: impl FnOnce(&mut LogsConfig)) -> Self {
        let mut bench = Bench::new(|logs, config| {
            let glob = |name: &str| vec![logs.join(name).to_str().unwrap().to_owned()];
            config.containers = glob("pods/*/*/*.log");
            config.globs = glob("*/*.log");
            configure(config);
        });
        bench.identities = Some(Arc::new(Mutex::new(Identities::new(NodeName::default(), 1))));
        for name in ["containers", "pods"] {
            fs::create_dir_all(bench.path(name)).unwrap();
        }
        bench.start();
        Self { bench }
    }

    fn log(&self, uid: &str) -> String {
        let directory = format!("pods/shop_{uid}_{uid}/app");
        if !self.bench.path(&directory).try_exists().unwrap() {
            fs::create_dir_all(self.bench.path(&directory)).unwrap();
            let log = self.bench.path(&format!("{directory}/0.log"));
            // the other pattern finds it, as it finds kubelet's
            symlink(log, self.bench.path(&format!("containers/{uid}.log"))).unwrap();
        }
        format!("{directory}/0.log")
    }

    fn write(&self, uid: &str, lines: &[&str]) {
        let frame = |line: &&str| format!("2026-11-21T13:24:58.1Z stdout F {line}\n");
        self.bench.append(&self.log(uid), lines.iter().map(frame).collect::<String>());
    }

    fn rotate(&self, uid: &str) {
        let log = self.bench.path(&self.log(uid));
        fs::rename(&log, log.with_extension("log.20261121-220001")).unwrap();
    }

    fn tell(&self, uid: &str, settings: &[(&str, &str)]) {
        let settings: BTreeMap<String, String> =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let (name, namespace) = (uid.to_owned(), "shop".to_owned());
        let pod = KubePod { uid: uid.into(), name, namespace, settings, ..KubePod::default() };
        let update =
            NodeUpdate { version: "1".into(), complete: true, pods: vec![pod], ..NodeUpdate::default() };
        let now = self.bench.clock.monotonic();
        self.bench.identities.as_ref().unwrap().lock().unwrap().told(update, now);
    }

    /// So many seconds pass, and everything that may be read is.
    fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.bench.tick();
            self.bench.scan();
            self.bench.follower.as_mut().unwrap().flush();
            while self.bench.read() {}
        }
        self.bench.ack(usize::MAX);
    }

    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        self.pass(2);
        assert_eq!(std::mem::take(&mut self.bench.bodies), expected);
    }
}

#[test]
fn lines_of_a_pod_that_wants_none_read_are_passed_over_and_counted() {
    let mut pods = Pods::new(|_| {});
    pods.tell("loud", &[]);
    pods.tell("quiet", &[("logs", "off")]);
    pods.write("quiet", &["secret 1", "secret 2"]);
    pods.write("loud", &["one"]);
    pods.check(&["one"]);
    pods.write("quiet", &["secret 3"]);
    pods.rotate("quiet");
    pods.write("quiet", &["secret 4", "  secret 5"]);
    pods.check(&[]);
    assert_eq!(pods.bench.status.passed_over.get(), 5);
    assert_eq!(pods.bench.status.left_out_logs.get(), 1);
    assert_eq!(pods.bench.status.take_losses(), [], "nobody misses them");
}

#[test]
fn an_annotation_that_changes_counts_from_then_on() {
    let mut pods = Pods::new(|_| {});
    pods.tell("cart", &[]);
    pods.write("cart", &["one"]);
    pods.check(&["one"]);
    pods.tell("cart", &[("logs", "off")]);
    pods.write("cart", &["two"]);
    // its marks go out by themselves
    pods.pass(6);
    pods.bench.persist();
    pods.bench.kill();
    // the agent restarts, and the annotation is gone
    pods.tell("cart", &[]);
    pods.bench.start();
    pods.write("cart", &["three"]);
    pods.check(&["three"]);
}

#[test]
fn a_container_of_a_pod_may_be_left_out_alone() {
    let mut pods = Pods::new(|_| {});
    pods.tell("cart", &[("app.logs", "off"), ("proxy.logs", "on")]);
    pods.tell("shop", &[("proxy.logs", "off")]);
    pods.write("cart", &["one"]);
    pods.write("shop", &["two"]);
    pods.check(&["two"]);
}

#[test]
fn the_log_of_a_pod_that_is_not_known_waits_and_loses_nothing() {
    let mut pods = Pods::new(|_| {});
    pods.write("cart", &["one"]);
    pods.write("quiet", &["secret 1"]);
    pods.pass(20);
    pods.rotate("cart");
    pods.rotate("quiet");
    pods.write("cart", &["two"]);
    pods.write("quiet", &["secret 2"]);
    pods.pass(20);
    assert_eq!(pods.bench.bodies, Vec::<String>::new());
    assert_eq!(pods.bench.status.waiting_logs.get(), 2);
    assert!(pods.bench.status.missing()[0].starts_with("2 logs wait in their files"));
    pods.tell("quiet", &[("logs", "off")]);
    pods.tell("cart", &[]);
    pods.check(&["one", "two"]);
    assert_eq!(pods.bench.status.passed_over.get(), 2);
    assert_eq!(pods.bench.status.waiting_logs.get(), 0);
    assert!(pods.bench.status.missing().is_empty() && pods.bench.status.take_losses().is_empty());
}

#[test]
fn a_pod_that_stays_unknown_is_read_in_the_end_or_dropped_and_counted() {
    for then in [Then::Read, Then::Drop] {
        let mut pods = Pods::new(|config| config.unknown_pods.then = then);
        pods.write("cart", &["one"]);
        pods.pass(58);
        assert_eq!(pods.bench.bodies, Vec::<String>::new(), "{then:?}");
        let is_read = then == Then::Read;
        pods.pass(5);
        pods.write("cart", &["two"]);
        pods.check(if is_read { &["one", "two"] } else { &[] });
        let lost: u64 = pods.bench.status.take_losses().iter().map(|loss| loss.count).sum();
        assert_eq!(lost, if is_read { 0 } else { 2 });
        // once it is known, what it says counts
        pods.tell("cart", &[("logs", if is_read { "off" } else { "on" })]);
        pods.write("cart", &["three"]);
        pods.check(if is_read { &[] } else { &["three"] });
    }
}

#[test]
fn hints_of_a_pod_say_how_its_lines_are_read() {
    let mut pods = Pods::new(|_| {});
    let trace = ["ERROR it failed", "  at one", "  at two"];
    pods.tell("usual", &[]);
    pods.write("usual", &trace);
    pods.check(&["ERROR it failed\n  at one\n  at two"]);
    pods.tell("lines", &[("logs.multiline", "off")]);
    pods.write("lines", &trace);
    pods.check(&trace);
    pods.tell("own", &[("logs.first-line", "^BEGIN")]);
    pods.write("own", &["BEGIN 1", "a", "b", "BEGIN 2"]);
    pods.check(&["BEGIN 1\na\nb", "BEGIN 2"]);
    pods.tell("plain", &[("logs.parse", "off")]);
    for (uid, level) in [("plain", ""), ("usual", "error")] {
        pods.write(uid, &["ERROR it failed"]);
        for _ in 0..3 {
            pods.bench.tick();
            pods.bench.scan();
            while pods.bench.read() {}
        }
        let records = pods.bench.in_flight.drain(..).flat_map(|chunk| chunk.records);
        let levels: Vec<String> = records.map(|record| record.row.level).collect();
        assert_eq!(levels, [level], "{uid}");
    }
}

/// The log of a container of Docker, which names the container's id alone.
fn docker(pods: &Pods, id: &str, line: &str) {
    fs::create_dir_all(pods.bench.path(&format!("docker/{id}"))).unwrap();
    let entry =
        format!("{{\"log\":\"{line}\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-21T13:24:58.1Z\"}}\n");
    pods.bench.append(&format!("docker/{id}/{id}-json.log"), entry);
}

#[test]
fn the_log_of_a_container_that_only_its_id_names_waits_for_its_pod() {
    let mut pods = Pods::new(|config| {
        let pods = config.containers[0].clone();
        config.containers.push(pods.replace("pods/*/*/*.log", "docker/*/*-json.log"));
    });
    let (quiet, loud, lone) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
    for (id, line) in [(&quiet, "secret 1"), (&loud, "one"), (&lone, "two")] {
        docker(&pods, id, line);
    }
    pods.pass(20);
    assert_eq!(pods.bench.bodies, Vec::<String>::new());
    assert_eq!(pods.bench.status.waiting_logs.get(), 3);
    for (uid, id, settings) in [("quiet", &quiet, "off"), ("loud", &loud, "on")] {
        let container = proto::v1::KubeContainer { name: "app".into(), id: id.clone(), ..Default::default() };
        let settings = [("app.logs".to_owned(), settings.to_owned())].into();
        let (name, namespace) = (uid.to_owned(), "shop".to_owned());
        let pod = KubePod {
            uid: uid.into(),
            name,
            namespace,
            settings,
            containers: vec![container],
            ..KubePod::default()
        };
        let update =
            NodeUpdate { version: "1".into(), complete: true, pods: vec![pod], ..NodeUpdate::default() };
        pods.bench.identities.as_ref().unwrap().lock().unwrap().told(update, Duration::ZERO);
    }
    pods.check(&["one"]);
    docker(&pods, &quiet, "secret 2");
    docker(&pods, &loud, "three");
    pods.check(&["three"]);
    assert_eq!(pods.bench.status.passed_over.get(), 2);
    // a container that no pod has, beside Kubernetes
    pods.pass(60);
    pods.check(&["two"]);
}

#[test]
fn a_file_waits_until_somebody_has_looked_for_who_writes_it() {
    let mut pods = Pods::new(|_| {});
    fs::create_dir_all(pods.bench.path("app")).unwrap();
    pods.bench.append("app/first.log", "one\n");
    pods.check(&["one"]);
    // the next look is paced: until then nobody knows
    pods.bench.follower.as_mut().unwrap().owners.delay(Duration::from_secs(30));
    pods.bench.append("app/second.log", "two\n");
    pods.pass(20);
    assert_eq!(pods.bench.bodies, Vec::<String>::new());
    pods.pass(15);
    pods.check(&["two"]);
}
