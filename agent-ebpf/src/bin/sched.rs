//! Run queue: the delay between being runnable and running, and how tasks leave the CPU, per owner.
//!
//! Hook: `sched_switch` (BTF tracepoint). `current` is still the task that leaves, so it names its own owner. The kernel
//! itself sums up what each thread waited (`sched_info`, as in `/proc/<pid>/schedstat`): what that grew since the thread
//! left a CPU before is its delay, so no wake-up is traced and no clock is read. Kernel: 5.10 with BTF.
#![no_std]
#![no_main]

use agent_common::lost;
use agent_common::sched::{LAYOUT, MAX_OWNERS, RunQueue, THREADS, Waited};
use agent_ebpf::lost::lose;
use agent_ebpf::memory::{Offset, absent, field, has, place};
use agent_ebpf::node::is_current_ours;
use agent_ebpf::workload::current_workload;
use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::{Array, PerCpuHashMap};
use aya_ebpf::programs::BtfTracePointContext;

#[unsafe(no_mangle)]
static OFF_PID: Offset = absent();
#[unsafe(no_mangle)]
static OFF_STATE4: Offset = absent();
#[unsafe(no_mangle)]
static OFF_STATE8: Offset = absent();
#[unsafe(no_mangle)]
static OFF_RUN_DELAY: Offset = absent();
#[unsafe(no_mangle)]
static OFF_ARRIVALS: Offset = absent();
/// 1 where the tracepoint gives the state of the task that leaves (5.18).
#[unsafe(no_mangle)]
static STATE_ARGUMENT: Global<u32> = Global::new(0);

#[map]
static RUN_QUEUES: PerCpuHashMap<u64, RunQueue> = PerCpuHashMap::with_max_entries(MAX_OWNERS, 0);
/// Only the CPU that a thread runs on writes its slot; two threads that share one take it from each other.
#[map]
static WAITED_BY_TID: Array<Waited> = Array::with_max_entries(THREADS, 0);
/// Never written: a value of zeros to begin one with.
#[map]
static ZERO: Array<RunQueue> = Array::with_max_entries(1, 0);

#[btf_tracepoint(function = "sched_switch")]
fn sched_switch(context: BtfTracePointContext) -> i32 {
    let leaves: *const u8 = context.arg(1);
    // SAFETY: the tracepoint's argument.
    let tid: u32 = unsafe { field(leaves, &OFF_PID) };
    if tid == 0 || !is_current_ours() {
        return 0;
    }
    let runnable = context.arg::<u64>(0) & 1 != 0 || state(&context, leaves) == 0;
    book(runnable, delay(tid, leaves));
    0
}

/// How long the task that leaves had waited before it came; `None` where that is not known.
#[inline(always)]
fn delay(tid: u32, task: *const u8) -> Option<u64> {
    if !has(&OFF_RUN_DELAY) || !has(&OFF_ARRIVALS) {
        return None;
    }
    // SAFETY: the tracepoint's argument.
    let (total, arrivals): (u64, u64) = unsafe { (field(task, &OFF_RUN_DELAY), field(task, &OFF_ARRIVALS)) };
    let slot = WAITED_BY_TID.get_ptr_mut(tid & (THREADS - 1))?;
    // SAFETY: an array's value.
    let Waited { tid: holder, total_ns: before, .. } = unsafe { *slot };
    // SAFETY: as above.
    unsafe {
        (*slot).tid = tid;
        (*slot).total_ns = total;
    }
    if arrivals <= 1 {
        return Some(total); // its first time on a CPU
    }
    if holder == tid {
        return Some(total.wrapping_sub(before));
    }
    if holder != 0 {
        lose(lost::SLOT_COLLISION, 1);
    } // else it is older than the programs
    None
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

/// Books the current task's way off the CPU, and the delay with which it came onto it.
#[inline(always)]
fn book(runnable: bool, delay: Option<u64>) {
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
    // SAFETY: this CPU's own value, and the place is inside it.
    unsafe {
        if runnable {
            (*queue).involuntary += 1;
        } else {
            (*queue).voluntary += 1;
        }
        if let Some(place) = delay.and_then(place) {
            let count = (&raw mut (*queue).delays).cast::<u32>().add(place);
            *count += 1;
        }
    }
}

agent_ebpf::forget_programs!(sched_rename, sched_gone);
agent_ebpf::object!(LAYOUT);
