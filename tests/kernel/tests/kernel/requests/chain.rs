//! Real servers of several kinds in a row, none of which passes a trace on: whose call is whose, by what threads do.
//!
//! Each request carries its number as `X-Request-Id`, which no rule looks at: that is the truth. `WAKE_CHAIN_REQUESTS`
//! says how many there are, `WAKE_CHAIN_CLIENTS` how many at once. Programs that are not installed are skipped by name.
#![expect(clippy::disallowed_methods, reason = "programs are waited for in real time")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use agent::kernel::Settings;
use agent::probe::requests::PROBE;
use proto::v1::SpanRow;

use super::{NEEDS, grpc, spans, traffic};
use crate::cgroup::Cgroup;
use crate::child;
use crate::probes::{Attached, eventually};
use crate::requires::requires;

/// A service that runs.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) cgroup: Cgroup,
    child: Child,
    pub(crate) address: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What became of the calls of one service.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) all: usize,
    pub(crate) right: usize,
    pub(crate) wrong: usize,
    /// Right and wrong ones by confidence.
    pub(crate) by: BTreeMap<String, [usize; 2]>,
}

pub(crate) fn number(name: &str, other: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(other)
}

pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/requests/chain").join(name)
}

pub(crate) fn has(program: &str) -> bool {
    let answers = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
    answers.is_ok()
}

/// The server of Go, built where it is not there yet.
pub(crate) fn go_server(directory: &Path) -> Command {
    let binary = directory.join("server-go");
    if !binary.is_file() {
        let mut build = Command::new("go");
        build.args(["build", "-o"]).arg(&binary).arg(source("server.go")).env("GOFLAGS", "-mod=mod");
        assert!(build.status().unwrap().success());
    }
    Command::new(binary)
}

/// Starts a program that says on which port it listens.
fn service(name: &'static str, command: Command) -> Service {
    Service::new(name, Cgroup::new(crate::features(), name).unwrap(), command)
}

