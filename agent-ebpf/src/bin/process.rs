//! Processes: fork, exec and exit joined in the kernel into one record at the end; signals that end; OOM kills.
//!
//! Hooks: BTF tracepoints `sched_process_fork`, `sched_process_exec`, `sched_process_exit`, `signal_generate`,
//! `mark_victim`. Beyond the budget of records, counts per owner and name. Kernel: 5.10 with BTF.
#![no_std]
#![no_main]

#[path = "../process/out.rs"]
mod out;

use agent_common::lost;
use agent_common::process::{
    ARGUMENTS_LEN, EVENT_EXIT, EVENT_OOM, EVENT_SIGNAL, FILE_LEN, KIND_EXEC, KIND_FORK, KIND_OLD, LAYOUT,
    MAX_PROCESSES, Process, Signal,
};
use agent_common::workload::COMM_LEN;
use agent_ebpf::lost::lose;
use agent_ebpf::memory::{Offset, absent, field, read};
use agent_ebpf::node::{cgroup_id, is_current_ours, is_part, is_task_ours, task_cgroup};
use agent_ebpf::workload::{OFF_COMM, OFF_GROUP_LEADER, current_workload, task_workload};
use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str, bpf_probe_read_user,
};
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use out::{affordable, fold, send};

/// Offsets, filled in by the agent.
macro_rules! offsets {
    ($($name:ident)*) => { $(
        #[unsafe(no_mangle)]
        static $name: Offset = absent();
    )* };
}

offsets! {
    OFF_PID OFF_TGID OFF_START OFF_REAL_PARENT OFF_EXIT_CODE OFF_SIGNAL OFF_RUNTIME OFF_MM OFF_ARG_START OFF_ARG_END
    OFF_LIVE OFF_DEAD_RUNTIME OFF_MAXRSS OFF_FILENAME
}

/// 1 where `mark_victim` gives the victim's task (6.8), else its number.
#[unsafe(no_mangle)]
static VICTIM_IS_TASK: Global<u32> = Global::new(0);
/// 1 where `sched_process_exit` says whether the thread group ends.
#[unsafe(no_mangle)]
static GROUP_ARGUMENT: Global<u32> = Global::new(0);

#[map]
static PROCESSES: HashMap<u32, Process> =
    HashMap::with_max_entries(MAX_PROCESSES, aya_ebpf::bindings::BPF_F_NO_PREALLOC);
/// Never written: a process to begin one with, too large for the stack.
#[map]
static ZERO: Array<Process> = Array::with_max_entries(1, 0);

