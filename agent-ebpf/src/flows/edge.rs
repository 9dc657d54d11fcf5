//! Edges: found or begun, added to, and what a connection leaves there when it ends.

use agent_common::flows::{Conn, Edge, EdgeKey};
use agent_ebpf::memory::place;
use aya_ebpf::bindings::BPF_NOEXIST;

use super::maps::{EDGES, OTHERS, ZERO, add, add32, coarser, full};

const EEXIST: i32 = -17;

/// The edge of a key; its owner's `other` edge where there is no slot left.
#[inline(always)]
pub fn edge(key: *const EdgeKey) -> Option<*mut Edge> {
    // SAFETY: callers point at a key on the stack or inside a map's value.
    let key = unsafe { &*key };
    if let Some(found) = EDGES.get_ptr_mut(key) {
        return Some(found);
    }
    make(key)
}

#[inline(always)]
fn make(key: &EdgeKey) -> Option<*mut Edge> {
    let zero = ZERO.get_ptr(0)?;
    // SAFETY: the array's slot, which nobody writes.
    match EDGES.insert(key, unsafe { &*zero }, u64::from(BPF_NOEXIST)) {
        Ok(()) | Err(EEXIST) => return EDGES.get_ptr_mut(key),
        Err(_) => coarser(),
    }
    let other = EdgeKey {
        owner: key.owner,
        peer: [0; 4],
        port: 0,
        protocol: key.protocol,
        role: key.role,
        padding: 0,
    };
    if let Some(found) = OTHERS.get_ptr_mut(&other) {
        return Some(found);
    }
    // SAFETY: as above.
    match OTHERS.insert(&other, unsafe { &*zero }, u64::from(BPF_NOEXIST)) {
        Ok(()) | Err(EEXIST) => OTHERS.get_ptr_mut(&other),
        Err(_) => {
            full();
            None
        }
    }
}

/// Bytes and packets of one packet.
#[inline(always)]
pub fn count_packet(edge: *mut Edge, egress: bool, bytes: u64) {
    // SAFETY: `edge` is a map's value.
    unsafe {
        if egress {
            add(&raw mut (*edge).bytes_sent, bytes);
            add(&raw mut (*edge).packets_sent, 1);
        } else {
            add(&raw mut (*edge).bytes_received, bytes);
            add(&raw mut (*edge).packets_received, 1);
        }
    }
}

/// A sample of the smoothed round trip.
#[inline(always)]
pub fn sample_rtt(edge: *mut Edge, srtt_us: u32) {
    if let Some(place) = place(u64::from(srtt_us) * 1000) {
        // SAFETY: `edge` is a map's value and the place is below the array's length.
        unsafe {
            (*edge).srtt_us = srtt_us;
            add32((&raw mut (*edge).rtt).cast::<u32>().add(place), 1);
        }
    }
}

/// Adds what a connection of this epoch counted: nobody else has read it.
#[inline(always)]
pub fn fold(conn: *const Conn, edge: *mut Edge) {
    // SAFETY: both are maps' values.
    unsafe {
        add(&raw mut (*edge).bytes_sent, (*conn).bytes_sent);
        add(&raw mut (*edge).bytes_received, (*conn).bytes_received);
        add(&raw mut (*edge).packets_sent, (*conn).packets_sent);
        add(&raw mut (*edge).packets_received, (*conn).packets_received);
        add(&raw mut (*edge).resets, u64::from((*conn).resets));
        let again = (*conn).retransmits.wrapping_sub((*conn).retransmits_before);
        add(&raw mut (*edge).retransmits, u64::from(again));
    }
}
