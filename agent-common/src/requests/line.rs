//! What a thread writes elsewhere than to its connections, soon after it has read a request: log lines, mostly.
//!
//! Whether the thread still serves that request is known in user space alone, so the programs send what is written while
//! it may: at most `LINES_PER_REQUEST` writes within `SERVED_NS`.

use crate::plain;

/// A record of a write to a file, a pipe or a UNIX socket.
pub const EVENT_LINE: u32 = 3;
/// A record of an io_uring that was made; what is done over it is not seen.
pub const EVENT_RING: u32 = 4;
/// A record of a thread that has read requests and connects; `inode` is the socket.
pub const EVENT_CONNECT: u32 = 5;
/// A record of a goroutine that is about to ask over a connection; `workload` is where its struct is, `inode` the socket.
pub const EVENT_ASKS: u32 = 6;
/// A record of a goroutine that begins to serve a stream of HTTP/2: `position` is the goroutine's number, `workload` where its
/// struct is, `inode` the key of the connection in `CONNS`, `start_ns` when its entry was made, `total` the stream's number.
pub const EVENT_SERVES: u32 = 7;
/// The same of one that has opened a stream.
pub const EVENT_OPENS: u32 = 8;
/// A record of a goroutine whose handler of a stream is over, whatever of the answer is written by then: its struct may be
/// another's at once. `position` and `workload` as above.
pub const EVENT_SERVED: u32 = 9;
/// Most bytes of a write that a record holds.
pub const LINE_LEN: u32 = 512;
/// Threads that are known to serve; a power of two.
pub const SERVING: u32 = 16_384;
/// Most writes that are told of one request.
pub const LINES_PER_REQUEST: u16 = 64;
/// For how long after a request was read.
pub const SERVED_NS: u64 = 60_000_000_000;

/// The part of a file's mode that says what it is.
pub const MODE_KIND: u32 = 0o170_000;
/// A file with places.
pub const MODE_FILE: u32 = 0o100_000;
/// A pipe.
pub const MODE_PIPE: u32 = 0o010_000;
/// A socket.
pub const MODE_SOCKET: u32 = 0o140_000;

/// A thread that has read a request.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Serving {
    /// Thread; 0: free
    pub tid: u32,
    /// Writes that may still be told.
    pub left: u16,
    /// Not 0: it has waited for something since it read from a connection.
    pub has_waited: u16,
    /// When it read the request, on the boot clock.
    pub at_ns: u64,
}

/// A write; `data_len` bytes follow.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Line {
    /// `EVENT_*`
    pub event: u32,
    /// The file's mode.
    pub mode: u32,
    /// Its inode.
    pub inode: u64,
    /// Behind the last byte that was written, of a file with places.
    pub position: u64,
    /// Bytes that were written.
    pub total: u64,
    /// Owner
    pub workload: u64,
    /// When the write began, on the boot clock.
    pub start_ns: u64,
    /// When it ended.
    pub at_ns: u64,
    /// The kernel's number of the file system's device.
    pub device: u32,
    /// Process
    pub tgid: u32,
    /// Thread
    pub tid: u32,
    /// Bytes that follow.
    pub data_len: u32,
}

plain!(Serving, 16, { tid: u32, left: u16, has_waited: u16, at_ns: u64 });
plain!(Line, 72, {
    event: u32, mode: u32, inode: u64, position: u64, total: u64, workload: u64, start_ns: u64, at_ns: u64, device: u32,
    tgid: u32, tid: u32, data_len: u32,
});
