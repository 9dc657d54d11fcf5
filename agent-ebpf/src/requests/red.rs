//! Answers counted where requests are answered in order: exact, whatever the ring loses.

use agent_common::lost;
use agent_common::requests::{
    Conn, HEAD_LEN, MAX_RED, ROLE_UNKNOWN, Record, Red, RedKey, is_request, is_stream, status,
};
use agent_ebpf::lost::lose;
use agent_ebpf::memory::{add32, place};
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};

#[map]
static RED: HashMap<RedKey, Red> = HashMap::with_max_entries(MAX_RED, 0);
/// Never written: a histogram of zeros to begin one with, too large for the stack.
#[map]
static ZERO: Array<Red> = Array::with_max_entries(1, 0);

/// The first call of a run begins a request, or answers the one that is open.
///
/// # Safety
/// `conn` is a value of the table, `record` this CPU's scratch.
#[inline(always)]
pub unsafe fn seen(conn: *mut Conn, record: *const Record) {
    // SAFETY: the caller's.
    unsafe {
        if (*conn).run_calls != 1 || is_stream((*conn).protocol) || (*conn).role == ROLE_UNKNOWN {
            return;
        }
        let start_ns = (*record).header.start_ns;
        if is_request((*conn).role, (*conn).run_direction) {
            (*conn).request_ns = start_ns;
            return;
        }
        let asked = (*conn).request_ns;
        if asked == 0 {
            return;
        }
        (*conn).request_ns = 0;
        let head = (&raw const (*record).data).cast::<[u8; HEAD_LEN]>();
        let key = RedKey {
            workload: (*conn).workload,
            protocol: (*conn).protocol,
            role: (*conn).role,
            status: status((*conn).protocol, &*head),
            padding: [0; 5],
        };
        count(&key, start_ns.saturating_sub(asked));
    }
}

#[inline(always)]
fn count(key: &RedKey, nanos: u64) {
    let mut found = RED.get_ptr_mut(key);
    if found.is_none() {
        let Some(zero) = ZERO.get(0) else { return };
        // another CPU may insert it first: then the lookup finds that one
        _ = RED.insert(key, zero, u64::from(BPF_NOEXIST));
        found = RED.get_ptr_mut(key);
    }
    let Some(red) = found else { return lose(lost::MAP_FULL, 1) };
    if let Some(place) = place(nanos) {
        // SAFETY: a map's value, and the place is inside it.
        unsafe { add32(red.cast::<u32>().add(place), 1) };
    }
}
