//! Requests: the first bytes of what is asked and answered on every TCP connection, and of every DNS datagram.
//!
//! And what threads that have read a request write elsewhere. Hooks: `sys_exit` (what was read or written, and how much of
//! it), `sys_enter` (when a write began), `inet_sock_set_state` (who connected, and when it ended), `io_uring_create`. Kernel: 5.10 with BTF.
#![no_std]
#![no_main]

#[path = "../requests/call.rs"]
mod call;
#[path = "../requests/conn.rs"]
mod conn;
#[path = "../requests/datagram.rs"]
mod datagram;
#[path = "../requests/frames.rs"]
mod frames;
#[path = "../tls/inside.rs"]
mod inside;
#[path = "../requests/line.rs"]
mod line;
#[path = "../requests/out.rs"]
mod out;
#[path = "../requests/socket.rs"]
mod socket;
#[path = "../requests/step.rs"]
mod step;
#[path = "../requests/stream.rs"]
mod stream;
#[path = "../requests/understand.rs"]
mod understand;

use call::Call;
use step::{Looped, Steps, Unrolled};
use stream::Then;

use agent_common::lost;
use agent_common::requests::{
    Conn, LAYOUT, OUT, ROLE_CLIENT, ROLE_SERVER, STARTS, Start, TAIL_COUNT, TAIL_DATAGRAM, TAIL_FRAMES,
    TAIL_LINE, TAIL_STREAM, TAIL_UNDERSTAND, TRANSPORT_TCP, TRANSPORT_UDP,
};
use agent_common::tls::PLAINTEXT;
use agent_ebpf::lost::lose;
use agent_ebpf::node::is_current_ours;
use aya_ebpf::Global;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::{btf_tracepoint, map, raw_tracepoint};
use aya_ebpf::maps::{Array, ProgramArray};
use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext};
use core::ptr::{read_volatile, write_volatile};

/// The agent itself: its calls are not looked at.
#[unsafe(no_mangle)]
static OWN_TGID: Global<u32> = Global::new(0);

#[map]
static STARTS_BY_TID: Array<Start> = Array::with_max_entries(STARTS, 0);

/// A write begins: what it wakes may be seen before it ends, so its own time is that of its begin.
#[btf_tracepoint(function = "sys_enter")]
fn requests_enter(context: BtfTracePointContext) -> i32 {
    if !call::is_write(context.arg::<u64>(1) as u32) {
        return 0;
    }
    let tid = bpf_get_current_pid_tgid() as u32;
    let Some(start) = STARTS_BY_TID.get_ptr_mut(tid & (STARTS - 1)) else { return 0 };
    // SAFETY: an array's value; only this thread writes a start that carries its tid.
    unsafe {
        write_volatile(&raw mut (*start).tid, 0);
        write_volatile(&raw mut (*start).at_ns, bpf_ktime_get_boot_ns());
        write_volatile(&raw mut (*start).tid, tid);
    }
    0
}

/// When the thread's write began; `now` where that was not seen.
#[inline(always)]
fn began(tid: u32, now: u64) -> u64 {
    let Some(start) = STARTS_BY_TID.get_ptr(tid & (STARTS - 1)) else { return now };
    // SAFETY: an array's value.
    unsafe { if read_volatile(&raw const (*start).tid) == tid { (*start).at_ns } else { now } }
}

/// The programs behind the first one: each has a stack of its own, and a verifier walks each alone.
#[map]
static TAILS: ProgramArray = ProgramArray::with_max_entries(TAIL_COUNT, 0);

/// A call has carried bytes: of a socket?
#[btf_tracepoint(function = "sys_exit")]
fn requests_exit(context: BtfTracePointContext) -> i32 {
    let returned = context.arg::<i64>(1);
    if call::is_wait(context.arg(0)) {
        line::waited(bpf_get_current_pid_tgid() as u32);
        return 0;
    }
    if returned <= 0 {
        return 0;
    }
    let Some(kept) = call::keep(context.arg(0), returned as u64) else { return 0 };
    let ids = bpf_get_current_pid_tgid();
    if (ids >> 32) as u32 == OWN_TGID.load() || !is_current_ours() {
        return 0;
    }
    // SAFETY: this CPU's own value.
    unsafe {
        (*kept).ids = ids;
        let Some(socket) = socket::of_descriptor((*kept).descriptor) else {
            let may_be_line = (*kept).direction == OUT && line::is_serving(ids as u32);
            return if may_be_line { next(&context, TAIL_LINE) } else { 0 };
        };
        (*kept).socket = socket;
    }
    next(&context, TAIL_STREAM)
}

/// A call on a socket: of a connection, or of datagrams.
#[btf_tracepoint(function = "sys_exit")]
fn requests_stream(context: BtfTracePointContext) -> i32 {
    let Some(call) = call::kept() else { return 0 };
    let mut found = conn::find(call.socket);
    if found.is_none() {
        match socket::transport(call.socket) {
            TRANSPORT_UDP => return next(&context, TAIL_DATAGRAM),
            TRANSPORT_TCP => found = conn::begin(call.socket),
            _ => {
                let may_be_line = call.direction == OUT && line::is_serving(call.ids as u32);
                return if may_be_line { next(&context, TAIL_LINE) } else { 0 };
            }
        }
    }
    let Some(conn) = found else { return 0 };
    // SAFETY: a map's value.
    unsafe {
        match stream::seen(conn, &call) {
            Then::Understand => return next(&context, TAIL_UNDERSTAND),
            Then::Frames => return walk(&context, conn, &call),
            Then::Nothing => {}
        }
        inside::note(conn, call.socket, call.direction, call.ids as u32);
    }
    0
}

