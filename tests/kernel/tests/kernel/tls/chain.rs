//! Services in a row, of several languages, some of which speak TLS to each other: whose call is whose inside each, and which
//! ends are one request. As in `requests::chain`, whose variables say how many requests there are.
#![expect(clippy::disallowed_methods, reason = "programs are waited for in real time")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use agent::window::sample::{Owner, Row};
use proto::v1::SpanRow;

use super::programs::{certificate, library};
use super::{NEEDS, Pair};
use crate::cgroup::Cgroup;
use crate::probes::eventually;
use crate::requests::chain::{Service, go_server, has, joined, judge, nginx, number, source};
use crate::requests::grpc::Place;
use crate::requires::{Need, requires, skip};

fn of<'a>(span: &'a SpanRow, key: &str) -> &'a str {
    span.attributes.get(key).map_or("", String::as_str)
}

/// Requests by connection and number, of one kind and under TLS.
fn under_tls(spans: &[SpanRow], kind: &str) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    let is_one = |span: &&SpanRow| span.kind == kind && of(span, "tls.established") == "true";
    for span in spans.iter().filter(is_one) {
        let key = (of(span, "wake.connection"), of(span, "http.request.header.x-request-id"));
        *found.entry((key.0.to_owned(), key.1.to_owned())).or_default() += 1;
    }
    found
}

/// Five services: over TLS are what is asked of the first, of the second and of the last one.
struct Chain {
    /// From the first to the last one, and the cgroups around them.
    services: Vec<Service>,
    load: Cgroup,
    around: Cgroup,
}

impl Chain {
    fn new(name: &str, place: &Path) -> Self {
        let around = Cgroup::new(crate::features(), name).unwrap();
        let inside = |name: &str| around.child(name).unwrap();
        let mut command = go_server(place);
        command.args(["", "tls", "40"]);
        let leaf = Service::new("leaf", inside("leaf"), command);
        let mut command = go_server(place);
        command.arg(format!("https://{}", leaf.address));
        let go = Service::new("go", inside("go"), command);
        let mut command = Command::new("node");
        command.arg(source("server.js")).args([&go.address, "once"]);
        let node = Service::new("node", inside("node"), command);
        let mut command = Command::new("python3");
        command.arg(source("threads.py")).args([&node.address, "cert.pem", "key.pem"]);
        command.env("LD_LIBRARY_PATH", place).current_dir(place);
        let threads = Service::new("threads", inside("threads"), command);
        let nginx = nginx(inside("nginx"), &threads.address, place, true);
        let load = inside("load");
        Self { services: vec![nginx, threads, node, go, leaf], load, around }
    }

    fn asking(&self, place: &Path, requests: usize, clients: usize) -> Child {
        let mut command = Command::new("python3");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/tls/load.py");
        command.arg(script).arg(&self.services[0].address).args([requests, clients].map(|n| n.to_string()));
        command.env("LD_LIBRARY_PATH", place).stdin(Stdio::null());
        self.load.enter(&mut command).spawn().unwrap()
    }

    /// Spans of one of the cgroups, or of all.
    fn spans(&self, pair: &Pair, of: Option<&Cgroup>) -> Vec<SpanRow> {
        let all = self.services.iter().map(|service| &service.cgroup).chain([&self.load]);
        let wanted: Vec<u64> = of.map_or_else(|| all.map(Cgroup::id).collect(), |one| vec![one.id()]);
        let samples = pair.requests.sink.samples.iter();
        let of_row = |row: &Row| if let Row::Spans(spans) = row { spans.rows() } else { Vec::new() };
        samples
            .filter(|sample| matches!(sample.owner, Owner::Workload(id) if wanted.contains(&id)))
            .flat_map(|sample| of_row(&sample.row))
            .collect()
    }
}

fn losses(pair: &mut Pair) -> Vec<String> {
    pair.losses().into_iter().filter(|loss| !loss.contains("io_uring")).collect()
}

#[test]
fn calls_over_tls_find_their_request_and_their_other_end() {
    const NAME: &str = "calls_over_tls_find_their_request_and_their_other_end";
    let tools = ["python3", "go", "node", "nginx", "openssl"];
    if !requires(NAME, NEEDS) || !requires(NAME, &tools.map(Need::Tool)) || !has("go") {
        return;
    }
    let place = Place::new(NAME);
    if library(&place.0).is_none() {
        return skip(NAME, "needs libssl.so.3");
    }
    certificate(&place);
    let chain = Chain::new(NAME, &place.0);
    let mut pair = Pair::new(&chain.around);
    eventually("both ends of the three calls over TLS", || {
        assert!(chain.asking(&place.0, 1, 1).wait().unwrap().success());
        pair.drain();
        let spans = chain.spans(&pair, None);
        ["client", "server"].iter().all(|kind| under_tls(&spans, kind).values().sum::<usize>() >= 3)
            && chain.services.iter().all(|one| !chain.spans(&pair, Some(&one.cgroup)).is_empty())
    });
    // what began before is over
    thread::sleep(Duration::from_millis(200));
    pair.losses();
    pair.requests.sink.samples.clear();
    let (requests, clients) = (number("WAKE_CHAIN_REQUESTS", 320), number("WAKE_CHAIN_CLIENTS", 8));
    let made = requests / clients * clients;
    let mut asking = chain.asking(&place.0, requests, clients);
    while asking.try_wait().unwrap().is_none() {
        pair.requests.poll();
        pair.tls.poll();
        thread::sleep(Duration::from_millis(5));
    }
    assert!(asking.wait().unwrap().success());
    // the last answers are asked for after a while of quiet
    for _ in 0..40 {
        thread::sleep(Duration::from_millis(20));
        pair.requests.poll();
    }
    let mut told = 0;
    eventually("nothing more is told", || {
        pair.drain();
        let before = std::mem::replace(&mut told, pair.requests.sink.samples.len());
        before == told
    });
    assert_eq!(losses(&mut pair), [""; 0]);
    let (mut lines, mut sure) = (String::new(), [0_usize; 2]);
    let mut whole = None;
    for service in &chain.services[..4] {
        let spans = chain.spans(&pair, Some(&service.cgroup));
        let calls = judge(&spans);
        lines += &format!("{} {calls:?}\n", service.name);
        assert_eq!(calls.all, made, "{lines}");
        let before = sure[0];
        for (_, [right, wrong]) in
            calls.by.iter().filter(|(sure, _)| sure.parse::<f64>().is_ok_and(|sure| sure >= 0.9))
        {
            sure[0] += right;
            sure[1] += wrong;
        }
        // goroutines are told, threads would be guessed
        assert!(service.name != "go" || (sure[0] - before) * 100 >= calls.all * 99, "{lines}");
        let joined = joined(&spans);
        whole = Some(whole.map_or(joined.clone(), |whole| &whole & &joined));
        // a busy machine mixes up some of those that are said to be unsure
        let least = if ["threads", "go"].contains(&service.name) { 99 } else { 97 };
        assert!(calls.right * 100 >= calls.all * least && calls.wrong * 100 <= calls.all, "{lines}");
    }
    let whole = whole.map_or(0, |whole| whole.len());
    println!("{made} requests by {clients} clients, {whole} of them joined in every service:\n{lines}");
    assert!(sure[1] * 1_000 <= sure[0] + sure[1], "false joins of confidence 0.9 and more: {lines}");
    let spans = chain.spans(&pair, None);
    let (callers, servers) = (under_tls(&spans, "client"), under_tls(&spans, "server"));
    assert_eq!(callers.values().sum::<usize>(), 3 * made);
    assert_eq!(callers, servers, "each end names the connection and the request as the other does");
}
