//! The maps of the flow programs, and what the agent told them before they were loaded.

use core::ptr::read_volatile;

use agent_common::flows::{
    Conn, DropKey, Drops, Edge, EdgeKey, MAX_CONNS, MAX_DROPS, MAX_EDGES, MAX_OTHERS, MAX_PORTS, MAX_SENDERS,
    PortKey, PortOwner,
};
use agent_common::lost::{COARSER, MAP_FULL};
use agent_ebpf::lost::lose;
use agent_ebpf::memory::{self, Offset, absent};
use aya_ebpf::Global;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap};

#[map]
pub static CONNS: HashMap<u64, Conn> = HashMap::with_max_entries(MAX_CONNS, 0);
#[map]
pub static EDGES: HashMap<EdgeKey, Edge> = HashMap::with_max_entries(MAX_EDGES, 0);
#[map]
pub static OTHERS: HashMap<EdgeKey, Edge> = HashMap::with_max_entries(MAX_OTHERS, 0);
#[map]
pub static DROPS: HashMap<DropKey, Drops> = HashMap::with_max_entries(MAX_DROPS, 0);
/// Whose the local ports of the root cgroup are, and where somebody listens.
#[map]
pub static PORTS: HashMap<PortKey, PortOwner> = HashMap::with_max_entries(MAX_PORTS, 0);
/// UDP socket of the root cgroup → who sent on it first. LRU: nothing adds up here, an evicted owner is found again
/// at the socket's next send.
#[map]
pub static SENDERS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(MAX_SENDERS, 0);
/// The current epoch; the agent raises it before each read.
#[map]
pub static EPOCH: Array<u32> = Array::with_max_entries(1, 0);
/// An edge of zeros to begin one with: too large for the stack. Never written.
#[map]
pub static ZERO: Array<Edge> = Array::with_max_entries(1, 0);

/// 1 where tracing programs may ask for a socket's cookie (5.12).
#[unsafe(no_mangle)]
pub static TRACING_COOKIE: Global<u32> = Global::new(0);
/// Position of the reason among `kfree_skb`'s arguments, 0 for none.
#[unsafe(no_mangle)]
pub static DROP_REASON_ARG: Global<u32> = Global::new(0);
/// Position of the receiving socket among `kfree_skb`'s arguments, 0 for none.
#[unsafe(no_mangle)]
pub static DROP_SOCKET_ARG: Global<u32> = Global::new(0);
/// First ephemeral port.
#[unsafe(no_mangle)]
pub static EPHEMERAL_LOW: Global<u32> = Global::new(32_768);
/// Last ephemeral port.
#[unsafe(no_mangle)]
pub static EPHEMERAL_HIGH: Global<u32> = Global::new(60_999);

/// Offsets of `agent_common::flows::FIELDS`.
macro_rules! offsets {
    ($($name:ident)*) => { $(
        #[unsafe(no_mangle)]
        pub static $name: Offset = absent();
    )* };
}

offsets! {
    SK_FAMILY SK_STATE SK_PEER_PORT SK_LOCAL_PORT SK_PEER_V4 SK_PEER_V6 SK_COOKIE SK_PROTOCOL SK_CGROUP TCP_SRTT
    TCP_RETRANSMITS SKB_SOCKET SKB_LEN SKB_PROTOCOL SKB_HEAD SKB_NETWORK
}

/// Adds to a counter in a map's value.
#[inline(always)]
pub fn add(counter: *mut u64, value: u64) {
    // SAFETY: every caller points into a map's value, which stays mapped while the program runs.
    unsafe { memory::add(counter, value) }
}

/// As `add`, for small counters.
#[inline(always)]
pub fn add32(counter: *mut u32, value: u32) {
    // SAFETY: as in `add`.
    unsafe { memory::add32(counter, value) }
}

/// A map took no new key, and there is none that is coarser.
#[inline(always)]
pub fn full() {
    lose(MAP_FULL, 1);
}

/// A map took no new key: a connection's packet goes to its edge, an edge's to its owner's `other` edge.
#[inline(always)]
pub fn coarser() {
    lose(COARSER, 1);
}

/// The epoch now.
#[inline(always)]
pub fn epoch() -> u32 {
    match EPOCH.get_ptr(0) {
        // SAFETY: the array's only slot; user space writes it whole.
        Some(epoch) => unsafe { read_volatile(epoch) },
        None => 0,
    }
}
