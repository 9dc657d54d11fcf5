//! TLS: the plaintext of connections, where a library reads and writes it; what becomes of it is as in `requests`, whose
//! maps this object shares (`RECORDS`, `CONNS`, `INSIDE`, `SERVING_BY_TID`).
//!
//! Hooks: functions of OpenSSL where they begin and return, methods of Go's `tls.Conn` where they begin and at each of
//! their return instructions; where net/http's client hands a request to a connection, and grpc-go serves or opens a stream.
//! Kernel: 5.10 with BTF.
//! Programs here can be preempted: what does not fit on the stack is guarded, and every program that needs 64 bytes of stack
//! or more goes on in another, so that no kernel gives it a stack of its CPU's own.
#![no_std]
#![no_main]

#[path = "../tls/abi.rs"]
mod abi;
#[path = "../tls/call.rs"]
mod call;
#[path = "../tls/conn.rs"]
mod conn;
#[path = "../requests/frames.rs"]
mod frames;
#[path = "../tls/go.rs"]
mod go;
#[path = "../tls/grpc.rs"]
mod grpc;
#[path = "../tls/guard.rs"]
mod guard;
#[path = "../tls/h2.rs"]
mod h2;
#[path = "../tls/inside.rs"]
#[expect(dead_code, reason = "the requests object uses the rest")]
mod inside;
#[path = "../tls/line.rs"]
mod line;
#[path = "../tls/openssl.rs"]
mod openssl;
#[path = "../requests/out.rs"]
#[expect(dead_code, reason = "the requests object uses the rest")]
mod out;
#[path = "../requests/socket.rs"]
#[expect(dead_code, reason = "the requests object uses the rest")]
mod socket;
#[path = "../requests/step.rs"]
mod step;
#[path = "../requests/stream.rs"]
mod stream;
#[path = "../requests/understand.rs"]
mod understand;

use agent_common::lost;
use agent_common::requests::{Conn, OUT};
use agent_ebpf::lost::lose;
use call::Call;
use grpc::{Layout, Number};
use step::{Looped, Steps, Unrolled};
use stream::Then;

use agent_common::tls::{
    HANDSHAKE, LAYOUT, READ, READ_EX, TAIL_COUNT, TAIL_FRAMES, TAIL_PLAIN, TAIL_UNDERSTAND, WRITE, WRITE_EX,
};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::{map, uprobe};
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::ProbeContext;

/// The programs behind those at the libraries.
#[map]
static TAILS: ProgramArray = ProgramArray::with_max_entries(TAIL_COUNT, 0);

#[uprobe]
fn tls_ssl_read(context: ProbeContext) -> u32 {
    enter(&context, READ)
}

#[uprobe]
fn tls_ssl_read_ex(context: ProbeContext) -> u32 {
    enter(&context, READ_EX)
}

#[uprobe]
fn tls_ssl_write(context: ProbeContext) -> u32 {
    enter(&context, WRITE)
}

#[uprobe]
fn tls_ssl_write_ex(context: ProbeContext) -> u32 {
    enter(&context, WRITE_EX)
}

#[uprobe]
fn tls_ssl_handshake(context: ProbeContext) -> u32 {
    enter(&context, HANDSHAKE)
}

#[inline(always)]
fn enter(context: &ProbeContext, kind: u32) -> u32 {
    openssl::enter(context, bpf_get_current_pid_tgid() as u32, kind);
    0
}

/// One of the four that carry plaintext returns.
#[uprobe]
fn tls_ssl_done(context: ProbeContext) -> u32 {
    let ids = bpf_get_current_pid_tgid();
    if openssl::leave(&context, (ids >> 32) as u32, ids as u32) {
        next(&context, TAIL_PLAIN);
    }
    0
}

#[uprobe]
fn tls_ssl_shaken(_: ProbeContext) -> u32 {
    let ids = bpf_get_current_pid_tgid();
    openssl::shaken((ids >> 32) as u32, ids as u32);
    0
}

#[uprobe]
fn tls_ssl_free(context: ProbeContext) -> u32 {
    openssl::gone(&context, (bpf_get_current_pid_tgid() >> 32) as u32);
    0
}

#[uprobe]
fn tls_go_read(context: ProbeContext) -> u32 {
    go::read(&context, (bpf_get_current_pid_tgid() >> 32) as u32);
    0
}

#[uprobe]
fn tls_go_read_done(context: ProbeContext) -> u32 {
    let ids = bpf_get_current_pid_tgid();
    if go::read_done(&context, (ids >> 32) as u32, ids as u32) {
        next(&context, TAIL_PLAIN);
    }
    0
}

#[uprobe]
fn tls_go_write(context: ProbeContext) -> u32 {
    if go::write(&context, bpf_get_current_pid_tgid() as u32) {
        next(&context, TAIL_PLAIN);
    }
    0
}

#[uprobe]
fn tls_go_asks(context: ProbeContext) -> u32 {
    go::asks(&context, bpf_get_current_pid_tgid());
    0
}

#[uprobe]
fn tls_go_served(context: ProbeContext) -> u32 {
    grpc::served(&context, bpf_get_current_pid_tgid());
    0
}

#[uprobe]
fn tls_h2_serves(context: ProbeContext) -> u32 {
    h2::serves(&context, bpf_get_current_pid_tgid());
    0
}

#[uprobe]
fn tls_h2_asks(context: ProbeContext) -> u32 {
    h2::asks(&context, (bpf_get_current_pid_tgid() >> 32) as u32);
    0
}

