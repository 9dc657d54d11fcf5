//! Where several nodes share one kernel (as in kind): which tasks, cgroups and sockets belong to this agent's node.
//!
//! A node is a cgroup of cgroup2, its root, and all that lies below. On a kernel of its own that is the root of the
//! hierarchy, at level 0, and nothing is tested.

use crate::fields::{Field, optional, required};

/// Levels of cgroups that are looked at: more than any runtime nests.
pub const MAX_LEVELS: usize = 32;

/// Private fields that `agent_ebpf::node` reads; of the last two one is there.
pub const FIELDS: &[Field] = &[
    required("OFF_CGROUPS", &[("task_struct", "cgroups")], 8),
    required("OFF_DFL_CGRP", &[("css_set", "dfl_cgrp")], 8),
    required("OFF_LEVEL", &[("cgroup", "level")], 4),
    required("OFF_KN", &[("cgroup", "kn")], 8),
    required("OFF_KN_ID", &[("kernfs_node", "id")], 8),
    // arrays at the end of the struct, by level: ids before 6.1, pointers since
    optional("OFF_ANCESTORS", &[("cgroup", "ancestors")], 0, ""),
    optional("OFF_ANCESTOR_IDS", &[("cgroup", "ancestor_ids")], 0, ""),
];
