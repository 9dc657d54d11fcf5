//! The life of a connection: who began it, how long that took, how it ended; and what its socket counted itself.

use agent_common::flows::{Conn, Edge, EdgeKey, ROLE_CLIENT, ROLE_SERVER, role_of_ports};
use agent_ebpf::memory::read;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;

use super::edge::{edge, fold, sample_rtt};
use super::maps::{
    CONNS, EPHEMERAL_HIGH, EPHEMERAL_LOW, SK_STATE, TCP_RETRANSMITS, TCP_SRTT, add, add32, coarser, epoch,
};
use super::owner;
use super::socket::{self, Ends, cookie, edge_key, ends};

const ESTABLISHED: u32 = 1;
const SYN_SENT: u32 = 2;
const SYN_RECV: u32 = 3;
const TIME_WAIT: u8 = 6;
const CLOSE: u32 = 7;
const LISTEN: u32 = 10;
const NEW_SYN_RECV: u8 = 12;

/// `inet_sock_set_state`
#[inline(always)]
pub fn changed(socket: u64, old: u32, new: u32) {
    // most changes are steps of closing that tell nothing
    if (new != LISTEN && new != SYN_SENT && new != ESTABLISHED && new != CLOSE) || !socket::is_tcp(socket) {
        return;
    }
    if new == LISTEN {
        if owner::is_socket_ours(socket) {
            owner::listen_begins(owner::socket_cgroup(socket), socket::local_port(socket));
        }
    } else if new == SYN_SENT {
        connecting(socket);
    } else if new == CLOSE {
        if old == LISTEN {
            if owner::is_socket_ours(socket) {
                owner::listen_ends(socket::local_port(socket));
            }
        } else if old != CLOSE {
            closed(socket, old);
        } // else it had ended before
    } else if old == SYN_SENT {
        connected(socket);
    } else if old == SYN_RECV {
        accepted(socket);
    }
}

/// The connect call: the owner is current, the local port not yet chosen.
#[inline(always)]
fn connecting(socket: u64) {
    let cookie = cookie(socket);
    if cookie == 0 {
        return; // the SYN's packet program makes the entry
    }
    let Some(ends) = ends(socket) else { return };
    let Some(edge) = edge_key(socket, &ends, ROLE_CLIENT, true) else { return };
    make(cookie, &ends, edge);
}

#[inline(always)]
fn make(cookie: u64, ends: &Ends, edge: EdgeKey) {
    let conn = Conn {
        edge,
        bytes_sent: 0,
        bytes_received: 0,
        packets_sent: 0,
        packets_received: 0,
        opened_ns: now(),
        closed_ns: 0,
        epoch: epoch(),
        local_port: ends.local_port,
        peer_port: ends.peer_port,
        srtt_us: 0,
        retransmits: 0,
        retransmits_before: 0,
        resets: 0,
    };
    if let Err(error) = CONNS.insert(&cookie, &conn, u64::from(BPF_NOEXIST))
        && error != EEXIST
    {
        coarser();
    }
}

const EEXIST: i32 = -17;

#[inline(always)]
fn connected(socket: u64) {
    let Some(conn) = conn_of(socket) else {
        if let Some(edge) = edge_of(socket, ROLE_CLIENT) {
            // SAFETY: a map's value.
            add(unsafe { &raw mut (*edge).connects }, 1);
        }
        return;
    };
    // SAFETY: maps' values.
    unsafe {
        (*conn).local_port = socket::local_port(socket);
        let Some(edge) = edge(&raw const (*conn).edge) else { return };
        add(&raw mut (*edge).connects, 1);
        if (*conn).opened_ns != 0 {
            add(&raw mut (*edge).connect_ns, now() - (*conn).opened_ns);
        }
    }
}

/// The handshake's last ACK, in whatever task was interrupted.
#[inline(always)]
fn accepted(socket: u64) {
    let Some(ends) = ends(socket) else { return };
    let Some(key) = edge_key(socket, &ends, ROLE_SERVER, false) else { return };
    if let Some(edge) = edge(&key) {
        // SAFETY: a map's value.
        add(unsafe { &raw mut (*edge).accepts }, 1);
    }
    let cookie = cookie(socket);
    if cookie != 0 {
        make(cookie, &ends, key);
    } // else the next packet's program makes the entry
}