/// Go 1.21 to 1.25; before that goroutines do not say who has made them.
#[uprobe]
fn tls_h2_opens_21(context: ProbeContext) -> u32 {
    h2::opens(&context, bpf_get_current_pid_tgid(), 120);
    0
}

/// Go 1.26.
#[uprobe]
fn tls_h2_opens_26(context: ProbeContext) -> u32 {
    h2::opens(&context, bpf_get_current_pid_tgid(), 128);
    0
}

/// A program for each way in which releases of grpc-go have their fields, by the first release that has them so.
macro_rules! grpc_go {
    ($($name:ident $function:ident $connection:literal $transport:literal $number:expr,)*) => { $(
        #[uprobe]
        fn $name(context: ProbeContext) -> u32 {
            let layout = Layout { connection: $connection, transport: $transport, number: $number };
            grpc::$function(&context, bpf_get_current_pid_tgid(), layout);
            0
        }
    )* };
}

grpc_go! {
    tls_grpc_serves_40 serves 32 0 Number::At(0),
    tls_grpc_serves_60 serves 16 0 Number::At(0),
    tls_grpc_serves_69 serves 16 0 Number::Behind,
    tls_grpc_serves_77 serves 16 0 Number::At(108),
    tls_grpc_opens_40 opens 64 24 Number::At(0),
    tls_grpc_opens_52 opens 136 24 Number::At(0),
    tls_grpc_opens_58 opens 128 24 Number::At(0),
    tls_grpc_opens_66 opens 128 32 Number::At(0),
    tls_grpc_opens_69 opens 128 8 Number::Behind,
    tls_grpc_opens_77 opens 128 328 Number::At(108),
    tls_grpc_opens_83 opens 128 360 Number::At(108),
}

/// Plaintext, as the slot of the thread says.
#[uprobe]
fn tls_plain(context: ProbeContext) -> u32 {
    let ids = bpf_get_current_pid_tgid();
    let Some(slot) = inside::slot(ids as u32) else { return 0 };
    // SAFETY: the thread's own slot; the conn is a map's value.
    unsafe {
        let call = call::kept(slot, ids);
        let Some(conn) = conn::plaintext(call.socket) else { return 0 };
        if !guard::enter() {
            frames::miss(conn, call.direction);
            return 0;
        }
        match stream::seen(conn, &call) {
            Then::Understand => next(&context, TAIL_UNDERSTAND),
            Then::Frames => walk(&context, conn, &call),
            Then::Nothing => {}
        }
    }
    guard::leave();
    0
}

/// Its first bytes, of which it is not known what is spoken. The guard is that of the program before.
#[uprobe]
fn tls_understand(context: ProbeContext) -> u32 {
    if let Some(call) = kept() {
        // SAFETY: a map's value, and this CPU's scratch, which the guard keeps.
        unsafe {
            if let (Some(conn), Some(record)) = (conn::find(call.socket), out::scratch())
                && understand::seen(conn, record, &call)
            {
                walk(&context, conn, &call);
            }
        }
    }
    guard::leave();
    0
}

/// What the program before has kept of this thread, if another one has not taken its slot since.
#[inline(always)]
fn kept() -> Option<Call> {
    let ids = bpf_get_current_pid_tgid();
    let slot = inside::slot(ids as u32)?;
    // SAFETY: an array's value; a slot with this thread's number is written by this thread alone.
    unsafe {
        if (*slot).tid == ids as u32 {
            return Some(call::kept(slot, ids));
        }
    }
    lose(lost::SLOT_COLLISION, 1);
    None
}

/// The first frames of a call; comes back only where the program is not there.
#[inline(always)]
unsafe fn walk(context: &ProbeContext, conn: *mut Conn, call: &Call) {
    frames::start();
    next(context, TAIL_FRAMES);
    // SAFETY: the caller's.
    unsafe { frames::give_up(conn, call) };
}

/// Frames of HTTP/2. The guard is that of the program before.
#[uprobe]
fn tls_frames(context: ProbeContext) -> u32 {
    walk_on::<Unrolled>(&context)
}

/// The same, for kernels that make loops (5.17).
#[uprobe]
fn tls_frames_looped(context: ProbeContext) -> u32 {
    walk_on::<Looped>(&context)
}

#[inline(always)]
fn walk_on<S: Steps>(context: &ProbeContext) -> u32 {
    if let Some(call) = kept() {
        // SAFETY: as in `tls_understand`.
        unsafe {
            if let (Some(conn), Some(record)) = (conn::find(call.socket), out::scratch()) {
                if frames::seen::<S>(conn, record, &call) {
                    next(context, TAIL_FRAMES);
                    frames::give_up(conn, &call);
                }
            } else {
                // its connection has ended meanwhile
                lose(lost::NO_SOCKET, 1);
            }
        }
    }
    guard::leave();
    0
}

/// Goes on in another program; comes back only where that is not there.
#[inline(always)]
fn next(context: &ProbeContext, index: u32) {
    // SAFETY: a program of the same kind, by the agent.
    _ = unsafe { TAILS.tail_call(context, index) };
}

/// When what was read or written began, and when it ended.
#[inline(always)]
fn times(direction: u8, tid: u32) -> (u64, u64) {
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    match inside::slot(tid) {
        // SAFETY: the thread's own slot.
        Some(slot) if direction == OUT => (unsafe { (*slot).start_ns }, now),
        _ => (now, now),
    }
}

agent_ebpf::object!(LAYOUT);
