//! What the aggregator tells of a node's pods, and the snapshot of it on disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::told_names(data));
