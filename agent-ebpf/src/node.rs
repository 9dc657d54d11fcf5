//! Whether a task or a cgroup belongs to this agent's node, where several nodes share one kernel.
//!
//! `NODE_LEVEL` is frozen before the programs are verified: 0 (a kernel of its own) makes every test true, and the
//! verifier drops what is behind it.

use aya_ebpf::Global;
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_get_current_task,
};

use crate::memory::{Offset, absent, has, read};
use crate::workload::ROOT_CGROUP;

/// Depth of the node's root below that of the hierarchy; 0: all there is belongs to this node.
#[unsafe(no_mangle)]
pub static NODE_LEVEL: Global<u32> = Global::new(0);
/// 1: what belongs to no node is told by this agent.
#[unsafe(no_mangle)]
pub static HOST_OWNER: Global<u32> = Global::new(0);
/// Id of the hierarchy's root, where it is not the node's.
#[unsafe(no_mangle)]
pub static MACHINE_CGROUP: Global<u64> = Global::new(0);
/// 1 where tracing programs may ask for the current task's ancestors (5.14).
#[unsafe(no_mangle)]
pub static ANCESTOR_HELPER: Global<u32> = Global::new(0);

/// `task_struct.cgroups`
#[unsafe(no_mangle)]
pub static OFF_CGROUPS: Offset = absent();
/// `css_set.dfl_cgrp`
#[unsafe(no_mangle)]
pub static OFF_DFL_CGRP: Offset = absent();
/// `cgroup.level`
#[unsafe(no_mangle)]
pub static OFF_LEVEL: Offset = absent();
/// `cgroup.kn`
#[unsafe(no_mangle)]
pub static OFF_KN: Offset = absent();
/// `kernfs_node.id`
#[unsafe(no_mangle)]
pub static OFF_KN_ID: Offset = absent();
/// `cgroup.ancestors` (6.1)
#[unsafe(no_mangle)]
pub static OFF_ANCESTORS: Offset = absent();
/// `cgroup.ancestor_ids` (before)
#[unsafe(no_mangle)]
pub static OFF_ANCESTOR_IDS: Offset = absent();

/// Whether the node is only a part of what this kernel runs.
#[inline(always)]
pub fn is_part() -> bool {
    NODE_LEVEL.load() != 0
}

/// Whether what belongs to no cgroup is for this agent to tell.
#[inline(always)]
pub fn owns_the_rest() -> bool {
    !is_part() || HOST_OWNER.load() != 0
}

/// Whether the current task is for this agent to tell.
#[inline(always)]
pub fn is_current_ours() -> bool {
    if !is_part() {
        return true;
    }
    if ANCESTOR_HELPER.load() == 0 {
        // SAFETY: a helper without arguments.
        return is_task_ours(unsafe { bpf_get_current_task() });
    }
    // SAFETY: helpers that take no pointer.
    unsafe {
        bpf_get_current_ancestor_cgroup_id(NODE_LEVEL.load() as i32) == ROOT_CGROUP.load()
            || (HOST_OWNER.load() != 0 && bpf_get_current_cgroup_id() == MACHINE_CGROUP.load())
    }
}

/// Whether any task is for this agent to tell; slower.
#[inline(always)]
pub fn is_task_ours(task: u64) -> bool {
    if !is_part() {
        return true;
    }
    match task_cgroup(task) {
        Some(cgroup) => {
            is_cgroup_ours(cgroup)
                || (HOST_OWNER.load() != 0 && cgroup_id(cgroup) == Some(MACHINE_CGROUP.load()))
        }
        None => false,
    }
}

/// Whether a cgroup is the node's root or lies below it.
#[inline(always)]
pub fn is_cgroup_ours(cgroup: u64) -> bool {
    let level = NODE_LEVEL.load();
    if level == 0 {
        return true;
    }
    match read::<u32>(cgroup, &OFF_LEVEL) {
        Some(own) if own >= level => ancestor_id(cgroup, level) == Some(ROOT_CGROUP.load()),
        _ => false,
    }
}

/// The id of a cgroup's ancestor at a level that is not below its own.
#[inline(always)]
pub fn ancestor_id(cgroup: u64, level: u32) -> Option<u64> {
    let place = cgroup.wrapping_add(u64::from(level) * 8);
    if has(&OFF_ANCESTORS) {
        cgroup_id(read::<u64>(place, &OFF_ANCESTORS)?)
    } else {
        read::<u64>(place, &OFF_ANCESTOR_IDS)
    }
}

/// The cgroup2 cgroup of a task.
#[inline(always)]
pub fn task_cgroup(task: u64) -> Option<u64> {
    read::<u64>(read::<u64>(task, &OFF_CGROUPS)?, &OFF_DFL_CGRP)
}

/// The id of a cgroup.
#[inline(always)]
pub fn cgroup_id(cgroup: u64) -> Option<u64> {
    read::<u64>(read::<u64>(cgroup, &OFF_KN)?, &OFF_KN_ID)
}
