//! The key of an owner: a cgroup id, or for tasks of the root cgroup a mark with a hash of the executable's name.

/// Set in keys of tasks that sit in the root cgroup; the rest is `host_key`'s hash, or 0 for the `other` workload.
pub const HOST_BIT: u64 = 1 << 63;
/// Bytes of a task's name, as the kernel keeps it.
pub const COMM_LEN: usize = 16;
/// Most executables of the root cgroup that are told apart; the rest is `other`.
pub const MAX_HOST_COMMS: u32 = 256;

/// The key of a root-cgroup task: FNV-1a over its name, marked.
#[inline(always)]
pub fn host_key(comm: &[u8; COMM_LEN]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut index = 0;
    while index < COMM_LEN {
        let byte = comm[index];
        if byte == 0 {
            break;
        }
        hash = (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    hash | HOST_BIT
}
