//! Requests of workloads as spans: what the kernel saw of a connection's payload, decoded and redacted on the node.
//!
//! `protocol` holds the decoders: pure, bounded, fuzzed.

pub mod protocol;
