//! A packet at its socket: the bytes go to the connection, or where there is none to the edge.

use agent_common::flows::{
    Conn, EdgeKey, ROLE_CLIENT, ROLE_SERVER, ROLE_UNKNOWN, TCP, UDP, mapped, role_of_ports, service_port,
};
use aya_ebpf::bindings::{__sk_buff, BPF_NOEXIST, bpf_sock};
use aya_ebpf::helpers::generated::{
    bpf_get_socket_cookie, bpf_ktime_get_boot_ns, bpf_sk_fullsock, bpf_skb_cgroup_id, bpf_skb_load_bytes,
    bpf_tcp_sock,
};

use super::edge::{count_packet, edge, sample_rtt};
use super::maps::{CONNS, EPHEMERAL_HIGH, EPHEMERAL_LOW, add, coarser, epoch};
use super::owner;

const SYN_SENT: u32 = 2;
const SYN_RECV: u32 = 3;
const CLOSE: u32 = 7;
const LISTEN: u32 = 10;
const TIME_WAIT: u32 = 6;
const NEW_SYN_RECV: u32 = 12;

const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;

/// Which refreshes the round trip: each 16th packet sent, of a long stream each 128th.
const REFRESH_MASK: u64 = 15;
const STREAM_REFRESH_MASK: u64 = 127;
/// From so many packets on it is a long stream.
const STREAM: u64 = 1_024;

/// What the packet's own headers say.
struct Headers {
    peer: [u32; 4],
    local_port: u16,
    peer_port: u16,
    protocol: u8,
}

/// One packet, in the socket's direction `egress` or not.
#[inline(always)]
pub fn packet(skb: *mut __sk_buff, egress: bool) {
    // SAFETY: the context; the verifier checks each access.
    let (data, end, bytes) =
        unsafe { ((*skb).data as usize, (*skb).data_end as usize, u64::from((*skb).len)) };
    if data + V4_HEADER > end {
        return;
    }
    // SAFETY: inside the packet, checked above and below.
    let version = unsafe { *(data as *const u8) } >> 4;
    let protocol = if version == 4 {
        // SAFETY: as above.
        unsafe { *((data + 9) as *const u8) }
    } else if version == 6 {
        // SAFETY: as above.
        unsafe { *((data + 6) as *const u8) }
    } else {
        return;
    };
    if protocol == TCP {
        // SAFETY: the context is this program's own.
        let cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
        if let Some(conn) = CONNS.get_ptr_mut(&cookie) {
            on_conn(skb, conn, egress, bytes);
        } else if let Some(headers) = headers(skb, data, end, version, protocol, egress) {
            without_conn(skb, cookie, &headers, egress, bytes);
        }
        return;
    }
    let Some(headers) = headers(skb, data, end, version, protocol, egress) else { return };
    let owner = owner::of_datagram(skb, protocol, headers.local_port, egress);
    let role = if protocol == UDP { role_by_ports(&headers) } else { ROLE_UNKNOWN };
    if let Some(edge) = edge(&key(owner, &headers, role)) {
        count_packet(edge, egress, bytes);
    }
}

#[inline(always)]
fn on_conn(skb: *mut __sk_buff, conn: *mut Conn, egress: bool, bytes: u64) {
    // SAFETY: a map's value; the context.
    unsafe {
        if !egress {
            add(&raw mut (*conn).bytes_received, bytes);
            add(&raw mut (*conn).packets_received, 1);
            return;
        }
        add(&raw mut (*conn).bytes_sent, bytes);
        add(&raw mut (*conn).packets_sent, 1);
        let sent = (*conn).packets_sent;
        if sent & REFRESH_MASK == 0 && (sent < STREAM || sent & STREAM_REFRESH_MASK == 0) {
            refresh(skb, conn);
        }
    }
}

#[inline(always)]
unsafe fn refresh(skb: *mut __sk_buff, conn: *mut Conn) {
    // SAFETY: the context, sockets checked for null, a map's value.
    unsafe {
        let socket = (*skb).__bindgen_anon_2.sk;
        if socket.is_null() {
            return;
        }
        let tcp = bpf_tcp_sock(socket);
        if tcp.is_null() {
            return;
        }
        (*conn).retransmits = (*tcp).total_retrans;
        let srtt_us = (*tcp).srtt_us >> 3;
        if srtt_us == 0 {
            return;
        }
        (*conn).srtt_us = srtt_us;
        if let Some(edge) = edge(&raw const (*conn).edge) {
            sample_rtt(edge, srtt_us);
        }
    }
}

