//! Run queue: the delay between being runnable and running, and how tasks leave the CPU, per owner.
//!
//! Hooks: `sched_wakeup`, `sched_wakeup_new`, `sched_switch` (BTF tracepoints). At a switch `current` is still the
//! task that leaves, so it names its own owner; the delay of the one that comes is booked when it leaves.
//! Kernel: 5.10 with BTF.
#![no_std]
#![no_main]

use agent_common::histogram::{BUCKETS, bucket};
use agent_common::lost;
use agent_common::sched::{LAYOUT, MAX_OWNERS, RunQueue, WAKES, Wake};
use agent_ebpf::lost::lose;
use agent_ebpf::memory::{Offset, absent, field, has};
use agent_ebpf::node::is_current_ours;
use agent_ebpf::workload::current_workload;
use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::{Array, PerCpuArray, PerCpuHashMap};
use aya_ebpf::programs::BtfTracePointContext;
use core::ptr::{read_volatile, write_volatile};

#[unsafe(no_mangle)]
static OFF_PID: Offset = absent();
#[unsafe(no_mangle)]
static OFF_STATE4: Offset = absent();
#[unsafe(no_mangle)]
static OFF_STATE8: Offset = absent();
/// 1 where the tracepoint gives the state of the task that leaves (5.18).
#[unsafe(no_mangle)]
static STATE_ARGUMENT: Global<u32> = Global::new(0);

#[map]
static RUN_QUEUES: PerCpuHashMap<u64, RunQueue> = PerCpuHashMap::with_max_entries(MAX_OWNERS, 0);
#[map]
static WAKES_BY_TID: Array<Wake> = Array::with_max_entries(WAKES, 0);
/// Bucket of the running task's delay, plus one; 0: unknown.
#[map]
static DELAY: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);
/// Never written: a value of zeros to begin one with.
#[map]
static ZERO: Array<RunQueue> = Array::with_max_entries(1, 0);

#[btf_tracepoint(function = "sched_wakeup")]
fn sched_wakeup(context: BtfTracePointContext) -> i32 {
    woken(context.arg(0));
    0
}

#[btf_tracepoint(function = "sched_wakeup_new")]
fn sched_wakeup_new(context: BtfTracePointContext) -> i32 {
    woken(context.arg(0));
    0
}

#[inline(always)]
fn woken(task: *const u8) {
    // SAFETY: the tracepoint's argument.
    let tid: u32 = unsafe { field(task, &OFF_PID) };
    if tid != 0 {
        // SAFETY: a helper without arguments.
        begin(tid, unsafe { bpf_ktime_get_ns() });
    }
}

#[inline(always)]
fn begin(tid: u32, now: u64) {
    let Some(wake) = WAKES_BY_TID.get_ptr_mut(tid & (WAKES - 1)) else { return };
    // SAFETY: an array's value.
    unsafe {
        let before = read_volatile(&raw const (*wake).tid);
        if before != 0 && before != tid {
            lose(lost::SLOT_COLLISION, 1);
        }
        write_volatile(&raw mut (*wake).at_ns, now);
        write_volatile(&raw mut (*wake).tid, tid);
    }
}

#[btf_tracepoint(function = "sched_switch")]
fn sched_switch(context: BtfTracePointContext) -> i32 {
    let (previous, next): (*const u8, *const u8) = (context.arg(1), context.arg(2));
    // SAFETY: the tracepoint's arguments.
    let (leaves, comes): (u32, u32) = unsafe { (field(previous, &OFF_PID), field(next, &OFF_PID)) };
    let Some(delay) = DELAY.get_ptr_mut(0) else { return 0 };
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if leaves != 0 {
        let runnable = context.arg::<u64>(0) & 1 != 0 || state(&context, previous) == 0;
        // SAFETY: this CPU's own value.
        book(runnable, unsafe { *delay });
        if runnable {
            begin(leaves, now);
        } else {
            // a wake-up that came while it still ran must not count as waiting
            taken(leaves);
        }
    }
    let waited = if comes == 0 { None } else { taken(comes) };
    // SAFETY: this CPU's own value.
    unsafe { *delay = waited.map_or(0, |since| bucket(now.wrapping_sub(since)) + 1) };
    0
}

/// 0: still runnable.
#[inline(always)]
fn state(context: &BtfTracePointContext, task: *const u8) -> u64 {
    if STATE_ARGUMENT.load() != 0 {
        return context.arg::<u64>(3) & 0xffff_ffff;
    }
    if has(&OFF_STATE4) {
        // SAFETY: the tracepoint's argument.
        return u64::from(unsafe { field::<u32>(task, &OFF_STATE4) });
    }
    if has(&OFF_STATE8) {
        // SAFETY: the tracepoint's argument.
        return unsafe { field::<u64>(task, &OFF_STATE8) };
    }
    1
}

/// Since when a thread waited; clears it.
#[inline(always)]
fn taken(tid: u32) -> Option<u64> {
    let wake = WAKES_BY_TID.get_ptr_mut(tid & (WAKES - 1))?;
    // SAFETY: an array's value.
    unsafe {
        if read_volatile(&raw const (*wake).tid) != tid {
            return None;
        }
        write_volatile(&raw mut (*wake).tid, 0);
        Some(read_volatile(&raw const (*wake).at_ns))
    }
}

/// Books the current task's way off the CPU, and the delay with which it came onto it.
#[inline(always)]
fn book(runnable: bool, delay: u32) {
    if !is_current_ours() {
        return;
    }
    let owner = current_workload();
    let mut found = RUN_QUEUES.get_ptr_mut(owner);
    if found.is_none() {
        let Some(zero) = ZERO.get(0) else { return };
        // another CPU may insert it first: then the lookup finds that one
        _ = RUN_QUEUES.insert(owner, zero, u64::from(BPF_NOEXIST));
        found = RUN_QUEUES.get_ptr_mut(owner);
    }
    let Some(queue) = found else {
        lose(lost::MAP_FULL, 1);
        return;
    };
    let index = delay.wrapping_sub(1) as usize;
    // SAFETY: this CPU's own value, and the index is inside it.
    unsafe {
        if runnable {
            (*queue).involuntary += 1;
        } else {
            (*queue).voluntary += 1;
        }
        if index < BUCKETS {
            let count = (&raw mut (*queue).delays).cast::<u32>().add(index);
            *count += 1;
        }
    }
}

agent_ebpf::forget_programs!(sched_rename, sched_gone);
agent_ebpf::object!(LAYOUT);
