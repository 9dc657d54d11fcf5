use arrow::array::StringArray;

use super::{CLOCKS_NS, Pairs, Request};
use crate::requests::span::{Attributes, Span};

const MS: i64 = 1_000_000;

/// A span of the wire between these ports; `kind` decides which is whose.
fn on_wire<R>(kind: &str, client: u16, server: &str, at_ms: i64, take: impl FnOnce(&Span<'_>) -> R) -> R {
    let (client, server) = (format!("10.0.0.1:{client}"), server.to_owned());
    let (local, peer) = if kind == "client" { (&client, &server) } else { (&server, &client) };
    let [local, peer] = [local, peer].map(|socket| socket.split_once(':').unwrap());
    let keys = ["network.local.address", "network.local.port", "network.peer.address", "network.peer.port"];
    let (keys, values) =
        (StringArray::from(keys.to_vec()), StringArray::from(vec![local.0, local.1, peer.0, peer.1]));
    let service = format!("{kind}-{at_ms}");
    take(&Span {
        start_ns: at_ms * MS,
        duration_ns: 2 * MS,
        cluster: "",
        node: "",
        namespace: "",
        workload: "",
        workload_kind: "",
        pod: "",
        service: &service,
        name: "",
        kind,
        status: "",
        failed: false,
        is_wake: true,
        trace_id: "",
        span_id: "",
        parent_span_id: "",
        attributes: Attributes::new(&keys, &values),
    })
}

fn told(request: Request<'_>) -> [String; 2] {
    [request.client, request.server]
        .map(|side| side.map(|side| side.party.service.clone()).unwrap_or_default())
}

fn add(pairs: &mut Pairs, kind: &str, client: u16, server: &str, at_ms: i64, out: &mut Vec<[String; 2]>) {
    on_wire(kind, client, server, at_ms, |span| {
        pairs.add(span, at_ms, &mut |request| out.push(told(request)))
    });
}

fn pair(client: &str, server: &str) -> [String; 2] {
    [client.to_owned(), server.to_owned()]
}

#[test]
fn the_nearest_of_a_connection_are_one_request() {
    let (mut pairs, mut out) = (Pairs::new(100), Vec::new());
    for (kind, port, at) in [("server", 1, 11), ("client", 1, 0), ("client", 2, 1), ("server", 1, 1)] {
        add(&mut pairs, kind, port, "10.0.0.2:80", at, &mut out);
    }
    add(&mut pairs, "client", 1, "10.0.0.2:80", 10, &mut out);
    // the first client's span took the only one that was there, the later one the other
    assert_eq!(out, [pair("client-0", "server-11"), pair("client-10", "server-1")]);
    assert_eq!(pairs.waiting(), 1);
    pairs.finish(&mut |request| out.push(told(request)));
    assert_eq!((out.last(), pairs.waiting()), (Some(&pair("client-1", "")), 0));
}

#[test]
fn another_time_or_a_nearer_address_is_another_request() {
    let (mut pairs, mut out) = (Pairs::new(100), Vec::new());
    add(&mut pairs, "client", 1, "10.96.0.9:80", 0, &mut out);
    add(&mut pairs, "server", 1, "10.0.0.2:80", 3 + CLOCKS_NS / MS, &mut out);
    assert!(out.is_empty(), "{out:?}");
    // a service's address is another one at each end
    add(&mut pairs, "server", 1, "10.0.0.3:80", 2, &mut out);
    assert_eq!(out, [pair("client-0", "server-2")]);
}

#[test]
fn what_waits_is_bounded_and_ends() {
    let (mut pairs, mut out) = (Pairs::new(10), Vec::new());
    for at in 0..100 {
        add(&mut pairs, "client", u16::try_from(at).unwrap(), "10.0.0.2:80", at, &mut out);
    }
    assert_eq!((pairs.waiting(), out.len()), (10, 90));
    pairs.expire(95, &mut |request| out.push(told(request)));
    assert_eq!((pairs.waiting(), out.len()), (5, 95));
    // one connection alone is bounded, too
    let mut pairs = Pairs::new(10_000);
    out.clear();
    (0..1_000).for_each(|at| add(&mut pairs, "client", 1, "10.0.0.2:80", at, &mut out));
    assert_eq!((pairs.waiting(), out.len()), (256, 744));
}
