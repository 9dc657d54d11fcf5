use std::collections::HashMap;

use agent_common::flows::{PortKey, TCP, UDP};

use super::{Socket, fold, padded};

const LISTENER: &str = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0";
const CLIENT: &str = "   1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1";

#[test]
fn a_line_says_port_state_and_inode() {
    let listener = Socket { port: 8080, protocol: TCP, listens: true, inode: 4711 };
    assert_eq!(Socket::parse(LISTENER, TCP), Some(listener));
    let datagram = Socket { port: 8080, protocol: UDP, listens: false, inode: 4711 };
    assert_eq!(Socket::parse(LISTENER, UDP), Some(datagram));
    assert_eq!(Socket::parse("nonsense", TCP), None);
    assert_eq!(Socket::parse("", TCP), None);
}

#[test]
fn listeners_are_kept_and_others_only_where_their_owner_is_known() {
    let sockets: Vec<_> =
        [LISTENER, LISTENER, CLIENT].iter().filter_map(|line| Socket::parse(line, TCP)).collect();
    let server = PortKey { port: 8080, protocol: TCP, padding: 0 };
    let client = PortKey { port: 50_000, protocol: TCP, padding: 0 };
    let ports = fold(&sockets, &HashMap::new());
    assert_eq!(ports.get(&server).map(|port| (port.owner, port.listeners)), Some((0, 2)));
    assert!(!ports.contains_key(&client));
    let ports = fold(&sockets, &HashMap::from([(4711, 9), (4712, 8)]));
    assert_eq!(ports.get(&server).map(|port| (port.owner, port.listeners)), Some((9, 2)));
    assert_eq!(ports.get(&client).map(|port| (port.owner, port.listeners)), Some((8, 0)));
}

#[test]
fn a_name_is_cut_to_the_kernels_length() {
    assert_eq!(&padded(b"nginx")[..6], b"nginx\0");
    assert_eq!(&padded(&[b'x'; 40]), &[b'x'; 16]);
}
