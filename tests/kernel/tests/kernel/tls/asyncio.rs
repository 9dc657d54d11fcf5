//! Python's asyncio: OpenSSL over memory BIOs, many sessions of one thread at once, each from its first request on.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use proto::v1::SpanRow;

use super::programs::{certificate, library};
use super::{NEEDS, Pair, go};
use crate::cgroup::Cgroup;
use crate::probes::eventually;
use crate::requests::grpc::Place;
use crate::requires::{Need, requires};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 16;
const REQUESTS: usize = 6;
/// As the program asks for them on each connection.
const STATUSES: [&str; REQUESTS] = ["200", "404", "200", "200", "500", "200"];

fn of<'a>(span: &'a SpanRow, key: &str) -> &'a str {
    span.attributes.get(key).map_or("", String::as_str)
}

/// Requests that were made after the word to go, as one end has them: status by the number of the request.
fn made<'a>(spans: &'a [SpanRow], kind: &str) -> BTreeMap<&'a str, Vec<&'a str>> {
    let end = if kind == "client" { "network.local.port" } else { "network.peer.port" };
    let mut made: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for span in spans.iter().filter(|span| span.kind == kind && of(span, "url.path") != "/warm") {
        let id = of(span, "http.request.header.x-request-id");
        let port = id.split('-').next();
        assert_eq!(port, Some(of(span, end)), "on the connection of another: {span:?}");
        assert_eq!(of(span, "tls.established"), "true");
        made.entry(id).or_default().push(of(span, "http.response.status_code"));
    }
    made
}

fn check(name: &'static str, version: &str) {
    if !requires(name, NEEDS) || !requires(name, &[Need::Tool("python3"), Need::Tool("openssl")]) {
        return;
    }
    let place = Place::new(name);
    if library(&place.0).is_none() {
        return crate::requires::skip(name, "needs libssl.so.3");
    }
    certificate(&place);
    let script = place.write("pair.py", include_str!("pair.py"));
    let cgroup = Cgroup::new(crate::features(), name).unwrap();
    let mut pair = Pair::new(&cgroup);
    let numbers = [ROUNDS, CONNECTIONS, REQUESTS].map(|number| number.to_string());
    let mut child = cgroup
        .enter(Command::new("python3").arg(script).args(numbers).arg(version))
        .env("LD_LIBRARY_PATH", &place.0)
        .current_dir(&place.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    pair.warm();
    pair.losses();
    go(&mut child);
    let wanted = ROUNDS * CONNECTIONS * REQUESTS;
    eventually("as many spans as requests", || {
        pair.drain();
        pair.spans().iter().filter(|span| of(span, "url.path") != "/warm").count() >= 2 * wanted
    });
    let losses = pair.losses();
    let spans = pair.spans();
    for kind in ["server", "client"] {
        let made = made(&spans, kind);
        assert_eq!(made.len(), wanted, "{kind}, {losses:?}");
        for (id, statuses) in made {
            let number: usize = id.rsplit('-').next().unwrap().parse().unwrap();
            assert_eq!(statuses, [STATUSES[number]], "{kind} {id}");
        }
    }
    assert_eq!(losses, [""; 0]);
}

#[test]
fn asyncio_over_memory_from_the_first_request_on() {
    check("asyncio_over_memory_from_the_first_request_on", "1.3");
}

#[test]
fn asyncio_over_memory_and_tls_1_2() {
    check("asyncio_over_memory_and_tls_1_2", "1.2");
}
