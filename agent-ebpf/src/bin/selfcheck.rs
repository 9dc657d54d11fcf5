//! Reads the task that runs it at the offsets that the agent found, so that the agent can compare with `/proc`.
//!
//! Run once by `BPF_PROG_TEST_RUN`, never attached. Kernel: 5.10.
#![no_std]
#![no_main]

use agent_common::selfcheck::SelfCheck;
use agent_ebpf::memory::{Offset, absent, read};
use agent_ebpf::workload::{OFF_COMM, OFF_GROUP_LEADER};
use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_task};
use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::RawTracePointContext;

#[unsafe(no_mangle)]
static OFF_TGID: Offset = absent();
#[unsafe(no_mangle)]
static OFF_START: Offset = absent();
#[unsafe(no_mangle)]
static OFF_CGROUPS: Offset = absent();
#[unsafe(no_mangle)]
static OFF_DFL_CGRP: Offset = absent();
#[unsafe(no_mangle)]
static OFF_KN: Offset = absent();
#[unsafe(no_mangle)]
static OFF_KN_ID: Offset = absent();

#[map]
static SEEN: Array<SelfCheck> = Array::with_max_entries(1, 0);

#[raw_tracepoint(tracepoint = "sys_enter")]
fn selfcheck(_: RawTracePointContext) -> i32 {
    // SAFETY: helpers without arguments.
    let (task, cgroup) = unsafe { (bpf_get_current_task(), bpf_get_current_cgroup_id()) };
    let Some(leader) = read::<u64>(task, &OFF_GROUP_LEADER) else { return 0 };
    let seen = SelfCheck {
        tgid: read(task, &OFF_TGID).unwrap_or(0),
        ran: 1,
        start_boot_ns: read(leader, &OFF_START).unwrap_or(0),
        comm: read(leader, &OFF_COMM).unwrap_or([0; 16]),
        cgroup_by_field: own_cgroup(task).unwrap_or(0),
        cgroup_by_helper: cgroup,
    };
    // an array takes every write to an index that it has
    _ = SEEN.set(0, seen, 0);
    0
}

#[inline(always)]
fn own_cgroup(task: u64) -> Option<u64> {
    let set: u64 = read(task, &OFF_CGROUPS)?;
    let group: u64 = read(set, &OFF_DFL_CGRP)?;
    let node: u64 = read(group, &OFF_KN)?;
    read(node, &OFF_KN_ID)
}

agent_ebpf::object!(SelfCheck::LAYOUT);
