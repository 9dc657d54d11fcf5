//! Reads the task that runs it at the offsets that the agent found, so that the agent can compare with `/proc`.
//!
//! Run once by `BPF_PROG_TEST_RUN`, never attached. Kernel: 5.10.
#![no_std]
#![no_main]

use agent_common::node::MAX_LEVELS;
use agent_common::selfcheck::SelfCheck;
use agent_ebpf::memory::{Offset, absent, read};
use agent_ebpf::node::{OFF_LEVEL, ancestor_id, cgroup_id, task_cgroup};
use agent_ebpf::workload::{OFF_COMM, OFF_GROUP_LEADER};
use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_task};
use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::RawTracePointContext;

#[unsafe(no_mangle)]
static OFF_TGID: Offset = absent();
#[unsafe(no_mangle)]
static OFF_START: Offset = absent();
#[map]
static SEEN: Array<SelfCheck> = Array::with_max_entries(1, 0);

#[raw_tracepoint(tracepoint = "sys_enter")]
fn selfcheck(_: RawTracePointContext) -> i32 {
    // SAFETY: helpers without arguments.
    let (task, cgroup) = unsafe { (bpf_get_current_task(), bpf_get_current_cgroup_id()) };
    let Some(seen) = SEEN.get_ptr_mut(0) else { return 0 };
    let Some(leader) = read::<u64>(task, &OFF_GROUP_LEADER) else { return 0 };
    let own = task_cgroup(task).unwrap_or(0);
    let level = read::<u32>(own, &OFF_LEVEL).unwrap_or(0);
    // SAFETY: an array's value.
    unsafe {
        (*seen).tgid = read(task, &OFF_TGID).unwrap_or(0);
        (*seen).start_boot_ns = read(leader, &OFF_START).unwrap_or(0);
        (*seen).comm = read(leader, &OFF_COMM).unwrap_or([0; 16]);
        (*seen).cgroup_by_field = cgroup_id(own).unwrap_or(0);
        (*seen).cgroup_by_helper = cgroup;
        (*seen).level = level;
        let mut at = 0;
        while at < MAX_LEVELS {
            if at as u32 <= level {
                (*seen).ancestors[at] = ancestor_id(own, at as u32).unwrap_or(0);
            }
            at += 1;
        }
        (*seen).ran = 1;
    }
    0
}

agent_ebpf::object!(SelfCheck::LAYOUT);
