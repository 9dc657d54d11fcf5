use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use proto::v1;

use super::fill;
use crate::window::assemble::Named;
use crate::window::sample::Row;

fn flow(workload: &str, role: &str, address: &str, port: u32) -> Named {
    let identity = v1::Identity { workload: workload.into(), ..Default::default() };
    let row = v1::FlowRow {
        role: role.into(),
        protocol: "tcp".into(),
        peer_address: address.into(),
        server_port: port,
        ..Default::default()
    };
    Named { identity: Arc::new(identity), row: Row::Flow(Box::new(row)) }
}

fn peers(rows: &[Named]) -> Vec<&str> {
    let peer = |named: &'_ Named| match &named.row {
        Row::Flow(flow) => flow.peer_workload.clone(),
        _ => String::new(),
    };
    rows.iter().map(peer).map(|name| &*Box::leak(name.into_boxed_str())).collect()
}

#[test]
fn both_ends_on_this_host_know_each_other() {
    let mut rows = [
        flow("curl", "client", "127.0.0.1", 80),
        flow("nginx", "server", "::ffff:127.0.0.1", 80),
        flow("curl", "client", "10.0.0.1", 80),
        flow("curl", "client", "::1", 81),
    ];
    fill(&mut rows, &BTreeSet::new());
    assert_eq!(peers(&rows), ["nginx", "curl", "", ""]);
}

#[test]
fn several_candidates_are_none() {
    let mut rows = [
        flow("a", "client", "127.0.0.1", 80),
        flow("b", "client", "127.0.0.1", 80),
        flow("nginx", "server", "127.0.0.1", 80),
    ];
    fill(&mut rows, &BTreeSet::new());
    assert_eq!(peers(&rows), ["nginx", "nginx", ""]);
}

fn own() -> BTreeSet<IpAddr> {
    ["10.0.0.7", "10.1.0.2", "2001:db8::7"].map(|text| text.parse().unwrap()).into()
}

#[test]
fn addresses_of_this_host_are_known_too() {
    let mut rows = [
        flow("curl", "client", "10.0.0.7", 80),
        flow("nginx", "server", "::ffff:10.1.0.2", 80),
        // the same port by loopback is another matter
        flow("probe", "client", "127.0.0.1", 80),
        flow("curl", "client", "192.0.2.1", 80),
        flow("dig", "client", "2001:db8::7", 53),
        flow("dns", "server", "2001:db8::7", 53),
    ];
    fill(&mut rows, &own());
    assert_eq!(peers(&rows), ["nginx", "curl", "", "", "dns", "dig"]);
}

#[test]
fn the_same_port_of_two_addresses_is_left_open() {
    let mut rows = [
        flow("curl", "client", "10.0.0.7", 80),
        // refused there: no server's row
        flow("curl", "client", "10.1.0.2", 80),
        flow("nginx", "server", "10.1.0.2", 80),
    ];
    fill(&mut rows, &own());
    assert_eq!(peers(&rows), ["", "", ""]);
}
