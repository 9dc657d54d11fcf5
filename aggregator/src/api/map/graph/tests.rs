use std::sync::Arc;

use serde_json::{Value, json};

use super::{Graph, Node, Traffic, Wanted};
use crate::requests::pairs::{Channel, Party, Request, Side};

fn workload(name: &str) -> Node {
    Node::workload("shop", name, "Deployment").unwrap()
}

fn side(name: &str, took_ms: i64, peer: &str, peer_name: Option<&str>) -> Side {
    Side {
        party: Arc::new(Party {
            namespace: String::from("shop"),
            workload: name.to_owned(),
            kind: String::from("Deployment"),
            service: name.to_owned(),
        }),
        start_ns: 0,
        duration_ns: took_ms * 1_000_000,
        failed: took_ms > 100,
        protocol: Arc::from("http"),
        channel: Channel::Direct,
        is_wake: true,
        has_parent: false,
        peer: peer.parse().ok(),
        peer_name: peer_name.map(Arc::from),
    }
}

fn traffic(bytes: i64) -> Traffic {
    Traffic { bytes_sent: bytes, connections: 1, ..Traffic::default() }
}

fn wanted(wheres: &[(&str, &str)]) -> Wanted {
    let own = |(key, text): &(&str, &str)| ((*key).to_owned(), (*text).to_owned());
    Wanted::new(wheres.iter().map(own).collect()).unwrap()
}

/// `client → server`, requests, bytes that were sent.
fn edges(graph: Graph, wheres: &[(&str, &str)], limit: usize) -> (Vec<(String, u64, Option<i64>)>, usize) {
    let drawn = graph.draw(&wanted(wheres), limit, 10.0);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let edges = drawn.edges.iter().map(|edge| {
        let requests = edge["requests"].as_array().unwrap();
        let count = requests.iter().map(|requests| requests["count"].as_u64().unwrap()).sum();
        let ends = format!("{} → {}", text(&edge["client"]), text(&edge["server"]));
        (ends, count, edge.get("bytes_sent").and_then(Value::as_i64))
    });
    (edges.collect(), drawn.more_edges)
}

#[test]
fn both_views_of_an_edge_are_one_and_the_clients_counts() {
    let mut graph = Graph::default();
    graph.flow(workload("web"), workload("cart"), false, traffic(100));
    graph.flow(workload("web"), workload("cart"), true, traffic(90));
    graph.flow(Node::address("203.0.113.9".parse().unwrap(), "external"), workload("web"), true, traffic(5));
    let (client, server) = (side("web", 20, "10.0.0.2:80", None), side("cart", 10, "10.0.0.1:4", None));
    for _ in 0..3 {
        graph.request(Request { client: Some(&client), server: Some(&server), is_asked: false, other: None });
    }
    let slow = side("web", 200, "10.0.0.2:80", None);
    graph.request(Request { client: Some(&slow), server: Some(&server), is_asked: false, other: None });
    let drawn = graph.draw(&Wanted::default(), 10, 2.0);
    assert_eq!(drawn.edges.len(), 2);
    let edge = &drawn.edges[0];
    assert_eq!((&edge["client"], &edge["server"]), (&json!("shop/web"), &json!("shop/cart")));
    assert_eq!((&edge["bytes_sent"], &edge["connections"]), (&json!(100), &json!(1)));
    let requests = &edge["requests"][0];
    assert_eq!(
        (
            &requests["protocol"],
            &requests["count"],
            &requests["errors"],
            &requests["per_s"],
            &requests["seen_by"]
        ),
        (&json!("http"), &json!(4), &json!(1), &json!(2.0), &json!("client"))
    );
    let p50 = requests["p50_us"].as_f64().unwrap();
    assert!((16_000.0..21_000.0).contains(&p50), "{p50}");
    let names: Vec<&Value> = drawn.nodes.iter().map(|node| &node["name"]).collect();
    assert_eq!(names, ["shop/cart", "shop/web", "203.0.113.9"]);
    assert_eq!(drawn.nodes[2]["kind"], "external");
}

#[test]
fn a_request_with_one_end_finds_the_other_by_address_or_name() {
    let mut graph = Graph::default();
    graph.serves("10.0.0.3:5432".parse().unwrap(), &workload("db"));
    graph.lives("10.0.0.9".parse().unwrap(), &workload("web"));
    graph.flow(
        workload("cart"),
        Node::address("198.51.100.7".parse().unwrap(), "external"),
        false,
        traffic(7),
    );
    fn lone<'a>(client: Option<&'a Side>, server: Option<&'a Side>) -> Request<'a> {
        Request { client, server, is_asked: false, other: None }
    }
    graph.request(lone(Some(&side("cart", 1, "10.0.0.3:5432", None)), None));
    graph.request(lone(Some(&side("cart", 1, "198.51.100.7:443", Some("pay.example"))), None));
    graph.request(lone(None, Some(&side("cart", 1, "203.0.113.5:1", None))));
    // web's own span of it is there, so it is counted already
    graph.request(lone(Some(&side("web", 1, "10.0.0.2:80", None)), None));
    graph.request(lone(None, Some(&side("cart", 1, "10.0.0.9:1", None))));
    let expected = [
        ("shop/cart → pay.example", 1, Some(7)),
        ("shop/cart → shop/db", 1, None),
        ("shop/web → 10.0.0.2", 1, None),
        ("203.0.113.5 → shop/cart", 1, None),
    ];
    let (found, more) = edges(graph, &[], 10);
    assert_eq!(
        (found, more),
        (expected.map(|(ends, count, sent)| (ends.to_owned(), count, sent)).to_vec(), 0)
    );
}

#[test]
fn edges_are_bounded_and_filtered_by_either_end() {
    let graph = || {
        let mut graph = Graph::default();
        for at in 1..=5_i64 {
            graph.flow(workload("web"), workload(&format!("s{at}")), false, traffic(at));
        }
        graph.flow(workload("s1"), workload("s2"), false, traffic(50));
        graph
    };
    let (found, more) = edges(graph(), &[], 2);
    assert_eq!((found.len(), more, found[0].0.as_str()), (2, 4, "shop/s1 → shop/s2"));
    let (found, more) = edges(graph(), &[("workload", "s1"), ("namespace", "shop")], 10);
    assert_eq!((found.len(), more), (2, 0));
    assert_eq!(edges(graph(), &[("namespace", "bank")], 10).0.len(), 0);
    let refused = |key: &str| Wanted::new(vec![(key.to_owned(), String::new())]).is_err();
    assert!(refused("pod") && !refused("namespace"));
}
