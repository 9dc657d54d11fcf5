//! Counts of what could not be kept.

use agent_common::lost::REASONS;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;

/// One count per reason, per CPU.
#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(REASONS, 0);

/// Counts `count` under a reason of `agent_common::lost`.
#[inline(always)]
pub fn lose(reason: u32, count: u64) {
    if let Some(slot) = LOST.get_ptr_mut(reason) {
        // SAFETY: this CPU's own value of the array.
        unsafe { *slot += count };
    }
}
