use super::{ROLE_CLIENT, ROLE_SERVER, mapped, role_of_ports, service_port};

const LOW: u16 = 32_768;
const HIGH: u16 = 60_999;

#[track_caller]
fn check(local: u16, peer: u16, role: u8, port: u16) {
    let found = role_of_ports(local, peer, LOW, HIGH);
    assert_eq!((found, service_port(found, local, peer)), (role, port));
}

#[test]
fn the_service_has_the_port_outside_the_ephemeral_range() {
    check(40_000, 443, ROLE_CLIENT, 443);
    check(443, 40_000, ROLE_SERVER, 443);
    check(62_000, 40_000, ROLE_SERVER, 62_000);
}

#[test]
fn both_ends_agree_on_the_port_whatever_the_ports() {
    for (one, two) in [(40_000, 50_000), (53, 5353), (61_000, 65_000), (123, 40_000)] {
        let here = role_of_ports(one, two, LOW, HIGH);
        let there = role_of_ports(two, one, LOW, HIGH);
        assert_ne!(here, there, "{one} {two}");
        assert_eq!(service_port(here, one, two), service_port(there, two, one));
    }
}

#[test]
fn ipv4_is_mapped_into_ipv6() {
    let words = mapped(u32::from_ne_bytes([192, 0, 2, 7]));
    let mut bytes = [0; 16];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    assert_eq!(std::net::Ipv6Addr::from(bytes).to_string(), "::ffff:192.0.2.7");
}
