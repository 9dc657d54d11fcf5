//! Where TLS libraries read and write plaintext: which processes use them, and which places of which files those are.
//!
//! ```text
//! /proc ─▶ processes ─ file ─▶ binary (elf, go, code) ─ places ─▶ watch ─▶ programs at them
//! ```
//! Files are whatever a workload made them: read in bounded pieces, and refused with a reason where they make no sense.

pub mod binary;
pub mod code;
pub mod elf;
pub mod go;
pub mod grpc;
pub mod h2;
pub mod modules;
pub mod processes;
pub mod watch;
