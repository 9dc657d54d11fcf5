//! `wake-agent`, `wake-aggregator` and `wake` as people run them: real processes, files, sockets and kills.
//!
//! Each test has its own directory and ports. eBPF programs go only to a cgroup that the test made.

mod config;
mod export;
mod fleet;
mod kills;
mod logs;
mod otlp;
mod patterns;
mod reference;
mod senders;
mod shutdown;
mod spool;
