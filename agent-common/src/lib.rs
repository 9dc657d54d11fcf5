//! The bytes that kernel and user space share; one module per probe; layouts are checked at compile time.
#![cfg_attr(not(test), no_std)]

pub mod block;
pub mod cgroups;
pub mod fields;
pub mod flows;
pub mod histogram;
pub mod lost;
pub mod node;
pub mod plain;
pub mod process;
pub mod requests;
pub mod sched;
pub mod selfcheck;
pub mod syscalls;
pub mod tls;
pub mod workload;
