//! A packet that the kernel drops, with the kernel's own reason.

use agent_common::flows::{DropKey, Drops, NO_REASON, TCP};
use agent_ebpf::memory::read;
use agent_ebpf::node::{is_part, owns_the_rest};
use agent_ebpf::workload::ROOT_CGROUP;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_probe_read_kernel;

use super::maps::{
    DROPS, SK_FAMILY, SK_LOCAL_PORT, SK_STATE, SKB_HEAD, SKB_LEN, SKB_NETWORK, SKB_PROTOCOL, SKB_SOCKET, add,
    full,
};
use super::owner;

const IPV4: u16 = 0x0800_u16.to_be();
const IPV6: u16 = 0x86dd_u16.to_be();

/// `kfree_skb`; `receiver` is the socket that should have got it, 0 where the kernel does not say.
#[inline(always)]
pub fn dropped(skb: u64, reason: u32, receiver: u64) {
    let place = match read::<u16>(skb, &SKB_PROTOCOL) {
        Some(IPV4) => 9,
        Some(IPV6) => 6,
        _ => return,
    };
    let Some(protocol) = protocol(skb, place) else { return };
    let bytes = u64::from(read::<u32>(skb, &SKB_LEN).unwrap_or(0));
    let Some(owner) = owner(skb, receiver, protocol) else { return };
    let key = DropKey { owner, reason, protocol, padding: [0; 3] };
    if let Some(found) = DROPS.get_ptr_mut(&key) {
        count(found, bytes);
        return;
    }
    if DROPS.insert(&key, &Drops { packets: 1, bytes }, u64::from(BPF_NOEXIST)).is_ok() {
        return;
    }
    match DROPS.get_ptr_mut(&key) {
        Some(found) => count(found, bytes),
        None => full(),
    }
}

/// The reason where this kernel gives none.
pub const UNKNOWN: u32 = NO_REASON;

#[inline(always)]
fn count(drops: *mut Drops, bytes: u64) {
    // SAFETY: a map's value.
    unsafe {
        add(&raw mut (*drops).packets, 1);
        add(&raw mut (*drops).bytes, bytes);
    }
}

#[inline(always)]
fn protocol(skb: u64, place: u64) -> Option<u8> {
    let head = read::<u64>(skb, &SKB_HEAD)?;
    let network = read::<u16>(skb, &SKB_NETWORK)?;
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((head + u64::from(network) + place) as *const u8) }.ok()
}

/// 0 where the packet has no socket: forwarded, or for nobody here. `None` where another agent tells it.
#[inline(always)]
fn owner(skb: u64, receiver: u64, protocol: u8) -> Option<u64> {
    let socket = if receiver != 0 { receiver } else { read::<u64>(skb, &SKB_SOCKET).unwrap_or(0) };
    if socket == 0 {
        return owns_the_rest().then_some(0);
    }
    // TIME_WAIT and half-open sockets are no whole ones, and other families keep their own
    match (read::<u8>(socket, &SK_STATE), read::<u16>(socket, &SK_FAMILY)) {
        (Some(state), Some(family)) if state != 6 && state != 12 && (family == 2 || family == 10) => {}
        _ => return owns_the_rest().then_some(0),
    }
    let cgroup = owner::socket_cgroup(socket);
    if cgroup == 0 && is_part() {
        return None;
    }
    if cgroup == ROOT_CGROUP.load() && protocol == TCP {
        let port = read::<u16>(socket, &SK_LOCAL_PORT).unwrap_or(0);
        return Some(owner::of_tcp(cgroup, port, false));
    }
    Some(cgroup)
}