impl Service {
    pub(crate) fn new(name: &'static str, cgroup: Cgroup, mut command: Command) -> Self {
        let mut child =
            cgroup.enter(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines
            .map(|line| line.unwrap())
            .find_map(|line| line.split_once("port ").map(|(_, port)| port.trim().to_owned()));
        let address = format!("127.0.0.1:{}", said.unwrap_or_else(|| panic!("{name} did not start")));
        Self { name, cgroup, child, address }
    }
}

/// nginx says no port: it gets one that was free. With `tls` it takes and asks over TLS, with what the directory has.
pub(crate) fn nginx(cgroup: Cgroup, next: &str, directory: &Path, tls: bool) -> Service {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = directory.display();
    let (certificate, scheme) = match tls {
        true => (format!(" ssl; ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem"), "https"),
        false => (String::new(), "http"),
    };
    let config = format!(
        "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/error.log;\n\
         events {{ worker_connections 512; }}\n\
         http {{\n access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
         fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
         upstream next {{ server {next}; keepalive 64; }}\n\
         server {{ listen 127.0.0.1:{port} backlog=128{certificate}; location / {{ proxy_pass {scheme}://next;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}\n}}\n"
    );
    let path = directory.join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("nginx");
    if tls {
        command.env("LD_LIBRARY_PATH", directory);
    }
    command.arg("-c").arg(&path).arg("-p").arg(directory).stdout(Stdio::null()).stderr(Stdio::null());
    let child = cgroup.enter(&mut command).spawn().unwrap();
    let address = format!("127.0.0.1:{port}");
    eventually("nginx listens", || std::net::TcpStream::connect(&address).is_ok());
    Service { name: "nginx", cgroup, child, address }
}

/// A server of a kind, in front of `next`; `None` where its program is not installed.
#[expect(clippy::print_stderr, reason = "says which programs are not there")]
fn start(kind: &'static str, next: &str, directory: &Path) -> Option<Service> {
    let program = match kind {
        "nginx" | "node" | "go" => kind,
        "timers" => "node",
        "threads" | "loop" => "python3",
        _ => "",
    };
    if !program.is_empty() && !has(program) {
        eprintln!("skipped {kind}: {program} is not installed");
        return None;
    }
    let mut command = Command::new(program);
    match kind {
        "nginx" => {
            let cgroup = Cgroup::new(crate::features(), "nginx").unwrap();
            return Some(nginx(cgroup, next, directory, false));
        }
        "node" => command.arg(source("server.js")),
        "timers" => {
            command.arg(source("server.js")).args([next, "sleep"]);
            return Some(service(kind, command));
        }
        "threads" => command.arg(source("threads.py")),
        "loop" => command.arg(source("loop.py")),
        "go" => {
            command = go_server(directory);
            &mut command
        }
        _ => {
            command = child::command(&format!("http tokio {next}"));
            return Some(service(kind, command));
        }
    };
    if !next.is_empty() {
        command.arg(next);
    }
    Some(service(kind, command))
}

/// So many clients, each on its connection.
pub(crate) fn load(address: &str, requests: usize, clients: usize) {
    let address: SocketAddr = address.parse().unwrap();
    let clients: Vec<_> = (0..clients)
        .map(|client| {
            let each = requests / clients;
            thread::spawn(move || traffic::ask_numbered(address, client * each..(client + 1) * each))
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

pub(crate) fn judge(spans: &[SpanRow]) -> Calls {
    let said = |span: &SpanRow| span.attributes.get("http.request.header.x-request-id").cloned();
    let servers = spans.iter().filter(|span| span.kind == "server");
    let truth: HashMap<&str, Option<String>> =
        servers.map(|span| (span.span_id.as_str(), said(span))).collect();
    let mut calls = Calls::default();
    for span in spans.iter().filter(|span| span.kind == "client") {
        calls.all += 1;
        if span.parent_span_id.is_empty() {
            continue;
        }
        let is_right = truth.get(span.parent_span_id.as_str()).is_some_and(|id| *id == said(span));
        let sure = span.attributes.get("wake.join.confidence").cloned().unwrap_or_default();
        calls.by.entry(sure).or_default()[usize::from(!is_right)] += 1;
        if is_right { calls.right += 1 } else { calls.wrong += 1 }
    }
    calls
}

/// Numbers of requests all of whose calls have the right parent.
pub(crate) fn joined(spans: &[SpanRow]) -> BTreeSet<String> {
    let said = |span: &SpanRow| span.attributes.get("http.request.header.x-request-id").cloned();
    let servers = spans.iter().filter(|span| span.kind == "server");
    let truth: HashMap<&str, Option<String>> =
        servers.map(|span| (span.span_id.as_str(), said(span))).collect();
    let (mut right, mut other) = (BTreeSet::new(), BTreeSet::new());
    for span in spans.iter().filter(|span| span.kind == "client") {
        let is_right = truth.get(span.parent_span_id.as_str()).is_some_and(|id| *id == said(span));
        if is_right { &mut right } else { &mut other }.extend(said(span));
    }
    right.difference(&other).cloned().collect()
}

#[test]
fn calls_of_servers_of_every_kind_find_their_request() {
    const NAME: &str = "calls_of_servers_of_every_kind_find_their_request";
    if !requires(NAME, NEEDS) {
        return;
    }
    let directory = std::env::temp_dir().join(format!("wake-chain-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    // where a busy machine lost records little can be said of what is left
    let is_judged = (0..3).any(|_| is_judged(&directory));
    std::fs::remove_dir_all(&directory).unwrap();
    if !is_judged {
        crate::requires::skip(NAME, "records were lost three times: the machine is too busy");
    }
}

/// Servers of many streams on few connections: what cannot be told stays open, and what is said to be sure is right.
#[test]
fn calls_of_streams_find_their_request() {
    const NAME: &str = "calls_of_streams_find_their_request";
    if !requires(NAME, NEEDS) {
        return;
    }
    let place = grpc::Place::new(NAME);
    let go = if has("go") { grpc::go_pair(NAME, &place) } else { None };
    // one at a time, of which nearly all are found in each service; and several, most of which stay open, in one service
    // more than in another by chance: some are found in all of them together
    for (requests, clients, each, together) in
        [(64, 1, 95, 95), (number("WAKE_CHAIN_REQUESTS", 320), number("WAKE_CHAIN_CLIENTS", 8), 0, 1)]
    {
        if !(0..3).any(|_| are_streams_judged(go.as_deref(), requests, clients, [each, together])) {
            crate::requires::skip(NAME, "records were lost three times: the machine is too busy");
        }
    }
}

/// Whether nothing was lost, and so all was judged; at least so many of a hundred calls are joined right, of each service and
/// of all together.
fn are_streams_judged(go: Option<&Path>, requests: usize, clients: usize, percent: [usize; 2]) -> bool {
    let mut probe = Attached::new(&PROBE, &Settings { max_spans: 1_000_000, ..Settings::default() });
    let last = service("leaf", child::command("http tonic -"));
    let tonic = service("tonic", child::command(&format!("http tonic {}", last.address)));
    let mut services = vec![tonic];
    if let Some(program) = go {
        let mut command = Command::new(program);
        command.args(["serve", &services[0].address]);
        services.insert(0, service("grpc-go", command));
    }
    let asked = format!("http streams {} {requests} {clients}", services[0].address);
    let mut asking = child::command(&asked).spawn().unwrap();
    while asking.try_wait().unwrap().is_none() {
        probe.poll();
        thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(asking.wait().unwrap().success());
    probe.drain();
    let is_whole = probe.sink.losses.iter().all(|loss| loss.reason == "io_uring");
    let made = requests / clients * clients;
    let (mut lines, mut total) = (String::new(), [0_usize; 3]);
    for service in &services {
        let calls = judge(&spans(&probe, &service.cgroup));
        lines += &format!("{} {calls:?}\n", service.name);
        assert!(calls.by.keys().all(|sure| sure.parse::<f64>().is_ok_and(|sure| sure < 0.9)), "{lines}");
        if !is_whole {
            continue;
        }
        assert!(calls.all >= made, "{lines} calls of {made} requests");
        assert!(calls.wrong * 20 <= calls.all, "what cannot be told stays open: {lines}");
        assert!(calls.right * 100 >= calls.all * percent[0], "{lines}");
        let sums = [calls.all, calls.right, calls.wrong];
        (0..3).for_each(|index| total[index] += sums[index]);
    }
    let [all, right, wrong] = total;
    // tonic alone, where there is no Go, may find none
    if services.len() > 1 {
        assert!(wrong * 10 <= right + wrong, "of what is joined nine in ten are right: {lines}");
        assert!(right * 100 >= all * percent[1], "{lines}");
    }
    println!("{made} requests by {clients} clients:\n{lines}lost: {:?}", probe.sink.losses);
    is_whole
}

/// Asks and judges every call; false where records were lost.
fn is_judged(directory: &Path) -> bool {
    let requests = number("WAKE_CHAIN_REQUESTS", 320);
    let clients = number("WAKE_CHAIN_CLIENTS", 8);
    let mut probe = Attached::new(&PROBE, &Settings { max_spans: 1_000_000, ..Settings::default() });
    let mut services: Vec<Service> = Vec::new();
    // from the last one to the first
    let last = service("leaf", child::command("http leaf 40"));
    let mut next = last.address.clone();
    for kind in ["timers", "tokio", "node", "loop", "go", "threads", "nginx"] {
        if let Some(service) = start(kind, &next, directory) {
            next = service.address.clone();
            services.push(service);
        }
    }
    let asked = next.clone();
    let asking = thread::spawn(move || load(&asked, requests, clients));
    while !asking.is_finished() {
        probe.poll();
        thread::sleep(std::time::Duration::from_millis(5));
    }
    asking.join().unwrap();
    let made = requests / clients * clients;
    // the last answers are asked for after a while of quiet
    for _ in 0..40 {
        thread::sleep(std::time::Duration::from_millis(20));
        probe.poll();
    }
    probe.drain();
    let is_whole = probe.sink.losses.iter().all(|loss| loss.reason == "io_uring");
    let mut sure = [0_usize; 2];
    let mut lines = String::new();
    for service in services.iter().rev() {
        let calls = judge(&spans(&probe, &service.cgroup));
        lines += &format!("{} {calls:?}\n", service.name);
        for (confidence, [right, wrong]) in &calls.by {
            if confidence.parse::<f64>().unwrap_or_default() >= 0.9 {
                sure[0] += right;
                sure[1] += wrong;
            }
        }
        if !is_whole {
            continue;
        }
        assert!(calls.all >= made, "{lines} calls of {made} requests");
        // what cannot be told apart stays open
        assert!(calls.wrong * 10 <= calls.all || service.name == "timers", "{} {calls:?}", service.name);
        // one request at a time on a thread that waits inside its calls
        assert!(calls.right * 100 >= calls.all * 99 || service.name != "threads", "{calls:?}");
    }
    println!("{made} requests by {clients} clients:\n{lines}lost: {:?}", probe.sink.losses);
    // whether records were lost or not
    assert!(sure[1] * 1_000 <= sure[0] + sure[1], "false joins of confidence 0.9 and more: {lines}");
    is_whole
}
