//! A real Kafka broker (KRaft, Java) and its own client: records that are written one by one, and read again.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use agent::kernel::Settings;
use agent::probe::requests::PROBE;
use proto::v1::SpanRow;

use super::grpc::Place;
use super::{NEEDS, spans};
use crate::cgroup::Cgroup;
use crate::probes::{Attached, eventually};
use crate::requires::{Need, requires, skip};

/// Ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn java(place: &Place, memory: &str) -> Command {
    let mut command = Command::new("java");
    command.arg(memory).args(["-cp", "lib/*"]).current_dir(&place.0);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Broker and client as a package registry has them; false where they could not be had.
fn fetch(place: &Place) -> bool {
    std::fs::write(place.0.join("pom.xml"), include_str!("../../../kafka/pom.xml")).unwrap();
    std::fs::write(place.0.join("Ask.java"), include_str!("../../../kafka/Ask.java")).unwrap();
    let fetched = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies"])
        .arg(format!("-DoutputDirectory={}", place.0.join("lib").display()))
        .current_dir(&place.0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    fetched.is_ok_and(|status| status.success())
}

/// Starts the broker in the cgroup; it listens on this port.
fn broker(place: &Place, cgroup: &Cgroup, port: u16, controller: u16) -> Ended {
    let data = place.0.join("data");
    let config = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\noffsets.topic.replication.factor=1\n\
         num.partitions=1\n",
        data.display()
    );
    std::fs::write(place.0.join("server.properties"), config).unwrap();
    let formatted = java(place, "-Xmx64m")
        .args(["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg"])
        .args(["-c", "server.properties"])
        .status()
        .unwrap();
    assert!(formatted.success());
    let mut command = java(place, "-Xmx256m");
    let child = cgroup.enter(command.args(["kafka.Kafka", "server.properties"])).spawn().unwrap();
    eventually("the broker listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    Ended(child)
}

fn free_ports() -> [u16; 2] {
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    taken.map(|listener| listener.local_addr().unwrap().port())
}

fn of<'a>(span: &'a SpanRow, key: &str) -> &'a str {
    span.attributes.get(key).map_or("", String::as_str)
}

#[test]
fn records_of_a_kafka_client_by_topic() {
    const NAME: &str = "records_of_a_kafka_client_by_topic";
    const RECORDS: usize = 60;
    if !requires(NAME, NEEDS) || !requires(NAME, &[Need::Tool("java"), Need::Tool("mvn")]) {
        return;
    }
    let place = Place::new(NAME);
    if !fetch(&place) {
        return skip(NAME, "needs Kafka's packages from a registry");
    }
    let cgroups = ["kafka-broker", "kafka-client"].map(|name| Cgroup::new(crate::features(), name).unwrap());
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let [port, controller] = free_ports();
    let _broker = broker(&place, &cgroups[0], port, controller);
    let mut command = java(&place, "-Xmx128m");
    let ask = command.args(["Ask.java", &format!("127.0.0.1:{port}"), &RECORDS.to_string()]);
    assert!(cgroups[1].enter(ask).status().unwrap().success());
    // the broker's own requests to its controller go over other ports
    let port = port.to_string();
    let both = [("server", &cgroups[0]), ("client", &cgroups[1])];
    let found = |probe: &Attached, (kind, cgroup): (&str, &Cgroup), name: &str| -> Vec<SpanRow> {
        let is_one = |span: &SpanRow| {
            span.kind == kind
                && span.name == name
                && of(span, "server.port") == port
                && of(span, "messaging.kafka.error_code").is_empty()
        };
        spans(probe, cgroup).into_iter().filter(is_one).collect()
    };
    eventually("what was written at both ends", || {
        probe.drain();
        both.iter().all(|end| found(&probe, *end, "Produce orders").len() >= RECORDS)
    });
    for end in both {
        let produced = found(&probe, end, "Produce orders");
        assert_eq!(produced.len(), RECORDS, "{}", end.0);
        for span in &produced {
            assert_eq!(of(span, "messaging.system"), "kafka");
            assert_eq!(of(span, "messaging.destination.name"), "orders");
            assert_eq!(of(span, "messaging.operation.type"), "send");
            assert_eq!(of(span, "messaging.client.id"), "asker");
        }
        // this version names topics by an id in a Fetch, and the connection that reads may never have said whose that is
        let fetched = spans(&probe, end.1).into_iter().filter(|span| {
            span.kind == end.0 && span.name.starts_with("Fetch") && of(span, "server.port") == port
        });
        let fetched: Vec<SpanRow> = fetched.collect();
        assert!(!fetched.is_empty(), "{} {:#?}", end.0, names(&probe, end.1));
        assert!(fetched.iter().all(|span| of(span, "messaging.client.id") == "reader"));
    }
    let all = format!("{:?}", both.map(|(_, cgroup)| spans(&probe, cgroup)));
    assert!(!all.contains("secret value"), "records stay where they are");
}

/// What there is, to be shown where something is missing.
fn names(probe: &Attached, cgroup: &Cgroup) -> Vec<String> {
    let mut names: Vec<String> = spans(probe, cgroup).into_iter().map(|span| span.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}
