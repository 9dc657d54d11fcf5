//! Records on their way out: within the budgets of owner and node whole, beyond them as a count.

use agent_common::lost;
use agent_common::process::{
    Budget, FoldedKey, MAX_BUDGETS, MAX_FOLDED, NODE_BURST, NODE_RATE, OWNER_BURST, OWNER_RATE, RING_BYTES,
    spend,
};
use agent_common::workload::COMM_LEN;
use agent_ebpf::lost::lose;
use agent_ebpf::memory::add;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::generated::{bpf_ringbuf_output, bpf_ringbuf_query};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, RingBuf};

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);
#[map]
static FOLDED: HashMap<FoldedKey, u64> = HashMap::with_max_entries(MAX_FOLDED, 0);
#[map]
static BUDGETS: HashMap<u64, Budget> = HashMap::with_max_entries(MAX_BUDGETS, 0);
#[map]
static NODE_BUDGET: Array<Budget> = Array::with_max_entries(1, 0);

/// The reader is woken once this much waits; else it looks every 100 ms.
const WAKE_AT: u64 = 128 * 1024;
const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;
const AVAILABLE: u64 = 0;

/// Takes one record from the owner's budget and the node's. Two CPUs may take the same one: a few more are sent.
#[inline(always)]
pub fn affordable(workload: u64, now_ns: u64) -> bool {
    let mut found = BUDGETS.get_ptr_mut(workload);
    if found.is_none() {
        let full = Budget { at_ns: now_ns, left: OWNER_BURST };
        _ = BUDGETS.insert(workload, full, u64::from(BPF_NOEXIST));
        found = BUDGETS.get_ptr_mut(workload);
    }
    // no place for a budget of its own: only the node's counts
    if let Some(own) = found {
        // SAFETY: a map's value.
        if !unsafe { spend(&mut *own, now_ns, OWNER_RATE, OWNER_BURST) } {
            return false;
        }
    }
    match NODE_BUDGET.get_ptr_mut(0) {
        // SAFETY: an array's value.
        Some(node) => unsafe { spend(&mut *node, now_ns, NODE_RATE, NODE_BURST) },
        None => false,
    }
}

#[inline(always)]
pub fn fold(workload: u64, event: u32, comm: &[u8; COMM_LEN]) {
    let key = FoldedKey { workload, event, _pad: 0, comm: *comm };
    let mut found = FOLDED.get_ptr_mut(&key);
    if found.is_none() {
        // another CPU may insert it first: then the lookup finds that one
        _ = FOLDED.insert(&key, 0_u64, u64::from(BPF_NOEXIST));
        found = FOLDED.get_ptr_mut(&key);
    }
    match found {
        // SAFETY: a map's value.
        Some(count) => unsafe { add(count, 1) },
        None => lose(lost::BUDGET, 1),
    }
}

#[inline(always)]
pub fn send(record: *const u8, size: u64) {
    let ring = (&raw const EVENTS).cast_mut().cast();
    // SAFETY: `record` is a map's value or on the stack, and `size` long.
    let result = unsafe {
        let flags = if bpf_ringbuf_query(ring, AVAILABLE) >= WAKE_AT { FORCE_WAKEUP } else { NO_WAKEUP };
        bpf_ringbuf_output(ring, record.cast_mut().cast(), size, flags)
    };
    if result != 0 {
        lose(lost::RING_FULL, 1);
    }
}
