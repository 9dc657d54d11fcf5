//! What the self-check program reads of the task that runs it.

use crate::fields::{Field, required};
use crate::node::MAX_LEVELS;
use crate::workload::COMM_LEN;

/// The answer, in the array `SEEN`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SelfCheck {
    /// Process id
    pub tgid: u32,
    /// 1 once the program ran
    pub ran: u32,
    /// Start of the process, on the boot clock
    pub start_boot_ns: u64,
    /// Its name
    pub comm: [u8; COMM_LEN],
    /// By `task->cgroups->dfl_cgrp->kn->id`
    pub cgroup_by_field: u64,
    /// By `bpf_get_current_cgroup_id`
    pub cgroup_by_helper: u64,
    /// How many levels below the hierarchy's root that is
    pub level: u32,
    /// Zero
    pub _pad: u32,
    /// The ids on the way there by level, as far as they fit; 0 below it
    pub ancestors: [u64; MAX_LEVELS],
}

crate::plain!(SelfCheck, 312, {
    tgid: u32, ran: u32, start_boot_ns: u64, comm: [u8; COMM_LEN], cgroup_by_field: u64, cgroup_by_helper: u64,
    level: u32, _pad: u32, ancestors: [u64; MAX_LEVELS],
});

/// Fields that it reads, and that the other objects rely on.
pub const FIELDS: &[Field] = &[
    required("OFF_TGID", &[("task_struct", "tgid")], 4),
    required("OFF_GROUP_LEADER", &[("task_struct", "group_leader")], 8),
    required("OFF_COMM", &[("task_struct", "comm")], 16),
    required("OFF_START", &[("task_struct", "start_boottime"), ("task_struct", "real_start_time")], 8),
];
