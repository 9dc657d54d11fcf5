use std::net::SocketAddr;

use agent_common::histogram::bucket;
use proto::v1::RequestRow;

use super::super::protocol::{Exchange, Protocol};
use super::super::span::Ends;
use super::{MOST_NAMES, MOST_ROWS, Red, upper_end};
use crate::window::sample::Row;

fn ends(owner: u64, peer: u8) -> Ends {
    let address = |last: u8, port: u16| SocketAddr::from(([10, 0, 0, last], port));
    Ends {
        owner,
        tgid: 1,
        is_client: true,
        local: address(1, 40_000),
        peer: address(peer, 80),
        transport: "tcp",
        is_encrypted: false,
    }
}

fn exchange(name: &str, took_ns: u64) -> Exchange {
    let mut exchange = Exchange::new(Protocol::Http1, 5);
    exchange.name = name.to_owned();
    exchange.end_ns = 5 + took_ns;
    exchange
}

fn rows(red: &mut Red) -> Vec<RequestRow> {
    let mut out = Vec::new();
    red.close(&mut out);
    let mut rows: Vec<RequestRow> = out
        .into_iter()
        .filter_map(|sample| if let Row::Request(row) = sample.row { Some(*row) } else { None })
        .collect();
    rows.sort_by(|one, other| (&one.name, &one.status).cmp(&(&other.name, &other.status)));
    rows
}

#[test]
fn requests_are_counted_by_name_and_failure_whatever_is_told_of_them() {
    let mut red = Red::default();
    for number in 0..10_u64 {
        let mut counted = red.count(&ends(1, 2), &exchange("GET /a", 2_000_000), number == 3);
        if number % 2 == 0 {
            counted.told();
        }
    }
    let found = rows(&mut red);
    // without and with a span, and the one that failed
    assert_eq!(found.len(), 3);
    let RequestRow { kind, protocol, peer_address, server_port, count, spans, duration_ns_sum, .. } =
        &found[0];
    assert_eq!((kind.as_str(), protocol.as_str(), peer_address.as_str()), ("client", "http", "10.0.0.2"));
    assert_eq!((*server_port, *count, *spans, *duration_ns_sum), (80, 4, 0, 8_000_000));
    assert_eq!((found[1].count, found[1].spans, found[1].duration_ns_sum), (5, 5, 10_000_000));
    assert_eq!(found[1].duration_hist[bucket(2_000_000) as usize], 5);
    assert_eq!((found[2].status.as_str(), found[2].count, found[2].spans), ("error", 1, 0));
    assert!(rows(&mut red).is_empty() && rows(&mut red).is_empty() && red.counts.len() == red.free.len());
}

#[test]
fn what_has_no_status_is_unseen_also_where_its_answer_had_begun() {
    let mut red = Red::default();
    let mut one = |protocol, status: Option<u16>, code: Option<&str>, error: Option<&str>| {
        let mut exchange = exchange("a", 1);
        (exchange.protocol, exchange.http_status) = (protocol, status);
        exchange.first_byte_ns = Some(5);
        exchange.error_type = error.map(str::to_owned);
        if let Some(code) = code {
            exchange.attributes.set("rpc.grpc.status_code", code);
        }
        red.count(&ends(1, 2), &exchange, false);
        rows(&mut red)[0].unseen
    };
    assert_eq!((one(Protocol::Http1, Some(200), None, None), one(Protocol::Http1, None, None, None)), (0, 1));
    assert_eq!((one(Protocol::Http2, Some(404), None, None), one(Protocol::Http2, None, None, None)), (0, 1));
    assert_eq!((one(Protocol::Grpc, None, Some("5"), None), one(Protocol::Grpc, None, None, None)), (0, 1));
    assert_eq!(one(Protocol::Grpc, Some(404), None, None), 0, "none of a gRPC server");
    assert_eq!(one(Protocol::Http2, None, None, Some("CANCEL")), 0, "its client gave up");
    assert_eq!(one(Protocol::Redis, None, None, None), 0, "an answer without a status");
}

#[test]
fn what_is_beyond_the_bounds_is_other_and_sums_stay() {
    let mut red = Red::default();
    for number in 0..MOST_NAMES * 2 {
        red.count(&ends(1, 2), &exchange(&format!("GET /{number}"), 1), false);
    }
    let found = rows(&mut red);
    assert_eq!(found.len(), MOST_NAMES + 1);
    assert_eq!(found.iter().map(|row| row.count).sum::<u64>(), MOST_NAMES as u64 * 2);
    let mut red = Red::default();
    for number in 0..MOST_ROWS * 2 {
        red.count(&ends(number as u64 / 200, (number % 200) as u8), &exchange("GET /a", 1), false);
    }
    let found = rows(&mut red);
    assert!(found.len() < MOST_ROWS + 100, "{}", found.len());
    assert_eq!(found.iter().map(|row| row.count).sum::<u64>(), MOST_ROWS as u64 * 2);
}

#[test]
fn slow_is_what_takes_longer_than_the_window_before() {
    let mut red = Red::default();
    for _ in 0..200 {
        assert!(!red.count(&ends(1, 2), &exchange("GET /a", 1_000_000), false).is_slow());
    }
    rows(&mut red);
    assert!(!red.count(&ends(1, 2), &exchange("GET /a", 1_000_000), false).is_slow());
    assert!(red.count(&ends(1, 2), &exchange("GET /a", 1_400_000), false).is_slow());
    for ns in [1_023, 1_024, 5_000, 1_000_000, 3_333_333_333] {
        let place = bucket(ns) as usize;
        assert!(ns < upper_end(place) && (place == 0 || ns >= upper_end(place - 1)), "{ns}");
    }
}
