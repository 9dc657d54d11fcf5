//! Services in a row of which two speak TLS to each other: whose call is whose inside each, and which ends are one request.
#![expect(clippy::disallowed_methods, reason = "programs are waited for in real time")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use proto::v1::SpanRow;

use super::{NEEDS, Pair};
use crate::cgroup::Cgroup;
use crate::child;
use crate::probes::eventually;
use crate::requests::chain::{has, judge, load, source};
use crate::requests::grpc::Place;
use crate::requires::{Need, requires};

/// Ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts a program that says on which port it listens.
fn start(cgroup: &Cgroup, command: &mut Command) -> (Ended, String) {
    let mut child = cgroup.enter(command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines
        .map(|line| line.unwrap())
        .find_map(|line| line.split_once("port ").map(|(_, port)| port.trim().to_owned()));
    (Ended(child), format!("127.0.0.1:{}", port.unwrap()))
}

fn go_server(place: &Path) -> Command {
    let binary = place.join("server-go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&binary)
        .arg(source("server.go"))
        .env("GOFLAGS", "-mod=mod")
        .status();
    assert!(built.unwrap().success());
    Command::new(binary)
}

fn of<'a>(span: &'a SpanRow, key: &str) -> &'a str {
    span.attributes.get(key).map_or("", String::as_str)
}

/// Requests by connection and number, of one kind and under TLS.
fn under_tls<'a>(spans: &'a [SpanRow], kind: &str) -> BTreeMap<(&'a str, &'a str), usize> {
    let mut found = BTreeMap::new();
    let is_one = |span: &&SpanRow| span.kind == kind && of(span, "tls.established") == "true";
    for span in spans.iter().filter(is_one) {
        let key = (of(span, "wake.connection"), of(span, "http.request.header.x-request-id"));
        *found.entry(key).or_default() += 1;
    }
    found
}

#[test]
fn calls_over_tls_find_their_request_and_their_other_end() {
    const NAME: &str = "calls_over_tls_find_their_request_and_their_other_end";
    const REQUESTS: usize = 320;
    let tools = [Need::Tool("python3"), Need::Tool("go")];
    if !requires(NAME, NEEDS) || !requires(NAME, &tools) || !has("go") {
        return;
    }
    let place = Place::new(NAME);
    let cgroup = Cgroup::new(crate::features(), NAME).unwrap();
    let mut pair = Pair::new(&cgroup);
    let (_last, last) = start(&cgroup, &mut child::command("http leaf 40"));
    let (_go, middle) = start(&cgroup, go_server(&place.0).args([&last, "tls"]));
    let mut python = Command::new("python3");
    let (_front, front) = start(&cgroup, python.arg(source("threads.py")).arg(format!("https://{middle}")));
    // a thread of the front keeps its connection: each of these is a new one
    eventually("both ends of the call over TLS", || {
        load(&front, 1, 1);
        pair.drain();
        let spans = pair.spans();
        ["client", "server"].iter().all(|kind| !under_tls(&spans, kind).is_empty())
    });
    thread::sleep(Duration::from_millis(200));
    pair.losses();
    pair.requests.sink.samples.clear();
    let asked = front.clone();
    let asking = thread::spawn(move || load(&asked, REQUESTS, 8));
    while !asking.is_finished() {
        pair.requests.poll();
        pair.tls.poll();
        thread::sleep(Duration::from_millis(10));
    }
    asking.join().unwrap();
    eventually("all calls", || {
        pair.drain();
        pair.spans().iter().filter(|span| span.kind == "client").count() >= 2 * REQUESTS
    });
    // a frame that no call needs may have found no socket
    let losses = pair.losses();
    assert!(losses.iter().all(|loss| loss.contains("no_socket")), "{losses:?}");
    let spans = pair.spans();
    let calls = judge(&spans);
    assert_eq!(calls.all, 2 * REQUESTS, "of the front over TLS, of the middle in plain text");
    let sure = calls.by.iter().filter(|(confidence, _)| confidence.parse::<f64>().is_ok_and(|of| of >= 0.9));
    assert!(sure.clone().all(|(_, [_, wrong])| *wrong == 0), "joins that are sure: {calls:?}");
    // a busy machine mixes up more of those that are said to be unsure
    assert!(calls.right * 100 >= calls.all * 90 && calls.wrong * 50 <= calls.all, "{calls:?}");
    let (clients, servers) = (under_tls(&spans, "client"), under_tls(&spans, "server"));
    assert_eq!(clients.values().sum::<usize>(), REQUESTS);
    assert_eq!(clients, servers, "each end names the connection and the request as the other does");
}
