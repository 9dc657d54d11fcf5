//! Go's crypto/tls: from a `tls.Conn` to its socket, and what a goroutine reads and writes.
//!
//! A goroutine may leave its thread while it reads, so what it does is kept by goroutine. Its stack may be moved, and then
//! a buffer on it is elsewhere.

use agent_common::lost;
use agent_common::requests::{IN, OUT, is_closed_book};
use agent_common::tls::{GoRead, NOTHING, READS, Session};
use agent_ebpf::lost::lose;
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::ProbeContext;

use crate::abi::go;
use crate::{conn, inside, socket};

/// Of `tls.Conn.conn`, an interface: where its data pointer is. Go 1.17 to 1.26.
const CONN_DATA: u64 = 8;
/// Of `poll.FD.Sysfd`, which is at the begin of `net.netFD`. Go 1.17 to 1.26.
const SYSFD: u64 = 16;
/// Of `g.stack.hi`.
const STACK_END: u64 = 8;

/// Who ended inside a read stays until room is needed.
#[map]
static GO_READS: LruHashMap<Session, GoRead> = LruHashMap::with_max_entries(READS, 0);

#[inline(always)]
fn word(place: u64) -> Option<u64> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(place as *const u64) }.ok()
}

/// A read begins.
#[inline(always)]
pub fn read(context: &ProbeContext, tgid: u32) {
    let goroutine = go::goroutine(context);
    let (buffer, stack) = (go::second(context), go::stack(context));
    let end = word(goroutine.wrapping_add(STACK_END)).unwrap_or(0);
    let is_on_stack = buffer >= stack && buffer < end;
    let key = Session { place: goroutine, tgid: u64::from(tgid) };
    let read = GoRead { connection: go::first(context), buffer, stack: if is_on_stack { stack } else { 0 } };
    if GO_READS.insert(&key, &read, u64::from(BPF_ANY)).is_err() {
        lose(lost::MAP_FULL, 1);
    }
}

/// A read returns. True: it has read something, and the slot says what.
#[inline(always)]
pub fn read_done(context: &ProbeContext, tgid: u32, tid: u32) -> bool {
    let key = Session { place: go::goroutine(context), tgid: u64::from(tgid) };
    let Some(read) = GO_READS.get_ptr(&key) else { return false };
    // SAFETY: a map's value.
    let GoRead { connection, buffer, stack } = unsafe { *read };
    // one that is gone already is fine
    _ = GO_READS.remove(&key);
    let carried = go::result(context) as i64;
    if carried <= 0 {
        return false;
    }
    let moved = if stack == 0 { 0 } else { go::stack(context).wrapping_sub(stack) };
    keep(tid, connection, buffer.wrapping_add(moved), carried as u64, IN)
}

/// A write begins. True: the slot says what.
#[inline(always)]
pub fn write(context: &ProbeContext, tid: u32) -> bool {
    let length = go::third(context);
    length as i64 > 0 && keep(tid, go::first(context), go::second(context), length, OUT)
}

#[inline(always)]
fn keep(tid: u32, connection: u64, buffer: u64, total: u64, direction: u8) -> bool {
    let (Some(socket), Some(slot)) = (socket_of(connection), inside::slot(tid)) else {
        lose(lost::NO_SOCKET, 1);
        return false;
    };
    // SAFETY: an array's value; a slot with this thread's number is written by this thread alone.
    unsafe {
        (*slot).tid = 0;
        (*slot).kind = NOTHING;
        (*slot).buffer = buffer;
        (*slot).start_ns = bpf_ktime_get_boot_ns();
        (*slot).socket = socket;
        (*slot).recent = 0;
        (*slot).total = total;
        (*slot).direction = u32::from(direction);
        (*slot).tid = tid;
    }
    true
}

/// The socket of a `tls.Conn` over a `net.TCPConn`. What is another kind of connection has something else in these places,
/// which is hardly ever the number of an encrypted connection of this process.
#[inline(always)]
fn socket_of(connection: u64) -> Option<u64> {
    let inner = word(connection.wrapping_add(CONN_DATA))?;
    let descriptor = word(word(inner)?.wrapping_add(SYSFD))?;
    if descriptor > u64::from(u32::MAX) {
        return None;
    }
    let socket = socket::of_descriptor(descriptor as u32)?;
    let known = conn::find(socket)?;
    // SAFETY: a map's value.
    unsafe { is_closed_book((*known).protocol) }.then_some(socket)
}
