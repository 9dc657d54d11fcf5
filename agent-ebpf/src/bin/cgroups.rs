//! The life of cgroups: which directory has which id and path, before its first process runs.
//!
//! Hooks: raw tracepoints `cgroup_mkdir`, `cgroup_rmdir`, `cgroup_attach_task`; the path is an argument. Only the
//! cgroup2 hierarchy (number 0), and of that only the node's part. Every record wakes the reader: identity comes before all else. Kernel: 5.10.
#![no_std]
#![no_main]

use agent_common::cgroups::{ATTACHED, Event, MADE, PATH_LEN, REMOVED, RING_BYTES};
use agent_common::lost;
use agent_ebpf::lost::lose;
use agent_ebpf::memory::{Offset, absent, read};
use agent_ebpf::node::{cgroup_id, is_cgroup_ours};
use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::RingBuf;
use aya_ebpf::programs::RawTracePointContext;
use aya_log_ebpf::debug;

#[unsafe(no_mangle)]
static OFF_CGROUP_ROOT: Offset = absent();
#[unsafe(no_mangle)]
static OFF_HIERARCHY: Offset = absent();

#[map]
static IDENTITY: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

#[raw_tracepoint(tracepoint = "cgroup_mkdir")]
fn cgroups_made(context: RawTracePointContext) -> i32 {
    tell(&context, MADE);
    0
}

#[raw_tracepoint(tracepoint = "cgroup_rmdir")]
fn cgroups_removed(context: RawTracePointContext) -> i32 {
    tell(&context, REMOVED);
    0
}

#[raw_tracepoint(tracepoint = "cgroup_attach_task")]
fn cgroups_attached(context: RawTracePointContext) -> i32 {
    tell(&context, ATTACHED);
    0
}

#[inline(always)]
fn tell(context: &RawTracePointContext, kind: u32) {
    let (cgroup, path): (u64, u64) = (context.arg(0), context.arg(1));
    let hierarchy = read::<u64>(cgroup, &OFF_CGROUP_ROOT).and_then(|root| read::<u32>(root, &OFF_HIERARCHY));
    match hierarchy {
        Some(0) => {}
        Some(_) => return,
        None => return lose(lost::READ_FAILED, 1),
    }
    if !is_cgroup_ours(cgroup) {
        return;
    }
    let Some(id) = cgroup_id(cgroup) else { return lose(lost::READ_FAILED, 1) };
    debug!(context, "cgroup {} event {}", id, kind);
    let Some(mut record) = IDENTITY.reserve::<Event>(0) else { return lose(lost::RING_FULL, 1) };
    let event = record.as_mut_ptr();
    // SAFETY: a reserved record of this size; the helper writes at most `PATH_LEN` bytes.
    let length = unsafe {
        (*event).kind = kind;
        (*event).id = id;
        bpf_probe_read_kernel_str((&raw mut (*event).path).cast(), PATH_LEN as u32, path as *const _)
    };
    // SAFETY: as above.
    unsafe { (*event).path_len = if length < 0 { 0 } else { length as u32 } };
    record.submit(0);
}

agent_ebpf::object!(Event::LAYOUT);
