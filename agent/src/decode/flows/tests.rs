use agent_common::flows::{
    Conn, DropKey, Drops, Edge, EdgeKey, NO_REASON, ROLE_CLIENT, ROLE_SERVER, TCP, UDP, mapped,
};
use agent_common::histogram::BUCKETS;

use super::{ConnRead, DropReasons, conn, drops, edge};
use crate::kernel::batch::record;
use crate::window::sample::{Owner, Row, Sample};

fn key(role: u8, port: u16) -> EdgeKey {
    let peer = mapped(u32::from_ne_bytes([192, 0, 2, 7]));
    EdgeKey { owner: 42, peer, port, protocol: TCP, role, padding: 0 }
}

fn an_edge() -> Edge {
    let mut rtt = [0; BUCKETS];
    rtt[20] = 4;
    Edge {
        bytes_sent: 1_000,
        bytes_received: 2_000,
        packets_sent: 10,
        packets_received: 20,
        connects: 3,
        accepts: 0,
        failures: 1,
        resets: 1,
        retransmits: 2,
        closes: 3,
        connect_ns: 6_000_000,
        srtt_us: 150,
        padding: 0,
        rtt,
    }
}

fn a_conn() -> Conn {
    Conn {
        edge: key(ROLE_SERVER, 443),
        bytes_sent: 500,
        bytes_received: 600,
        packets_sent: 5,
        packets_received: 6,
        opened_ns: 1_000,
        closed_ns: 0,
        epoch: 1,
        local_port: 443,
        peer_port: 50_123,
        srtt_us: 0,
        retransmits: 7,
        retransmits_before: 5,
        resets: 0,
    }
}

#[track_caller]
fn flow(sample: Option<Sample>) -> proto::v1::FlowRow {
    match sample {
        Some(Sample { owner: Owner::Workload(42), row: Row::Flow(row) }) => *row,
        other => panic!("no flow of 42: {other:?}"),
    }
}

#[test]
fn an_edge_is_told_once_and_then_by_what_it_grew() {
    let first = an_edge();
    let row = flow(edge(&key(ROLE_CLIENT, 443), &first, None));
    assert_eq!(
        (row.role.as_str(), row.protocol.as_str(), row.peer_address.as_str()),
        ("client", "tcp", "192.0.2.7")
    );
    assert_eq!((row.server_port, row.client_port, row.bytes_sent, row.connects), (443, None, 1_000, 3));
    assert_eq!((row.connect_us_sum, row.srtt_us, row.rtt_hist[20]), (Some(6_000), Some(150), 4));
    assert_eq!(edge(&key(ROLE_CLIENT, 443), &first, Some(&first)).map(|_| ()), None);
    let second = Edge { bytes_sent: 1_700, packets_sent: 11, ..first };
    let row = flow(edge(&key(ROLE_CLIENT, 443), &second, Some(&first)));
    assert_eq!((row.bytes_sent, row.packets_sent, row.bytes_received, row.connects), (700, 1, 0, 0));
    assert_eq!((row.connect_us_sum, row.srtt_us, row.rtt_hist.len()), (None, None, 0));
}

#[test]
fn a_connection_shows_the_clients_port_and_wall_times() {
    let row = flow(conn(&a_conn(), None, 1_000_000));
    assert_eq!((row.client_port, row.server_port, row.role.as_str()), (Some(50_123), 443, "server"));
    assert_eq!((row.opened_ts, row.closed_ts, row.retransmits), (Some(1_001_000), None, 2));
    let read = ConnRead::from(&a_conn());
    assert_eq!(conn(&a_conn(), Some(&read), 0).map(|_| ()), None);
    let closed = Conn { closed_ns: 9_000, bytes_sent: 510, ..a_conn() };
    let row = flow(conn(&closed, Some(&read), 0));
    assert_eq!((row.bytes_sent, row.closed_ts), (10, Some(9_000)));
}

#[test]
fn drops_have_the_kernels_names() {
    let reasons = DropReasons::new([
        ("SKB_NOT_DROPPED_YET".to_owned(), 0),
        ("SKB_DROP_REASON_NETFILTER_DROP".to_owned(), 8),
        ("SKB_DROP_REASON_BAD".to_owned(), -1),
    ]);
    let check = |owner: u64, reason: u32, whose: Owner, name: &str| {
        let key = DropKey { owner, reason, protocol: UDP, padding: [0; 3] };
        let now = Drops { packets: 3, bytes: 300 };
        let Some(Sample { owner, row: Row::Drop(row) }) = drops(&key, &now, None, &reasons) else {
            panic!("no row")
        };
        assert_eq!((owner, row.reason.as_str(), row.protocol.as_str(), row.packets), (whose, name, "udp", 3));
        assert!(drops(&key, &now, Some(&now), &reasons).is_none());
    };
    check(42, 8, Owner::Workload(42), "NETFILTER_DROP");
    check(0, 0, Owner::Host("kernel".into()), "SKB_NOT_DROPPED_YET");
    check(42, NO_REASON, Owner::Workload(42), "UNKNOWN");
    check(42, 0x2_0001, Owner::Workload(42), "REASON_131073");
}

#[test]
fn an_other_edge_has_no_address_and_odd_protocols_a_number() {
    let other = EdgeKey { peer: [0; 4], port: 0, protocol: 47, role: 9, ..key(0, 0) };
    let row = flow(edge(&other, &an_edge(), None));
    assert_eq!(
        (row.peer_address.as_str(), row.role.as_str(), row.protocol.as_str()),
        ("", "unknown", "ip-47")
    );
    let v6 = EdgeKey { peer: [0x0120_u32.to_le(), 0, 0, u32::from_ne_bytes([0, 0, 0, 1])], ..key(1, 1) };
    assert!(flow(edge(&v6, &an_edge(), None)).peer_address.ends_with("::1"));
}

/// Deterministic random bytes as every struct that the kernel gives.
#[test]
fn any_bytes_are_decoded_without_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0_u8; 2_048];
    let reasons = DropReasons::default();
    for round in 0..3_000_u32 {
        for byte in &mut bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // runs of zeros and ones find the edges of ranges
            *byte = match round % 4 {
                0 => 0xff,
                1 => (state as u8) & 1,
                _ => state as u8,
            };
        }
        let at = (state % 512) as usize;
        let rest = &bytes[at..];
        let (one, two) = (record::<Conn>(rest).unwrap(), record::<Conn>(&bytes).unwrap());
        drop(conn(&one, None, state.cast_signed()));
        drop(conn(&one, Some(&ConnRead::from(&two)), i64::MIN));
        let edge_key = record::<EdgeKey>(rest).unwrap();
        let (now, before) = (record::<Edge>(rest).unwrap(), record::<Edge>(&bytes).unwrap());
        drop(edge(&edge_key, &now, Some(&before)));
        drop(edge(&edge_key, &now, None));
        let (now, before) = (record::<Drops>(rest).unwrap(), record::<Drops>(&bytes).unwrap());
        drop(drops(&record::<DropKey>(rest).unwrap(), &now, Some(&before), &reasons));
    }
}
