//! The journal's export format.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::journal(data));
