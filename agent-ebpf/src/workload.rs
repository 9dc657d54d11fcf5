//! Whose task this is: its cgroup, or in the root cgroup the name of its process.
//!
//! The name needs three reads of kernel memory, so it is kept per process in a slot table: no lock, and a collision
//! costs only another read. An object that uses it attaches `forget_*` to `task_rename` and `sched_process_exit`.

use agent_common::workload::{COMM_LEN, HOST_BIT, MAX_HOST_COMMS, NAME_END, SLOTS, Slot, host_key};
use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_task};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};
use core::ptr::{read_volatile, write_volatile};

use crate::memory::{Offset, absent, read};
use crate::node::{MACHINE_CGROUP, is_part};

/// Id of the node's root cgroup.
#[unsafe(no_mangle)]
pub static ROOT_CGROUP: Global<u64> = Global::new(0);
/// `task_struct.group_leader`
#[unsafe(no_mangle)]
pub static OFF_GROUP_LEADER: Offset = absent();
/// `task_struct.comm`
#[unsafe(no_mangle)]
pub static OFF_COMM: Offset = absent();

/// Key → name, for user space.
#[map]
static HOST_COMMS: HashMap<u64, [u8; COMM_LEN]> = HashMap::with_max_entries(MAX_HOST_COMMS, 0);
/// Process → key.
#[map]
static WORKLOAD_SLOTS: Array<Slot> = Array::with_max_entries(SLOTS, 0);

/// The owner of the current task.
#[inline(always)]
pub fn current_workload() -> u64 {
    // SAFETY: a helper without arguments.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    if is_root(cgroup) { current_host() } else { cgroup }
}

/// Whether the tasks of this cgroup are known by their names.
#[inline(always)]
pub fn is_root(cgroup: u64) -> bool {
    cgroup == ROOT_CGROUP.load() || (is_part() && cgroup == MACHINE_CGROUP.load())
}

/// The key of the current task's process by its name.
#[inline(always)]
fn current_host() -> u64 {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let Some(slot) = WORKLOAD_SLOTS.get_ptr_mut(tgid & (SLOTS - 1)) else { return HOST_BIT };
    // SAFETY: an array's value; written in the order tgid 0, key, tgid, so a reader never pairs another's key.
    unsafe {
        if read_volatile(&raw const (*slot).tgid) == tgid {
            return read_volatile(&raw const (*slot).key);
        }
        let key = task_host(bpf_get_current_task());
        write_volatile(&raw mut (*slot).tgid, 0);
        write_volatile(&raw mut (*slot).key, key);
        write_volatile(&raw mut (*slot).tgid, tgid);
        key
    }
}

/// The key of any task's process by its name; slow.
#[inline(never)]
pub fn task_host(task: u64) -> u64 {
    let Some(leader) = read::<u64>(task, &OFF_GROUP_LEADER) else { return HOST_BIT };
    let Some(mut comm) = read::<[u8; COMM_LEN]>(leader, &OFF_COMM) else { return HOST_BIT };
    let key = host_key(&comm);
    if HOST_COMMS.get_ptr(&key).is_some() {
        return key;
    }
    end_name(&mut comm);
    // two CPUs may insert the same name; a full map makes the rest `other`
    if HOST_COMMS.insert(&key, &comm, u64::from(BPF_NOEXIST)).is_err() && HOST_COMMS.get_ptr(&key).is_none() {
        return HOST_BIT;
    }
    key
}

#[inline(always)]
fn end_name(comm: &mut [u8; COMM_LEN]) {
    let mut ended = false;
    let mut index = 0;
    while index < COMM_LEN {
        ended |= comm[index] == NAME_END;
        if ended {
            comm[index] = 0;
        }
        index += 1;
    }
}

/// The owner of any task in this cgroup.
#[inline(always)]
pub fn task_workload(task: u64, cgroup: u64) -> u64 {
    if is_root(cgroup) { task_host(task) } else { cgroup }
}

/// The current process has, or is about to get, another name, or ends.
#[inline(always)]
pub fn forget() {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if let Some(slot) = WORKLOAD_SLOTS.get_ptr_mut(tgid & (SLOTS - 1)) {
        // SAFETY: an array's value; 0 frees the slot.
        unsafe { write_volatile(&raw mut (*slot).tgid, 0) };
    }
}

/// Defines the two programs that keep the slots honest; the object must attach both.
#[macro_export]
macro_rules! forget_programs {
    ($rename:ident, $exit:ident) => {
        #[aya_ebpf::macros::raw_tracepoint(tracepoint = "task_rename")]
        fn $rename(_: aya_ebpf::programs::RawTracePointContext) -> i32 {
            $crate::workload::forget();
            0
        }

        #[aya_ebpf::macros::raw_tracepoint(tracepoint = "sched_process_exit")]
        fn $exit(_: aya_ebpf::programs::RawTracePointContext) -> i32 {
            let ids = aya_ebpf::helpers::bpf_get_current_pid_tgid();
            if ids as u32 == (ids >> 32) as u32 {
                $crate::workload::forget();
            }
            0
        }
    };
}
