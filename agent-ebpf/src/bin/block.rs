//! Block I/O: operations, bytes and latency per owner and device.
//!
//! Hooks: BTF tracepoints `block_rq_issue` and `block_rq_complete`. The owner is the bio's cgroup, since writeback
//! runs in a kworker; without one it is who issues the request. Kernel: 5.10 with BTF.
#![no_std]
#![no_main]

use agent_common::block::{InFlight, LAYOUT, MAX_IN_FLIGHT, MAX_STATS, Stats, StatsKey};
use agent_common::lost;
use agent_ebpf::lost::lose;
use agent_ebpf::memory::{Offset, absent, add, add32, has, place, read};
use agent_ebpf::node::{cgroup_id, is_cgroup_ours, is_current_ours};
use agent_ebpf::workload::{current_workload, is_root};
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::BtfTracePointContext;

/// Offsets, filled in by the agent.
macro_rules! offsets {
    ($($name:ident)*) => { $(
        #[unsafe(no_mangle)]
        static $name: Offset = absent();
    )* };
}

offsets! {
    OFF_RQ_FLAGS OFF_RQ_LEN OFF_RQ_BIO OFF_RQ_DISK OFF_RQ_QUEUE OFF_QUEUE_DISK OFF_DISK_MAJOR OFF_DISK_MINOR
    OFF_BIO_BLKG OFF_BLKG_BLKCG OFF_BLKCG_CGROUP OFF_CGROUP_ROOT OFF_HIERARCHY
}

#[map]
static IN_FLIGHT: HashMap<u64, InFlight> = HashMap::with_max_entries(MAX_IN_FLIGHT, 0);
#[map]
static STATS: HashMap<StatsKey, Stats> = HashMap::with_max_entries(MAX_STATS, 0);
/// Never written: a value of zeros to begin one with.
#[map]
static ZERO: Array<Stats> = Array::with_max_entries(1, 0);

/// `block_rq_issue(request)`, since 5.11.
#[btf_tracepoint(function = "block_rq_issue")]
fn block_issue(context: BtfTracePointContext) -> i32 {
    issued(context.arg(0));
    0
}

/// `block_rq_issue(queue, request)`, before.
#[btf_tracepoint(function = "block_rq_issue")]
fn block_issue_of_queue(context: BtfTracePointContext) -> i32 {
    issued(context.arg(1));
    0
}

#[btf_tracepoint(function = "block_rq_complete")]
fn block_complete(context: BtfTracePointContext) -> i32 {
    completed(context.arg(0));
    0
}

#[inline(always)]
fn issued(request: u64) {
    const OPERATION: u32 = 0xff;
    let operation = read::<u32>(request, &OFF_RQ_FLAGS).unwrap_or(0) & OPERATION;
    let Some(workload) = owner(request) else { return };
    let key = StatsKey { workload, device: device(request), operation };
    let flight = InFlight {
        // SAFETY: a helper without arguments.
        issued_ns: unsafe { bpf_ktime_get_ns() },
        key,
        bytes: u64::from(read::<u32>(request, &OFF_RQ_LEN).unwrap_or(0)),
    };
    // a request that is issued again begins anew
    if IN_FLIGHT.insert(request, flight, 0).is_err() {
        lose(lost::MAP_FULL, 1);
    }
}

#[inline(always)]
fn device(request: u64) -> u32 {
    let disk = if has(&OFF_RQ_DISK) {
        read::<u64>(request, &OFF_RQ_DISK)
    } else {
        read::<u64>(request, &OFF_RQ_QUEUE).and_then(|queue| read::<u64>(queue, &OFF_QUEUE_DISK))
    };
    let Some(disk) = disk else { return 0 };
    let major = read::<u32>(disk, &OFF_DISK_MAJOR).unwrap_or(0);
    let minor = read::<u32>(disk, &OFF_DISK_MINOR).unwrap_or(0);
    major << 20 | (minor & 0xf_ffff)
}

/// Who wrote the data; in the root cgroup, or where the controller is on cgroup v1, who issues the request. `None`:
/// another node.
#[inline(always)]
fn owner(request: u64) -> Option<u64> {
    if let Some(cgroup) = bio_cgroup(request)
        && let Some(id) = cgroup_id(cgroup)
        && !is_root(id)
    {
        return is_cgroup_ours(cgroup).then_some(id);
    }
    is_current_ours().then(current_workload)
}

#[inline(always)]
fn bio_cgroup(request: u64) -> Option<u64> {
    let bio: u64 = read(request, &OFF_RQ_BIO)?;
    let group: u64 = read(bio, &OFF_BIO_BLKG)?;
    let controller: u64 = read(group, &OFF_BLKG_BLKCG)?;
    let cgroup: u64 = read(controller, &OFF_BLKCG_CGROUP)?;
    let root: u64 = read(cgroup, &OFF_CGROUP_ROOT)?;
    if read::<u32>(root, &OFF_HIERARCHY)? != 0 {
        return None;
    }
    Some(cgroup)
}

#[inline(always)]
fn completed(request: u64) {
    let Some(found) = IN_FLIGHT.get_ptr(request) else { return };
    // SAFETY: a map's value, copied before it is removed.
    let flight = unsafe { *found };
    // it was just there
    _ = IN_FLIGHT.remove(request);
    let mut found = STATS.get_ptr_mut(flight.key);
    if found.is_none() {
        let Some(zero) = ZERO.get(0) else { return };
        // another CPU may insert it first: then the lookup finds that one
        _ = STATS.insert(flight.key, zero, u64::from(BPF_NOEXIST));
        found = STATS.get_ptr_mut(flight.key);
    }
    let Some(stats) = found else { return lose(lost::MAP_FULL, 1) };
    // SAFETY: a helper without arguments.
    let place = place(unsafe { bpf_ktime_get_ns() }.wrapping_sub(flight.issued_ns));
    // SAFETY: a map's value, and the place is inside it.
    unsafe {
        add(&raw mut (*stats).operations, 1);
        add(&raw mut (*stats).bytes, flight.bytes);
        if let Some(place) = place {
            add32((&raw mut (*stats).latency).cast::<u32>().add(place), 1);
        }
    }
}

agent_ebpf::forget_programs!(block_rename, block_gone);
agent_ebpf::object!(LAYOUT);
