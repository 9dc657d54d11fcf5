//! Records on their way out.

use agent_common::lost;
use agent_common::requests::line::Line;
use agent_common::requests::{
    Conn, DATA_LEN, EVENT_DATA, EVENT_END, FLAG_POLLED, FLAG_WAITED, FLAGS_OF_DATA, HEAD_LEN, Header, IN,
    RING_BYTES, Record,
};
use agent_ebpf::lost::lose;
use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_ringbuf_output, bpf_ringbuf_query};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{PerCpuArray, RingBuf};
use core::hint::black_box;

use crate::{line, socket};

#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);
/// Where the exit program builds its record: too large for the stack. Only that program uses it.
#[map]
static SCRATCH: PerCpuArray<Record> = PerCpuArray::with_max_entries(1, 0);

/// The same for the state program, which may interrupt that one: headers alone.
#[map]
static END: PerCpuArray<Header> = PerCpuArray::with_max_entries(1, 0);

/// The reader is woken when this much waits; else it looks every 100 ms. By those records alone that reach this mark, none
/// of which is longer than the step: a wake-up is an interrupt, which costs more than the record.
const WAKE_AT: u64 = 1024 * 1024;
const WAKE_STEP: u64 = 8 * 1024;
const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;
const AVAILABLE: u64 = 0;

#[inline(always)]
pub fn scratch() -> Option<*mut Record> {
    SCRATCH.get_ptr_mut(0)
}

#[inline(always)]
pub fn end_scratch() -> Option<*mut Header> {
    END.get_ptr_mut(0)
}

/// Sends a record of a connection; the caller has filled in what the call itself says.
///
/// # Safety
/// `conn` is a value of the table, `record` this CPU's scratch.
#[inline(always)]
pub unsafe fn data(socket: u64, conn: *const Conn, record: *mut Record) {
    // SAFETY: the caller's.
    unsafe {
        describe(socket, conn, &raw mut (*record).header);
        (*record).header.event = EVENT_DATA;
        if line::has_waited((*record).header.tid, (*record).header.direction == IN) {
            (*record).header.flags |= FLAG_WAITED;
        }
        send(record, (*record).header.data_len);
    }
}

/// What a connection says of itself.
///
/// # Safety
/// `conn` is a value of the table or a copy of one, `header` can be written.
#[inline(always)]
unsafe fn describe(socket: u64, conn: *const Conn, header: *mut Header) {
    // SAFETY: the caller's.
    unsafe {
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
        (*header).transport = (*conn).transport;
        let own = if (*conn).is_polled != 0 { FLAG_POLLED } else { 0 };
        (*header).flags = (*header).flags & FLAGS_OF_DATA | own;
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

/// Sends a line whose bytes stand behind it.
///
/// # Safety
/// `line` lies in this CPU's scratch, right before the data.
#[inline(always)]
pub unsafe fn line(line: *mut Line, length: u32) {
    // a mask right before the call, for old verifiers
    let length = black_box(length) & (DATA_LEN as u32 - 1);
    // SAFETY: the caller's; the size is below that of a record.
    unsafe {
        (*line).data_len = length;
        output(line.cast(), size_of::<Line>() as u64 + u64::from(length));
    }
}

/// Sends a line that says no more than that something was done.
///
/// # Safety
/// `line` is a whole one.
#[inline(always)]
pub unsafe fn event(line: *const Line) {
    // SAFETY: the caller's.
    unsafe { output(line.cast(), size_of::<Line>() as u64) };
}

/// A connection of which something was told has ended with `unread` bytes that nobody read, or is not looked at any more.
/// `header` is where it is written.
///
/// # Safety
/// `conn` is a value of the table, `header` a scratch of this CPU and program.
#[inline(always)]
pub unsafe fn end(socket: u64, conn: *const Conn, header: *mut Header, unread: u32) {
    // SAFETY: the caller's.
    unsafe {
        let [one, other] = (*conn).sequences;
        let sent = one.wrapping_add(other);
        if sent == 0 {
            return;
        }
        describe(socket, conn, header);
        (*header).direction = (*conn).run_direction;
        (*header).event = EVENT_END;
        (*header).flags &= !FLAGS_OF_DATA;
        (*header).sequence = sent.wrapping_add(1);
        (*header).start_ns = 0;
        (*header).at_ns = bpf_ktime_get_boot_ns();
        (*header).total = u64::from(unread);
        (*header).before_total = (*conn).run_total;
        (*header).before_ns = (*conn).run_last_ns;
        (*header).tid = 0;
        (*header).task = 0;
        (*header).head_len = 0;
        (*header).head = [0; HEAD_LEN];
        (*header).data_len = 0;
        output(header.cast(), size_of::<Header>() as u64);
    }
}

#[inline(always)]
unsafe fn output(bytes: *const u8, size: u64) {
    let ring = (&raw const RECORDS).cast_mut().cast();
    // SAFETY: the caller's.
    let result = unsafe {
        let beyond = bpf_ringbuf_query(ring, AVAILABLE).wrapping_sub(WAKE_AT);
        let flags = if beyond < WAKE_STEP { FORCE_WAKEUP } else { NO_WAKEUP };
        bpf_ringbuf_output(ring, bytes.cast_mut().cast(), size, flags)
    };
    if result != 0 {
        lose(lost::RING_FULL, 1);
    }
}
