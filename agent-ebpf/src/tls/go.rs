//! Go's crypto/tls: from a `tls.Conn` to its socket, and what a goroutine reads and writes; and net/http's client, whose
//! requests another goroutine writes: which one asks, and over which connection.
//!
//! A goroutine may leave its thread while it reads, so what it does is kept by goroutine. Its stack may be moved, and then
//! a buffer on it is elsewhere.

use agent_common::lost;
use agent_common::requests::line::{EVENT_ASKS, Line};
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
use crate::{conn, guard, inside, out, socket};

// Where fields are, the same in the DWARF of programs that Go 1.18 to 1.26 have made (docs/journal/2026-11-22-go-versions.md).

/// Of `tls.Conn.conn`, an interface: where its data pointer is.
pub const CONN_DATA: u64 = 8;
/// Of `poll.FD.Sysfd`, which is at the begin of `net.netFD`.
pub const SYSFD: u64 = 16;
/// What is there once the connection is closed: -1.
const CLOSED: u64 = u64::MAX;
/// Of `http.persistConn.conn`, an interface: where its data pointer is; and of `tlsState`, which is nil where that is no
/// `tls.Conn`.
const CLIENT_DATA: u64 = 88;
const CLIENT_TLS: u64 = 96;
/// Of `g.stack.hi`.
const STACK_END: u64 = 8;

/// Who ended inside a read stays until room is needed.
#[map]
static GO_READS: LruHashMap<Session, GoRead> = LruHashMap::with_max_entries(READS, 0);

#[inline(always)]
pub fn word(place: u64) -> Option<u64> {
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
    keep(context, tid, connection, buffer.wrapping_add(moved), carried as u64, IN)
}

/// A write begins. True: the slot says what.
#[inline(always)]
pub fn write(context: &ProbeContext, tid: u32) -> bool {
    let length = go::third(context);
    length as i64 > 0 && keep(context, tid, go::first(context), go::second(context), length, OUT)
}

/// A goroutine hands a request to a connection of net/http's client.
#[inline(always)]
pub fn asks(context: &ProbeContext, ids: u64) {
    let Some(descriptor) = descriptor_of_client(go::first(context)) else {
        lose(lost::READ_FAILED, 1);
        return;
    };
    // a connection of another kind: whose request it is, is asked of its thread, and nothing is missing
    let Some(socket) = socket_of(descriptor) else { return };
    // SAFETY: reads a clock.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    say(ids, EVENT_ASKS, socket, Goroutine { number: 0, place: go::goroutine(context) }, 0, now);
}

/// A goroutine: its number, which no later one of its process has, or 0, and where its struct is, which a later one may have.
#[derive(Clone, Copy)]
pub struct Goroutine {
    pub number: u64,
    pub place: u64,
}

/// What a goroutine does with a connection, as a record of its own.
#[inline(always)]
pub fn say(ids: u64, event: u32, socket: u64, goroutine: Goroutine, stream: u32, start_ns: u64) {
    if !guard::enter() {
        return;
    }
    if let Some(record) = out::scratch() {
        let line = record.cast::<Line>();
        // SAFETY: this CPU's scratch, which the guard keeps; a line lies inside a record.
        unsafe {
            (*line).event = event;
            (*line).mode = 0;
            (*line).inode = socket;
            (*line).position = goroutine.number;
            (*line).total = u64::from(stream);
            (*line).workload = goroutine.place;
            (*line).start_ns = start_ns;
            (*line).at_ns = bpf_ktime_get_boot_ns();
            (*line).device = 0;
            (*line).tgid = (ids >> 32) as u32;
            (*line).tid = ids as u32;
            (*line).data_len = 0;
            out::event(line);
        }
    }
    guard::leave();
}

#[inline(always)]
fn keep(context: &ProbeContext, tid: u32, connection: u64, buffer: u64, total: u64, direction: u8) -> bool {
    let descriptor = descriptor_of(connection);
    // what is said over a connection that this process has closed goes nowhere
    if descriptor == Some(CLOSED) {
        return false;
    }
    let Some(socket) = descriptor.and_then(socket_of) else {
        lose(lost::NO_SOCKET, 1);
        return false;
    };
    let known = match conn::find(socket) {
        // SAFETY: a map's value.
        Some(known) => unsafe { is_closed_book((*known).protocol) },
        // nor what is written, or was left to read, when the other end had reset it: it was told of its end
        None if socket::is_closed(socket) => return false,
        None => false,
    };
    let (true, Some(slot)) = (known, inside::slot(tid)) else {
        lose(lost::NO_SOCKET, 1);
        return false;
    };
    // SAFETY: an array's value; a slot with this thread's number is written by this thread alone.
    unsafe {
        (*slot).tid = 0;
        (*slot).kind = NOTHING;
        (*slot).session = go::goroutine(context);
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

/// The descriptor of a `tls.Conn` over a `net.TCPConn`. What is another kind of connection has something else in these
/// places, which is hardly ever the number of an encrypted connection of this process.
#[inline(always)]
fn descriptor_of(connection: u64) -> Option<u64> {
    let inner = word(connection.wrapping_add(CONN_DATA))?;
    word(word(inner)?.wrapping_add(SYSFD))
}

/// The same of a `http.persistConn`, which has a `tls.Conn` or the connection itself. `None`: memory that cannot be read.
#[inline(always)]
fn descriptor_of_client(client: u64) -> Option<u64> {
    let connection = word(client.wrapping_add(CLIENT_DATA))?;
    match word(client.wrapping_add(CLIENT_TLS))? {
        0 => word(word(connection)?.wrapping_add(SYSFD)),
        _ => descriptor_of(connection),
    }
}

/// The socket of a descriptor of this process, whatever is said over it.
#[inline(always)]
fn socket_of(descriptor: u64) -> Option<u64> {
    if descriptor > u64::from(u32::MAX) {
        return None;
    }
    socket::of_descriptor(descriptor as u32)
}