#[btf_tracepoint(function = "sched_process_fork")]
fn process_fork(context: BtfTracePointContext) -> i32 {
    let child: *const u8 = context.arg(1);
    // SAFETY: the tracepoint's arguments.
    let (pid, tid): (u32, u32) = unsafe { (field(child, &OFF_TGID), field(child, &OFF_PID)) };
    // the child may begin in another cgroup than its parent's
    if pid != tid || !is_task_ours(child as u64) {
        return 0;
    }
    let parent = (bpf_get_current_pid_tgid() >> 32) as u32;
    // a worker that never calls exec runs what its parent runs
    let inserted = match PROCESSES.get_ptr(parent) {
        // SAFETY: a map's value.
        Some(template) => PROCESSES.insert(pid, unsafe { &*template }, 0),
        None => match ZERO.get(0) {
            Some(zero) => PROCESSES.insert(pid, zero, 0),
            None => return 0,
        },
    };
    let Some(process) = PROCESSES.get_ptr_mut(pid) else {
        _ = inserted;
        lose(lost::MAP_FULL, 1);
        return 0;
    };
    // SAFETY: a map's value; the tracepoint's argument.
    unsafe {
        (*process).workload = current_workload();
        (*process).started_ns = field(child, &OFF_START);
        (*process).exec_ns = 0;
        (*process).pid = pid;
        (*process).parent = parent;
        // an error leaves zeros: no name
        _ = bpf_get_current_comm((&raw mut (*process).comm).cast(), COMM_LEN as u32);
        (*process).kind = KIND_FORK;
    }
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
fn process_exec(context: BtfTracePointContext) -> i32 {
    if !is_current_ours() {
        return 0;
    }
    let (task, program): (*const u8, *const u8) = (context.arg(0), context.arg(2));
    let Some(process) = known(task, KIND_OLD) else { return 0 };
    // SAFETY: a map's value; the tracepoint's arguments; helpers write no more than the sizes given.
    unsafe {
        (*process).workload = current_workload();
        (*process).exec_ns = bpf_ktime_get_boot_ns();
        _ = bpf_get_current_comm((&raw mut (*process).comm).cast(), COMM_LEN as u32);
        let name: u64 = field(program, &OFF_FILENAME);
        if bpf_probe_read_kernel_str((&raw mut (*process).file).cast(), FILE_LEN as u32, name as *const _) < 0
        {
            (*process).file[0] = 0;
        }
        arguments(task, process);
        (*process).kind = KIND_EXEC;
        debug!(&context, "exec by {}", (*process).pid);
    }
    0
}

/// Copies what `/proc/<pid>/cmdline` would show, cut.
#[inline(always)]
unsafe fn arguments(task: *const u8, process: *mut Process) {
    // SAFETY: as in the caller.
    unsafe {
        (*process).arguments_len = 0;
        let memory: *const u8 = field(task, &OFF_MM);
        if memory.is_null() {
            return;
        }
        let start: u64 = field(memory, &OFF_ARG_START);
        let end: u64 = field(memory, &OFF_ARG_END);
        let wanted = end.wrapping_sub(start);
        let length = if wanted > ARGUMENTS_LEN as u64 - 1 { ARGUMENTS_LEN as u64 - 1 } else { wanted };
        // a mask right before the call, for old verifiers
        let length = core::hint::black_box(length) as u32 & (ARGUMENTS_LEN as u32 - 1);
        if bpf_probe_read_user((&raw mut (*process).arguments).cast(), length, start as *const _) == 0 {
            (*process).arguments_len = length;
        }
    }
}

/// The entry of the current process; makes one for a process older than the agent.
#[inline(always)]
fn known(task: *const u8, kind: u32) -> Option<*mut Process> {
    // SAFETY: the tracepoint's argument.
    let pid: u32 = unsafe { field(task, &OFF_TGID) };
    if let Some(process) = PROCESSES.get_ptr_mut(pid) {
        return Some(process);
    }
    _ = PROCESSES.insert(pid, ZERO.get(0)?, u64::from(BPF_NOEXIST));
    let Some(process) = PROCESSES.get_ptr_mut(pid) else {
        lose(lost::MAP_FULL, 1);
        return None;
    };
    // SAFETY: a map's value; the tracepoint's argument.
    unsafe {
        (*process).workload = current_workload();
        (*process).pid = pid;
        (*process).started_ns = read::<u64>(task as u64, &OFF_GROUP_LEADER)
            .and_then(|leader| read::<u64>(leader, &OFF_START))
            .unwrap_or(0);
        (*process).parent = read::<u64>(task as u64, &OFF_REAL_PARENT)
            .and_then(|parent| read::<u32>(parent, &OFF_TGID))
            .unwrap_or(0);
        _ = bpf_get_current_comm((&raw mut (*process).comm).cast(), COMM_LEN as u32);
        (*process).kind = kind;
    }
    Some(process)
}

#[btf_tracepoint(function = "sched_process_exit")]
fn process_exit(context: BtfTracePointContext) -> i32 {
    let task: *const u8 = context.arg(0);
    // SAFETY: the tracepoint's argument, and what it points to.
    let signal: *const u8 = unsafe { field(task, &OFF_SIGNAL) };
    if signal.is_null() {
        return 0;
    }
    let last = if GROUP_ARGUMENT.load() != 0 {
        context.arg::<u64>(1) & 1 != 0
    } else {
        // SAFETY: as above. The counter was taken down before this point.
        unsafe { field::<u32>(signal, &OFF_LIVE) == 0 }
    };
    if !last {
        return 0;
    }
    if !is_current_ours() {
        // begun here and moved to another node
        // SAFETY: the tracepoint's argument.
        _ = PROCESSES.remove(unsafe { field::<u32>(task, &OFF_TGID) });
        return 0;
    }
    let Some(process) = known(task, KIND_OLD) else { return 0 };
    // SAFETY: a map's value; as above.
    let pid = unsafe {
        (*process).event = EVENT_EXIT;
        // it may have been moved since its exec
        (*process).workload = current_workload();
        (*process).ended_ns = bpf_ktime_get_boot_ns();
        (*process).exit_code = field(task, &OFF_EXIT_CODE);
        (*process).peak_pages = field(signal, &OFF_MAXRSS);
        (*process).cpu_ns =
            field::<u64>(task, &OFF_RUNTIME).wrapping_add(field::<u64>(signal, &OFF_DEAD_RUNTIME));
        if affordable((*process).workload, (*process).ended_ns) {
            send(process.cast(), size_of::<Process>() as u64);
        } else {
            fold((*process).workload, EVENT_EXIT, &(*process).comm);
        }
        (*process).pid
    };
    // it was just there
    _ = PROCESSES.remove(pid);
    0
}

#[btf_tracepoint(function = "signal_generate")]
fn process_signal(context: BtfTracePointContext) -> i32 {
    let number = context.arg::<u64>(0) as u32;
    // QUIT, ILL, ABRT, BUS, KILL, SEGV, TERM
    const FATAL: u32 = 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 11 | 1 << 15;
    let delivered = context.arg::<u64>(4) as u32 == 0;
    if number >= 32 || (1_u32 << number) & FATAL == 0 || !delivered {
        return 0;
    }
    tell(context.arg::<u64>(2), EVENT_SIGNAL, number, (bpf_get_current_pid_tgid() >> 32) as u32);
    0
}

#[btf_tracepoint(function = "mark_victim")]
fn process_oom(context: BtfTracePointContext) -> i32 {
    const KILL: u32 = 9;
    if VICTIM_IS_TASK.load() != 0 {
        tell(context.arg::<u64>(0), EVENT_OOM, KILL, 0);
        return 0;
    }
    let pid = context.arg::<u64>(0) as u32;
    let mut record = Signal {
        event: EVENT_OOM,
        signal: KILL,
        workload: 0,
        // SAFETY: a helper without arguments.
        at_ns: unsafe { bpf_ktime_get_boot_ns() },
        pid,
        sender: 0,
        comm: [0; COMM_LEN],
        sender_comm: [0; COMM_LEN],
    };
    if let Some(process) = PROCESSES.get_ptr(pid) {
        // SAFETY: a map's value.
        unsafe {
            record.workload = (*process).workload;
            record.comm = (*process).comm;
        }
    } else if is_part() {
        // another node's, or one of ours that is older than the agent: its end tells the signal
        return 0;
    }
    send((&raw const record).cast(), size_of::<Signal>() as u64);
    0
}

/// A signal to any task; its owner is found by its own cgroup.
#[inline(always)]
fn tell(task: u64, event: u32, signal: u32, sender: u32) {
    if !is_task_ours(task) {
        return;
    }
    let cgroup = task_cgroup(task).and_then(cgroup_id).unwrap_or(0);
    let leader = read::<u64>(task, &OFF_GROUP_LEADER).unwrap_or(0);
    let mut record = Signal {
        event,
        signal,
        workload: task_workload(task, cgroup),
        // SAFETY: a helper without arguments.
        at_ns: unsafe { bpf_ktime_get_boot_ns() },
        pid: read(task, &OFF_TGID).unwrap_or(0),
        sender,
        comm: read(leader, &OFF_COMM).unwrap_or([0; COMM_LEN]),
        sender_comm: [0; COMM_LEN],
    };
    if sender != 0 {
        // SAFETY: the helper writes no more than the size given; an error leaves zeros.
        _ = unsafe { bpf_get_current_comm((&raw mut record.sender_comm).cast(), COMM_LEN as u32) };
    }
    if event == EVENT_OOM || affordable(record.workload, record.at_ns) {
        send((&raw const record).cast(), size_of::<Signal>() as u64);
    } else {
        fold(record.workload, event, &record.comm);
    }
}

agent_ebpf::forget_programs!(process_rename, process_gone);
agent_ebpf::object!(LAYOUT);
