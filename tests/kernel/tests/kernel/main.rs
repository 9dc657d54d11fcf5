//! The real programs on the running kernel against ground truth.
//!
//! One binary, so that it can be copied into a VM with another kernel (`cargo xtask kernels`). Programs at cgroups
//! are attached only to cgroups that a test made; tracepoints see the whole machine, so tests look at their own keys.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what is wrong fails the test, and what it leaves behind or cannot do is said on its output"
)]

mod block;
mod capabilities;
mod cgroup;
mod cgroups;
mod child;
mod conntrack;
mod flows;
mod netns;
mod node;
mod nodes;
mod offsets;
mod probes;
mod process;
mod requests;
mod requires;
mod sched;
mod syscalls;
mod table;
mod tls;
mod usage;

use std::sync::OnceLock;

use agent::kernel::KernelFeatures;

/// What this kernel can do, found out once.
pub(crate) fn features() -> &'static KernelFeatures {
    static FEATURES: OnceLock<KernelFeatures> = OnceLock::new();
    FEATURES.get_or_init(KernelFeatures::probe)
}
