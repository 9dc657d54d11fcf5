//! Which threads have read a request: told to the requests object, whose map this is, so that lines that they write are
//! joined as under plaintext.

use agent_common::requests::line::{LINES_PER_REQUEST, SERVING, Serving};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use core::ptr::{read_volatile, write_volatile};

#[map]
static SERVING_BY_TID: Array<Serving> = Array::with_max_entries(SERVING, 0);

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

/// As in `requests`.
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
