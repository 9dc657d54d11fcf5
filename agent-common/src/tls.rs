//! TLS: what the programs inside TLS libraries and those at the syscalls know of a thread.
//!
//! A thread enters `SSL_read`; the library reads from a socket, which the programs at the syscalls note in `INSIDE`; when
//! the call returns, what it gave is the plaintext of that socket's connection. The plaintext has an entry of its own in
//! `CONNS` beside that of the connection, with the socket's address plus `PLAINTEXT` for its key, and its records are those of
//! `requests`.

use crate::plain;
use crate::plain::fold;
use crate::requests;

/// Slots of `INSIDE`, by thread; a power of two.
pub const THREADS: u32 = 16_384;
/// OpenSSL's sessions whose socket is known at one time.
pub const SESSIONS: u32 = 16_384;
/// Goroutines that are inside a read at one time.
pub const READS: u32 = 16_384;
/// In the key of a plaintext's entry in `CONNS`: addresses of sockets are multiples of 8.
pub const PLAINTEXT: u64 = 1;

/// Places of the programs behind those at the libraries in `TAILS`.
pub const TAIL_PLAIN: u32 = 0;
/// `tls_understand`
pub const TAIL_UNDERSTAND: u32 = 1;
/// `tls_frames`
pub const TAIL_FRAMES: u32 = 2;
/// How many there are.
pub const TAIL_COUNT: u32 = 3;

/// Not inside a call.
pub const NOTHING: u32 = 0;
/// `SSL_read`: returns how much.
pub const READ: u32 = 1;
/// `SSL_read_ex`: returns whether, and writes how much.
pub const READ_EX: u32 = 2;
/// `SSL_write`
pub const WRITE: u32 = 3;
/// `SSL_write_ex`
pub const WRITE_EX: u32 = 4;
/// `SSL_do_handshake`: of interest is its socket alone.
pub const HANDSHAKE: u32 = 5;

/// What a thread does in a TLS library: the value of `INSIDE`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Inside {
    /// Thread; 0: free
    pub tid: u32,
    /// `READ`, ...
    pub kind: u32,
    /// The library's own name of the connection: where its struct is. Of Go the goroutine.
    pub session: u64,
    /// Where the plaintext is.
    pub buffer: u64,
    /// Where the library writes how much there is of it.
    pub length: u64,
    /// When the call began, on the boot clock.
    pub start_ns: u64,
    /// The socket that was read or written since the call began; 0: none.
    pub socket: u64,
    /// The encrypted socket that this thread read last, since the last session began; 0: none, or one whose session is
    /// known.
    pub recent: u64,
    /// Bytes of plaintext.
    pub total: u64,
    /// `IN` or `OUT`
    pub direction: u32,
    /// Zero
    pub padding: u32,
}

/// A session of OpenSSL: the key of `SESSIONS`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Where its struct is.
    pub place: u64,
    /// Process
    pub tgid: u64,
}

/// The connection of a session: the value of `SESSIONS`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Its socket; 0: the session has begun to read or its handshake, and has none yet.
    pub socket: u64,
    /// When its entry in `CONNS` was made; of no socket the thread that has begun.
    pub born_ns: u64,
}

/// A goroutine inside a read: the value of `GO_READS`, whose key is a `Session` with the goroutine's place.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GoRead {
    /// The `tls.Conn`.
    pub connection: u64,
    /// Where the plaintext will be.
    pub buffer: u64,
    /// The stack pointer, if the buffer lies on the goroutine's stack, which may be moved meanwhile; else 0.
    pub stack: u64,
}

plain!(Inside, 72, {
    tid: u32, kind: u32, session: u64, buffer: u64, length: u64, start_ns: u64, socket: u64, recent: u64, total: u64,
    direction: u32, padding: u32,
});
plain!(Session, 16, { place: u64, tgid: u64 });
plain!(Bound, 16, { socket: u64, born_ns: u64 });
plain!(GoRead, 24, { connection: u64, buffer: u64, stack: u64 });

/// What object and agent must agree on.
pub const LAYOUT: u64 =
    fold(&[requests::LAYOUT, Inside::LAYOUT, Session::LAYOUT, Bound::LAYOUT, GoRead::LAYOUT]);
