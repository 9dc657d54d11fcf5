//! One program at a time on a CPU: programs at libraries can be preempted, and what they build does not fit on a stack.
//!
//! Whoever comes second counts the event as `nested` and goes. Neither compare-and-swap nor an atomic result is needed
//! (5.10 has none): after its own addition a program that reads 1 is alone, since others on this CPU have added before it
//! and will see more than 1.

use agent_common::lost;
use agent_ebpf::lost::lose;
use agent_ebpf::memory::add;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use core::ptr::read_volatile;

#[map]
static BUSY: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Whether this program may use what its CPU has once; then it must call `leave`.
#[inline(always)]
pub fn enter() -> bool {
    let Some(busy) = BUSY.get_ptr_mut(0) else { return false };
    // SAFETY: a map's value.
    unsafe {
        add(busy, 1);
        if read_volatile(busy) == 1 {
            return true;
        }
    }
    lose(lost::NESTED, 1);
    leave();
    false
}

/// The CPU's scratch is free again.
#[inline(always)]
pub fn leave() {
    if let Some(busy) = BUSY.get_ptr_mut(0) {
        // SAFETY: a map's value.
        unsafe { add(busy, u64::MAX) };
    }
}
