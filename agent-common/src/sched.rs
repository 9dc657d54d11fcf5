//! Run queue: how long runnable tasks waited for a CPU, and how they left it, per owner.

use crate::fields::{Field, optional, required};
use crate::histogram::BUCKETS;
use crate::plain::fold;
use crate::workload::Slot;

/// Owners.
pub const MAX_OWNERS: u32 = 1_024;
/// Threads whose delays are told apart; a power of two.
pub const THREADS: u32 = 65_536;

/// Value of `RUN_QUEUES` by owner, per CPU.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RunQueue {
    /// Left the CPU to wait for something
    pub voluntary: u64,
    /// Was made to leave it
    pub involuntary: u64,
    /// Delay between being runnable and running
    pub delays: [u32; BUCKETS],
}

/// How long a thread had waited in all, when it last left a CPU.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Waited {
    /// Thread; 0: free
    pub tid: u32,
    /// Zero
    pub _pad: u32,
    /// `sched_info.run_delay`
    pub total_ns: u64,
}

crate::plain!(RunQueue, 440, { voluntary: u64, involuntary: u64, delays: [u32; BUCKETS] });
crate::plain!(Waited, 16, { tid: u32, _pad: u32, total_ns: u64 });

/// What object and agent must agree on.
pub const LAYOUT: u64 = fold(&[RunQueue::LAYOUT, Waited::LAYOUT, Slot::LAYOUT]);

/// What does not work where the kernel does not keep the delays of a thread.
pub const NO_DELAYS: &str = "run-queue delay: this kernel does not keep it (CONFIG_SCHED_INFO)";

/// Private fields; the state's only where the tracepoint does not give it (before 5.18).
pub const FIELDS: &[Field] = &[
    required("OFF_PID", &[("task_struct", "pid")], 4),
    optional("OFF_STATE4", &[("task_struct", "__state")], 4, ""),
    optional("OFF_STATE8", &[("task_struct", "state")], 8, ""),
    optional("OFF_RUN_DELAY", &[("task_struct", "sched_info.run_delay")], 8, NO_DELAYS),
    optional("OFF_ARRIVALS", &[("task_struct", "sched_info.pcount")], 8, NO_DELAYS),
];
