//! Streams of grpc-go and of net/http: a handler's calls are its own, by the goroutine, over several versions, in plaintext and
//! under TLS.
//!
//! Each request carries its number as `x-request-id`, which no rule looks at: that is the truth.
#![expect(clippy::disallowed_methods, reason = "programs are waited for in real time")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use agent::window::sample::{Owner, Row};
use proto::v1::SpanRow;

use super::{NEEDS, Pair};
use crate::cgroup::Cgroup;
use crate::probes::eventually;
use crate::requests::chain::{Service, number};
use crate::requests::grpc::Place;
use crate::requires::{Need, requires, skip};

/// Versions of grpc-go, one for each way to have its fields.
const VERSIONS: [&str; 7] = ["1.50.0", "1.55.0", "1.64.0", "1.67.0", "1.72.0", "1.80.0", "1.85.0"];

/// Builds the program over this version; `None` where it could not be.
fn built(place: &Path, version: &str, is_vendored: bool) -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("go/streams");
    let directory = place.join(format!("{version}-{is_vendored}"));
    std::fs::create_dir_all(&directory).unwrap();
    for (from, to) in [
        ("main.go", "main.go"),
        (&*format!("{version}.mod"), "go.mod"),
        (&*format!("{version}.sum"), "go.sum"),
    ] {
        std::fs::copy(sources.join(from), directory.join(to)).unwrap();
    }
    let go = |args: &[&str]| {
        let ran = Command::new("go").args(args).current_dir(&directory).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    let is_built = match is_vendored {
        true => go(&["mod", "vendor"]) && go(&["build", "-mod=vendor", "-o", "streams", "."]),
        false => go(&["build", "-mod=readonly", "-o", "streams", "."]),
    };
    is_built.then(|| directory.join("streams"))
}

/// A relay in front of a leaf, each in a cgroup, one for who asks, and the probes around them.
struct Relay {
    relay: Service,
    leaf: Service,
    load: Cgroup,
    pair: Pair,
    around: Cgroup,
    program: PathBuf,
    tls: Option<&'static str>,
    /// How often it has begun.
    times: usize,
}

/// What is known of calls: how many there were, and those that were joined by goroutine, right and wrong.
#[derive(Debug, Default)]
struct Found {
    all: usize,
    sure: [usize; 2],
    /// By other rules.
    guessed: [usize; 2],
}

impl Relay {
    fn new(name: &str, program: &Path, tls: Option<&'static str>) -> Self {
        let around = Cgroup::new(crate::features(), name).unwrap();
        let start = |name, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).args(tls);
            Service::new(name, around.child(name).unwrap(), command)
        };
        let pair = Pair::new(&around);
        let leaf = start("leaf", &["leaf"]);
        let relay = start("relay", &["relay", &leaf.address]);
        let load = around.child("load").unwrap();
        Self { relay, leaf, load, pair, around, program: program.into(), tls, times: 0 }
    }

    /// Begins anew, now that the program is known: what was said on a connection before that is not.
    fn again(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["relay", &self.leaf.address]).args(self.tls);
        self.times += 1;
        let cgroup = self.around.child(&format!("relay-{}", self.times)).unwrap();
        self.relay = Service::new("relay", cgroup, command);
    }

    /// Asks, and gives the spans of the relay.
    fn asked(&mut self, requests: usize, clients: usize) -> Vec<SpanRow> {
        let pair = &mut self.pair;
        pair.losses();
        pair.requests.sink.samples.clear();
        let mut command = Command::new(&self.program);
        command.args(["ask", &self.relay.address]).args([requests, clients].map(|n| n.to_string()));
        let mut asking = self.load.enter(command.args(self.tls)).stdin(Stdio::null()).spawn().unwrap();
        while asking.try_wait().unwrap().is_none() {
            pair.requests.poll();
            thread::sleep(Duration::from_millis(5));
        }
        assert!(asking.wait().unwrap().success());
        thread::sleep(Duration::from_millis(100));
        pair.drain();
        let of_row = |row: &Row| if let Row::Spans(spans) = row { spans.rows() } else { Vec::new() };
        let owner = Owner::Workload(self.relay.cgroup.id());
        let samples = pair.requests.sink.samples.iter().filter(|sample| sample.owner == owner);
        samples.flat_map(|sample| of_row(&sample.row)).collect()
    }
}

/// Calls that handlers have made themselves, and those that their other goroutines have.
fn calls(spans: &[SpanRow]) -> [Found; 2] {
    let said = |span: &SpanRow| span.attributes.get("http.request.header.x-request-id").cloned();
    let servers = spans.iter().filter(|span| span.kind == "server");
    let truth: HashMap<&str, Option<String>> =
        servers.map(|span| (span.span_id.as_str(), said(span))).collect();
    let mut found = [Found::default(), Found::default()];
    for span in spans.iter().filter(|span| span.kind == "client") {
        let Found { all, sure, guessed } = &mut found[usize::from(span.name.ends_with("/Aside"))];
        *all += 1;
        // where records were lost some do not say their number
        let Some(id) = said(span) else { continue };
        let Some(Some(parent)) = truth.get(span.parent_span_id.as_str()) else { continue };
        let is_sure = span.attributes.get("wake.join.confidence").is_some_and(|sure| sure == "0.95");
        (if is_sure { sure } else { guessed })[usize::from(id != *parent)] += 1;
    }
    found
}

