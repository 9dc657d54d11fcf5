//! Processes: what they ran, how they ended, who killed them.
//!
//! `PROCESSES` holds each live process since its fork or exec; at its end the whole entry goes to the ring, so one
//! record tells a short life. What lives when a window ends is read from the map instead.

use crate::fields::{Field, required};
use crate::plain::fold;
use crate::workload::{COMM_LEN, Slot};

/// Live processes that are known.
pub const MAX_PROCESSES: u32 = 16_384;
/// Owner × name beyond the event budget.
pub const MAX_FOLDED: u32 = 1_024;
/// Owners with a budget.
pub const MAX_BUDGETS: u32 = 1_024;
/// Bytes of the ring.
pub const RING_BYTES: u32 = 512 * 1024;
/// Most bytes of a path.
pub const FILE_LEN: usize = 128;
/// Most bytes of arguments.
pub const ARGUMENTS_LEN: usize = 256;
/// Records per second and owner; a burst may be four seconds' worth.
pub const OWNER_RATE: u64 = 500;
/// Records of an owner that may come at once.
pub const OWNER_BURST: u64 = 2_000;
/// Records per second and node.
pub const NODE_RATE: u64 = 2_000;
/// Records of a node that may come at once.
pub const NODE_BURST: u64 = 4_000;

/// Forked, and has not called exec.
pub const KIND_FORK: u32 = 1;
/// Has called exec.
pub const KIND_EXEC: u32 = 2;
/// Was there before the agent.
pub const KIND_OLD: u32 = 3;

/// A record of a process that ended.
pub const EVENT_EXIT: u32 = 1;
/// A record of a signal.
pub const EVENT_SIGNAL: u32 = 2;
/// A record of a victim of the OOM killer.
pub const EVENT_OOM: u32 = 3;

/// A process; a record of the ring when it ends.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Process {
    /// `EVENT_EXIT` in the ring
    pub event: u32,
    /// `KIND_*`
    pub kind: u32,
    /// Owner
    pub workload: u64,
    /// Start, on the boot clock
    pub started_ns: u64,
    /// exec, on the boot clock; 0: none seen
    pub exec_ns: u64,
    /// End, on the boot clock
    pub ended_ns: u64,
    /// CPU time of all its threads
    pub cpu_ns: u64,
    /// Largest resident size
    pub peak_pages: u64,
    /// Process id
    pub pid: u32,
    /// Its parent's
    pub parent: u32,
    /// As `wait` gives it: code << 8 | signal
    pub exit_code: u32,
    /// Bytes used of `arguments`
    pub arguments_len: u32,
    /// Name
    pub comm: [u8; COMM_LEN],
    /// What was executed
    pub file: [u8; FILE_LEN],
    /// NUL-separated, cut
    pub arguments: [u8; ARGUMENTS_LEN],
}

/// A signal, or a victim of the OOM killer.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Signal {
    /// `EVENT_SIGNAL` or `EVENT_OOM`
    pub event: u32,
    /// Its number
    pub signal: u32,
    /// Owner of the target
    pub workload: u64,
    /// When, on the boot clock
    pub at_ns: u64,
    /// Target
    pub pid: u32,
    /// Sender; 0: the kernel
    pub sender: u32,
    /// Target's name
    pub comm: [u8; COMM_LEN],
    /// Sender's name
    pub sender_comm: [u8; COMM_LEN],
}

/// Key of `FOLDED`; the value is a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FoldedKey {
    /// Owner
    pub workload: u64,
    /// `EVENT_*`
    pub event: u32,
    /// Zero
    pub _pad: u32,
    /// Name
    pub comm: [u8; COMM_LEN],
}

/// A token bucket.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Budget {
    /// When it was last filled, on the boot clock
    pub at_ns: u64,
    /// Records left
    pub left: u64,
}

crate::plain!(Process, 472, {
    event: u32, kind: u32, workload: u64, started_ns: u64, exec_ns: u64, ended_ns: u64, cpu_ns: u64, peak_pages: u64,
    pid: u32, parent: u32, exit_code: u32, arguments_len: u32, comm: [u8; COMM_LEN], file: [u8; FILE_LEN],
    arguments: [u8; ARGUMENTS_LEN],
});
crate::plain!(Signal, 64, {
    event: u32, signal: u32, workload: u64, at_ns: u64, pid: u32, sender: u32, comm: [u8; COMM_LEN],
    sender_comm: [u8; COMM_LEN],
});
crate::plain!(FoldedKey, 32, { workload: u64, event: u32, _pad: u32, comm: [u8; COMM_LEN] });
crate::plain!(Budget, 16, { at_ns: u64, left: u64 });

/// What object and agent must agree on.
pub const LAYOUT: u64 =
    fold(&[Process::LAYOUT, Signal::LAYOUT, FoldedKey::LAYOUT, Budget::LAYOUT, Slot::LAYOUT]);

/// Takes one record from a bucket that gains `rate` a second and holds `burst`; false where it is empty.
#[inline(always)]
pub fn spend(budget: &mut Budget, now_ns: u64, rate: u64, burst: u64) -> bool {
    let each_ns = 1_000_000_000 / rate;
    let gained = now_ns.wrapping_sub(budget.at_ns) / each_ns;
    if gained > 0 {
        let left = budget.left.wrapping_add(gained);
        budget.left = if left > burst { burst } else { left };
        budget.at_ns = budget.at_ns.wrapping_add(gained * each_ns);
    }
    if budget.left == 0 {
        return false;
    }
    budget.left -= 1;
    true
}

/// Private fields.
pub const FIELDS: &[Field] = &[
    required("OFF_PID", &[("task_struct", "pid")], 4),
    required("OFF_TGID", &[("task_struct", "tgid")], 4),
    required("OFF_START", &[("task_struct", "start_boottime"), ("task_struct", "real_start_time")], 8),
    required("OFF_REAL_PARENT", &[("task_struct", "real_parent")], 8),
    required("OFF_EXIT_CODE", &[("task_struct", "exit_code")], 4),
    required("OFF_SIGNAL", &[("task_struct", "signal")], 8),
    required("OFF_RUNTIME", &[("task_struct", "se.sum_exec_runtime")], 8),
    required("OFF_MM", &[("task_struct", "mm")], 8),
    required("OFF_ARG_START", &[("mm_struct", "arg_start")], 8),
    required("OFF_ARG_END", &[("mm_struct", "arg_end")], 8),
    required("OFF_LIVE", &[("signal_struct", "live.counter")], 4),
    required("OFF_DEAD_RUNTIME", &[("signal_struct", "sum_sched_runtime")], 8),
    required("OFF_MAXRSS", &[("signal_struct", "maxrss")], 8),
    required("OFF_FILENAME", &[("linux_binprm", "filename")], 8),
];

#[cfg(test)]
mod tests {
    use super::{Budget, spend};

    #[test]
    fn a_budget_allows_its_burst_and_then_its_rate() {
        let mut budget = Budget { at_ns: 0, left: 2_000 };
        let now = 1_000_000_000;
        budget.at_ns = now;
        let burst = (0..5_000).filter(|_| spend(&mut budget, now, 500, 2_000)).count();
        assert_eq!(burst, 2_000);
        let mut second = 0;
        for step in 0..10_000_u64 {
            second += u64::from(spend(&mut budget, now + step * 100_000, 500, 2_000));
        }
        assert!((450..=501).contains(&second), "{second}");
    }
}
