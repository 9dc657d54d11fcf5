//! Requests: what the programs at the syscalls know of a connection, and the records that they send of it.
//!
//! `CONNS` holds every TCP connection of the machine by its socket. What is read or written on one makes *runs*: calls of one
//! direction that follow each other. A request is a run and its answer the next one, so the first bytes of each run go to
//! the ring, from at most `RUN_CALLS` calls; of what else a run carries only the length is told, with the next record.
//! A call of HTTP/1 that begins with a message is as the first one of a run: a server that answers before it has read a
//! body reads the next head in the same run.
//! Protocols whose requests are not answered in order (`is_stream`) send the first bytes of every call, HTTP/2 its frames of
//! interest (`frames`).

pub mod frames;
pub mod infer;
pub mod line;
pub mod message;

use crate::fields::{Field, optional, required};
use crate::plain;
use crate::plain::fold;
use crate::workload::Slot;

/// Slots of `CONNS` unless the config says otherwise.
pub const MAX_CONNS: u32 = 32_768;
/// Threads whose write may be under way at once; a power of two.
pub const STARTS: u32 = 65_536;
/// Bytes of the ring.
pub const RING_BYTES: u32 = 8 * 1024 * 1024;
/// Most bytes of one call that a record holds; a power of two.
pub const DATA_LEN: usize = 4_096;
/// Most bytes of a run of requests, of protocols that answer in order.
pub const REQUEST_LEN: u32 = 2_048;
/// Most bytes of a run of answers, of protocols that answer in order.
pub const RESPONSE_LEN: u32 = 1_024;
/// A run of requests of this many bytes may be a pipeline: of the answers to it (of Redis) as much of each call is told as fits.
pub const LONG_RUN: u64 = 256;
/// Most calls of a run, or of a message, whose bytes are looked at.
pub const RUN_CALLS: u32 = 8;
/// First bytes that decide what is spoken.
pub const HEAD_LEN: usize = 16;
/// Runs that are looked at before a connection is given up as not understood.
pub const TRIES: u8 = 4;

/// Places of the programs behind `requests_exit` in `TAILS`.
pub const TAIL_STREAM: u32 = 0;
/// `requests_understand`
pub const TAIL_UNDERSTAND: u32 = 1;
/// `requests_datagram`
pub const TAIL_DATAGRAM: u32 = 2;
/// `requests_line`
pub const TAIL_LINE: u32 = 3;
/// `requests_frames`
pub const TAIL_FRAMES: u32 = 4;
/// How many there are.
pub const TAIL_COUNT: u32 = 5;

/// Whose side of the connection the owner is on.
pub const ROLE_UNKNOWN: u8 = 0;
/// The owner connected.
pub const ROLE_CLIENT: u8 = 1;
/// The owner was connected to.
pub const ROLE_SERVER: u8 = 2;

/// Nothing was read or written yet.
pub const NEITHER: u8 = 0;
/// Read by the owner.
pub const IN: u8 = 1;
/// Written by the owner.
pub const OUT: u8 = 2;

/// Not known yet.
pub const UNKNOWN: u8 = 0;
/// HTTP/1.
pub const HTTP1: u8 = 1;
/// HTTP/2, and so gRPC.
pub const HTTP2: u8 = 2;
/// DNS.
pub const DNS: u8 = 3;
/// PostgreSQL.
pub const POSTGRES: u8 = 4;
/// MySQL.
pub const MYSQL: u8 = 5;
/// Redis.
pub const REDIS: u8 = 6;
/// Kafka.
pub const KAFKA: u8 = 7;
/// Encrypted: not looked at any more.
pub const TLS: u8 = 8;
/// Given up: not looked at any more.
pub const OPAQUE: u8 = 9;

/// Whether answers may come out of order, or belong to one of many streams.
#[inline(always)]
pub const fn is_stream(protocol: u8) -> bool {
    protocol == HTTP2 || protocol == KAFKA
}

/// Whether nothing on the connection is looked at any more.
#[inline(always)]
pub const fn is_closed_book(protocol: u8) -> bool {
    protocol >= TLS
}

/// A record of bytes.
pub const EVENT_DATA: u32 = 1;
/// A record of a connection's end.
pub const EVENT_END: u32 = 2;

/// Of `Header.flags`: the owner's end does not block.
pub const FLAG_POLLED: u32 = 1;
/// The thread has waited for something since it last read from a connection.
pub const FLAG_WAITED: u32 = 2;

