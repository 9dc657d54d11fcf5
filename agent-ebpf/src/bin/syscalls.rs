//! Syscalls: counts and errors exact per owner and number, latency per owner and class of the calls that are timed.
//!
//! Hooks: `sys_enter`, `sys_exit` (BTF tracepoints, whose `pt_regs` are the user ABI and need no offset).
//! Sampling saves the clock, not the dispatch. Kernel: 5.10 with BTF.
#![no_std]
#![no_main]

use agent_common::lost;
use agent_common::syscalls::{
    CLASS_NEVER, CLASS_NUMBERS, COMPAT, Cache, Cached, Count, CountKey, ErrorKey, LAYOUT, Latency,
    LatencyKey, MAX_COUNTS, MAX_ERRORS, MAX_LATENCIES, SAMPLE_EVERY, STARTS, Start, failure, place,
};
use agent_ebpf::lost::lose;
use agent_ebpf::memory::{self, add, add32};
use agent_ebpf::node::is_current_ours;
use agent_ebpf::workload::current_workload;
use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, PerCpuHashMap};
use aya_ebpf::programs::BtfTracePointContext;
use core::ptr::{read_volatile, write_volatile};

/// One in `SAMPLE_MASK + 1` calls is timed.
#[unsafe(no_mangle)]
static SAMPLE_MASK: Global<u32> = Global::new(SAMPLE_EVERY - 1);
/// How many calls this kernel has that bring a thread back from a probe, no calls of the program's: `uretprobe` (6.11) and
/// `uprobe` (6.18) behind it. At its end the number is gone, as that of `rt_sigreturn`.
#[unsafe(no_mangle)]
static WAYS_BACK: Global<u32> = Global::new(0);
#[cfg(bpf_target_arch = "x86_64")]
const FIRST_WAY_BACK: u32 = 335;
/// The agent itself: its calls are counted, not timed.
#[unsafe(no_mangle)]
static OWN_TGID: Global<u32> = Global::new(0);

#[map]
static COUNTS: PerCpuHashMap<CountKey, Count> = PerCpuHashMap::with_max_entries(MAX_COUNTS, 0);
/// In front of `COUNTS`: a hash of 16 bytes costs more than all else that a call costs here.
#[map]
static CACHE: PerCpuArray<Cache> = PerCpuArray::with_max_entries(1, 0);
#[map]
static ERRORS: HashMap<ErrorKey, u64> = HashMap::with_max_entries(MAX_ERRORS, 0);
#[map]
static LATENCIES: HashMap<LatencyKey, Latency> = HashMap::with_max_entries(MAX_LATENCIES, 0);
/// Class of each number; native ones, then compat ones. Written by the agent.
#[map]
static CLASSES: Array<u8> = Array::with_max_entries(CLASS_NUMBERS * 2, 0);
#[map]
static STARTS_BY_TID: Array<Start> = Array::with_max_entries(STARTS, 0);
/// Calls since the last timed one.
#[map]
static TICKS: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);
/// Never written: a latency of zeros to begin one with, too large for the stack.
#[map]
static ZERO: Array<Latency> = Array::with_max_entries(1, 0);

#[btf_tracepoint(function = "sys_enter")]
fn syscalls_enter(context: BtfTracePointContext) -> i32 {
    let called = context.arg::<u64>(1) as u32;
    if called.wrapping_sub(FIRST_WAY_BACK) < WAYS_BACK.load() && !is_compat(context.arg(0)) {
        if is_current_ours() {
            note(bpf_get_current_pid_tgid() as u32, WAY_BACK);
        }
        return 0;
    }
    let Some(ticks) = TICKS.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's own value.
    let tick = unsafe {
        *ticks = (*ticks).wrapping_add(1);
        *ticks
    };
    if tick & SAMPLE_MASK.load() == 0 {
        begin(context.arg(0), called);
    }
    0
}

/// Instead of a time: the thread comes back from a probe.
const WAY_BACK: u64 = 0;

#[inline(always)]
fn begin(registers: *const u8, number: u32) {
    let ids = bpf_get_current_pid_tgid();
    if (ids >> 32) as u32 == OWN_TGID.load()
        || class(marked(registers, number)) == CLASS_NEVER
        || !is_current_ours()
    {
        return;
    }
    // SAFETY: a helper without arguments.
    note(ids as u32, unsafe { bpf_ktime_get_ns() });
}

#[inline(always)]
fn note(tid: u32, at_ns: u64) {
    let Some(start) = STARTS_BY_TID.get_ptr_mut(tid & (STARTS - 1)) else { return };
    // SAFETY: an array's value; only this thread writes a start that carries its tid.
    unsafe {
        let before = read_volatile(&raw const (*start).tid);
        if before != 0 && before != tid {
            lose(lost::SLOT_COLLISION, 1);
        }
        write_volatile(&raw mut (*start).tid, 0);
        write_volatile(&raw mut (*start).at_ns, at_ns);
        write_volatile(&raw mut (*start).tid, tid);
    }
}

#[btf_tracepoint(function = "sys_exit")]
fn syscalls_exit(context: BtfTracePointContext) -> i32 {
    if !is_current_ours() {
        return 0;
    }
    let began = began(bpf_get_current_pid_tgid() as u32);
    if began == Some(WAY_BACK) {
        return 0;
    }
    let registers: *const u8 = context.arg(0);
    let number = marked(registers, number(registers));
    let workload = current_workload();
    let failed = failure(context.arg::<i64>(1));
    count(workload, number, failed);
    if let Some(began) = began {
        // SAFETY: a helper without arguments.
        time(workload, number, unsafe { bpf_ktime_get_ns() }.wrapping_sub(began));
    }
    0
}

