use std::sync::Arc;

use proto::v1::{FlowRow, Identity, KubeNode};

use super::{Asked, Translations, resolve};
use crate::decode::conntrack::{End, Translation};
use crate::window::assemble::Named;
use crate::window::sample::Row;

fn asked() -> Asked {
    Asked::of(&KubeNode {
        service_ranges: vec!["10.96.0.0/12".into()],
        addresses: vec!["10.199.0.2".into()],
        node_port_first: 30_000,
        node_port_last: 32_767,
        ..KubeNode::default()
    })
}

fn end(address: &str, port: u16) -> End {
    (address.parse().unwrap(), port)
}

fn flow(peer: &str, port: u32, client_port: Option<u32>) -> Named {
    let row = FlowRow {
        role: "client".into(),
        protocol: "tcp".into(),
        peer_address: peer.into(),
        server_port: port,
        client_port,
        bytes_sent: 1_001,
        connects: 4,
        rtt_hist: vec![3, 0, 1],
        ..FlowRow::default()
    };
    Named { identity: Arc::new(Identity::default()), row: Row::Flow(Box::new(row)) }
}

fn table(entries: &[(u32, u16, &str, &str)]) -> Translations {
    let mut known = Translations::default();
    known.begin();
    add(&mut known, entries);
    known
}

fn add(known: &mut Translations, entries: &[(u32, u16, &str, &str)]) {
    for (id, client_port, asked, real) in entries {
        let socket = |text: &str| {
            let socket: std::net::SocketAddr = text.parse().unwrap();
            (socket.ip(), socket.port())
        };
        let client = end("10.244.0.5", *client_port);
        let (asked, real) = (socket(asked), socket(real));
        known.add(Translation { id: *id, protocol: 6, client, asked, real });
    }
}

fn run(rows: Vec<Named>, known: &Translations) -> Vec<FlowRow> {
    let mut rows = rows;
    resolve(&mut rows, &asked(), known, |_| Vec::new());
    let flows = rows.into_iter().map(|named| match named.row {
        Row::Flow(flow) => *flow,
        other => panic!("{other:?}"),
    });
    flows.collect()
}

#[test]
fn a_connection_finds_its_backend_by_its_port() {
    let known = table(&[
        (1, 40_000, "10.96.0.10:80", "10.244.1.7:8080"),
        (2, 40_001, "10.96.0.10:80", "10.244.1.8:8080"),
        (3, 40_000, "10.199.0.2:30080", "10.244.1.9:8080"),
    ]);
    let flows = run(
        vec![
            flow("10.96.0.10", 80, Some(40_001)),
            flow("10.199.0.2", 30_080, Some(40_000)),
            flow("10.96.0.10", 80, Some(9)),
            flow("10.199.0.2", 6_443, None),
            flow("10.244.1.7", 8_080, None),
        ],
        &known,
    );
    let ends: Vec<_> = flows
        .iter()
        .map(|flow| {
            (
                flow.peer_address.as_str(),
                flow.server_port,
                flow.asked_address.as_str(),
                flow.nat_source.as_str(),
            )
        })
        .collect();
    assert_eq!(
        ends,
        [
            ("10.244.1.8", 8_080, "10.96.0.10", "conntrack"),
            ("10.244.1.9", 8_080, "10.199.0.2", "conntrack"),
            ("10.96.0.10", 80, "", "conntrack_none"),
            ("10.199.0.2", 6_443, "", ""),
            ("10.244.1.7", 8_080, "", ""),
        ]
    );
}

#[test]
fn an_edge_is_shared_as_its_connections_were_and_adds_up() {
    let known = table(&[
        (1, 1, "10.96.0.10:80", "10.244.1.7:8080"),
        (2, 2, "10.96.0.10:80", "10.244.1.7:8080"),
        (3, 3, "10.96.0.10:80", "10.244.1.8:8080"),
    ]);
    let flows = run(vec![flow("10.96.0.10", 80, None)], &known);
    assert_eq!(flows.len(), 2);
    assert_eq!(flows.iter().map(|flow| flow.bytes_sent).collect::<Vec<_>>(), [667, 334]);
    assert_eq!(flows.iter().map(|flow| flow.connects).sum::<u64>(), 4);
    let samples: u32 = flows.iter().flat_map(|flow| &flow.rtt_hist).sum();
    assert_eq!(samples, 4);
    assert!(flows.iter().all(|flow| flow.nat_source == "conntrack_share" && flow.asked_port == 80));
}

#[test]
fn what_is_new_since_the_last_reading_counts() {
    let mut known = table(&[(1, 1, "10.96.0.10:80", "10.244.1.7:8080")]);
    known.begin();
    add(
        &mut known,
        &[(1, 1, "10.96.0.10:80", "10.244.1.7:8080"), (2, 2, "10.96.0.10:80", "10.244.1.8:8080")],
    );
    let flows = run(vec![flow("10.96.0.10", 80, None)], &known);
    assert_eq!(flows.len(), 1);
    assert_eq!((flows[0].peer_address.as_str(), flows[0].nat_source.as_str()), ("10.244.1.8", "conntrack"));
}

#[test]
fn nothing_is_asked_without_service_ranges() {
    let rows = vec![flow("10.96.0.10", 80, None)];
    assert!(asked().any(&rows));
    assert!(!Asked::of(&KubeNode::default()).any(&rows));
}
