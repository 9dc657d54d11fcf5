//! grpc-go: which goroutine serves a stream, and which one has opened one on a connection to another server.
//!
//! Other goroutines read what comes and write what goes, so neither syscalls nor threads tell. Where a version of grpc-go has
//! its fields is the agent's to know (`agent/src/tls/grpc.rs`): there is a program for each way, and what it finds must be a
//! connection of HTTP/2 of this process, or nothing is told.

use agent_common::lost;
use agent_common::requests::line::{EVENT_OPENS, EVENT_SERVED, EVENT_SERVES};
use agent_common::requests::{Conn, HTTP2, is_closed_book};
use agent_common::tls::PLAINTEXT;
use agent_ebpf::lost::lose;
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::programs::ProbeContext;

use crate::abi::go;
use crate::go::{CONN_DATA, Goroutine, SYSFD, say, word};
use crate::{conn, socket};

/// Of `syscallConn.sysConn`, an interface: where its data pointer is. Under TLS that is what lies below.
const BELOW_DATA: u64 = 24;

/// A connection, and what it is where it is no `net.TCPConn`.
#[derive(Clone, Copy)]
pub struct Connection {
    pub place: u64,
    pub below: Below,
}

/// What lies above the `net.TCPConn` of a connection.
#[derive(Clone, Copy)]
pub enum Below {
    /// grpc-go's `syscallConn`.
    Credentials,
    /// A `tls.Conn`.
    Tls,
}
/// Descriptors are smaller, unless somebody has raised `fs.nr_open`; what is larger is something else.
const MOST_DESCRIPTORS: u64 = 1 << 20;
/// Of `g.atomicstatus`, behind which its number is, `g.goid`; of Go 1.23 and 1.24 both are eight bytes further on, and a pointer
/// is here.
const STATE: u64 = 144;
/// A goroutine that runs, and one that runs until its stack is looked through. No pointer looks like either.
const RUNS: u32 = 2;
const RUNS_AND_SCANNED: u32 = 0x1002;

/// Where a version has its fields.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Of the transport: the connection, an interface.
    pub connection: u64,
    /// Of a client's stream: its transport.
    pub transport: u64,
    /// Of a stream: its number.
    pub number: Number,
}

/// Where a stream has its number.
#[derive(Clone, Copy)]
pub enum Number {
    /// Here.
    At(u64),
    /// At the begin of what its first field points to.
    Behind,
}

/// `(*Server).handleStream` begins.
#[inline(always)]
pub fn serves(context: &ProbeContext, ids: u64, layout: Layout) {
    // the receiver, an interface in two words, the stream
    does(context, ids, EVENT_SERVES, Some(go::third(context)), go::fourth(context), layout);
}

/// The handler of a stream returns, of whatever server.
#[inline(always)]
pub fn served(context: &ProbeContext, ids: u64) {
    let place = go::goroutine(context);
    let Some(number) = place_of_number(place).and_then(word) else { return lose(lost::READ_FAILED, 1) };
    say(ids, EVENT_SERVED, 0, Goroutine { number, place }, 0, 0);
}

/// `(*http2Client).NewStream` returns.
#[inline(always)]
pub fn opens(context: &ProbeContext, ids: u64, layout: Layout) {
    let stream = go::result(context);
    // an error
    if stream == 0 {
        return;
    }
    does(context, ids, EVENT_OPENS, word(stream.wrapping_add(layout.transport)), stream, layout);
}

#[inline(always)]
fn does(context: &ProbeContext, ids: u64, event: u32, transport: Option<u64>, stream: u64, layout: Layout) {
    let connection = transport
        .and_then(|transport| word(transport.wrapping_add(layout.connection).wrapping_add(CONN_DATA)));
    let place = match layout.number {
        Number::At(offset) => Some(stream.wrapping_add(offset)),
        Number::Behind => word(stream),
    };
    let own = go::goroutine(context);
    let number = place_of_number(own).and_then(word);
    let (Some(connection), Some(place), Some(number)) = (connection, place, number) else {
        return lose(lost::READ_FAILED, 1);
    };
    let connection = Connection { place: connection, below: Below::Credentials };
    tell(ids, event, connection, Goroutine { number, place: own }, place);
}

/// Says what a goroutine does with a stream, whose number is at `number`.
#[inline(always)]
pub fn tell(ids: u64, event: u32, connection: Connection, goroutine: Goroutine, number: u64) {
    // SAFETY: the helper checks the address.
    let Ok(number) = (unsafe { bpf_probe_read_user(number as *const u32) }) else {
        return lose(lost::READ_FAILED, 1);
    };
    // a connection of another kind: whose calls these are is asked of threads, and nothing is missing
    let Some((key, born_ns)) = connection_of(connection) else { return };
    say(ids, event, key, goroutine, number, born_ns);
}

/// Where a goroutine has its number, which no other one of its process ever has: its struct is another's as soon as it has
/// ended. It is the one that runs here, and its state tells where the number is.
#[inline(always)]
pub fn place_of_number(goroutine: u64) -> Option<u64> {
    let state = goroutine.wrapping_add(STATE);
    // SAFETY: the helper checks the address.
    let Ok([first, second]) = (unsafe { bpf_probe_read_user(state as *const [u64; 2]) }) else { return None };
    if runs(first) {
        Some(state.wrapping_add(8))
    } else if runs(second) {
        Some(state.wrapping_add(16))
    } else {
        None
    }
}

#[inline(always)]
fn runs(state: u64) -> bool {
    matches!(state as u32, RUNS | RUNS_AND_SCANNED)
}

/// The key of a connection of HTTP/2 in the table, and when its entry was made.
#[inline(always)]
fn connection_of(connection: Connection) -> Option<(u64, u64)> {
    let below = match connection.below {
        Below::Credentials => BELOW_DATA,
        Below::Tls => CONN_DATA,
    };
    let descriptor = match descriptor_of(connection.place) {
        Some(descriptor) => descriptor,
        None => descriptor_of(word(connection.place.wrapping_add(below))?)?,
    };
    let socket = socket::of_descriptor(descriptor)?;
    let known = conn::find(socket)?;
    // SAFETY: values of the table.
    unsafe {
        if is_closed_book((*known).protocol) {
            let plain = conn::find(socket | PLAINTEXT)?;
            // one of an earlier connection in the same memory says nothing of this one
            if (*plain).born_ns < (*known).born_ns {
                return None;
            }
            return told(plain, socket | PLAINTEXT);
        }
        told(known, socket)
    }
}

#[inline(always)]
unsafe fn told(known: *const Conn, key: u64) -> Option<(u64, u64)> {
    // SAFETY: the caller's.
    unsafe { if (*known).protocol == HTTP2 { Some((key, (*known).born_ns)) } else { None } }
}

/// The descriptor of a `net.TCPConn`. What is another kind of connection begins with the table of its methods, which has a
/// hash in this place: one of four thousand is small enough for a descriptor, and then is no socket's.
#[inline(always)]
fn descriptor_of(connection: u64) -> Option<u32> {
    let descriptor = word(word(connection)?.wrapping_add(SYSFD))?;
    if descriptor < MOST_DESCRIPTORS { Some(descriptor as u32) } else { None }
}
