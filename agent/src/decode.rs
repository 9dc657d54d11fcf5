//! Kernel bytes to rows: pure, never panics, one module per probe.

pub mod block;
pub mod cgroups;
pub mod conntrack;
pub mod flows;
pub mod process;
pub mod requests;
pub mod sched;
pub mod syscalls;