/// Of HTTP/2: the data is what `frames::is_told` says of the frames of the call, and not its first bytes.
pub const FLAG_FRAMES: u32 = 16;
/// The same, where a frame begins that was found by its looks.
pub const FLAG_BEGINS: u32 = 32;
/// The same, and frames behind it were not told.
pub const FLAG_CUT: u32 = 64;
/// The same, and another record goes on with the same call.
pub const FLAG_GOES_ON: u32 = 128;
/// Those that are told of the data and not of the connection.
pub const FLAGS_OF_DATA: u32 = FLAG_FRAMES | FLAG_BEGINS | FLAG_CUT | FLAG_GOES_ON;

/// TCP.
pub const TRANSPORT_TCP: u8 = 6;
/// UDP.
pub const TRANSPORT_UDP: u8 = 17;

/// A connection: the value of `CONNS`, whose key is the address of the `struct sock`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Conn {
    /// When the entry was made, on the boot clock: with the key it names the connection.
    pub born_ns: u64,
    /// `WorkloadKey` of who read or wrote first; 0 before.
    pub workload: u64,
    /// Bytes of the run so far.
    pub run_total: u64,
    /// When its last call began if it wrote, else when it ended; on the boot clock.
    pub run_last_ns: u64,
    /// Network order; IPv4 as `::ffff:a.b.c.d`.
    pub local: [u32; 4],
    /// Network order; IPv4 as `::ffff:a.b.c.d`.
    pub peer: [u32; 4],
    /// As the socket has them: peer's in network order, then the local one in host order.
    pub ports: u32,
    /// Process that reads and writes.
    pub tgid: u32,
    /// Records sent, or lost: of streams (`HTTP2`) what was read and what was written, which two threads may tell of at once
    /// on two processors; of others all in the first.
    pub sequences: [u32; 2],
    /// Calls of the run.
    pub run_calls: u32,
    /// Bytes of the run that were told.
    pub run_told: u32,
    /// `HTTP1`, ...
    pub protocol: u8,
    /// `ROLE_*`
    pub role: u8,
    /// `IN` or `OUT`
    pub run_direction: u8,
    /// Runs that were looked at in vain.
    pub tries: u8,
    /// Bytes of `head`
    pub head_len: u32,
    /// `TRANSPORT_*`
    pub transport: u8,
    /// Not 0: the owner's end does not block, so it is waited for by other means (an event loop, or a time limit).
    pub is_polled: u8,
    /// Calls since the run, or its last message, began; no more than 255.
    pub message_calls: u8,
    /// Not 0: the run before was a long one.
    pub is_after_long: u8,
    /// Zero
    pub padding: u32,
    /// First bytes of the run, while it is not known what is spoken.
    pub head: [u8; HEAD_LEN],
    /// Of HTTP/2: where its frames are, of what is read and of what is written.
    pub walks: [frames::Walk; 2],
}

/// What a record begins with; `data_len` bytes follow.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// `EVENT_*`
    pub event: u32,
    /// Number of this record in its lane of the connection, from 1 on; of the end, one more than all that were sent.
    pub sequence: u32,
    /// The socket.
    pub socket: u64,
    /// With `socket` it names the connection.
    pub born_ns: u64,
    /// Owner
    pub workload: u64,
    /// When the call began if it wrote, else as `at_ns`; on the boot clock.
    pub start_ns: u64,
    /// When the call ended.
    pub at_ns: u64,
    /// Bytes that the call carried; of a connection's end, bytes that had come and that nobody read.
    pub total: u64,
    /// Of the first call of a run: bytes of the run before. Else: bytes of this run before this call.
    pub before_total: u64,
    /// When the last call of those began if it wrote, else when it ended.
    pub before_ns: u64,
    /// As in `Conn`
    pub local: [u32; 4],
    /// As in `Conn`
    pub peer: [u32; 4],
    /// Host order
    pub local_port: u16,
    /// Host order
    pub peer_port: u16,
    /// Process
    pub tgid: u32,
    /// Thread
    pub tid: u32,
    /// Number of the call in its run, from 1 on.
    pub run_calls: u32,
    /// `HTTP1`, ...
    pub protocol: u8,
    /// `ROLE_*`
    pub role: u8,
    /// `IN` or `OUT`
    pub direction: u8,
    /// `TRANSPORT_*`
    pub transport: u8,
    /// Bytes of `head`
    pub head_len: u32,
    /// First bytes of the run, of earlier calls, that were not told before.
    pub head: [u8; HEAD_LEN],
    /// Bytes of `data`
    pub data_len: u32,
    /// `FLAG_*`
    pub flags: u32,
    /// Of a program made by Go the goroutine that reads or writes; of others nothing that means anything.
    pub task: u64,
}

/// A record as the programs build it: twice the room, since what is copied ends at most `DATA_LEN` behind a place below
/// `DATA_LEN`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// What it says
    pub header: Header,
    /// First bytes of the call
    pub data: [u8; DATA_LEN * 2],
}

