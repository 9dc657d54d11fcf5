//! Flows: what the `flows` programs and the agent share, and the decisions that both must take alike.
//!
//! `conns` holds live TCP connections by socket cookie, `edges` (and, where it is full, `others`) what has ended or
//! has no connection, `drops` the kernel's dropped packets. Counters only grow; the agent reports differences.
//! A connection born in the current epoch is folded into its edge when it closes; an older one is only marked,
//! because the agent has read it before: so each byte is read once.

use crate::fields::{Field, optional, required};
use crate::histogram::BUCKETS;
use crate::plain;
use crate::plain::fold;

/// Whose side of the connection the owner is on.
pub const ROLE_UNKNOWN: u8 = 0;
/// The owner connected.
pub const ROLE_CLIENT: u8 = 1;
/// The owner was connected to.
pub const ROLE_SERVER: u8 = 2;

/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// Slots of `conns` unless the config says otherwise.
pub const MAX_CONNS: u32 = 65_536;
/// Slots of `edges`.
pub const MAX_EDGES: u32 = 16_384;
/// Slots of `others`: a few for each cgroup.
pub const MAX_OTHERS: u32 = 1_024;
/// Slots of `drops`.
pub const MAX_DROPS: u32 = 4_096;
/// Slots of `ports`: local ports of the root cgroup and listening ports.
pub const MAX_PORTS: u32 = 8_192;
/// Slots of `senders`: UDP sockets of the root cgroup.
pub const MAX_SENDERS: u32 = 4_096;

/// The key of `edges` and `others`; in `others` only cgroup, protocol and role are set.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EdgeKey {
    /// `WorkloadKey` of the socket's owner.
    pub owner: u64,
    /// Network order; IPv4 as `::ffff:a.b.c.d`.
    pub peer: [u32; 4],
    /// The server's port, host order; 0 where the protocol has none.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// `ROLE_*`
    pub role: u8,
    /// Zero.
    pub padding: u32,
}

/// A live TCP connection: the value of `conns`, whose key is the socket cookie.
///
/// What is sent is counted right behind the key, in the cache line that finding it has read, and what is received more
/// than a line away: the two are mostly counted on different CPUs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Conn {
    /// IP bytes, egress.
    pub bytes_sent: u64,
    /// Egress; a GSO packet is one.
    pub packets_sent: u64,
    /// Where it is folded when it ends.
    pub edge: EdgeKey,
    /// Boot time of the first SYN or of accepting; 0 when it is older than the programs.
    pub opened_ns: u64,
    /// Boot time of `TCP_CLOSE`; 0 while open.
    pub closed_ns: u64,
    /// The epoch in which the entry was made.
    pub epoch: u32,
    /// Host order.
    pub local_port: u16,
    /// Host order.
    pub peer_port: u16,
    /// Smoothed round trip; 0 before the first sample.
    pub srtt_us: u32,
    /// Segments sent again, as the socket counts them.
    pub retransmits: u32,
    /// What the socket had counted when the entry was made.
    pub retransmits_before: u32,
    /// Resets sent and received.
    pub resets: u32,
    /// IP bytes, ingress.
    pub bytes_received: u64,
    /// Ingress; a GRO packet is one.
    pub packets_received: u64,
}

/// The value of `edges` and `others`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// IP bytes, egress.
    pub bytes_sent: u64,
    /// IP bytes, ingress.
    pub bytes_received: u64,
    /// Egress; a GSO packet is one.
    pub packets_sent: u64,
    /// Ingress; a GRO packet is one.
    pub packets_received: u64,
    /// Connections that this side opened and that were established.
    pub connects: u64,
    /// Connections that this side accepted.
    pub accepts: u64,
    /// Connects that ended before they were established.
    pub failures: u64,
    /// Resets sent and received.
    pub resets: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Connections that ended after they were established.
    pub closes: u64,
    /// Time from the first SYN to established, summed over `connects`.
    pub connect_ns: u64,
    /// Smoothed round trip, the last sample.
    pub srtt_us: u32,
    /// Zero.
    pub padding: u32,
    /// Samples of the smoothed round trip: each 16th packet sent, of a long stream each 128th, and one at each end.
    pub rtt: [u32; BUCKETS],
}

/// The key of `drops`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DropKey {
    /// `WorkloadKey` of the socket's owner, 0 where the packet has no socket.
    pub owner: u64,
    /// The kernel's `enum skb_drop_reason`, or `NO_REASON`.
    pub reason: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub padding: [u8; 3],
}

/// `DropKey::reason` where the kernel (before 5.17) gives none.
pub const NO_REASON: u32 = u32::MAX;

/// The value of `drops`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Drops {
    /// Packets freed.
    pub packets: u64,
    /// Their bytes, with the headers that they had when they were dropped.
    pub bytes: u64,
}