#[test]
fn calls_of_grpc_go_find_the_stream_of_their_goroutine() {
    const NAME: &str = "calls_of_grpc_go_find_the_stream_of_their_goroutine";
    if !requires(NAME, NEEDS) || !requires(NAME, &[Need::Tool("go")]) {
        return;
    }
    let place = Place::new(NAME);
    let requests = number("WAKE_CHAIN_REQUESTS", 320);
    for version in VERSIONS {
        let Some(program) = built(&place.0, version, false) else {
            skip(NAME, &format!("needs Go's compiler and google.golang.org/grpc {version}"));
            continue;
        };
        for tls in [None, Some("tls")] {
            let mut relay = Relay::new("streams", &program, tls);
            eventually(&format!("{version}: calls are joined by goroutine"), || {
                let spans = relay.asked(4, 1);
                spans.iter().any(|span| {
                    span.attributes.get("wake.join.confidence").is_some_and(|sure| sure == "0.95")
                })
            });
            let mut whole = 0;
            for clients in [1, 4, 8, 32] {
                relay.again();
                // one after the other they take their time
                let asked = requests * clients.min(8) / 8;
                let spans = relay.asked(asked, clients);
                let [own, aside] = calls(&spans);
                let made = asked / clients * clients;
                let losses = relay.pair.losses();
                let line =
                    format!("{version} {tls:?} {made} by {clients}: {own:?}; aside {aside:?}; {losses:?}");
                println!("{line}");
                assert_eq!([own.sure[1], aside.sure[1]], [0, 0], "nobody else's: {line}");
                // where a busy machine lost records less can be said
                if losses.iter().all(|loss| loss.contains("io_uring")) {
                    whole += 1;
                    assert_eq!([own.all, aside.all], [made * 3, made], "{line}");
                    assert!(own.sure[0] * 100 >= own.all * 99, "{line}");
                }
            }
            assert!(whole > 0, "{version} {tls:?}: each run has lost records");
        }
    }
}

#[test]
fn of_a_version_that_cannot_be_trusted_nothing_is_said_by_goroutine() {
    const NAME: &str = "of_a_version_that_cannot_be_trusted_nothing_is_said_by_goroutine";
    if !requires(NAME, NEEDS) || !requires(NAME, &[Need::Tool("go")]) {
        return;
    }
    let place = Place::new(NAME);
    let Some(program) = built(&place.0, VERSIONS[6], true) else {
        return skip(NAME, "needs Go's compiler and google.golang.org/grpc");
    };
    let mut relay = Relay::new("vendored", &program, None);
    eventually("it is named", || {
        let missing = relay.pair.tls.missing();
        missing.iter().any(|line| line.contains("/streams: grpc_version") && line.contains("without a sum"))
    });
    relay.again();
    let [own, aside] = calls(&relay.asked(80, 8));
    // where a busy machine lost records less can be said
    let losses = relay.pair.losses();
    if losses.iter().all(|loss| loss.contains("io_uring")) {
        assert_eq!((own.all, aside.all), (240, 80));
    }
    assert_eq!([own.sure, aside.sure], [[0, 0]; 2], "{own:?} {aside:?}");
}

#[test]
fn calls_of_net_http_find_the_request_of_their_goroutine() {
    const NAME: &str = "calls_of_net_http_find_the_request_of_their_goroutine";
    if !requires(NAME, NEEDS) || !requires(NAME, &[Need::Tool("go")]) {
        return;
    }
    let place = Place::new(NAME);
    let program = place.0.join("h2");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("go/h2");
    let built = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(sources).status();
    assert!(built.unwrap().success());
    let requests = number("WAKE_CHAIN_REQUESTS", 320);
    for version in ["h2", "h1"] {
        let mut relay = Relay::new("h2", &program, Some(version));
        eventually(&format!("{version}: calls are joined by goroutine"), || {
            relay.again();
            let [own, _] = calls(&relay.asked(4, 1));
            own.sure[0] >= 8
        });
        let mut whole = 0;
        for clients in [1, 4, 8, 32] {
            relay.again();
            // a process that serves HTTP/1 is known as Go's by what it asks first
            relay.asked(4, 1);
            let asked = requests * clients.min(8) / 8;
            let spans = relay.asked(asked, clients);
            let [own, aside] = calls(&spans);
            let made = asked / clients * clients;
            let losses = relay.pair.losses();
            let line =
                format!("net/http {version} {made} by {clients}: {own:?}; aside {aside:?}; {losses:?}");
            println!("{line}");
            assert_eq!([own.sure[1], aside.sure[1]], [0, 0], "nobody else's: {line}");
            // where a busy machine lost records less can be said
            if losses.iter().all(|loss| loss.contains("io_uring")) {
                whole += 1;
                assert_eq!([own.all, aside.all], [made * 3, made], "{line}");
                assert!(own.sure[0] * 100 >= own.all * 99, "{line}");
            }
        }
        assert!(whole > 0, "{version}: each run has lost records");
    }
}
