//! Connections that were open before anybody looked, of which nothing but what is said tells who asks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use agent::kernel::Settings;
use agent::window::sample::Row;

use super::programs::{certificate, library, nginx};
use super::{NEEDS, Pair, count};
use crate::cgroup::Cgroup;
use crate::probes::{Attached, eventually};
use crate::requests::grpc::Place;
use crate::requires::{Need, requires};

/// Asks on one connection for each line it reads, and answers it.
const CLIENT: &str = "
import http.client, ssl, sys
server = http.client.HTTPSConnection('127.0.0.1', int(sys.argv[1]), context=ssl._create_unverified_context())
for line in sys.stdin:
    server.request('GET', line.strip())
    server.getresponse().read()
    print(flush=True)
";

/// Above those that clients get, in the range of theirs: by its ports alone the client would be the server.
fn high_port() -> u16 {
    (60_000..60_999).rev().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

#[test]
fn an_older_connection_to_a_port_of_clients_has_its_sides() {
    const NAME: &str = "an_older_connection_to_a_port_of_clients_has_its_sides";
    let tools = [Need::Tool("nginx"), Need::Tool("python3"), Need::Tool("openssl")];
    if !requires(NAME, NEEDS) || !requires(NAME, &tools) {
        return;
    }
    let place = Place::new(NAME);
    if library(&place.0).is_none() {
        return crate::requires::skip(NAME, "needs libssl.so.3");
    }
    certificate(&place);
    place.write("client.py", CLIENT);
    let cgroup = Cgroup::new(crate::features(), NAME).unwrap();
    let port = high_port();
    let _server = nginx(&place, &cgroup, port, "");
    eventually("nginx", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mut client = cgroup
        .enter(Command::new("python3").arg(place.0.join("client.py")).arg(port.to_string()))
        .env("LD_LIBRARY_PATH", &place.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (client.stdin.take().unwrap(), BufReader::new(client.stdout.take().unwrap()));
    let mut ask = |path: &str| {
        writeln!(to, "{path}").unwrap();
        from.read_line(&mut String::new()).unwrap();
    };
    ask("/warm");
    let mut pair = Pair::new(&cgroup);
    eventually("an answer to /warm that is seen at both ends", || {
        ask("/warm");
        pair.drain();
        let spans = pair.spans();
        ["server", "client"].iter().all(|kind| count(&spans, kind, "/warm", "200") > 0)
    });
    let mut calls = Attached::new(&agent::probe::syscalls::PROBE, &Settings::default());
    for _ in 0..30 {
        ask("/ok");
    }
    eventually("a span of each at both ends", || {
        pair.drain();
        ["server", "client"].iter().all(|kind| count(&pair.spans(), kind, "/ok", "200") == 30)
    });
    // the kernel comes back from a probe by a call (6.11), whose number is gone at its end as that of `rt_sigreturn`
    calls.drain();
    let of = |wanted: &str| {
        let rows = calls.rows(cgroup.id()).filter_map(|row| match row {
            Row::Syscall(row) if row.syscall == wanted => Some(row.count),
            _ => None,
        });
        rows.sum::<u64>()
    };
    assert_eq!((of("rt_sigreturn"), of("uretprobe")), (0, 0));
    assert!(of("epoll_wait") >= 30, "nginx was counted");
    drop(to);
    client.wait().unwrap();
}
