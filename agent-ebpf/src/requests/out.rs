//! Records on their way out.

use agent_common::lost;
use agent_common::requests::{Conn, DATA_LEN, EVENT_DATA, EVENT_END, HEAD_LEN, Header, RING_BYTES, Record};
use agent_ebpf::lost::lose;
use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_ringbuf_output, bpf_ringbuf_query};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{PerCpuArray, RingBuf};
use core::hint::black_box;

use crate::socket;

#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);
/// Where the exit program builds its record: too large for the stack. Only that program uses it.
#[map]
static SCRATCH: PerCpuArray<Record> = PerCpuArray::with_max_entries(1, 0);

/// The reader is woken once this much waits; else it looks every 100 ms.
const WAKE_AT: u64 = 1024 * 1024;
const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;
const AVAILABLE: u64 = 0;

#[inline(always)]
pub fn scratch() -> Option<*mut Record> {
    SCRATCH.get_ptr_mut(0)
}

/// Sends a record of a connection; the caller has filled in what the call itself says.
///
/// # Safety
/// `conn` is a value of the table, `record` this CPU's scratch.
#[inline(always)]
pub unsafe fn data(socket: u64, conn: *const Conn, record: *mut Record, length: u32) {
    // SAFETY: the caller's.
    unsafe {
        let header = &raw mut (*record).header;
        (*header).event = EVENT_DATA;
        (*header).sequence = (*conn).sequence;
        (*header).socket = socket;
        (*header).born_ns = (*conn).born_ns;
        (*header).workload = (*conn).workload;
        (*header).local = (*conn).local;
        (*header).peer = (*conn).peer;
        (*header).local_port = socket::local_port((*conn).ports);
        (*header).peer_port = socket::peer_port((*conn).ports);
        (*header).tgid = (*conn).tgid;
        (*header).run_calls = (*conn).run_calls;
        (*header).protocol = (*conn).protocol;
        (*header).role = (*conn).role;
        (*header).direction = (*conn).run_direction;
        (*header).transport = (*conn).transport;
        (*header).padding = 0;
        send(record, length);
    }
}

/// Sends a record whose header is complete but for the length of its data.
///
/// # Safety
/// `record` is this CPU's scratch.
#[inline(always)]
pub unsafe fn send(record: *mut Record, length: u32) {
    // a mask right before the call, for old verifiers
    let length = black_box(length) & (DATA_LEN as u32 - 1);
    // SAFETY: the caller's; the size is below that of a record.
    unsafe {
        (*record).header.data_len = length;
        output(record.cast(), size_of::<Header>() as u64 + u64::from(length));
    }
}

/// A connection of which something was told has ended, or is not looked at any more.
#[inline(always)]
pub fn end(socket: u64, conn: &Conn) {
    if conn.sequence == 0 {
        return;
    }
    let header = Header {
        event: EVENT_END,
        sequence: conn.sequence.wrapping_add(1),
        socket,
        born_ns: conn.born_ns,
        workload: conn.workload,
        start_ns: 0,
        // SAFETY: a helper without arguments.
        at_ns: unsafe { bpf_ktime_get_boot_ns() },
        total: 0,
        before_total: conn.run_total,
        before_ns: conn.run_last_ns,
        local: conn.local,
        peer: conn.peer,
        local_port: socket::local_port(conn.ports),
        peer_port: socket::peer_port(conn.ports),
        tgid: conn.tgid,
        tid: 0,
        run_calls: conn.run_calls,
        protocol: conn.protocol,
        role: conn.role,
        direction: conn.run_direction,
        transport: conn.transport,
        head_len: 0,
        head: [0; HEAD_LEN],
        data_len: 0,
        padding: 0,
    };
    // SAFETY: on the stack, and as long as it says.
    unsafe { output((&raw const header).cast(), size_of::<Header>() as u64) };
}

#[inline(always)]
unsafe fn output(bytes: *const u8, size: u64) {
    let ring = (&raw const RECORDS).cast_mut().cast();
    // SAFETY: the caller's.
    let result = unsafe {
        let flags = if bpf_ringbuf_query(ring, AVAILABLE) >= WAKE_AT { FORCE_WAKEUP } else { NO_WAKEUP };
        bpf_ringbuf_output(ring, bytes.cast_mut().cast(), size, flags)
    };
    if result != 0 {
        lose(lost::RING_FULL, 1);
    }
}
