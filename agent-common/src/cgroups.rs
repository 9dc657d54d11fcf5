//! The life of cgroups, for identity: which id has which path, from when to when.

use crate::fields::{Field, required};

/// Bytes of the ring.
pub const RING_BYTES: u32 = 256 * 1024;
/// Most bytes of a path: systemd's pod paths take 191, nested ones more.
pub const PATH_LEN: usize = 512;

/// The directory was made.
pub const MADE: u32 = 1;
/// The directory was removed.
pub const REMOVED: u32 = 2;
/// A task was moved into it.
pub const ATTACHED: u32 = 3;

/// A record of the ring.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Event {
    /// `MADE`, `REMOVED` or `ATTACHED`
    pub kind: u32,
    /// Bytes of `path` with the NUL; 0: it could not be read
    pub path_len: u32,
    /// Inode of the directory
    pub id: u64,
    /// From the hierarchy's root
    pub path: [u8; PATH_LEN],
}

crate::plain!(Event, 528, { kind: u32, path_len: u32, id: u64, path: [u8; PATH_LEN] });

/// Private fields.
pub const FIELDS: &[Field] = &[
    required("OFF_CGROUP_ROOT", &[("cgroup", "root")], 8),
    required("OFF_HIERARCHY", &[("cgroup_root", "hierarchy_id")], 4),
];
