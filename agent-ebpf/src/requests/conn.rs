//! The table of connections.

use agent_common::lost;
use agent_common::requests::frames::Walk;
use agent_common::requests::{Conn, HEAD_LEN, MAX_CONNS, OPAQUE, ROLE_UNKNOWN, TRANSPORT_TCP};
use agent_ebpf::lost::lose;
use agent_ebpf::memory::read;
use agent_ebpf::workload::{OFF_COMM, OFF_GROUP_LEADER, current_workload};
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_ktime_get_boot_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

use crate::socket;

#[map]
static CONNS: HashMap<u64, Conn> = HashMap::with_max_entries(MAX_CONNS, 0);

/// The names of Wake's own processes, which do not tell of each other.
const OWN: [[u64; 2]; 3] = [
    [u64::from_le_bytes(*b"wake-age"), u64::from_le_bytes(*b"nt\0\0\0\0\0\0")],
    [u64::from_le_bytes(*b"wake-agg"), u64::from_le_bytes(*b"regator\0")],
    [u64::from_le_bytes(*b"wake\0\0\0\0"), 0],
];

#[inline(always)]
pub fn find(socket: u64) -> Option<*mut Conn> {
    CONNS.get_ptr_mut(&socket)
}

#[inline(always)]
pub fn forget(socket: u64) {
    // an entry that is gone already is fine
    _ = CONNS.remove(&socket);
}

/// Puts a new connection in the table, in the place of an older one of the same address.
#[inline(always)]
fn put(socket: u64, role: u8) -> bool {
    let fresh = Conn {
        // SAFETY: a helper without arguments.
        born_ns: unsafe { bpf_ktime_get_boot_ns() },
        workload: 0,
        run_total: 0,
        run_last_ns: 0,
        local: [0; 4],
        peer: [0; 4],
        ports: 0,
        tgid: 0,
        sequences: [0; 2],
        run_calls: 0,
        run_told: 0,
        protocol: 0,
        role,
        run_direction: 0,
        tries: 0,
        head_len: 0,
        transport: TRANSPORT_TCP,
        is_polled: 0,
        message_calls: 0,
        is_after_long: 0,
        padding: 0,
        head: [0; HEAD_LEN],
        walks: [Walk::NONE; 2],
    };
    let is_kept = CONNS.insert(&socket, &fresh, u64::from(BPF_ANY)).is_ok();
    if !is_kept {
        lose(lost::MAP_FULL, 1);
    }
    is_kept
}

/// A connection that the state program saw begin.
#[inline(always)]
pub fn established(socket: u64, role: u8) {
    _ = put(socket, role);
}

/// A connection that was open before anybody looked. One that is over is none: its entry would stay for ever.
#[inline(always)]
pub fn begin(socket: u64) -> Option<*mut Conn> {
    if socket::is_closed(socket) {
        return None;
    }
    if put(socket, ROLE_UNKNOWN) { find(socket) } else { None }
}

/// The first call on a connection: whose it is, and between whom. One whose ports have changed is another connection in
/// the memory of one whose end nobody saw.
///
/// # Safety
/// `conn` is a value of `CONNS`.
#[inline(always)]
pub unsafe fn meet(socket: u64, conn: *mut Conn, tgid: u32) {
    let ports = socket::ports(socket);
    // SAFETY: the caller's.
    unsafe {
        if (*conn).ports == ports {
            return;
        }
        if (*conn).ports != 0 {
            (*conn).born_ns = bpf_ktime_get_boot_ns();
            (*conn).run_total = 0;
            (*conn).run_last_ns = 0;
            (*conn).sequences = [0; 2];
            (*conn).run_calls = 0;
            (*conn).run_told = 0;
            (*conn).message_calls = 0;
            (*conn).is_after_long = 0;
            (*conn).role = ROLE_UNKNOWN;
            (*conn).run_direction = 0;
            (*conn).tries = 0;
            (*conn).head_len = 0;
            (*conn).walks = [Walk::NONE; 2];
        }
        let (local, peer) = socket::addresses(socket);
        (*conn).local = local;
        (*conn).peer = peer;
        (*conn).ports = ports;
        (*conn).tgid = tgid;
        (*conn).workload = current_workload();
        (*conn).is_polled = socket::is_polled(socket) as u8;
        (*conn).protocol = if is_own() { OPAQUE } else { 0 };
    }
}

/// Whether the current process is one of Wake's.
#[inline(always)]
fn is_own() -> bool {
    // SAFETY: a helper without arguments.
    let task = unsafe { bpf_get_current_task() };
    let Some(leader) = read::<u64>(task, &OFF_GROUP_LEADER) else { return false };
    let Some([first, second]) = read::<[u64; 2]>(leader, &OFF_COMM) else { return false };
    // bytes behind the end of a short name may be left over from a longer one
    (first == OWN[0][0] && second as u32 & 0x00ff_ffff == OWN[0][1] as u32)
        || (first == OWN[1][0] && second == OWN[1][1])
        || first as u64 & 0xff_ffff_ffff == OWN[2][0]
}
