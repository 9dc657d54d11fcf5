//! Kernel bytes to rows: pure, never panics, one module per probe.

pub mod flows;
pub mod sched;
pub mod syscalls;
