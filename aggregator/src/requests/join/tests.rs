use std::net::SocketAddr;

use proptest::prelude::*;

use super::{Behind, By, End, Join, Role, join};

const MS: i64 = 1_000_000;

fn end(role: Role, number: i64, start_ms: f64, end_ms: f64) -> End {
    let node = if role == Role::Client { "a" } else { "b" };
    let ns = |ms: f64| (ms * MS as f64) as i64;
    End {
        role,
        trace_id: format!("{number:032x}"),
        span_id: format!("{number:016x}"),
        node: node.to_owned(),
        place: String::new(),
        client: "10.0.0.1:40000".parse().unwrap(),
        server: "10.0.0.2:80".parse().unwrap(),
        start_ns: ns(start_ms),
        end_ns: ns(end_ms),
        said: [None, None, None],
        status: None,
    }
}

fn client(number: i64, start_ms: f64, end_ms: f64) -> End {
    end(Role::Client, number, start_ms, end_ms)
}

fn server(number: i64, start_ms: f64, end_ms: f64) -> End {
    end(Role::Server, number, start_ms, end_ms)
}

/// Which span was joined to which, by their numbers, and how surely.
fn told(ends: &[End]) -> Vec<(i64, Option<i64>, By, f64)> {
    told_behind(ends, &Behind::new())
}

fn told_behind(ends: &[End], behind: &Behind) -> Vec<(i64, Option<i64>, By, f64)> {
    let number = |at: usize| i64::from_str_radix(&ends[at].span_id, 16).unwrap();
    join(ends, behind)
        .into_iter()
        .map(|Join { client, server, confidence, by, .. }| {
            (number(client), server.map(number), by, confidence)
        })
        .collect()
}

#[test]
fn one_of_each_is_one_request() {
    let found = told(&[server(1, 2.0, 8.0), client(1, 0.0, 10.0)]);
    assert_eq!(found, [(1, Some(1), By::Connection, 0.99)]);
}

#[test]
fn what_does_not_fit_is_not_joined() {
    let later = server(1, 50.0, 58.0);
    assert_eq!(told(&[client(1, 0.0, 10.0), later]), []);
    // longer than the client waited
    assert_eq!(told(&[client(1, 0.0, 10.0), server(1, 0.0, 40.0)]), []);
    let other = End { client: "10.0.0.1:40001".parse().unwrap(), ..server(1, 2.0, 8.0) };
    assert_eq!(told(&[client(1, 0.0, 10.0), other]), []);
    let elsewhere = End { place: String::from("other"), ..server(1, 2.0, 8.0) };
    assert_eq!(told(&[client(1, 0.0, 10.0), elsewhere]), []);
    let said = |method: &str| [Some(method.to_owned()), None, None];
    let (get, post) = (said("GET"), said("POST"));
    let ends = [
        End { said: get.clone(), ..client(1, 0.0, 10.0) },
        End { said: post, ..server(1, 2.0, 8.0) },
        End { said: get, ..server(2, 2.0, 8.0) },
    ];
    assert_eq!(told(&ends)[0].1, Some(2), "what both say decides");
}

#[test]
fn an_unresolved_address_and_another_status_are_less_sure() {
    let service: SocketAddr = "10.96.0.7:80".parse().unwrap();
    let found = told(&[End { server: service, ..client(1, 0.0, 10.0) }, server(1, 2.0, 8.0)]);
    assert_eq!(found, [(1, Some(1), By::Connection, 0.88)]);
    // what flows found behind the address is as good as the address
    let behind = Behind::from([(service, "10.0.0.2:80".parse().unwrap())]);
    let ends = [End { server: service, ..client(1, 0.0, 10.0) }, server(1, 2.0, 8.0)];
    assert_eq!(told_behind(&ends, &behind), [(1, Some(1), By::Connection, 0.97)]);
    let status = |code: &str| Some(code.to_owned());
    let ends = [
        End { status: status("502"), ..client(1, 0.0, 10.0) },
        End { status: status("200"), ..server(1, 2.0, 8.0) },
    ];
    assert!(told(&ends)[0].3 < 0.5);
    // where the address itself is there, it is that one
    let ends = [client(1, 0.0, 10.0), End { server: service, ..server(1, 1.0, 9.0) }, server(2, 2.0, 8.0)];
    assert_eq!(told(&ends), [(1, Some(2), By::Connection, 0.99)]);
}

