//! Redaction of lines and of process arguments.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::redaction(data));