/// A write under way.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Start {
    /// Thread; 0: free
    pub tid: u32,
    /// Zero
    pub padding: u32,
    /// When it began, on the boot clock
    pub at_ns: u64,
}

plain!(Conn, 152, {
    born_ns: u64, workload: u64, run_total: u64, run_last_ns: u64, local: [u32; 4],
    peer: [u32; 4], ports: u32, tgid: u32, sequences: [u32; 2], run_calls: u32, run_told: u32, protocol: u8, role: u8,
    run_direction: u8, tries: u8, head_len: u32, transport: u8, is_polled: u8, message_calls: u8, is_after_long: u8, padding: u32,
    head: [u8; HEAD_LEN], walks: [frames::Walk; 2],
});
plain!(Header, 160, {
    event: u32, sequence: u32, socket: u64, born_ns: u64, workload: u64, start_ns: u64, at_ns: u64, total: u64,
    before_total: u64, before_ns: u64, local: [u32; 4], peer: [u32; 4], local_port: u16, peer_port: u16, tgid: u32,
    tid: u32, run_calls: u32, protocol: u8, role: u8, direction: u8, transport: u8, head_len: u32,
    head: [u8; HEAD_LEN], data_len: u32, flags: u32, task: u64,
});
plain!(Start, 16, { tid: u32, padding: u32, at_ns: u64 });

/// What object and agent must agree on.
pub const LAYOUT: u64 = fold(&[
    Conn::LAYOUT,
    frames::Walk::LAYOUT,
    Header::LAYOUT,
    Start::LAYOUT,
    line::Line::LAYOUT,
    line::Serving::LAYOUT,
    Slot::LAYOUT,
    DATA_LEN as u64,
]);

/// From a descriptor to its socket, and what a socket says of itself.
pub const FIELDS: &[Field] = &[
    required("OFF_FILES", &[("task_struct", "files")], 8),
    required("OFF_FDT", &[("files_struct", "fdt")], 8),
    required("OFF_FD", &[("fdtable", "fd")], 8),
    required("OFF_PRIVATE", &[("file", "private_data")], 8),
    required("OFF_SOCKET_FILE", &[("socket", "file")], 8),
    required("OFF_SOCKET_SK", &[("socket", "sk")], 8),
    required("OFF_FAMILY", &[("sock", "__sk_common.skc_family")], 2),
    required("OFF_PORTS", &[("sock", "__sk_common.skc_portpair")], 4),
    required("OFF_PEER_V4", &[("sock", "__sk_common.skc_daddr")], 4),
    required("OFF_LOCAL_V4", &[("sock", "__sk_common.skc_rcv_saddr")], 4),
    optional("OFF_PEER_V6", &[("sock", "__sk_common.skc_v6_daddr")], 16, "ipv6"),
    optional("OFF_LOCAL_V6", &[("sock", "__sk_common.skc_v6_rcv_saddr")], 16, "ipv6"),
    required("OFF_STATE", &[("sock", "__sk_common.skc_state")], 1),
    optional("OFF_RECEIVED", &[("tcp_sock", "rcv_nxt")], 4, "unread answers"),
    optional("OFF_READ", &[("tcp_sock", "copied_seq")], 4, "unread answers"),
    // two bytes since 5.6; before, part of a bitfield
    required("OFF_PROTOCOL", &[("sock", "sk_protocol")], 2),
    required("OFF_SK_SOCKET", &[("sock", "sk_socket")], 8),
    required("OFF_FILE_FLAGS", &[("file", "f_flags")], 4),
    required("OFF_FILE_INODE", &[("file", "f_inode")], 8),
    required("OFF_FILE_POSITION", &[("file", "f_pos")], 8),
    required("OFF_INODE_MODE", &[("inode", "i_mode")], 2),
    required("OFF_INODE_NUMBER", &[("inode", "i_ino")], 8),
    required("OFF_INODE_SUPER", &[("inode", "i_sb")], 8),
    required("OFF_SUPER_DEVICE", &[("super_block", "s_dev")], 4),
];

/// Which row of numbers a record is in.
#[inline(always)]
pub const fn lane(protocol: u8, direction: u8) -> usize {
    (protocol == HTTP2 && direction != IN) as usize
}

/// Whose side of the connection reads or writes what was seen.
#[inline(always)]
pub const fn role_of(direction: u8, is_request: bool) -> u8 {
    if (direction == OUT) == is_request { ROLE_CLIENT } else { ROLE_SERVER }
}

/// Whether what goes this way is a request.
#[inline(always)]
pub const fn is_request(role: u8, direction: u8) -> bool {
    (role == ROLE_CLIENT) == (direction == OUT)
}

#[cfg(test)]
mod tests;