#[test]
fn requests_one_after_the_other_are_told_apart_by_time() {
    let mut ends = Vec::new();
    for number in 0..50 {
        let at = number as f64 * 12.0;
        ends.push(client(number, at, at + 10.0));
        ends.push(server(number, at + 1.0, at + 9.0));
    }
    let found = told(&ends);
    assert_eq!(found.len(), 50);
    for (client, server, by, confidence) in found {
        assert_eq!((Some(client), by), (server, By::Connection));
        assert!(confidence > 0.9, "{client}: {confidence}");
    }
}

#[test]
fn what_cannot_be_told_apart_stays_open() {
    // two requests at the same time, one answer seen
    let ends = [client(1, 0.0, 10.0), client(2, 0.0, 10.0), server(1, 2.0, 8.0)];
    assert_eq!(told(&ends), [(1, None, By::Open, 0.0), (2, None, By::Open, 0.0)]);
    // both seen, and both began at the same time
    let ends = [client(1, 0.0, 10.0), client(2, 0.0, 10.0), server(1, 2.0, 8.0), server(2, 2.0, 8.0)];
    assert!(told(&ends).iter().all(|(_, server, ..)| server.is_none()));
}

#[test]
fn pipelined_requests_keep_their_order_at_a_lower_confidence() {
    let ends = [
        client(1, 0.0, 20.0),
        client(2, 1.0, 21.0),
        server(2, 4.0, 9.0),
        server(1, 3.0, 8.0),
        client(3, 2.0, 22.0),
        server(3, 5.0, 10.0),
    ];
    let found = told(&ends);
    assert_eq!(found.len(), 3);
    for (client, server, by, confidence) in found {
        assert_eq!((Some(client), by), (server, By::Order));
        assert!((0.5..0.9).contains(&confidence));
    }
}

#[test]
fn one_node_has_one_clock() {
    let here = |end: End| End { node: String::from("a"), ..end };
    // 3 ms apart: too far for one clock, near enough for two
    let ends = [client(1, 0.0, 10.0), here(server(1, 12.0, 13.0))];
    assert_eq!(told(&ends), []);
    assert_eq!(told(&[client(1, 0.0, 10.0), server(1, 12.0, 13.0)]).len(), 1);
}

proptest! {
    /// Whatever is joined with high confidence is right, while clocks differ by less than a request takes and spans of
    /// one end are lost.
    #[test]
    fn sure_joins_are_right(
        requests in prop::collection::vec((0_i64..30_000, 500_i64..20_000, 0_i64..200, 0_i64..200), 1..40),
        skew_us in -400_i64..400,
        lost in prop::collection::vec(0_usize..40, 0..10),
        loses_clients: bool,
    ) {
        let (mut clients, mut servers, mut at) = (Vec::new(), Vec::new(), 0);
        for (number, (gap, took, before, after)) in (0..).zip(requests) {
            at += gap;
            let (start, finish) = (at * 1_000, (at + took) * 1_000);
            at += took;
            let (before, after, shift) = (before * 1_000, after * 1_000, skew_us * 1_000);
            clients.push(End { start_ns: start, end_ns: finish, ..client(number, 0.0, 0.0) });
            let (start_ns, end_ns) = (start + before + shift, finish - after + shift);
            servers.push(End { start_ns, end_ns, ..server(number, 0.0, 0.0) });
        }
        let losing = if loses_clients { &mut clients } else { &mut servers };
        for lost in lost {
            if lost < losing.len() {
                losing.remove(lost);
            }
        }
        for (client, server, _, confidence) in told(&[clients, servers].concat()) {
            prop_assert!(confidence < 0.9 || server == Some(client), "{client} {server:?} {confidence}");
        }
    }
}