/// A TCP packet whose socket has no connection here: its first, a listener's, or one after the end.
#[inline(always)]
fn without_conn(skb: *mut __sk_buff, cookie: u64, headers: &Headers, egress: bool, bytes: u64) {
    // SAFETY: the context; sockets checked for null.
    let (state, retransmits) = unsafe {
        let socket = (*skb).__bindgen_anon_2.sk;
        if socket.is_null() { (CLOSE, 0) } else { state(socket) }
    };
    let role = match state {
        SYN_SENT => ROLE_CLIENT,
        SYN_RECV | LISTEN => ROLE_SERVER,
        _ if owner::listens(headers.local_port) => ROLE_SERVER,
        _ if owner::listens(headers.peer_port) => ROLE_CLIENT,
        _ => role_by_ports(headers),
    };
    let connecting = state == SYN_SENT && egress;
    // SAFETY: the context.
    let cgroup = unsafe { bpf_skb_cgroup_id(skb) };
    let owner = owner::of_tcp(cgroup, headers.local_port, connecting);
    let key = key(owner, headers, role);
    if state != LISTEN && state != CLOSE && state != TIME_WAIT && state != NEW_SYN_RECV {
        // SAFETY: a helper without arguments.
        let opened_ns = if connecting { unsafe { bpf_ktime_get_boot_ns() } } else { 0 };
        let (sent, received) = if egress { (bytes, 0) } else { (0, bytes) };
        let conn = Conn {
            edge: key,
            bytes_sent: sent,
            bytes_received: received,
            packets_sent: u64::from(egress),
            packets_received: u64::from(!egress),
            opened_ns,
            closed_ns: 0,
            epoch: epoch(),
            local_port: headers.local_port,
            peer_port: headers.peer_port,
            srtt_us: 0,
            retransmits,
            retransmits_before: retransmits,
            resets: 0,
        };
        if CONNS.insert(&cookie, &conn, u64::from(BPF_NOEXIST)).is_ok() {
            return;
        }
        // another CPU was first, or the map is full
        if let Some(conn) = CONNS.get_ptr_mut(&cookie) {
            on_conn(skb, conn, egress, bytes);
            return;
        }
        coarser();
    }
    if let Some(edge) = edge(&key) {
        count_packet(edge, egress, bytes);
    }
}

#[inline(always)]
unsafe fn state(socket: *mut bpf_sock) -> (u32, u32) {
    // SAFETY: the caller's socket is not null; what the helpers return is checked.
    unsafe {
        let full = bpf_sk_fullsock(socket);
        if full.is_null() {
            return (CLOSE, 0);
        }
        let state = (*full).state;
        if state == SYN_SENT {
            return (state, 0);
        }
        let tcp = bpf_tcp_sock(socket);
        if tcp.is_null() {
            return (state, 0);
        }
        (state, (*tcp).total_retrans)
    }
}

#[inline(always)]
fn role_by_ports(headers: &Headers) -> u8 {
    let (low, high) = (EPHEMERAL_LOW.load() as u16, EPHEMERAL_HIGH.load() as u16);
    role_of_ports(headers.local_port, headers.peer_port, low, high)
}

#[inline(always)]
fn key(owner: u64, headers: &Headers, role: u8) -> EdgeKey {
    EdgeKey {
        owner,
        peer: headers.peer,
        port: service_port(role, headers.local_port, headers.peer_port),
        protocol: headers.protocol,
        role,
        padding: 0,
    }
}

#[inline(always)]
fn headers(
    skb: *mut __sk_buff,
    data: usize,
    end: usize,
    version: u8,
    protocol: u8,
    egress: bool,
) -> Option<Headers> {
    let (peer, transport) = if version == 4 {
        // SAFETY: the caller checked the first 20 bytes.
        let (address, first) =
            unsafe { (*((data + if egress { 16 } else { 12 }) as *const u32), *(data as *const u8)) };
        (mapped(address), usize::from(first & 0xf) * 4)
    } else {
        if data + V6_HEADER > end {
            return None;
        }
        let from = (data + if egress { 24 } else { 8 }) as *const u32;
        // SAFETY: 16 bytes inside the 40 checked above.
        let peer = unsafe { [*from, *from.add(1), *from.add(2), *from.add(3)] };
        (peer, V6_HEADER)
    };
    let mut ports = [0_u16; 2];
    if (protocol == TCP || protocol == UDP) && transport == V4_HEADER && data + V4_HEADER + 4 <= end {
        // SAFETY: checked in the line above.
        ports = unsafe { *((data + V4_HEADER) as *const [u16; 2]) };
    } else if (protocol == TCP || protocol == UDP) && version == 6 && data + V6_HEADER + 4 <= end {
        // SAFETY: checked in the line above.
        ports = unsafe { *((data + V6_HEADER) as *const [u16; 2]) };
    } else if protocol == TCP || protocol == UDP {
        // SAFETY: the helper checks the range and fails on a packet that is too short.
        let failed =
            unsafe { bpf_skb_load_bytes(skb.cast(), transport as u32, ports.as_mut_ptr().cast(), 4) };
        if failed != 0 {
            return None;
        }
    }
    let (from, to) = (u16::from_be(ports[0]), u16::from_be(ports[1]));
    let (local_port, peer_port) = if egress { (from, to) } else { (to, from) };
    Some(Headers { peer, local_port, peer_port, protocol })
}
