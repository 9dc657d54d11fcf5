//! The key of an owner: a cgroup id, or for tasks of the root cgroup a mark with a hash of the executable's name.

use crate::fields::{Field, required};

/// Set in keys of tasks that sit in the root cgroup; the rest is `host_key`'s hash, or 0 for the `other` workload.
pub const HOST_BIT: u64 = 1 << 63;
/// Bytes of a task's name, as the kernel keeps it.
pub const COMM_LEN: usize = 16;
/// Most executables of the root cgroup that are told apart; the rest is `other`.
pub const MAX_HOST_COMMS: u32 = 256;

/// Ends a name: kernel threads are called `kworker/3:1`, and must not take a key for each of theirs.
pub const NAME_END: u8 = b'/';

/// The key of a root-cgroup task: FNV-1a over its name up to `NAME_END`, marked.
#[inline(always)]
pub const fn host_key(comm: &[u8; COMM_LEN]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut index = 0;
    while index < COMM_LEN {
        let byte = comm[index];
        if byte == 0 || byte == NAME_END {
            break;
        }
        hash = (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    hash | HOST_BIT
}

/// Private fields that `agent_ebpf::workload` reads.
pub const FIELDS: &[Field] = &[
    required("OFF_GROUP_LEADER", &[("task_struct", "group_leader")], 8),
    required("OFF_COMM", &[("task_struct", "comm")], 16),
];

/// Entries of the table that keeps the key of a process of the root cgroup.
pub const SLOTS: u32 = 8192;

/// One of them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Slot {
    /// Process id; 0: free
    pub tgid: u32,
    /// Padding
    pub _pad: u32,
    /// `host_key` of its name, or `HOST_BIT`
    pub key: u64,
}

crate::plain!(Slot, 16, { tgid: u32, _pad: u32, key: u64 });
