//! Which thread is inside a TLS library, and which socket it uses there. Both objects have the map: the agent gives the
//! TLS object that of the requests object.

use agent_common::requests::{Conn, IN, is_closed_book};
use agent_common::tls::{Inside, THREADS};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;

/// Of one slot where there is no TLS probe.
#[map]
static INSIDE: Array<Inside> = Array::with_max_entries(THREADS, 0);

/// The slot of a thread, which may be another's at the moment.
#[inline(always)]
pub fn slot(tid: u32) -> Option<*mut Inside> {
    INSIDE.get_ptr_mut(tid & (THREADS - 1))
}

/// A call on a socket has carried bytes: of an encrypted connection it is kept which one it was.
///
/// # Safety
/// `conn` is a value of `CONNS`.
#[inline(always)]
pub unsafe fn note(conn: *const Conn, socket: u64, direction: u8, tid: u32) {
    // SAFETY: the caller's; a slot with this thread's number is written by this thread alone.
    unsafe {
        if !is_closed_book((*conn).protocol) {
            return;
        }
        let Some(slot) = slot(tid) else { return };
        if (*slot).tid == tid {
            (*slot).socket = socket;
            if direction == IN {
                (*slot).recent = socket;
            }
        }
    }
}
