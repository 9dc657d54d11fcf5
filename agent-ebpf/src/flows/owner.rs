//! Whose a socket is: its cgroup, or in the root cgroup the executable that connects, listens or sends.

use agent_common::flows::{PortKey, PortOwner, TCP};
use agent_common::workload::{HOST_BIT, host_key};
use agent_ebpf::memory::read;
use agent_ebpf::node::{cgroup_id, is_cgroup_ours, is_part};
use agent_ebpf::workload::{ROOT_CGROUP, task_host};
use aya_ebpf::bindings::{__sk_buff, BPF_NOEXIST};
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_get_socket_cookie, bpf_skb_cgroup_id};

use super::maps::{PORTS, SENDERS, SK_CGROUP, add};

/// The idle task: what it seems to send is the kernel's own, e.g. neighbour discovery from a timer.
const IDLE: u64 = host_key(b"swapper\0\0\0\0\0\0\0\0\0");

/// The key of the current task by its process's name; only where the socket's owner is current.
#[inline(always)]
fn current_host() -> u64 {
    // SAFETY: a helper without arguments.
    let key = task_host(unsafe { bpf_get_current_task() });
    if key == IDLE { HOST_BIT } else { key }
}

/// The owner of a socket that is known by its local port alone.
#[inline(always)]
fn port_owner(protocol: u8, port: u16) -> u64 {
    match PORTS.get_ptr(&PortKey { port, protocol, padding: 0 }) {
        // SAFETY: a map's value.
        Some(found) if unsafe { (*found).owner } != 0 => unsafe { (*found).owner },
        _ => HOST_BIT,
    }
}

/// Whether somebody on this node listens on a TCP port.
#[inline(always)]
pub fn listens(port: u16) -> bool {
    match PORTS.get_ptr(&PortKey { port, protocol: TCP, padding: 0 }) {
        // SAFETY: a map's value.
        Some(found) => unsafe { (*found).listeners != 0 },
        None => false,
    }
}

/// A socket begins to listen; its owner is current.
#[inline(always)]
pub fn listen_begins(cgroup: u64, port: u16) {
    let key = PortKey { port, protocol: TCP, padding: 0 };
    let owner = if cgroup == ROOT_CGROUP.load() { current_host() } else { 0 };
    if let Some(found) = PORTS.get_ptr_mut(&key) {
        // SAFETY: a map's value.
        unsafe {
            add(&raw mut (*found).listeners, 1);
            if owner != 0 {
                (*found).owner = owner;
            }
        }
        return;
    }
    // a full map costs only the role of connections whose start nobody saw, and the names of the root cgroup's
    // servers, who become `host/other`
    _ = PORTS.insert(&key, &PortOwner { owner, listeners: 1 }, u64::from(BPF_NOEXIST));
}

/// A listening socket is closed.
#[inline(always)]
pub fn listen_ends(port: u16) {
    let key = PortKey { port, protocol: TCP, padding: 0 };
    if let Some(found) = PORTS.get_ptr_mut(&key) {
        // SAFETY: a map's value.
        let last = unsafe {
            add(&raw mut (*found).listeners, u64::MAX);
            (*found).listeners == 0
        };
        if last {
            _ = PORTS.remove(&key);
        }
    }
}

/// The owner of a TCP socket. `connecting`: this is the connect call itself, so the owner is current.
#[inline(always)]
pub fn of_tcp(cgroup: u64, local_port: u16, connecting: bool) -> u64 {
    if cgroup != ROOT_CGROUP.load() {
        cgroup
    } else if connecting {
        current_host()
    } else {
        port_owner(TCP, local_port)
    }
}

/// The owner of a socket without connection. What is received runs in whatever task was interrupted, so it is
/// booked to who sent on the socket first, else to who held the port when the agent started.
#[inline(always)]
pub fn of_datagram(skb: *mut __sk_buff, protocol: u8, local_port: u16, egress: bool) -> u64 {
    // SAFETY: the program's own context.
    let cgroup = unsafe { bpf_skb_cgroup_id(skb) };
    if cgroup != ROOT_CGROUP.load() {
        return cgroup;
    }
    // SAFETY: as above.
    let cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
    if let Some(owner) = SENDERS.get_ptr(&cookie) {
        // SAFETY: a map's value.
        return unsafe { *owner };
    }
    if !egress {
        return port_owner(protocol, local_port);
    }
    let owner = current_host();
    if owner == HOST_BIT {
        return owner;
    }
    _ = SENDERS.insert(&cookie, &owner, 0);
    owner
}

/// The cgroup of a socket, by its fields: for the programs that see no packet. 0 where it cannot be known, and where it
/// is another node's.
#[inline(always)]
pub fn socket_cgroup(socket: u64) -> u64 {
    let Some(data) = read::<u64>(socket, &SK_CGROUP) else { return 0 };
    // before 5.15 the low bits mark a class or priority of net_cls and net_prio in the place of the pointer
    if data == 0 || data & 3 != 0 {
        return if is_part() { 0 } else { ROOT_CGROUP.load() };
    }
    if !is_cgroup_ours(data) {
        return 0;
    }
    cgroup_id(data).unwrap_or(0)
}

/// Whether a socket is for this agent to tell.
#[inline(always)]
pub fn is_socket_ours(socket: u64) -> bool {
    !is_part() || socket_cgroup(socket) != 0
}