/// The key of `ports`: whose a local port of the root cgroup is, and whether somebody listens there.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortKey {
    /// Host order.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub padding: u8,
}

/// The value of `ports`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PortOwner {
    /// `WorkloadKey` of a task in the root cgroup; 0 where it is not one.
    pub owner: u64,
    /// Listening sockets.
    pub listeners: u64,
}

plain!(EdgeKey, 32, { owner: u64, peer: [u32; 4], port: u16, protocol: u8, role: u8, padding: u32 });
plain!(Conn, 104, {
    bytes_sent: u64, packets_sent: u64, edge: EdgeKey, opened_ns: u64, closed_ns: u64, epoch: u32, local_port: u16,
    peer_port: u16, srtt_us: u32, retransmits: u32, retransmits_before: u32, resets: u32, bytes_received: u64,
    packets_received: u64,
});
plain!(Edge, 520, {
    bytes_sent: u64, bytes_received: u64, packets_sent: u64, packets_received: u64, connects: u64, accepts: u64,
    failures: u64, resets: u64, retransmits: u64, closes: u64, connect_ns: u64, srtt_us: u32, padding: u32,
    rtt: [u32; BUCKETS],
});
plain!(DropKey, 16, { owner: u64, reason: u32, protocol: u8, padding: [u8; 3] });
plain!(Drops, 16, { packets: u64, bytes: u64 });
plain!(PortKey, 4, { port: u16, protocol: u8, padding: u8 });
plain!(PortOwner, 16, { owner: u64, listeners: u64 });

/// What object and loader compare: every struct that crosses the border.
pub const LAYOUT: u64 = fold(&[
    EdgeKey::LAYOUT,
    Conn::LAYOUT,
    Edge::LAYOUT,
    DropKey::LAYOUT,
    Drops::LAYOUT,
    PortKey::LAYOUT,
    PortOwner::LAYOUT,
]);

/// The kernel's fields that the state, reset, retransmit and drop programs read.
pub const FIELDS: [Field; 16] = [
    required("SK_FAMILY", &[("sock", "__sk_common.skc_family")], 2),
    required("SK_STATE", &[("sock", "__sk_common.skc_state")], 1),
    required("SK_PEER_PORT", &[("sock", "__sk_common.skc_dport")], 2),
    required("SK_LOCAL_PORT", &[("sock", "__sk_common.skc_num")], 2),
    required("SK_PEER_V4", &[("sock", "__sk_common.skc_daddr")], 4),
    optional("SK_PEER_V6", &[("sock", "__sk_common.skc_v6_daddr")], 16, "ipv6_states"),
    required("SK_COOKIE", &[("sock", "__sk_common.skc_cookie")], 8),
    // a bitfield before 5.6; without it every change of state is taken for one of TCP
    optional("SK_PROTOCOL", &[("sock", "sk_protocol")], 2, "sk_protocol: kernel < 5.6"),
    // before 5.15 a union that is the pointer itself, or has a mark in its low bits
    optional("SK_CGROUP", &[("sock", "sk_cgrp_data")], 0, "cgroup_of_socket"),
    optional("TCP_SRTT", &[("tcp_sock", "srtt_us")], 4, "rtt_at_close"),
    optional("TCP_RETRANSMITS", &[("tcp_sock", "total_retrans")], 4, "retransmitted_segments"),
    required("SKB_SOCKET", &[("sk_buff", "sk")], 8),
    required("SKB_LEN", &[("sk_buff", "len")], 4),
    required("SKB_PROTOCOL", &[("sk_buff", "protocol")], 2),
    required("SKB_HEAD", &[("sk_buff", "head")], 8),
    required("SKB_NETWORK", &[("sk_buff", "network_header")], 2),
];

/// What two ports say about the owner's side, when nobody saw who began: the service's port is the one outside the
/// ephemeral range; of two alike it is the lower one, so that both ends agree.
#[inline(always)]
pub fn role_of_ports(local: u16, peer: u16, ephemeral_low: u16, ephemeral_high: u16) -> u8 {
    let local_ephemeral = local >= ephemeral_low && local <= ephemeral_high;
    let peer_ephemeral = peer >= ephemeral_low && peer <= ephemeral_high;
    if local_ephemeral != peer_ephemeral {
        return if local_ephemeral { ROLE_CLIENT } else { ROLE_SERVER };
    }
    if local < peer { ROLE_SERVER } else { ROLE_CLIENT }
}

/// The service's port of an edge.
#[inline(always)]
pub fn service_port(role: u8, local: u16, peer: u16) -> u16 {
    if role == ROLE_SERVER { local } else { peer }
}

/// An IPv4 address (network order) as `::ffff:a.b.c.d`.
#[inline(always)]
pub fn mapped(address: u32) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), address]
}

#[cfg(test)]
mod tests;
