//! A socket at a tracepoint: read through the offsets that the agent resolved.

use agent_common::flows::{EdgeKey, TCP, mapped, service_port};
use agent_ebpf::memory::{Offset, has, read};
use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;

use super::maps::{
    SK_COOKIE, SK_FAMILY, SK_LOCAL_PORT, SK_PEER_PORT, SK_PEER_V4, SK_PEER_V6, SK_PROTOCOL, TRACING_COOKIE,
};
use super::owner;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Bytes of `struct sock_common` that hold all its fields of interest: the cookie ends at 96 at most so far. The
/// verifier refuses a kernel where an offset lies behind, and the probe says so.
const COMMON_BYTES: usize = 128;

/// Whether it is TCP: the state tracepoint fires for other protocols too.
#[inline(always)]
pub fn is_tcp(socket: u64) -> bool {
    !has(&SK_PROTOCOL) || read::<u16>(socket, &SK_PROTOCOL) == Some(u16::from(TCP))
}

/// Its cookie, made if it has none; before 5.12 only one that a packet's program has made, else 0.
#[inline(always)]
pub fn cookie(socket: u64) -> u64 {
    if TRACING_COOKIE.load() != 0 {
        // SAFETY: the tracepoint's own argument; the helper takes a null one.
        return unsafe { bpf_get_socket_cookie(socket as *mut _) };
    }
    read::<u64>(socket, &SK_COOKIE).unwrap_or(0)
}

/// The peer's address and port, and the local port, 0 before it is chosen.
pub struct Ends {
    pub peer: [u32; 4],
    pub peer_port: u16,
    pub local_port: u16,
}

/// One read for all: a helper call costs more than the bytes.
#[inline(always)]
pub fn ends(socket: u64) -> Option<Ends> {
    // SAFETY: the helper checks the address.
    let common = unsafe { bpf_probe_read_kernel(socket as *const [u64; COMMON_BYTES / 8]) }.ok()?;
    let family: u16 = pick(&common, &SK_FAMILY);
    let peer = if family == AF_INET {
        mapped(pick(&common, &SK_PEER_V4))
    } else if family == AF_INET6 && has(&SK_PEER_V6) {
        pick(&common, &SK_PEER_V6)
    } else {
        return None;
    };
    let peer_port = u16::from_be(pick(&common, &SK_PEER_PORT));
    Some(Ends { peer, peer_port, local_port: pick(&common, &SK_LOCAL_PORT) })
}

/// A field of the bytes read. The offset is a frozen constant, so the verifier knows that it lies inside.
#[inline(always)]
fn pick<T: Copy>(common: &[u64; COMMON_BYTES / 8], offset: &Offset) -> T {
    // SAFETY: checked by the verifier, which sees the constant.
    unsafe { common.as_ptr().cast::<u8>().add(offset.load() as usize).cast::<T>().read_volatile() }
}

/// The local port alone.
#[inline(always)]
pub fn local_port(socket: u64) -> u16 {
    read::<u16>(socket, &SK_LOCAL_PORT).unwrap_or(0)
}

/// The edge of a socket that has no connection entry. `None` where its owner cannot be known.
#[inline(always)]
pub fn edge_key(socket: u64, ends: &Ends, role: u8, connecting: bool) -> Option<EdgeKey> {
    let cgroup = owner::socket_cgroup(socket);
    if cgroup == 0 {
        return None;
    }
    let owner = owner::of_tcp(cgroup, ends.local_port, connecting);
    let port = service_port(role, ends.local_port, ends.peer_port);
    Some(EdgeKey { owner, peer: ends.peer, port, protocol: TCP, role, padding: 0 })
}
