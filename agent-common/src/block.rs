//! Block I/O: operations, bytes and latency per owner and device.

use crate::fields::{Field, optional, required};
use crate::histogram::BUCKETS;
use crate::plain::fold;
use crate::workload::Slot;

/// Owner × device × operation.
pub const MAX_STATS: u32 = 1_024;
/// Requests in flight.
pub const MAX_IN_FLIGHT: u32 = 8_192;

/// Key of `STATS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct StatsKey {
    /// Owner
    pub workload: u64,
    /// `major << 20 | minor`
    pub device: u32,
    /// `REQ_OP_*`
    pub operation: u32,
}

/// Value of `STATS`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Stats {
    /// Requests completed
    pub operations: u64,
    /// Their bytes
    pub bytes: u64,
    /// From issue to completion
    pub latency: [u32; BUCKETS],
}

/// A request between issue and completion, by its address.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct InFlight {
    /// When it was issued, on the monotonic clock
    pub issued_ns: u64,
    /// Whose it is
    pub key: StatsKey,
    /// Its bytes
    pub bytes: u64,
}

crate::plain!(StatsKey, 16, { workload: u64, device: u32, operation: u32 });
crate::plain!(Stats, 440, { operations: u64, bytes: u64, latency: [u32; BUCKETS] });
crate::plain!(InFlight, 32, { issued_ns: u64, key: StatsKey, bytes: u64 });

/// What object and agent must agree on.
pub const LAYOUT: u64 = fold(&[StatsKey::LAYOUT, Stats::LAYOUT, InFlight::LAYOUT, Slot::LAYOUT]);

/// What works only in part without the cgroup of a bio.
const SUBMITTER: &str = "owner of writeback: this kernel's bios have no cgroup, so it is who issues them";

/// Private fields.
pub const FIELDS: &[Field] = &[
    required("OFF_RQ_FLAGS", &[("request", "cmd_flags")], 4),
    required("OFF_RQ_LEN", &[("request", "__data_len")], 4),
    required("OFF_RQ_BIO", &[("request", "bio")], 8),
    // the disk moved from the request to its queue in 5.16
    optional("OFF_RQ_DISK", &[("request", "rq_disk")], 8, ""),
    optional("OFF_RQ_QUEUE", &[("request", "q")], 8, ""),
    optional("OFF_QUEUE_DISK", &[("request_queue", "disk")], 8, ""),
    required("OFF_DISK_MAJOR", &[("gendisk", "major")], 4),
    required("OFF_DISK_MINOR", &[("gendisk", "first_minor")], 4),
    optional("OFF_BIO_BLKG", &[("bio", "bi_blkg")], 8, SUBMITTER),
    optional("OFF_BLKG_BLKCG", &[("blkcg_gq", "blkcg")], 8, SUBMITTER),
    optional("OFF_BLKCG_CGROUP", &[("blkcg", "css.cgroup")], 8, SUBMITTER),
    optional("OFF_CGROUP_ROOT", &[("cgroup", "root")], 8, SUBMITTER),
    optional("OFF_HIERARCHY", &[("cgroup_root", "hierarchy_id")], 4, SUBMITTER),
];
