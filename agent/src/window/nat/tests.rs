use std::sync::Arc;

use proto::v1::{FlowRow, Identity, KubeNode, KubePod};

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

fn run(rows: Vec<Named>, known: Translations) -> Vec<FlowRow> {
    run_of(rows, known, Some(&["10.244.0.5"]), 100).0
}

/// Rows of an owner with these addresses, and how many were not shared.
fn run_of(
    mut rows: Vec<Named>,
    mut known: Translations,
    clients: Option<&[&str]>,
    room: usize,
) -> (Vec<FlowRow>, u64) {
    let clients: Option<Vec<std::net::IpAddr>> =
        clients.map(|all| all.iter().map(|client| client.parse().unwrap()).collect());
    let wanted = asked().wanted(&rows);
    let unshared = resolve(&mut rows, &wanted, &mut known, |_| clients.as_deref(), room);
    let flows = rows.into_iter().map(|named| match named.row {
        Row::Flow(flow) => *flow,
        other => panic!("{other:?}"),
    });
    (flows.collect(), unshared)
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
        known,
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
    let flows = run(vec![flow("10.96.0.10", 80, None)], known);
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
    let flows = run(vec![flow("10.96.0.10", 80, None)], known);
    assert_eq!(flows.len(), 1);
    assert_eq!((flows[0].peer_address.as_str(), flows[0].nat_source.as_str()), ("10.244.1.8", "conntrack"));
}

#[test]
fn nothing_is_asked_without_service_ranges() {
    let rows = vec![flow("10.96.0.10", 80, None)];
    assert_eq!(asked().wanted(&rows).len(), 1);
    assert!(Asked::of(&KubeNode::default()).wanted(&rows).is_empty());
}

#[test]
fn each_of_many_connections_to_one_service_finds_its_own() {
    let mut known = table(&[]);
    let backend = |port: u16| end("10.244.1.7", 8_000 + port % 7);
    let ports = 1_000..31_000;
    for port in ports.clone() {
        for (id, client) in [(0, "10.244.0.5"), (1 << 20, "10.244.0.6")] {
            known.add(Translation {
                id: id + u32::from(port),
                protocol: 6,
                client: end(client, port),
                asked: end("10.96.0.10", 80),
                real: if id == 0 { backend(port) } else { end("10.244.1.9", 9) },
            });
        }
    }
    let rows = ports.clone().map(|port| flow("10.96.0.10", 80, Some(port.into()))).collect();
    for (row, port) in run(rows, known).iter().zip(ports) {
        assert_eq!((row.server_port, row.nat_source.as_str()), (backend(port).1.into(), "conntrack"));
    }
}

#[test]
fn an_owner_without_known_addresses_is_not_told_what_others_did() {
    let two = || {
        table(&[
            (1, 40_000, "10.96.0.10:80", "10.244.1.7:8080"),
            (2, 40_001, "10.96.0.10:80", "10.244.1.8:8080"),
        ])
    };
    for port in [None, Some(40_000)] {
        let rows = || vec![flow("10.96.0.10", 80, port)];
        for clients in [None, Some(&["10.199.0.2"][..])] {
            let (flows, _) = run_of(rows(), two(), clients, 100);
            assert_eq!((flows.len(), flows[0].nat_source.as_str()), (1, "conntrack_none"), "{clients:?}");
        }
        let one = table(&[(1, 40_000, "10.96.0.10:80", "10.244.1.7:8080")]);
        let (flows, _) = run_of(rows(), one, None, 100);
        assert_eq!(flows[0].peer_address, "10.244.1.7", "whoever asks, there is one");
    }
}

#[test]
fn who_has_no_address_of_its_own_has_the_nodes() {
    let asked = asked();
    let own = Some(vec![end("10.199.0.2", 0).0]);
    let owner = |pod_uid: &str, kind: &str| Identity {
        pod_uid: pod_uid.into(),
        workload_kind: kind.into(),
        ..Identity::default()
    };
    let pod = |host_network, ips: &[&str]| KubePod {
        host_network,
        ips: ips.iter().map(|ip| (*ip).into()).collect(),
        ..KubePod::default()
    };
    assert_eq!(asked.clients(&owner("", "host_process"), None), own);
    assert_eq!(asked.clients(&owner("", "systemd_unit"), None), own);
    assert_eq!(asked.clients(&owner("u", "daemon_set"), Some(&pod(true, &[]))), own);
    let ips = asked.clients(&owner("u", "deployment"), Some(&pod(false, &["10.244.0.5", "fd00::5"])));
    assert_eq!(ips, Some(vec![end("10.244.0.5", 0).0, end("fd00::5", 0).0]));
    for (owner, pod) in [
        (owner("", "container"), None),
        (owner("u", "container"), None),
        (owner("u", "deployment"), Some(pod(false, &[]))),
    ] {
        assert_eq!(asked.clients(&owner, pod.as_ref()), None, "{owner:?}");
    }
}

#[test]
fn rows_are_shared_as_far_as_the_budget_goes() {
    let known = table(&[
        (1, 1, "10.96.0.10:80", "10.244.1.7:8080"),
        (2, 2, "10.96.0.10:80", "10.244.1.8:8080"),
        (3, 3, "10.96.0.10:80", "10.244.1.9:8080"),
    ]);
    let rows = (0..3).map(|_| flow("10.96.0.10", 80, None)).collect();
    let (flows, unshared) = run_of(rows, known, Some(&["10.244.0.5"]), 5);
    assert_eq!((flows.len(), unshared), (3 + 2 + 2, 1));
    assert_eq!(flows.iter().map(|flow| flow.bytes_sent).sum::<u64>(), 3 * 1_001);
    assert_eq!(flows.iter().filter(|flow| flow.nat_source == "conntrack_none").count(), 1);
}
