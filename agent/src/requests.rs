//! Requests of workloads as spans: what the kernel saw of a connection's payload, decoded and redacted on the node.
//!
//! ```text
//! probe ─ Piece ─▶ tracker ─▶ connection ─ Chunk ─▶ protocol ─ Exchange ─▶ (context, threads) ─▶ red ─▶ window
//!                                                                              └─▶ shed ─▶ span ─▶ window
//!       └ Elsewhere ─▶ tracker ─▶ threads ─▶ written ─▶ the lines of logs
//! ```
//! `protocol` holds the decoders: pure, bounded, fuzzed. Everything that is kept is bounded: connections, requests without
//! an answer, threads; what is beyond is counted.

pub mod connection;
pub mod context;
pub mod hash;
pub mod ids;
pub mod number;
pub mod protocol;
pub mod red;
pub mod shed;
pub mod span;
pub mod threads;
pub mod tracker;
pub mod written;