#[inline(always)]
fn closed(socket: u64, old: u32) {
    let cookie = cookie(socket);
    let Some(conn) = CONNS.get_ptr_mut(&cookie) else {
        without_conn(socket, old);
        return;
    };
    let srtt_us = read::<u32>(socket, &TCP_SRTT).unwrap_or(0) >> 3;
    let retransmits = read::<u32>(socket, &TCP_RETRANSMITS);
    // SAFETY: maps' values.
    unsafe {
        if let Some(total) = retransmits {
            (*conn).retransmits = total;
        }
        if srtt_us != 0 {
            (*conn).srtt_us = srtt_us;
        }
        let edge = edge(&raw const (*conn).edge);
        if let Some(edge) = edge {
            count_end(edge, old);
            if srtt_us != 0 {
                sample_rtt(edge, srtt_us);
            }
        }
        if (*conn).epoch == epoch() {
            if let Some(edge) = edge {
                fold(conn, edge);
            }
            _ = CONNS.remove(&cookie);
        } else {
            (*conn).closed_ns = now();
        }
    }
}

#[inline(always)]
fn without_conn(socket: u64, old: u32) {
    if old == SYN_RECV {
        return;
    }
    let role = if old == SYN_SENT { ROLE_CLIENT } else { guessed_role(socket) };
    if let Some(edge) = edge_of(socket, role) {
        count_end(edge, old);
    }
}

#[inline(always)]
fn count_end(edge: *mut Edge, old: u32) {
    // SAFETY: a map's value.
    unsafe {
        if old == SYN_SENT {
            add(&raw mut (*edge).failures, 1);
        } else {
            add(&raw mut (*edge).closes, 1);
        }
    }
}

/// `tcp_retransmit_skb`: the socket's own total counts segments, the event only skbs.
#[inline(always)]
pub fn retransmitted(socket: u64) {
    let total = read::<u32>(socket, &TCP_RETRANSMITS);
    match conn_of(socket) {
        Some(conn) => {
            // SAFETY: a map's value.
            unsafe {
                match total {
                    Some(total) => (*conn).retransmits = total,
                    None => add32(&raw mut (*conn).retransmits, 1),
                }
            }
        }
        None => {
            if let Some(edge) = edge_of(socket, guessed_role(socket)) {
                // SAFETY: a map's value.
                add(unsafe { &raw mut (*edge).retransmits }, 1);
            }
        }
    }
}

/// `tcp_send_reset` and `tcp_receive_reset`. Sockets that are none (TIME_WAIT, requests) and listeners have no peer.
#[inline(always)]
pub fn reset(socket: u64) {
    let Some(state) = read::<u8>(socket, &SK_STATE) else { return };
    if state == TIME_WAIT || state == NEW_SYN_RECV || u32::from(state) == LISTEN {
        return;
    }
    match conn_of(socket) {
        // SAFETY: a map's value.
        Some(conn) => add32(unsafe { &raw mut (*conn).resets }, 1),
        None => {
            if let Some(edge) = edge_of(socket, guessed_role(socket)) {
                // SAFETY: a map's value.
                add(unsafe { &raw mut (*edge).resets }, 1);
            }
        }
    }
}

#[inline(always)]
fn conn_of(socket: u64) -> Option<*mut Conn> {
    CONNS.get_ptr_mut(&cookie(socket))
}

#[inline(always)]
fn edge_of(socket: u64, role: u8) -> Option<*mut Edge> {
    let ends = ends(socket)?;
    let key = edge_key(socket, &ends, role, false)?;
    edge(&key)
}

#[inline(always)]
fn guessed_role(socket: u64) -> u8 {
    let Some(ends) = ends(socket) else { return ROLE_CLIENT };
    if owner::listens(ends.local_port) {
        return ROLE_SERVER;
    }
    if owner::listens(ends.peer_port) {
        return ROLE_CLIENT;
    }
    let (low, high) = (EPHEMERAL_LOW.load() as u16, EPHEMERAL_HIGH.load() as u16);
    role_of_ports(ends.local_port, ends.peer_port, low, high)
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}