/// What was noted when the thread's call began, which ends now.
#[inline(always)]
fn began(tid: u32) -> Option<u64> {
    let start = STARTS_BY_TID.get_ptr_mut(tid & (STARTS - 1))?;
    // SAFETY: an array's value; a start that carries this thread's number is its own.
    unsafe {
        if read_volatile(&raw const (*start).tid) != tid {
            return None;
        }
        // before the place is anybody's again
        let at_ns = read_volatile(&raw const (*start).at_ns);
        write_volatile(&raw mut (*start).tid, 0);
        Some(at_ns)
    }
}

#[inline(always)]
fn count(workload: u64, number: u32, failed: Option<u32>) {
    let Some(cache) = CACHE.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own value; the place is inside it, and no other run of this program is on this CPU.
    unsafe {
        let cached = cache.cast::<Cached>().add(place(workload, number));
        if (*cached).workload != workload || (*cached).number != number {
            if !hand_over(cached) {
                return lose(lost::MAP_FULL, 1);
            }
            write_volatile(&raw mut (*cached).workload, workload);
            write_volatile(&raw mut (*cached).number, number);
            let ended = read_volatile(&raw const (*cached).begun);
            write_volatile(&raw mut (*cached).ended, ended);
        }
        write_volatile(&raw mut (*cached).calls, (*cached).calls + 1);
        if failed.is_some() {
            write_volatile(&raw mut (*cached).errors, (*cached).errors + 1);
        }
    }
    if let Some(errno) = failed {
        error(workload, number, errno);
    }
}

/// The counts of the key that was here before go to `COUNTS`; see `Cached` for the order. False where that is full: the
/// key then keeps its place, since its counts may have been read there.
///
/// # Safety
/// `cached` is this CPU's own.
#[inline(always)]
unsafe fn hand_over(cached: *mut Cached) -> bool {
    // SAFETY: the caller's.
    unsafe {
        let Cached { workload, number, calls, errors, begun, .. } = *cached;
        if calls > 0 {
            let key = CountKey { workload, number, _pad: 0 };
            let Some(count) = count_of(&key) else { return false };
            write_volatile(&raw mut (*cached).begun, begun + 1);
            write_volatile(&raw mut (*count).calls, (*count).calls + calls);
            write_volatile(&raw mut (*count).errors, (*count).errors + errors);
        } else {
            write_volatile(&raw mut (*cached).begun, begun + 1);
        }
        write_volatile(&raw mut (*cached).calls, 0);
        write_volatile(&raw mut (*cached).errors, 0);
    }
    true
}

#[inline(always)]
fn count_of(key: &CountKey) -> Option<*mut Count> {
    if let Some(count) = COUNTS.get_ptr_mut(key) {
        return Some(count);
    }
    // another CPU may insert it first: then the lookup finds that one
    _ = COUNTS.insert(key, Count { calls: 0, errors: 0 }, u64::from(BPF_NOEXIST));
    COUNTS.get_ptr_mut(key)
}

#[inline(always)]
fn error(workload: u64, number: u32, errno: u32) {
    let key = ErrorKey { workload, number, errno };
    let mut found = ERRORS.get_ptr_mut(&key);
    if found.is_none() {
        // as in `count_of`
        _ = ERRORS.insert(&key, 0_u64, u64::from(BPF_NOEXIST));
        found = ERRORS.get_ptr_mut(&key);
    }
    match found {
        // SAFETY: a map's value.
        Some(count) => unsafe { add(count, 1) },
        None => lose(lost::MAP_FULL, 1),
    }
}

#[inline(always)]
fn time(workload: u64, number: u32, nanos: u64) {
    let key = LatencyKey { workload, class: u32::from(class(number)), _pad: 0 };
    let mut found = LATENCIES.get_ptr_mut(&key);
    if found.is_none() {
        let Some(zero) = ZERO.get(0) else { return };
        // as in `count_of`
        _ = LATENCIES.insert(&key, zero, u64::from(BPF_NOEXIST));
        found = LATENCIES.get_ptr_mut(&key);
    }
    let Some(latency) = found else {
        lose(lost::MAP_FULL, 1);
        return;
    };
    if let Some(place) = memory::place(nanos) {
        // SAFETY: a map's value, and the place is inside it.
        unsafe { add32(latency.cast::<u32>().add(place), 1) };
    }
}

/// The number with `COMPAT` for a 32-bit caller.
#[inline(always)]
fn marked(registers: *const u8, number: u32) -> u32 {
    if is_compat(registers) { (number & !COMPAT) | COMPAT } else { number & !COMPAT }
}

#[inline(always)]
fn class(marked: u32) -> u8 {
    let number = marked & !COMPAT;
    if number >= CLASS_NUMBERS {
        return 0;
    }
    let index = if marked & COMPAT != 0 { number + CLASS_NUMBERS } else { number };
    match CLASSES.get(index) {
        Some(class) => *class,
        None => 0,
    }
}

#[cfg(bpf_target_arch = "x86_64")]
#[inline(always)]
fn number(registers: *const u8) -> u32 {
    const ORIG_AX: usize = 120;
    // SAFETY: a `pt_regs` by the verifier's own type; the layout is ptrace's ABI.
    unsafe { read_volatile(registers.add(ORIG_AX).cast::<u64>()) as u32 }
}

/// 32-bit code runs in a code segment of its own.
#[cfg(bpf_target_arch = "x86_64")]
#[inline(always)]
fn is_compat(registers: *const u8) -> bool {
    const CS: usize = 136;
    const USER32_CS: u64 = 0x23;
    // SAFETY: as in `number`.
    unsafe { read_volatile(registers.add(CS).cast::<u64>()) & 0xffff == USER32_CS }
}

agent_ebpf::forget_programs!(syscalls_rename, syscalls_gone);
agent_ebpf::object!(LAYOUT);