/// The first bytes of a connection of which it is not known what is spoken.
#[btf_tracepoint(function = "sys_exit")]
fn requests_understand(context: BtfTracePointContext) -> i32 {
    let Some(call) = call::kept() else { return 0 };
    let (Some(conn), Some(record)) = (conn::find(call.socket), out::scratch()) else { return 0 };
    // SAFETY: a map's value, and this CPU's scratch.
    unsafe {
        if understand::seen(conn, record, &call) {
            return walk(&context, conn, &call);
        }
        inside::note(conn, call.socket, call.direction, call.ids as u32);
    }
    0
}

/// The first frames of a call.
#[inline(always)]
unsafe fn walk(context: &BtfTracePointContext, conn: *mut Conn, call: &Call) -> i32 {
    frames::start();
    next(context, TAIL_FRAMES);
    // SAFETY: the caller's.
    unsafe { frames::give_up(conn, call) };
    0
}

/// Frames of HTTP/2.
#[btf_tracepoint(function = "sys_exit")]
fn requests_frames(context: BtfTracePointContext) -> i32 {
    walk_on::<Unrolled>(&context)
}

/// The same, for kernels that make loops (5.17).
#[btf_tracepoint(function = "sys_exit")]
fn requests_frames_looped(context: BtfTracePointContext) -> i32 {
    walk_on::<Looped>(&context)
}

#[inline(always)]
fn walk_on<S: Steps>(context: &BtfTracePointContext) -> i32 {
    let Some(call) = call::kept() else { return 0 };
    let (Some(conn), Some(record)) = (conn::find(call.socket), out::scratch()) else {
        // the connection has ended meanwhile
        lose(lost::NO_SOCKET, 1);
        return 0;
    };
    // SAFETY: a map's value, and this CPU's scratch.
    unsafe {
        if frames::seen::<S>(conn, record, &call) {
            next(context, TAIL_FRAMES);
            frames::give_up(conn, &call);
        }
    }
    0
}

/// A datagram; of several in one call, one after the other.
#[btf_tracepoint(function = "sys_exit")]
fn requests_datagram(context: BtfTracePointContext) -> i32 {
    let Some(call) = call::kept() else { return 0 };
    if datagram::seen(&call) { next(&context, TAIL_DATAGRAM) } else { 0 }
}

/// A write by a thread that has read a request, to what is no connection.
#[btf_tracepoint(function = "sys_exit")]
fn requests_line(_: BtfTracePointContext) -> i32 {
    let Some(call) = call::kept() else { return 0 };
    line::seen(&call);
    0
}

/// A process makes an io_uring: what it does over that is not seen.
#[raw_tracepoint]
fn requests_ring(_: RawTracePointContext) -> i32 {
    if is_current_ours() {
        line::ring_made();
    }
    0
}

/// Goes on in another program; comes back only where that is not there.
#[inline(always)]
fn next(context: &BtfTracePointContext, index: u32) -> i32 {
    // SAFETY: a program of the same hook, by the agent.
    _ = unsafe { TAILS.tail_call(context, index) };
    0
}

/// Who connects, and when it is over. Others' tasks may be current here.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn requests_state(context: BtfTracePointContext) -> i32 {
    const ESTABLISHED: i32 = 1;
    const SYN_SENT: i32 = 2;
    const CLOSE: i32 = 7;
    let socket = context.arg::<u64>(0);
    match context.arg::<i32>(2) {
        // in the task that connects
        SYN_SENT => line::connects(socket),
        ESTABLISHED => {
            let role = if context.arg::<i32>(1) == SYN_SENT { ROLE_CLIENT } else { ROLE_SERVER };
            conn::established(socket, role);
        }
        CLOSE => {
            let Some(header) = out::end_scratch() else { return 0 };
            // through memory: to a verifier the argument is a pointer, of which it takes no `|`
            // SAFETY: this CPU's own.
            let socket = unsafe {
                write_volatile(&raw mut (*header).socket, socket);
                read_volatile(&raw const (*header).socket)
            };
            ended(socket, socket::unread(socket));
            // of its plaintext nobody knows how much was not read
            ended(socket | PLAINTEXT, 0);
        }
        _ => {}
    }
    0
}

/// An entry of the table, of a connection or of its plaintext under TLS, is over.
#[inline(always)]
fn ended(key: u64, unread: u32) {
    if let (Some(conn), Some(header)) = (conn::find(key), out::end_scratch()) {
        // SAFETY: a map's value, before it goes; this CPU's own.
        unsafe { out::end(key, conn, header, unread) };
        conn::forget(key);
    }
}

/// When what was read or written began, and when it ended.
#[inline(always)]
fn times(direction: u8, tid: u32) -> (u64, u64) {
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    (if direction == OUT { began(tid, now) } else { now }, now)
}

agent_ebpf::forget_programs!(requests_rename, requests_gone);
agent_ebpf::object!(LAYOUT);
