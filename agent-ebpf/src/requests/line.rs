//! Which threads have read a request, and what they write elsewhere since.

use agent_common::requests::line::{
    EVENT_CONNECT, EVENT_LINE, EVENT_RING, LINE_LEN, LINES_PER_REQUEST, Line, MODE_FILE, MODE_KIND,
    MODE_PIPE, MODE_SOCKET, SERVED_NS, SERVING, Serving,
};
use agent_common::requests::{Header, Record};
use agent_ebpf::workload::current_workload;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use core::ptr::{read_volatile, write_volatile};

use crate::call::{Call, gather};
use crate::{out, socket, times};

#[map]
static SERVING_BY_TID: Array<Serving> = Array::with_max_entries(SERVING, 0);

/// Where in a record a line begins: its bytes follow, as those of other records do.
const BEFORE_DATA: usize = size_of::<Header>() - size_of::<Line>();

/// The current thread has read a request.
#[inline(always)]
pub fn serve(tid: u32, at_ns: u64) {
    let Some(serving) = SERVING_BY_TID.get_ptr_mut(tid & (SERVING - 1)) else { return };
    // SAFETY: an array's value; only this thread writes one that carries its tid.
    unsafe {
        write_volatile(&raw mut (*serving).tid, 0);
        write_volatile(&raw mut (*serving).left, LINES_PER_REQUEST);
        write_volatile(&raw mut (*serving).has_waited, 0);
        write_volatile(&raw mut (*serving).at_ns, at_ns);
        write_volatile(&raw mut (*serving).tid, tid);
    }
}

/// Whether what this thread writes may be told. Threads that share a slot take it from each other, and lose lines so.
#[inline(always)]
pub fn is_serving(tid: u32) -> bool {
    let Some(serving) = SERVING_BY_TID.get_ptr(tid & (SERVING - 1)) else { return false };
    // SAFETY: an array's value.
    unsafe {
        read_volatile(&raw const (*serving).tid) == tid && read_volatile(&raw const (*serving).left) > 0
    }
}

/// The current thread has waited, so what it does next need not be about what it has read last.
#[inline(always)]
pub fn waited(tid: u32) {
    let Some(serving) = SERVING_BY_TID.get_ptr_mut(tid & (SERVING - 1)) else { return };
    // SAFETY: an array's value.
    unsafe {
        if read_volatile(&raw const (*serving).tid) == tid {
            write_volatile(&raw mut (*serving).has_waited, 1);
        }
    }
}

/// Whether it has, since it last read from a connection; `reads`: it does so now.
#[inline(always)]
pub fn has_waited(tid: u32, reads: bool) -> bool {
    let Some(serving) = SERVING_BY_TID.get_ptr_mut(tid & (SERVING - 1)) else { return false };
    // SAFETY: an array's value.
    unsafe {
        if read_volatile(&raw const (*serving).tid) != tid {
            return false;
        }
        let has_waited = read_volatile(&raw const (*serving).has_waited) != 0;
        if reads {
            write_volatile(&raw mut (*serving).has_waited, 0);
        }
        has_waited
    }
}

/// A write by a thread that serves.
#[inline(always)]
pub fn seen(call: &Call) {
    let tid = call.ids as u32;
    let (start_ns, at_ns) = times(call.direction, tid);
    let Some(serving) = SERVING_BY_TID.get_ptr_mut(tid & (SERVING - 1)) else { return };
    let Some(place) = socket::place(call.descriptor) else { return };
    let kind = place.mode & MODE_KIND;
    if kind != MODE_FILE && kind != MODE_PIPE && kind != MODE_SOCKET {
        return;
    }
    let Some(record) = out::scratch() else { return };
    // SAFETY: an array's value, and this CPU's scratch; a line and its data lie inside a record.
    unsafe {
        if at_ns.wrapping_sub((*serving).at_ns) > SERVED_NS {
            write_volatile(&raw mut (*serving).left, 0);
            return;
        }
        write_volatile(&raw mut (*serving).left, (*serving).left.saturating_sub(1));
        let data = (&raw mut (*record).data).cast::<u8>();
        let length = gather(call, data, LINE_LEN);
        let line = record.cast::<u8>().add(BEFORE_DATA).cast::<Line>();
        (*line) = Line {
            event: EVENT_LINE,
            mode: place.mode,
            inode: place.inode,
            position: place.position,
            total: call.total,
            workload: current_workload(),
            start_ns,
            at_ns,
            device: place.device,
            tgid: (call.ids >> 32) as u32,
            tid,
            data_len: 0,
        };
        out::line(line, length);
    }
}

/// A process makes an io_uring.
#[inline(always)]
pub fn ring_made() {
    event(EVENT_RING, 0, bpf_get_current_pid_tgid());
}

/// A thread connects, for a request that it serves perhaps.
#[inline(always)]
pub fn connects(socket: u64) {
    let ids = bpf_get_current_pid_tgid();
    let tid = ids as u32;
    let Some(serving) = SERVING_BY_TID.get_ptr(tid & (SERVING - 1)) else { return };
    // SAFETY: an array's value.
    if unsafe { read_volatile(&raw const (*serving).tid) } == tid {
        event(EVENT_CONNECT, socket, ids);
    }
}

#[inline(always)]
fn event(event: u32, inode: u64, ids: u64) {
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let line = Line {
        event,
        mode: 0,
        inode,
        position: 0,
        total: 0,
        workload: current_workload(),
        start_ns: now,
        at_ns: now,
        device: 0,
        tgid: (ids >> 32) as u32,
        tid: ids as u32,
        data_len: 0,
    };
    // SAFETY: a whole line.
    unsafe { out::event(&raw const line) };
}

const _: () = assert!(BEFORE_DATA % 8 == 0 && size_of::<Record>() > size_of::<Header>() + LINE_LEN as usize);
